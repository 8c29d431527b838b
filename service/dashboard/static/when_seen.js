// What is far down the page is drawn once the rest is there, and again while somebody looks at it, not too often.

const PAUSE_MS = 4000;
const IDLE_MS = 2500;

export class WhenSeen {
  /** `draws` are functions by the id of the element that they draw into. */
  constructor(draws) {
    this.parts = new Map(Object.entries(draws).map(([id, draw]) => [id, { draw, isSeen: false, isStale: false, drawn_ms: -Infinity, timer: null }]));
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
      this.consider(part);
      if (part.drawn_ms === -Infinity) idle(() => this.draw(part));
    }
  }

  /** Draws this one again at once if it is in view: something was chosen. */
  now(id) {
    const part = this.parts.get(id);
    part.isStale = true;
    part.drawn_ms = -Infinity;
    this.consider(part);
  }

  consider(part) {
    if (!part.isSeen || !part.isStale) return;
    clearTimeout(part.timer);
    const wait_ms = part.drawn_ms + PAUSE_MS - performance.now();
    if (wait_ms > 0) {
      part.timer = setTimeout(() => this.consider(part), wait_ms);
      return;
    }
    this.draw(part);
  }

  draw(part) {
    if (!part.isStale) return;
    part.isStale = false;
    part.drawn_ms = performance.now();
    Promise.resolve(part.draw()).catch((error) => {
      part.isStale = true;
      if (!(error instanceof TypeError)) console.error(error);
    });
  }
}

/** Where browsers do not tell when they are idle, after a while. */
function idle(run) {
  if ("requestIdleCallback" in window) requestIdleCallback(run, { timeout: IDLE_MS });
  else setTimeout(run, IDLE_MS);
}
