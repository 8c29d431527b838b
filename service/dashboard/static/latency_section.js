// What was measured of a trial's latency: every process's samples as a distribution, the quantiles, the environment.

import { chart, fitted, range, told, words } from "./chart.js";
import { definitions, drawing, element } from "./dom.js";
import { count, latency, moment, ratio } from "./format.js";
import { speedUp } from "./latency.js";
import { bytes } from "./sizes.js";

const ROW = 46;
const BINS = 60;
/** The slowest calls of all are told, not drawn: they would squeeze the rest. */
const SHOWN = 0.995;
const TITLES = { trial: "With random weights, before training", export: "As exported" };

/** Parts for each measurement: of the architecture, and of a finalist's export. `measured` has the samples, or is null. */
export function latencySection(study, trial, measured) {
  const views = [["trial", trial.latency], ["export", trial.finalist?.latency]].filter(([, view]) => view);
  return views.map(([role, view]) => {
    const found = measured?.find((each) => each.role === role)?.measurement ?? null;
    const samples = found?.samples_s.filter((process) => process.length) ?? [];
    return element(
      "div", { class: "measurement" },
      element("h3", {}, TITLES[role]),
      samples.length ? distribution(samples, view) : null,
      element("div", { class: "columns" }, quantiles(view, study), circumstances(view, found)),
      environment(view.environment),
    );
  });
}

function quantiles(view, study) {
  const bounded = view.low_s !== null && view.high_s !== null;
  const times = speedUp(view, study);
  return definitions([
    ["p50", latency(view.p50_s)],
    ["95 % of p50", bounded ? `${latency(view.low_s)} to ${latency(view.high_s)}` : null],
    ["p90", latency(view.p90_s)],
    ["p99", latency(view.p99_s)],
    ["speed-up", times === null ? null : `${ratio(times)} the teacher`],
    ["verdict", `${view.source}, ${view.verdict}`],
    ["notes", view.notes.join("; ") || null],
  ]);
}

function circumstances(view, found) {
  return definitions([
    ["effort", `${view.effort}, ${view.samples} samples`],
    ["throughput", found && `${count(found.throughput_per_s)} examples a second`],
    ["first call", found && latency(found.first_call_s)],
    ["loading", found && latency(found.load_s)],
    ["peak memory", found && bytes(found.peak_memory_bytes)],
    ["measured", moment(view.measured_at)],
    ["hardware key", view.hardware_key],
  ]);
}

function environment(values) {
  const pairs = Object.entries(values);
  if (!pairs.length) return null;
  const list = definitions(pairs.map(([key, value]) => [key.replace(/_/g, " "), value]));
  return element("details", { class: "environment" }, element("summary", {}, "Environment"), list);
}

function distribution(processes, view) {
  const sorted = processes.flat().sort((a, b) => a - b);
  const cut = sorted[Math.floor(SHOWN * (sorted.length - 1))];
  const shown = sorted.filter((value) => value <= cut);
  const beyond = sorted.length - shown.length;
  const x = { ...range(shown, 0.04), title: "latency in ms", text: (value) => (value * 1e3).toPrecision(3) };
  const place = element("div", { class: "canvas" });
  const height = processes.length * ROW + 66;
  const name = `Distribution of ${sorted.length} samples of ${processes.length} processes, from ${latency(sorted[0])} to ${latency(sorted[sorted.length - 1])}, median ${latency(view.p50_s)}`;
  fitted(place, (width) => {
    const y = { low: 0, high: 1, ticks: [], text: String };
    const made = chart({ width, height, x, y, name, margin: { left: width < 480 ? 22 : 76, top: 22 } });
    marks(made, view, x);
    for (const [index, samples] of processes.entries()) ridge(made, samples.filter((value) => value <= cut), index, x, width < 480);
    return made.svg;
  });
  const said = beyond ? `${beyond} of ${sorted.length} samples are longer than ${latency(cut)} and not drawn, the longest ${latency(sorted[sorted.length - 1])}.` : `All ${sorted.length} samples.`;
  return element("figure", {}, place, element("figcaption", { class: "caption" }, `One row for each process. ${said}`));
}

/** The quantiles as lines over all rows; p50 with its interval. */
function marks({ inside, x, top, bottom }, view, axis) {
  if (view.low_s !== null && view.high_s !== null) {
    const [low, high] = [x(Math.max(axis.low, view.low_s)), x(Math.min(axis.high, view.high_s))];
    inside.append(drawing("rect", { class: "interval", x: low, y: top, width: Math.max(1, high - low), height: bottom - top }));
  }
  let free = -Infinity;
  for (const [name, value] of [["p50", view.p50_s], ["p90", view.p90_s], ["p99", view.p99_s]]) {
    if (value > axis.high || value < axis.low) continue;
    const at = x(value);
    inside.append(told(drawing("line", { class: `quantile ${name}`, x1: at, x2: at, y1: top, y2: bottom }), `${name} ${latency(value)}`));
    if (at - free > 30) inside.append(words(name, { class: "tick", x: at, y: top - 7, "text-anchor": "middle" }));
    free = Math.max(free, at - free > 30 ? at : free);
  }
}

/** One process: how often each latency came, and its median. */
function ridge({ inside, x, left, top }, samples, index, axis, narrow) {
  const foot = top + (index + 1) * ROW - 6;
  const counts = Array(BINS).fill(0);
  const bin = (value) => Math.min(BINS - 1, Math.floor(((value - axis.low) / (axis.high - axis.low)) * BINS));
  for (const value of samples) counts[bin(value)] += 1;
  const most = Math.max(...counts, 1);
  const edge = (place) => axis.low + ((axis.high - axis.low) * place) / BINS;
  const steps = counts.flatMap((number, place) => {
    const y = foot - (number / most) * (ROW - 12);
    return [`L${x(edge(place)).toFixed(1)} ${y.toFixed(1)}`, `L${x(edge(place + 1)).toFixed(1)} ${y.toFixed(1)}`];
  });
  const ordered = [...samples].sort((a, b) => a - b);
  const median = ordered[Math.floor((ordered.length - 1) / 2)];
  const area = drawing("path", { class: "ridge", d: `M${x(axis.low).toFixed(1)} ${foot}${steps.join("")}L${x(axis.high).toFixed(1)} ${foot}Z` });
  inside.append(
    told(area, `process ${index + 1}: ${samples.length} samples, median ${latency(median)}`),
    words(narrow ? index + 1 : `process ${index + 1}`, { class: "tick", x: left - 8, y: foot - 2, "text-anchor": "end" }),
  );
}
