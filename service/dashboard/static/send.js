// Asking the service to change something.

/** What was refused: `errors` are lines led by the key that is wrong, `code` is for programs. */
export class Declined extends Error {
  constructor(detail, { errors = [], code = "", status = 0 } = {}) {
    super(detail);
    this.errors = errors;
    this.code = code;
    this.status = status;
  }
}

/** The JSON that the service answers, null where it answers nothing. Throws `Declined`. */
export async function send(method, path, body, headers = {}) {
  const response = await fetch(`/v1${path}`, {
    method,
    headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => {
    throw new Declined("the service cannot be reached; nothing was changed");
  });
  if (response.ok) return response.status === 204 ? null : response.json();
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const problem = await response.json().catch(() => null);
  throw new Declined(problem?.detail ?? `the service answered ${response.status}`, { ...problem, status: response.status });
}
