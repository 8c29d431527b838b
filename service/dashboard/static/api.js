// The JSON API.

export class Refused extends Error {}

/** The JSON at this path below /v1. Throws `Refused` with the problem's detail when the service says no. */
export async function read(path) {
  return (await answered(path)).json();
}

/** {items, next}: a page of the list at this path, and the cursor of the page that follows, null behind the last one. */
export async function readPage(path) {
  const response = await answered(path);
  const link = /<([^>]*)>; *rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
  const next = link === undefined ? null : new URL(link, location.origin).searchParams.get("cursor");
  return { items: await response.json(), next };
}

/** The whole list at this path, page by page. */
export async function readAll(path) {
  const found = [];
  let cursor = null;
  do {
    const page = await readPage(cursor === null ? path : `${path}?${new URLSearchParams({ cursor })}`);
    found.push(...page.items);
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

async function answered(path) {
  const begun = window.early?.answers.get(`/v1${path}`);
  window.early?.answers.delete(`/v1${path}`); // of that moment: whoever asks again wants to know how it is by now
  const response = await (begun ?? fetch(`/v1${path}`, { headers: { Accept: "application/json" }, cache: "no-cache" }));
  if (response.ok) return response;
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const problem = await response.json().catch(() => null);
  throw new Refused(problem?.detail ?? `the service answered ${response.status}`);
}

/** Says in `link` how the connection is: `live`, `still` or `lost`. */
export function tell(link, state, text) {
  link.dataset.link = state;
  if (link.textContent !== text) link.textContent = text;
}
