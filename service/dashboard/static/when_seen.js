// What is far down the page is drawn once the rest is there, and again while somebody looks at it, not too often.

import { Refused } from "./api.js";

const PAUSE_MS = 4000;
const IDLE_MS = 2500;

export class WhenSeen {
  /** `draws` are functions by the id of the element that they draw into; they answer false while there is nothing to. */
  constructor(draws) {
    this.parts = new Map(Object.entries(draws).map(([id, draw]) => [id, { draw, isSeen: false, isStale: false, isDrawn: false, rested_ms: 0, timer: null }]));
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const part = this.parts.get(target.id);
        part.isSeen = isIntersecting;
        this.consider(part);
      }
    }, { rootMargin: "200px" });
    for (const id of this.parts.keys()) observer.observe(document.getElementById(id));
  }

  /** There is something new to draw. */
  news() {
    for (const part of this.parts.values()) {
      part.isStale = true;
      if (part.isDrawn) this.consider(part);
      else idle(() => this.consider(part));
    }
  }

  /** Draws this one again at once if it is in view: something was chosen. */
  now(id) {
    const part = this.parts.get(id);
    part.isStale = true;
    part.rested_ms = 0;
    this.consider(part);
  }

  consider(part) {
    if (!part.isStale || (part.isDrawn && !part.isSeen)) return;
    clearTimeout(part.timer);
    const wait_ms = part.rested_ms - performance.now();
    if (wait_ms > 0) part.timer = setTimeout(() => this.consider(part), wait_ms);
    else this.draw(part);
  }

  async draw(part) {
    part.isStale = false;
    part.rested_ms = performance.now() + PAUSE_MS;
    try {
      part.isDrawn = (await part.draw()) !== false || part.isDrawn;
    } catch (error) {
      part.isStale = true; // drawn with the next news: the page itself says that the service is gone
      if (!(error instanceof TypeError || error instanceof Refused)) console.error(error);
    }
  }
}

/** Where browsers do not tell when they are idle, after a while. */
function idle(run) {
  if ("requestIdleCallback" in window) requestIdleCallback(run, { timeout: IDLE_MS });
  else setTimeout(run, IDLE_MS);
}
