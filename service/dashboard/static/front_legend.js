// What the marks and lines of the front's figure mean: the figure itself has no labels that could overlap.

import { drawing, element } from "./dom.js";
import { quality } from "./format.js";
import { baselines, bounds } from "./front_points.js";
import { metricOf, written } from "./metrics.js";

/** Of the baselines' lines, the best one's first; as SVG and Plotly both take them. */
export const DASHES = ["2px,2px", "6px,2px", "6px,2px,1px,2px"];

/** An entry for each group of marks, each baseline and each bound that is there. */
export function showLegend(list, { columns, marks, view }) {
  const { study } = columns;
  const entries = [...markEntries(columns, marks, view), ...baselineEntries(study, view, marks), ...boundEntries(study, view, marks)];
  const signature = JSON.stringify(entries.map(([name]) => name));
  if (list.dataset.signature === signature) return;
  list.dataset.signature = signature;
  list.replaceChildren(
    ...entries.map(([name, ...shapes]) =>
      element("li", {}, drawing("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, ...shapes), name)),
  );
}

function markEntries(columns, marks, view) {
  const shapes = marks.baselines.map(({ place }) => `${columns.baseline(place)} (trial ${columns.numbers[place]})`);
  const entries = [
    [marks.front, "front", line("M0 11H7V3H14", { stroke: "var(--accent)" }), dot({ fill: "var(--accent)", r: 4 })],
    [marks.finalists, "finalist in full, report split", line("M7 0V14", { stroke: "var(--accent)" }),
      drawing("rect", { x: 3, y: 3, width: 8, height: 8, fill: "var(--paper)", stroke: "var(--accent)", "stroke-width": 1.8 })],
    [marks.completed, view.colour ? `completed, coloured by ${metricOf(view.colour).title.toLowerCase()}` : "completed", dot({ fill: view.colour ? "var(--tint-mid)" : "var(--faint)", r: 4 })],
    [view.others ? marks.infeasible : [], "infeasible", line("M3 3L11 11M11 3L3 11", { stroke: "var(--faint)", "stroke-width": 1.6 })],
    [view.others ? marks.running : [], "running, no score yet", dot({ fill: "none", stroke: "var(--accent)", "stroke-width": 1.5 })],
    [marks.baselines, `baseline ${shapes.join(", ")}`, drawing("path", { d: "M7 2L13 12H1Z", fill: "var(--paper)", stroke: "var(--ink)", "stroke-width": 1.6 })],
    [marks.teacher, "teacher (open: report split)", drawing("path", { d: "M7 1L13 7L7 13L1 7Z", fill: "var(--ink)" })],
  ];
  return entries.filter(([group]) => group.length).map(([, ...entry]) => entry);
}

/** The lines are told apart by their dashes; what is out of range has an arrow that says where. */
function baselineEntries(study, view, marks) {
  let lines = 0;
  return baselines(study, view, marks).map(({ name, value, place }) => {
    if (place === "near") {
      return [`${name} ${quality(value)}, report split`, line("M0 7H14", { "stroke-dasharray": DASHES[lines++ % DASHES.length] })];
    }
    const arrow = place === "below" ? "M7 1V13M3 9L7 13L11 9" : "M7 13V1M3 5L7 1L11 5";
    return [`${name} ${quality(value)}, report split, ${place} this range`, line(arrow)];
  });
}

function boundEntries(study, view, marks) {
  return bounds(study, view, marks).map(({ metric, axis, value, near }) => {
    const { unit, scale, suffix } = metricOf(metric);
    const name = `bound ${unit === "seconds" ? `${Number(value.toPrecision(3))}${suffix}` : written(metric, value / scale)}`;
    if (near) return [name, line(axis === "x" ? "M7 0V14" : "M0 7H14", { "stroke-dasharray": "3 2" })];
    return axis === "x" ? [`${name}, right of this range`, line("M1 7H13M9 3L13 7L9 11")] : [`${name}, out of this range`, line("M7 1V13M3 9L7 13L11 9")];
  });
}

function line(path, attributes = {}) {
  return drawing("path", { d: path, fill: "none", stroke: "var(--soft)", ...attributes });
}

function dot(attributes) {
  return drawing("circle", { cx: 7, cy: 7, r: 4.5, ...attributes });
}
