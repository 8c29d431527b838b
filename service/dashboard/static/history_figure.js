// How the front's hypervolume grew.

import { volume } from "./format.js";
import { CONFIG, axis, colours, layout, plotly } from "./plot.js";

/** With so few trials each has a tick: there are no halves. */
const FEW = 6;

/** False while there is nothing to draw. `grown` has a point {trials, hypervolume} for each trial, of which those are drawn that changed it. */
export async function drawHistory(figure, grown) {
  if (!grown.length) return false;
  const points = grown.filter(({ hypervolume }, index) => index === 0 || index === grown.length - 1 || hypervolume !== grown[index - 1].hypervolume);
  const last = points.at(-1).trials;
  const library = await plotly();
  const colour = colours();
  if (!figure.classList.contains("js-plotly-plot")) figure.replaceChildren();
  const frame = layout(colour, figure.clientHeight);
  const trace = {
    type: "scatter",
    mode: points.length === 1 ? "markers" : "lines",
    x: points.map((point) => point.trials),
    y: points.map((point) => point.hypervolume),
    line: { shape: "hv", width: 1.75, color: colour.accent },
    marker: { color: colour.accent },
    hoverinfo: "text",
    text: points.map((point) => `after ${point.trials}: ${volume(point.hypervolume)}`),
  };
  await library.react(
    figure,
    [trace],
    {
      ...frame,
      margin: { ...frame.margin, b: 44 },
      dragmode: false,
      xaxis: axis(colour, "trials", { tickformat: "d", fixedrange: true, nticks: 6, ...(last <= FEW && { tick0: 0, dtick: 1 }) }),
      yaxis: axis(colour, "", { fixedrange: true, nticks: 5, rangemode: "tozero" }),
    },
    CONFIG,
  );
  return true;
}
