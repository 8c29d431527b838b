// All trials of a study as columns: fast to look through, whatever their number. Nothing of the drawing.

const RUNNING = new Set(["pending", "measuring", "distilling"]);
/** Of the 95 % interval of a normal variable. */
const Z95 = 1.96;

export class TrialColumns {
  /** `wire` is what `GET /v1/studies/{name}/points` answers. */
  constructor(wire, study) {
    this.study = study;
    this.numbers = wire.numbers;
    this.states = wire.states;
    this.labels = wire.labels;
    this.origins = wire.origins;
    this.onFront = wire.on_front;
    this.metrics = wire.metrics;
    this.deviations = wire.deviations;
    this.dimensions = wire.dimensions;
    this.full = wire.full;
    this.places = new Map(wire.numbers.map((number, place) => [number, place]));
  }

  get size() {
    return this.numbers.length;
  }

  /** The metrics that any trial has, those of the objectives first. */
  get metricNames() {
    const first = this.study.spec.objectives.map(({ metric }) => metric);
    const others = Object.keys(this.metrics).filter((name) => !first.includes(name));
    return [...first, ...others.filter((name) => this.metrics[name].some((value) => value !== null)).sort()];
  }

  /** A trial's metric or dimension; null where it has none. */
  value(name, place) {
    return this.metrics[name]?.[place] ?? this.dimensions[name]?.[place] ?? null;
  }

  /** Half the 95 % interval of a metric's observation noise; null where it is not known. */
  margin(name, place) {
    const deviation = this.deviations[name]?.[place] ?? null;
    return deviation === null || deviation === 0 ? null : Z95 * deviation;
  }

  isRunning(place) {
    return RUNNING.has(this.states[place]);
  }

  /** The name of the shape that the study asked to compare with, if this trial is one; else "". */
  baseline(place) {
    return /^baseline: *(.*)$/.exec(this.origins[place])?.[1] ?? "";
  }

  /** The places of all trials for which this holds. */
  where(holds) {
    const found = [];
    for (let place = 0; place < this.size; place++) if (holds(place)) found.push(place);
    return found;
  }

  /** Places of the completed trials that have both metrics and that none of these beats in one and equals in the other. */
  frontOf(x, y) {
    const [down, up] = [sign(x.better), sign(y.better)];
    const known = this.where((place) => this.isCandidate(place) && this.value(x.name, place) !== null && this.value(y.name, place) !== null);
    const loss = (metric, factor, place) => factor * this.value(metric.name, place);
    known.sort((a, b) => loss(x, down, a) - loss(x, down, b) || loss(y, up, a) - loss(y, up, b));
    let [best, bestAcross] = [Infinity, NaN];
    return known.filter((place) => {
      const [across, along] = [loss(x, down, place), loss(y, up, place)];
      if (along > best || (along === best && across !== bestAcross)) return false;
      [best, bestAcross] = [along, across];
      return true;
    });
  }

  /** Whether it may be on a front: completed, so that it meets every constraint of the study. */
  isCandidate(place) {
    return this.states[place] === "completed";
  }
}

/** +1 where less is better. */
export function sign(better) {
  return better === "minimize" ? 1 : -1;
}
