// The front as a scatter: what dominates, what does not, and what is still being found out.

import { heading, latency, points as inPoints, quality, interval } from "./format.js";
import { DASHES } from "./front_legend.js";
import { baselineName, baselines, bounds, horizontal } from "./front_points.js";
import { seconds } from "./latency.js";
import { CONFIG, axis, colours, layout, plain, plotly } from "./plot.js";

const FOOT = 0.02;
/** Notes at the lower edge are above the marks at the foot. */
const FOOT_PX = 18;
const ROW_PX = 19;
let latest = 0;

/** Draws these marks of the study into `figure`; `selected` is the number of the open trial, `select` opens one. */
export async function drawFront(figure, { study, marks, selected, select }) {
  if (!Object.values(marks).some((group) => group.length)) return;
  const turn = ++latest;
  const library = await plotly();
  if (turn !== latest) return;
  const colour = colours();
  const first = !figure.classList.contains("js-plotly-plot");
  if (first) figure.replaceChildren();
  await library.react(figure, traces(study, marks, selected, colour), frame(figure, study, marks, colour), CONFIG);
  if (first) {
    figure.on("plotly_click", (event) => {
      const number = event.points.map((point) => point.customdata).find((value) => Number.isInteger(value));
      if (number !== undefined) select(number);
    });
  }
  figure.dataset.points = String(Object.values(marks).reduce((sum, group) => sum + group.length, 0));
}

function traces(study, marks, selected, colour) {
  const drawn = [
    scatter(marks.completed, study, { color: colour.faint, size: 8, opacity: 0.8 }),
    scatter(marks.infeasible, study, { color: colour.faint, size: 8, symbol: "x-thin", line: { width: 1.6, color: colour.faint } }),
    scatter(marks.running, study, { color: "rgba(0,0,0,0)", size: 10, line: { width: 1.6, color: colour.accent } }),
    frontLine(study, marks, colour),
    teacherTrace(marks.teacher, study, "selection", colour),
    teacherTrace(marks.teacher, study, "report", colour),
    finalistTrace(marks.finalists, study, colour),
    ring(marks, selected, colour),
  ];
  return drawn.flat();
}

/** One trace on the axes and one at the foot of the figure, for those trials that have no score. */
function scatter(group, study, marker) {
  const scored = group.filter((point) => point.y !== null);
  const unscored = group.filter((point) => point.y === null);
  return [
    trace(scored, study, { mode: "markers", marker }),
    trace(unscored.map((point) => ({ ...point, y: FOOT })), study, { mode: "markers", marker, yaxis: "y2", cliponaxis: false }),
  ];
}

function frontLine(study, marks, colour) {
  const stepped = study.spec.objectives.length === 2;
  return trace(marks.front, study, {
    mode: stepped ? "lines+markers" : "markers",
    line: { shape: "hv", width: 1.75, color: colour.accent },
    marker: { color: colour.accent, size: 10, line: { width: 1.5, color: colour.paper } },
  });
}

function finalistTrace(group, study, colour) {
  const error = (high, low) => ({
    type: "data",
    symmetric: false,
    array: high,
    arrayminus: low,
    color: colour.accent,
    thickness: 1.4,
    width: 5,
  });
  return {
    ...trace(group, study, {
      mode: "markers",
      marker: { symbol: "square", color: colour.paper, size: 9, line: { width: 2, color: colour.accent } },
    }),
    error_y: error(group.map((point) => point.high - point.y), group.map((point) => point.y - point.low)),
    error_x: error(group.map((point) => point.xHigh - point.x), group.map((point) => point.x - point.xLow)),
    hovertext: group.map((point) => finalistText(point, study)),
  };
}

function teacherTrace(points, study, split, colour) {
  const group = points.filter((point) => point.split === split);
  const report = split === "report";
  return {
    type: "scatter",
    mode: "markers",
    x: group.map((point) => point.x),
    y: group.map((point) => point.y),
    cliponaxis: false,
    marker: {
      symbol: report ? "diamond-open" : "diamond",
      color: colour.ink,
      size: 11,
      line: { width: report ? 1.6 : 0, color: colour.ink },
    },
    hoverinfo: "text",
    hovertext: group.map((point) => teacherText(point, study)),
    ...(report && {
      error_y: {
        type: "data",
        symmetric: false,
        array: group.map((point) => point.high - point.y),
        arrayminus: group.map((point) => point.y - point.low),
        color: colour.ink,
        thickness: 1,
        width: 4,
      },
    }),
  };
}

