// Latencies of several trials under each other: the median with its interval, and the slower quantiles.

import { chart, fitted, range, told, words } from "./chart.js";
import { drawing, element } from "./dom.js";
import { latency } from "./format.js";

const ROW = 38;

/** `timed` are those of the trials that were measured; the place among all gives each its colour. */
export function intervalsFigure(timed, trials, study) {
  const teacher = study.references.teacher?.hardware_key === timed[0].latency.hardware_key ? study.references.teacher : null;
  const rows = timed.map((trial) => ({ name: `trial ${trial.number}`, kind: `c${trials.indexOf(trial) + 1}`, view: trial.latency }));
  if (teacher) rows.push({ name: "teacher", kind: "teacher", view: teacher });
  const values = rows.flatMap(({ view }) => [view.p50_s, view.p99_s]);
  const x = { low: 0, high: range(values, 0.05).high, title: "latency in ms", text: (value) => String(Number((value * 1e3).toPrecision(3))) };
  const place = element("div", { class: "canvas" });
  const name = rows.map((row) => `${row.name}: p50 ${latency(row.view.p50_s)}, p99 ${latency(row.view.p99_s)}`).join("; ");
  fitted(place, (width) => {
    const y = { low: 0, high: 1, ticks: [], text: String };
    const made = chart({ width, height: rows.length * ROW + 56, x, y, name, margin: { left: 70 } });
    for (const [index, row] of rows.entries()) draw(made, row, made.top + (index + 0.5) * ROW);
    return made.svg;
  });
  return place;
}

function draw({ inside, x, left }, { name, kind, view }, y) {
  inside.append(
    words(name, { class: `curve-name ${kind}`, x: left - 8, y: y + 4, "text-anchor": "end" }),
    drawing("line", { class: `curve-line thin ${kind}`, x1: x(view.p50_s), x2: x(view.p99_s), y1: y, y2: y }),
  );
  if (view.low_s !== null && view.high_s !== null) {
    const wide = Math.max(2, x(view.high_s) - x(view.low_s));
    inside.append(told(drawing("rect", { class: `span ${kind}`, x: x(view.low_s), y: y - 7, width: wide, height: 14, rx: 3 }), `95 % of p50: ${latency(view.low_s)} to ${latency(view.high_s)}`));
  }
  for (const [quantile, size] of [["p50", 5], ["p90", 3.5], ["p99", 3.5]]) {
    const value = view[`${quantile}_s`];
    inside.append(told(drawing("circle", { class: `curve-dot ${kind}`, cx: x(value), cy: y, r: size }), `${quantile} ${latency(value)}`));
  }
}
