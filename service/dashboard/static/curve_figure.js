// Learning curves against the teacher's line, all of one metric on the selection split.

import { chart, fitted, line, range, told, words } from "./chart.js";
import { drawing, element } from "./dom.js";
import { count, quality } from "./format.js";

const HEIGHT = 260;
/** What a curve's name takes, in pixels. */
const NAME_WIDE = 56;
const NAME_HIGH = 14;

/** The trial's curves; `curves` is what the service says of them, null where it only tells with the trial. */
export function drawCurves(study, trial, curves) {
  const series = [
    { name: "flash", kind: "flash", points: curves?.flash ?? trial.evaluation?.curve ?? [] },
    { name: "full", kind: "full", points: curves?.full ?? trial.finalist?.evaluation?.curve ?? [] },
    { name: "running", kind: "running", points: curves?.running ?? [] },
  ].filter(({ points }) => points.length);
  if (!series.length) return [];
  const teacher = curves?.teacher ?? study.prepared?.teacher_selection.value ?? null;
  return [curveFigure(series, teacher, study.spec.task.metric)];
}

/** `series` are `{ name, kind, points }`; each is drawn in the style of its kind. */
export function curveFigure(series, teacher, metric) {
  const place = element("div", { class: "canvas" });
  const values = series.flatMap(({ points }) => points.map((point) => point.value));
  const y = { ...range(teacher === null ? values : [...values, teacher], 0.08, 0.005), title: metric, text: quality };
  const x = { low: 0, high: Math.max(...series.flatMap(({ points }) => points.map((point) => point.step))), title: "steps", text: count };
  const name = `Learning curves of ${metric}. ${series.map(said).join(" ")}${teacher === null ? "" : ` The teacher has ${quality(teacher)}.`}`;
  fitted(place, (width) => {
    const made = chart({ width, height: HEIGHT, x, y, name, margin: { right: 64 } });
    if (teacher !== null) drawTeacher(made, teacher);
    for (const each of series) drawSeries(made, each);
    nameSeries(made, series);
    return made.svg;
  });
  return place;
}

function drawSeries({ inside, x, y }, { name, kind, points }) {
  const at = points.map((point) => [x(point.step), y(point.value)]);
  if (points.length > 1) inside.append(line(at, { class: `curve-line ${kind}` }));
  for (const [index, point] of points.entries()) {
    const dot = drawing("circle", { class: `curve-dot ${kind}`, cx: at[index][0], cy: at[index][1], r: 3 });
    inside.append(told(dot, `${name}: ${quality(point.value)} after ${point.step} steps`));
  }
}

/** Names at the ends of the curves; those that end beside each other stand under each other. */
function nameSeries({ inside, x, y }, series) {
  const ends = series.map(({ name, kind, points }) => ({ name, kind, x: x(points.at(-1).step) + 8, y: y(points.at(-1).value) + 4 }));
  const placed = [];
  for (const end of ends.sort((a, b) => a.y - b.y)) {
    const beside = placed.filter((other) => Math.abs(other.x - end.x) < NAME_WIDE);
    end.y = Math.max(end.y, ...beside.map((other) => other.y + NAME_HIGH));
    placed.push(end);
    inside.append(words(end.name, { class: `curve-name ${end.kind}`, x: end.x, y: end.y }));
  }
}

function drawTeacher({ inside, left, right, y }, value) {
  inside.append(
    drawing("line", { class: "teacher-line", x1: left, x2: right, y1: y(value), y2: y(value) }),
    words(`teacher ${quality(value)}`, { class: "teacher-name", x: right - 6, y: y(value) - 6, "text-anchor": "end" }),
  );
}

function said({ name, points }) {
  const last = points[points.length - 1];
  return `${name}: ${quality(points[0].value)} at step ${points[0].step}, ${quality(last.value)} at step ${last.step}.`;
}
