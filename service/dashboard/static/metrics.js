// What the page knows of metrics by their names: how they are written, and which way is better.

import { NONE, count, latency, quality, significant } from "./format.js";

const UNKNOWN = { unit: "number", better: "minimize" };
const SCALES = { seconds: 1e3 };
const SUFFIXES = { seconds: " ms", share: "", count: "", number: "" };
const FACTORS = { k: 1e3, m: 1e6, g: 1e9, ms: 1e-3, us: 1e-6, "µs": 1e-6, s: 1 };
let known = null;

/** Metrics that only this study knows: which way each is better, its objectives say, or else its constraints. */
export function learn(spec) {
  const bounded = spec.constraints.map(({ metric, at_least: atLeast }) => ({ metric, direction: atLeast ? "maximize" : "minimize" }));
  for (const { metric, direction } of [...spec.objectives, ...bounded]) {
    if (!Object.hasOwn(metrics(), metric)) known[metric] = { ...UNKNOWN, better: direction, title: metric };
  }
}

/** The metrics that the study judges its trials by, each once: those of its objectives, then those of its constraints. */
export function judged(spec) {
  return [...new Set([...spec.objectives, ...spec.constraints].map(({ metric }) => metric))];
}

/** What the search is about beside its cost: the task's metric, or the first objective that is to be large. */
export function mainMetric(spec) {
  const names = spec.objectives.map(({ metric }) => metric);
  if (names.includes(spec.task.metric)) return spec.task.metric;
  return spec.objectives.find(({ direction }) => direction === "maximize")?.metric ?? names[0];
}

/** {name, title, unit, better, scale, suffix}; on screen a value is multiplied by `scale` and followed by `suffix`. */
export function metricOf(name) {
  const { unit, better, title } = Object.hasOwn(metrics(), name) ? known[name] : UNKNOWN;
  return { name, unit, better, title: title ?? titleOf(name), scale: SCALES[unit] ?? 1, suffix: SUFFIXES[unit] ?? "" };
}

/** A value with its unit: "4.21 ms", "0.871", "11.2M". */
export function written(name, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const { unit } = metricOf(name);
  if (unit === "seconds") return latency(value);
  if (unit === "share") return quality(value);
  return unit === "count" ? count(value) : significant(value, 4);
}

/** A metric as an axis is named: "Accuracy", "p50 latency in ms". */
export function axisTitle(name) {
  const { title, suffix } = metricOf(name);
  return suffix.trim() ? `${title} in ${suffix.trim()}` : title;
}

/** A number as people write it, in the metric's own unit: "4 ms", "12M"; without a unit it is in that of the screen. */
export function parsed(name, text) {
  const match = /^\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(%|[a-zµ]*)\s*$/i.exec(text.replace("−", "-"));
  if (!match || !Number.isFinite(Number(match[1]))) return null;
  const [value, unit] = [Number(match[1]), match[2].toLowerCase()];
  const { unit: own, scale } = metricOf(name);
  if (!unit) return value / scale;
  if (unit === "%") return own === "share" ? value / 100 : null;
  const isTime = ["s", "ms", "us", "µs"].includes(unit);
  if (!(unit in FACTORS) || isTime !== (own === "seconds")) return null;
  return value * FACTORS[unit];
}

function metrics() {
  known ??= JSON.parse(document.querySelector("article[data-metrics]").dataset.metrics);
  return known;
}

function titleOf(name) {
  const quantile = /^latency_(p\d+)$/.exec(name)?.[1];
  if (quantile) return `${quantile} latency`;
  const words = name.replace(/_/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
