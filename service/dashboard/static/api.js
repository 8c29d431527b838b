// The JSON API, asked again and again while there is something to see.

const QUICK_MS = 1500;
const SLOW_MS = 6000;

export class Refused extends Error {}

/** The JSON at this path below /v1. Throws `Refused` with the problem's detail when the service says no. */
export async function read(path) {
  const response = await fetch(`/v1${path}`, { headers: { Accept: "application/json" }, cache: "no-cache" });
  if (response.ok) return response.json();
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const problem = await response.json().catch(() => null);
  throw new Refused(problem?.detail ?? `the service answered ${response.status}`);
}

/**
 * Calls `refresh` now and then every 1.5 s until it answers false; waits while the page is hidden, and longer
 * while the service cannot be reached. `link` is the element that says how that goes.
 */
export function follow(refresh, link) {
  let timer = null;
  let busy = false;
  let over = false;

  async function turn() {
    if (busy || over) return;
    clearTimeout(timer);
    busy = true;
    let pause_ms = QUICK_MS;
    try {
      over = !(await refresh());
      tell(link, over ? "still" : "live", over ? "ended" : "live");
    } catch (error) {
      const lost = error instanceof Refused ? error.message : "the service cannot be reached; trying again";
      tell(link, "lost", lost);
      if (!(error instanceof Refused || error instanceof TypeError)) console.error(error);
      pause_ms = SLOW_MS;
    } finally {
      busy = false;
    }
    if (!over && !document.hidden) timer = setTimeout(turn, pause_ms);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else turn();
  });
  turn();
}

/** Says in `link` how the connection is: `live`, `still` or `lost`. */
export function tell(link, state, text) {
  link.dataset.link = state;
  if (link.textContent !== text) link.textContent = text;
}
