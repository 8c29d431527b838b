// Which student is best within a bound on one metric: answered from the points alone, at once.

import { mainMetric, metricOf, parsed, written } from "./metrics.js";
import { sign } from "./trial_columns.js";

/** A range beyond this is walked through in equal ratios. */
const WIDE = 5;
const STEPS = 1000;

/** What is asked for within the bound: what the study is about, or the other objective where that is what is bounded. */
export function wantedMetric(spec, bounded) {
  const main = mainMetric(spec);
  if (bounded !== main) return main;
  const others = spec.objectives.map(({ metric }) => metric).filter((name) => name !== bounded);
  return others.find((name) => name.startsWith("latency_")) ?? others[0];
}

/** Whether a value is within a bound on this metric: at most so much, or at least so much where more is better. */
export function isWithin(metric, value, bound) {
  return value !== null && sign(metric.better) * (value - bound) <= 0;
}

/**
 * {place, wanted, fits, of}: the best completed trial within the bound, or place null; how many of how many fit. Of all
 * trials, or of those for which `among` holds.
 */
export function bestWithin(columns, name, bound, among = () => true) {
  const [metric, wanted] = [metricOf(name), metricOf(wantedMetric(columns.study.spec, name))];
  const loss = (one, place) => sign(one.better) * columns.value(one.name, place);
  const known = columns.where((place) => columns.isCandidate(place) && among(place) && columns.value(name, place) !== null && columns.value(wanted.name, place) !== null);
  const fitting = known.filter((place) => isWithin(metric, columns.value(name, place), bound));
  let best = null;
  for (const place of fitting) {
    if (best === null || (loss(wanted, place) - loss(wanted, best) || loss(metric, place) - loss(metric, best)) < 0) best = place;
  }
  return { place: best, wanted: wanted.name, fits: fitting.length, of: known.length };
}

/**
 * The bounds worth asking for: {low, high, toBound, toStep, snapped, steps}; null while there is nothing to choose from.
 * `snapped` takes what is written like an end, or read back from an address, for that end.
 */
export function boundsOf(columns, name) {
  const values = columns.where((place) => columns.isCandidate(place)).map((place) => columns.value(name, place)).filter((value) => value !== null);
  if (!values.length) return null;
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  const wide = low > 0 && high / low > WIDE;
  const between = (share) => (wide ? low * (high / low) ** share : low + (high - low) * share);
  const shareOf = (value) => (high === low ? 1 : wide ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  return {
    low,
    high,
    steps: STEPS,
    toBound: (step) => (step >= STEPS ? high : step <= 0 ? low : Math.min(high, Math.max(low, rounded(between(step / STEPS))))),
    snapped: (bound) => [low, high].find((end) => written(name, end) === written(name, bound)) ?? bound,
    toStep: (value) => (value <= low ? 0 : value >= high ? STEPS : Math.round(STEPS * shareOf(value))),
  };
}

/** Where the slider stands before anybody moved it: the study's own bound, or the middle of what there is. */
export function firstBound(columns, name) {
  const bounds = boundsOf(columns, name);
  const own = columns.study.spec.constraints.find((constraint) => constraint.metric === name)?.bound;
  if (own !== undefined && own > bounds.low && own < bounds.high) return own;
  return bounds.toBound(bounds.steps / 2);
}

/** A bound as an address and the API carry it: `latency_p50 <= 4 ms`. */
export function constraintText(name, bound) {
  const { better, scale, suffix } = metricOf(name);
  return `${name} ${better === "minimize" ? "<=" : ">="} ${Number((bound * scale).toPrecision(6))}${suffix}`;
}

/** {name, bound} of such a text; null where it is none. */
export function readConstraint(text) {
  const match = /^\s*(\w+)\s*[<>]=\s*(.+?)\s*$/.exec(text ?? "");
  const bound = match && parsed(match[1], match[2]);
  return match && bound !== null ? { name: match[1], bound } : null;
}

/** "p50 latency at most 4.00 ms". */
export function boundText(name, bound) {
  const { title, better } = metricOf(name);
  return `${title} ${better === "minimize" ? "at most" : "at least"} ${written(name, bound)}`;
}

function rounded(value) {
  return Number(value.toPrecision(3));
}
