// Which points the front's figure has: numbers only, nothing of the drawing.

import { mainMetric, metricOf } from "./metrics.js";
import { sign } from "./trial_columns.js";

/** What a baseline may lie off, in the metric, while the points are close to each other. */
const LEAST_REACH = 0.05;
/** Of the width of a figure; what lies in less of it is squeezed. */
const SQUEEZED = 0.2;

/** The axes that a study is first shown on: its latency, or the objective beside the task's metric, against what it is about. */
export function firstAxes(spec) {
  const main = mainMetric(spec);
  const others = spec.objectives.map(({ metric }) => metric).filter((name) => name !== main);
  return { x: others.find((name) => name.startsWith("latency_")) ?? others[0], y: main };
}

/**
 * All points of the figure on the axes `view.x` and `view.y`, by group, in units of the screen.
 * `finalists` are the trials, as the API shows them, that are distilled in full.
 */
export function marksOf(columns, view, finalists) {
  const axes = { x: metricOf(view.x), y: metricOf(view.y) };
  return { ...groups(columns, axes), finalists: finalistPoints(finalists, columns.study, axes), teacher: teacherPoints(columns.study, axes) };
}

/**
 * Groups of points {x, y, place, xMargin, yMargin}. `y` is null where a trial has no value: it is drawn at the foot.
 * Every completed, infeasible, stopped and running trial whose x is known is in exactly one group; the baselines are in
 * one more.
 */
function groups(columns, axes) {
  const line = columns.frontOf(axes.x, axes.y);
  const best = new Set(areObjectives(columns.study.spec, axes) ? [...line, ...columns.where((place) => columns.onFront[place])] : line);
  const found = { front: [], completed: [], infeasible: [], running: [], baselines: [], line };
  for (let place = 0; place < columns.size; place++) {
    const [x, y] = [columns.value(axes.x.name, place), columns.value(axes.y.name, place)];
    const group = groupOf(columns, place, best);
    if (x === null || !group || (y === null && group === "completed")) continue;
    const point = {
      x: x * axes.x.scale, y: y === null ? null : y * axes.y.scale, place,
      xMargin: scaled(columns.margin(axes.x.name, place), axes.x), yMargin: scaled(columns.margin(axes.y.name, place), axes.y),
    };
    found[group].push(point);
    if (columns.baseline(place) && y !== null) found.baselines.push(point);
  }
  const order = new Map(line.map((place, index) => [place, index]));
  found.line = found.front.filter(({ place }) => order.has(place)).sort((a, b) => order.get(a.place) - order.get(b.place));
  return found;
}

/** Finalists whose full report is known: {x, y, xLow, xHigh, low, high, number, trial}. */
function finalistPoints(finalists, study, axes) {
  return finalists.flatMap((trial) => {
    const [x, y] = [finalistValue(trial, study, axes.x), finalistValue(trial, study, axes.y)];
    if (!x || !y || !trial.finalist.evaluation?.report) return [];
    return [{ x: x.value, xLow: x.low, xHigh: x.high, y: y.value, low: y.low, high: y.high, number: trial.number, trial }];
  });
}

function finalistValue(trial, study, axis) {
  const { evaluation, latency } = trial.finalist;
  const own = trial.metrics[axis.name];
  let found = own === undefined ? null : { value: own, low: own, high: own };
  if (axis.name === study.spec.task.metric) found = evaluation?.report ?? null;
  if (axis.unit === "seconds" && axis.name.startsWith("latency_")) found = latency ? quantileOf(latency, axis.name) : null;
  return found && { value: found.value * axis.scale, low: found.low * axis.scale, high: found.high * axis.scale };
}

/** The teacher on both splits, where both axes are known of it: {x, y, low, high, split}. */
function teacherPoints(study, axes) {
  if (!study.prepared) return [];
  const scores = [["selection", study.prepared.teacher_selection], ["report", study.prepared.teacher_report]];
  return scores.flatMap(([split, score]) => {
    const [x, y] = [teacherValue(study, axes.x, score), teacherValue(study, axes.y, score)];
    return x && y ? [{ x: x.value, y: y.value, low: y.low, high: y.high, split }] : [];
  });
}

function teacherValue(study, axis, score) {
  const known = study.references.teacher;
  let found = null;
  if (axis.name === study.spec.task.metric) found = score;
  if (axis.name.startsWith("latency_") && known) found = quantileOf(known, axis.name);
  return found && { value: found.value * axis.scale, low: found.low * axis.scale, high: found.high * axis.scale };
}

/** An interval is known of the median alone. */
function quantileOf(latency, name) {
  const quantile = name.slice("latency_".length);
  const value = latency[`${quantile}_s`];
  const median = quantile === "p50";
  return { value, low: median ? latency.low_s ?? value : value, high: median ? latency.high_s ?? value : value };
}

/**
 * Methods that are no encoder have a score and no latency: {name, value, place}, the best first. One that is further
 * from all points than they are from each other would squeeze them: its place is `below` or `above`, not `near`.
 */
export function baselines(study, view, marks) {
  if (view.y !== study.spec.task.metric) return [];
  const scores = everyPoint(marks).flatMap(({ y, low, high }) => [y, low, high]).filter(Number.isFinite);
  const [least, most] = extremes(scores);
  const reach = Math.max(most - least, LEAST_REACH);
  const place = (value) => (value < least - reach ? "below" : value > most + reach ? "above" : "near");
  const order = sign(metricOf(view.y).better);
  return Object.entries(study.prepared?.baselines ?? {})
    .map(([name, { value }]) => ({ name, value, place: scores.length ? place(value) : "near" }))
    .sort((a, b) => order * (a.value - b.value));
}

/** Bounds of the study on the axes: {metric, axis, value, near}; far ones would squeeze the points. */
export function bounds(study, view, marks) {
  const points = everyPoint(marks);
  return study.spec.constraints
    .filter(({ metric }) => metric === view.x || metric === view.y)
    .map(({ metric, bound }) => {
      const axis = metric === view.x ? "x" : "y";
      const [least, most] = extremes(points.map((point) => point[axis]).filter(Number.isFinite));
      const value = bound * metricOf(metric).scale;
      const reach = Math.max(0.25 * most, most - least);
      return { metric, axis, value, near: axis === "x" ? value <= most * 1.25 : value >= least - reach && value <= most + reach };
    });
}

/** Whether what was found is so near to zero, of all that is shown across, that only equal ratios tell it apart. */
export function isSqueezed(marks, view) {
  const compared = [marks.front, marks.completed, marks.running].flat();
  const shown = view.others ? everyPoint(marks) : [compared, marks.finalists, marks.teacher].flat();
  const [least, most] = extremes(shown.map(({ x }) => x));
  return least > 0 && compared.length > 0 && extremes(compared.map(({ x }) => x))[1] < SQUEEZED * most;
}

export function everyPoint(marks) {
  return [marks.front, marks.completed, marks.infeasible, marks.running, marks.finalists, marks.teacher].flat();
}

/** Without spreading a long list over the stack. */
function extremes(values) {
  return values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
}

function areObjectives(spec, axes) {
  const names = spec.objectives.map(({ metric }) => metric);
  return names.includes(axes.x.name) && names.includes(axes.y.name);
}

function groupOf(columns, place, best) {
  if (best.has(place)) return "front";
  const state = columns.states[place];
  if (state === "completed" || state === "stopped") return "completed";
  if (state === "infeasible") return "infeasible";
  return columns.isRunning(place) ? "running" : null;
}

function scaled(margin, axis) {
  return margin === null ? null : margin * axis.scale;
}
