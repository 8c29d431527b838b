// Why a trial has no result, in words: from its metrics where they tell, else as the service says it.

import { read } from "./api.js";
import { written } from "./metrics.js";

const AT_ONCE = 4;
const TOLD_BY_SERVICE = ["infeasible", "failed", "stopped"];

export class Reasons {
  /** `onRead()` is called when some that were asked for are there. */
  constructor(onRead) {
    this.onRead = onRead;
    this.known = new Map();
    this.queue = [];
    this.reading = 0;
  }

  /** The reason of the trial at this place; null where there is none, or none yet. */
  of(columns, place) {
    const state = columns.states[place];
    const breaks = state === "infeasible" ? broken(columns, place) : null;
    if (breaks) return breaks;
    if (!TOLD_BY_SERVICE.includes(state)) return null;
    const number = columns.numbers[place];
    const key = `${number} ${state}`;
    if (!this.known.has(key)) {
      this.known.set(key, null);
      this.queue.push({ key, path: `/studies/${encodeURIComponent(columns.study.name)}/trials/${number}` });
      this.next();
    }
    return this.known.get(key);
  }

  async next() {
    if (!this.queue.length || this.reading >= AT_ONCE) return;
    const { key, path } = this.queue.pop();
    this.reading += 1;
    try {
      this.known.set(key, (await read(path)).reason);
      this.onRead();
    } catch {
      this.known.delete(key); // it is asked for again with the next news
    }
    this.reading -= 1;
    this.next();
  }
}

/** Which constraints its metrics break. */
function broken(columns, place) {
  const lines = columns.study.spec.constraints.flatMap(({ metric, bound, at_least: atLeast }) => {
    const value = columns.value(metric, place);
    const isBroken = value !== null && (atLeast ? value < bound : value > bound);
    return isBroken ? [`${metric} ${written(metric, value)} breaks ${atLeast ? ">=" : "<="} ${written(metric, bound)}`] : [];
  });
  return lines.join("; ") || null;
}
