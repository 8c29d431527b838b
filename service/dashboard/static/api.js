// The JSON API.

export class Refused extends Error {}

/** The JSON at this path below /v1. Throws `Refused` with the problem's detail when the service says no. */
export async function read(path) {
  const response = await fetch(`/v1${path}`, { headers: { Accept: "application/json" }, cache: "no-cache" });
  if (response.ok) return response.json();
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const problem = await response.json().catch(() => null);
  throw new Refused(problem?.detail ?? `the service answered ${response.status}`);
}

/** Says in `link` how the connection is: `live`, `still` or `lost`. */
export function tell(link, state, text) {
  link.dataset.link = state;
  if (link.textContent !== text) link.textContent = text;
}