function ring(marks, selected, colour) {
  const everywhere = [...marks.front, ...marks.completed, ...marks.infeasible, ...marks.running];
  const group = everywhere.filter((point) => point.number === selected);
  const marker = { symbol: "circle-open", size: 19, color: colour.ink, line: { width: 1.75, color: colour.ink } };
  const scored = group.filter((point) => point.y !== null);
  const foot = group.filter((point) => point.y === null).map((point) => ({ ...point, y: FOOT }));
  const silent = (points, more) => ({
    type: "scatter",
    mode: "markers",
    x: points.map((point) => point.x),
    y: points.map((point) => point.y),
    marker,
    hoverinfo: "skip",
    cliponaxis: false,
    ...more,
  });
  return [silent(scored, {}), silent(foot, { yaxis: "y2" })];
}

function trace(group, study, more) {
  return {
    type: "scatter",
    x: group.map((point) => point.x),
    y: group.map((point) => point.y),
    customdata: group.map((point) => point.number),
    hovertext: group.map((point) => trialText(point, study)),
    hoverinfo: "text",
    ...more,
  };
}

function frame(figure, study, marks, colour) {
  const across = horizontal(study.spec);
  const known = baselines(study, marks);
  const at = (place) => known.filter((baseline) => baseline.place === place);
  return {
    ...layout(colour, figure.clientHeight),
    xaxis: axis(colour, across.title, { rangemode: "tozero" }),
    yaxis: axis(colour, heading(study.spec.task.metric), { tickformat: ".2f" }),
    yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
    shapes: [
      ...at("near").map(({ value }, index) => ({
        type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, layer: "below",
        line: { color: colour.soft, width: 1, dash: DASHES[index % DASHES.length] },
      })),
      ...bounds(study, marks).filter(({ near }) => near).map(({ value }) => ({
        type: "line", yref: "paper", y0: 0, y1: 1, x0: value, x1: value, layer: "below",
        line: { color: colour.soft, width: 1, dash: "dash" },
      })),
    ],
    annotations: [
      ...at("below").reverse().map((baseline, row) => edge(`↓ ${baseline.name} ${quality(baseline.value)}`, 0, FOOT_PX + row * ROW_PX, colour)),
      ...at("above").map((baseline, row) => edge(`↑ ${baseline.name} ${quality(baseline.value)}`, 1, -row * ROW_PX, colour)),
    ],
  };
}

/** A note at the lower (0) or upper (1) edge, `shift` pixels up from it: what lies beyond. */
function edge(text, y, shift, colour) {
  return {
    text: plain(text), xref: "paper", yref: "paper", x: 1, y, xanchor: "right", yanchor: y ? "top" : "bottom", yshift: shift,
    showarrow: false, font: { size: 12, color: colour.soft }, bgcolor: colour.paper, borderpad: 2,
  };
}

function trialText({ trial }, study) {
  const metric = study.spec.task.metric;
  const lines = [`trial ${trial.number}, ${trial.state}`, trial.label];
  if (baselineName(trial)) lines.push(`baseline ${baselineName(trial)}`);
  if (trial.metrics[metric] !== undefined) lines.push(`${metric} ${quality(trial.metrics[metric])} (selection)`);
  if (trial.latency) lines.push(`${latency(seconds(trial.latency, study.spec))} ${trial.latency.source}, ${trial.latency.verdict}`);
  return lines.map(plain).join("<br>");
}

function finalistText(point, study) {
  const { trial } = point;
  const report = trial.finalist.evaluation.report;
  const lines = [
    `finalist: trial ${trial.number} in full`,
    trial.label,
    `${study.spec.task.metric} ${quality(report.value)} (report, 95 % ${interval(report)})`,
  ];
  if (study.prepared) lines.push(`${inPoints(report.value - study.prepared.teacher_report.value)} points against the teacher`);
  if (trial.finalist.latency) lines.push(latency(seconds(trial.finalist.latency, study.spec)));
  return lines.map(plain).join("<br>");
}

function teacherText(point, study) {
  const across = horizontal(study.spec);
  const score = `${study.spec.task.metric} ${quality(point.y)} (${point.split}, 95 % ${interval(point)})`;
  return ["teacher", score, `${point.x.toPrecision(3)}${across.suffix}`].map(plain).join("<br>");
}
