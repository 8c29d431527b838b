// What flash distillation promised against what full distillation gave.

import { axisTitle, metricOf, written } from "./metrics.js";
import { CONFIG, axis, colours, layout, plain, plotly } from "./plot.js";

/** {place, flash, full} of the trials that were distilled both ways. */
export function pairsOf(columns) {
  const name = columns.study.spec.task.metric;
  const full = columns.full[name] ?? [];
  return columns.where((place) => (full[place] ?? null) !== null && columns.value(name, place) !== null)
    .map((place) => ({ place, flash: columns.value(name, place), full: full[place] }));
}

/** What full distillation changed, in words. */
export function fidelityText(columns, pairs) {
  const { name, better, unit } = metricOf(columns.study.spec.task.metric);
  const gains = pairs.map(({ flash, full }) => (better === "maximize" ? full - flash : flash - full));
  const gained = (gain) => (unit === "share" ? `${gain < 0 ? "−" : "+"}${(100 * Math.abs(gain)).toFixed(1)} points` : written(name, gain));
  const [least, most] = [Math.min(...gains), Math.max(...gains)];
  const range = [...new Set([gained(least), gained(most)])].join(" to ");
  return `${pairs.length === 1 ? "One trial was" : `${pairs.length} trials were`} distilled in full: ${range} on the selection split.`;
}

export async function drawFidelity(figure, columns, open) {
  const pairs = pairsOf(columns);
  if (!pairs.length) return;
  const library = await plotly();
  const colour = colours();
  const { name, scale } = metricOf(columns.study.spec.task.metric);
  const first = !figure.classList.contains("js-plotly-plot");
  if (first) figure.replaceChildren();
  const values = pairs.flatMap(({ flash, full }) => [flash * scale, full * scale]);
  const ends = [Math.min(...values), Math.max(...values)];
  const text = ({ place, flash, full }) => [`trial ${columns.numbers[place]}`, columns.labels[place], `flash ${written(name, flash)}`, `full ${written(name, full)}`].map(plain).join("<br>");
  const traces = [
    { type: "scatter", mode: "lines", x: ends, y: ends, line: { color: colour.soft, width: 1, dash: "dot" }, hoverinfo: "skip" },
    {
      type: "scatter", mode: "markers", x: pairs.map(({ flash }) => flash * scale), y: pairs.map(({ full }) => full * scale),
      customdata: pairs.map(({ place }) => columns.numbers[place]),
      marker: { symbol: "square", color: colour.paper, size: 9, line: { width: 2, color: colour.accent } },
      hoverinfo: "text", hovertext: pairs.map(text),
    },
  ];
  const frame = layout(colour, figure.clientHeight);
  await library.react(figure, traces, {
    ...frame, dragmode: false,
    xaxis: axis(colour, plain(`${axisTitle(name)}, flash`), { fixedrange: true, nticks: 5 }),
    yaxis: axis(colour, plain("full"), { fixedrange: true, nticks: 5 }),
  }, CONFIG);
  if (first) figure.on("plotly_click", ({ points, event }) => Number.isInteger(points[0].customdata) && open(points[0].customdata, event));
}
