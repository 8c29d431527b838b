// Which points the front's figure has: numbers only, nothing of the drawing.

import { quantileOf } from "./latency.js";

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

/**
 * Groups of points {x, y, number, trial}. `y` is null where a trial has no score: it is drawn at the foot.
 * Every completed, infeasible and running trial whose x is known is in exactly one group.
 */
export function groups(study, trials, front) {
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
export function finalists(study, trials) {
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
export function teacher(study) {
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

/** Methods that are no encoder have a score and no latency: {name, score}. */
export function baselines(study) {
  return Object.entries(study.prepared?.baselines ?? {}).map(([name, score]) => ({ name, score }));
}

/** Upper bounds of the study on the horizontal axis. */
export function bounds(study) {
  const across = horizontal(study.spec);
  return study.spec.constraints
    .filter((constraint) => constraint.metric === across.metric)
    .map((constraint) => constraint.bound * across.scale);
}

function groupOf(trial, onFront) {
  if (onFront.has(trial.number)) return "front";
  if (trial.state === "completed" || trial.state === "stopped") return "completed";
  if (trial.state === "infeasible") return "infeasible";
  return RUNNING.includes(trial.state) ? "running" : null;
}
