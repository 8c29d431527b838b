// Which points the front's figure has: numbers only, nothing of the drawing.

import { lessIsBetter } from "./format.js";
import { quantileOf } from "./latency.js";

/** What a baseline may lie off, in the metric, while the points are close to each other. */
const LEAST_REACH = 0.05;
const RUNNING = ["pending", "measuring", "distilling"];

/** The horizontal axis: the latency objective in milliseconds, or the objective beside the task's metric. */
export function horizontal(spec) {
  const others = spec.objectives.map((objective) => objective.metric).filter((name) => name !== spec.task.metric);
  const metric = others.find((name) => name.startsWith("latency_")) ?? others[0];
  if (metric.startsWith("latency_")) {
    const quantile = quantileOf(spec);
    return { metric, title: `${quantile} latency in ms`, scale: 1e3, suffix: " ms", quantile };
  }
  return { metric, title: metric.replace(/_/g, " "), scale: 1, suffix: "", quantile: null };
}

/** All points of the figure, by group. */
export function marksOf(study, trials, front) {
  return { ...groups(study, trials, front), finalists: finalists(study, trials), teacher: teacher(study) };
}

/**
 * Groups of points {x, y, number, trial}. `y` is null where a trial has no score: it is drawn at the foot.
 * Every completed, infeasible and running trial whose x is known is in exactly one group.
 */
function groups(study, trials, front) {
  const across = horizontal(study.spec);
  const onFront = new Set(front.numbers);
  const found = { front: [], completed: [], infeasible: [], running: [] };
  for (const trial of trials) {
    const x = trial.metrics[across.metric];
    if (x === undefined) continue;
    const y = trial.metrics[study.spec.task.metric] ?? null;
    const group = groupOf(trial, onFront);
    if (group && (y !== null || group !== "completed")) {
      found[group].push({ x: x * across.scale, y, number: trial.number, trial });
    }
  }
  found.front.sort((a, b) => a.x - b.x || a.y - b.y);
  return found;
}

/** Finalists whose full report is known: {x, y, low, high, xLow, xHigh, number, trial}. */
function finalists(study, trials) {
  const across = horizontal(study.spec);
  return trials.flatMap((trial) => {
    const report = trial.finalist?.evaluation?.report;
    const latency = trial.finalist?.latency;
    if (!report || (across.quantile && !latency)) return [];
    const x = across.quantile ? latency[`${across.quantile}_s`] : trial.metrics[across.metric];
    const median = across.quantile === "p50";
    return [{
      x: x * across.scale,
      xLow: (median ? latency.low_s ?? x : x) * across.scale,
      xHigh: (median ? latency.high_s ?? x : x) * across.scale,
      y: report.value,
      low: report.low,
      high: report.high,
      number: trial.number,
      trial,
    }];
  });
}

/** The teacher on both splits, where its latency is known: {x, y, low, high, split}. */
function teacher(study) {
  const across = horizontal(study.spec);
  const known = study.references.teacher;
  if (!study.prepared || !known || !across.quantile) return [];
  const x = known[`${across.quantile}_s`] * across.scale;
  const at = (score, split) => ({ x, y: score.value, low: score.low, high: score.high, split });
  return [at(study.prepared.teacher_selection, "selection"), at(study.prepared.teacher_report, "report")];
}

/** The name of the shape that the study asked to compare with, if this trial is one. */
export function baselineName(trial) {
  return /^baseline: *(.*)$/.exec(trial.origin)?.[1] ?? "";
}

/**
 * Methods that are no encoder have a score and no latency: {name, value, place}, the best first. One that is further
 * from all points than they are from each other would squeeze them: its place is `below` or `above`, not `near`.
 */
export function baselines(study, marks) {
  const scores = Object.values(marks).flat().flatMap(({ y, low, high }) => [y, low, high]).filter(Number.isFinite);
  const [least, most] = [Math.min(...scores), Math.max(...scores)];
  const reach = Math.max(most - least, LEAST_REACH);
  const place = (value) => (value < least - reach ? "below" : value > most + reach ? "above" : "near");
  return Object.entries(study.prepared?.baselines ?? {})
    .map(([name, { value }]) => ({ name, value, place: scores.length ? place(value) : "near" }))
    .sort((a, b) => (lessIsBetter(study.spec) ? a.value - b.value : b.value - a.value));
}

/** Bounds of the study on the horizontal axis: {value, near}; far ones would squeeze the points. */
export function bounds(study, marks) {
  const across = horizontal(study.spec);
  const rightmost = Math.max(...Object.values(marks).flat().map((point) => point.x));
  return study.spec.constraints
    .filter((constraint) => constraint.metric === across.metric)
    .map((constraint) => ({ value: constraint.bound * across.scale, near: constraint.bound * across.scale <= rightmost * 1.25 }));
}

function groupOf(trial, onFront) {
  if (onFront.has(trial.number)) return "front";
  if (trial.state === "completed" || trial.state === "stopped") return "completed";
  if (trial.state === "infeasible") return "infeasible";
  return RUNNING.includes(trial.state) ? "running" : null;
}
