// A page that follows the service's events, and asks by itself while there are none to be had.

import { Refused, tell } from "./api.js";

const POLL_MS = 1500;
const LOST_MS = 3000;
/** Between two turns; the longer the last one took, the longer: a machine that measures has better to do. */
const GAP_MS = { least: 150, most: 600 };
/** After so long without events they are asked for again. */
const REOPEN_MS = 20_000;
const KINDS = ["study", "trial", "worker"];

/**
 * Calls `refresh` now and whenever the service tells of something at `/v1${path}`. It answers in how many milliseconds
 * it wants to be called even if nothing is told, or null where nothing is expected any more. `link` is the element that
 * says how that goes.
 */
export function live(path, refresh, link) {
  const follower = new Follower(path, refresh, link);
  followers.push(follower);
  follower.open();
  follower.turn();
  return follower;
}

const followers = [];
let resting = false;

/** Nothing is asked from now on, and what was asked is answered: what is followed is about to be gone. */
export async function rest() {
  resting = true;
  for (const follower of followers) follower.close();
  await Promise.all(followers.map(({ working }) => working));
}

/** It is still there after all. */
export function goOn() {
  resting = false;
  for (const follower of followers) {
    follower.open();
    follower.turn();
  }
}

class Follower {
  constructor(path, refresh, link) {
    this.path = path;
    this.refresh = refresh;
    this.link = link;
    this.source = null;
    this.timer = null;
    this.busy = false;
    this.asked = false;
    this.rest_ms = 0;
    this.working = null;
    document.addEventListener("visibilitychange", () => document.hidden || this.turn());
    for (const name of ["online", "offline"]) addEventListener(name, () => this.turn());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      this.open();
      this.turn();
    });
  }

  get hasEvents() {
    return this.source?.readyState === EventSource.OPEN;
  }

  open() {
    this.close();
    const source = new EventSource(`/v1${this.path}`);
    const soon = () => this.turn();
    for (const kind of KINDS) source.addEventListener(kind, soon);
    source.addEventListener("open", soon);
    source.addEventListener("error", () => {
      // A connection that broke is opened again by the browser; one that was refused is not.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.source === source && this.open(), REOPEN_MS);
      else soon();
    });
    this.source = source;
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  /** One call of `refresh`; what is asked for meanwhile is one more, after it. */
  async turn() {
    if (document.hidden || resting) return;
    this.asked = true;
    if (this.busy) return;
    this.busy = true;
    clearTimeout(this.timer);
    this.asked = false;
    this.working = this.once();
    const [started, pause_ms] = [performance.now(), await this.working];
    this.rest_ms = Math.min(GAP_MS.most, Math.max(GAP_MS.least, performance.now() - started));
    await new Promise((resolve) => setTimeout(resolve, this.rest_ms));
    this.busy = false;
    if (this.asked) this.turn();
    else if (pause_ms !== null) this.timer = setTimeout(() => this.turn(), Math.max(0, pause_ms - this.rest_ms));
  }

  async once() {
    try {
      const wanted_ms = await this.refresh();
      tell(this.link, wanted_ms === null ? "still" : "live", wanted_ms === null ? "ended" : "live");
      return wanted_ms === null || this.hasEvents ? wanted_ms : Math.min(wanted_ms, POLL_MS);
    } catch (error) {
      tell(this.link, "lost", error instanceof Refused ? error.message : "the service cannot be reached; trying again");
      if (!(error instanceof Refused || error instanceof TypeError)) console.error(error);
      return LOST_MS;
    }
  }
}
