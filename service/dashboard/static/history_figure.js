// How the front's hypervolume grew.

import { volume } from "./format.js";
import { CONFIG, axis, colours, layout, plotly } from "./plot.js";

export async function drawHistory(figure, front) {
  if (!front.history.length) return;
  const library = await plotly();
  const colour = colours();
  if (!figure.classList.contains("js-plotly-plot")) figure.replaceChildren();
  const frame = layout(colour, figure.clientHeight);
  const trace = {
    type: "scatter",
    mode: front.history.length === 1 ? "markers" : "lines",
    x: front.history.map((point) => point.trials),
    y: front.history.map((point) => point.hypervolume),
    line: { shape: "hv", width: 1.75, color: colour.accent },
    marker: { color: colour.accent },
    hoverinfo: "text",
    text: front.history.map((point) => `after ${point.trials}: ${volume(point.hypervolume)}`),
  };
  await library.react(
    figure,
    [trace],
    {
      ...frame,
      margin: { ...frame.margin, b: 44 },
      dragmode: false,
      xaxis: axis(colour, "trials", { tickformat: "d", fixedrange: true, nticks: 6 }),
      yaxis: axis(colour, "", { fixedrange: true, nticks: 5, rangemode: "tozero" }),
    },
    CONFIG,
  );
}
