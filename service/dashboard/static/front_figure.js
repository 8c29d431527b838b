// The front as a scatter: what dominates, what does not, and what is still being found out.

import { against, interval, quality } from "./format.js";
import { DASHES } from "./front_legend.js";
import { baselines, bounds, everyPoint } from "./front_points.js";
import { axisTitle, metricOf, written } from "./metrics.js";
import { CONFIG, axis, colours, layout, plain, plotly } from "./plot.js";
import { thinned } from "./thinning.js";

/** Shares whose ticks are nearer than a point. */
const FINE = [{ dtickrange: [null, 0.009], value: ".3f" }];
const FOOT = 0.02;
/** Notes at the lower edge are above the marks at the foot. */
const FOOT_PX = 18;
const ROW_PX = 19;
/** A circle in pixels, of curves: Plotly's own circles are squeezed on logarithmic axes. */
const RING = "M-11,0C-11,-6.1,-6.1,-11,0,-11C6.1,-11,11,-6.1,11,0C11,6.1,6.1,11,0,11C-6.1,11,-11,6.1,-11,0Z";
/** Beyond so many marks each is small and faint, or nothing could be told apart. */
const MANY = 2000;
/** A colour scale beyond this ratio is of logarithms. */
const WIDE = 20;
let latest = 0;

/**
 * Draws these marks of the study into `figure`, on the axes and with the choices of `view` {x, y, colour, logX, logY,
 * bars, others}; `ring` is a point {x, y} to point out, `bound` {axis, value} a line; `open` is called with a number.
 */
export async function drawFront(figure, { columns, marks, view, ring, bound, open }) {
  if (!everyPoint(marks).length) return;
  const turn = ++latest;
  const library = await plotly();
  if (turn !== latest) return;
  const colour = colours();
  const first = !figure.classList.contains("js-plotly-plot");
  if (first) figure.replaceChildren();
  const drawing = { columns, study: columns.study, marks, view, colour, tint: tintOf(columns, marks, view, colour), thin: thinner(figure, view) };
  figure.fixedShapes = fixedShapes(drawing);
  const frame = frameOf(figure, drawing);
  frame.shapes = [...figure.fixedShapes, ...movingShapes({ ring, bound, colour })];
  await library.react(figure, traces(drawing), frame, CONFIG);
  figure.redrawn = () => drawFront(figure, { columns, marks, view, ...figure.moving, open });
  figure.moving = { ring, bound };
  if (first) {
    figure.on("plotly_relayout", (change) => Object.keys(change).some((key) => /axis\.(range|autorange)/.test(key)) && figure.redrawn());
    figure.on("plotly_click", ({ points: clicked, event }) => {
      const number = clicked.map((point) => point.customdata).find((value) => Number.isInteger(value));
      if (number !== undefined) open(number, event);
    });
  }
  figure.dataset.points = String(everyPoint(marks).length);
}

/** Moves the ring and the bound alone: quick, however many marks there are. */
export async function pointOut(figure, { ring, bound }) {
  if (!figure.fixedShapes) return;
  figure.moving = { ring, bound };
  const library = await plotly();
  await library.relayout(figure, { shapes: [...figure.fixedShapes, ...movingShapes({ ring, bound, colour: colours() })] });
}

function traces(drawing) {
  const { marks, view, colour } = drawing;
  const many = marks.completed.length > MANY;
  const completed = drawing.thin(marks.completed);
  const faint = { color: colour.faint, size: many ? 5 : 8, opacity: many ? 0.55 : 0.8 };
  const others = view.others ? [
    scatter(drawing.thin(marks.infeasible), drawing, { color: colour.faint, size: many ? 5 : 8, symbol: "x-thin", line: { width: many ? 1 : 1.6, color: colour.faint } }),
    scatter(marks.running, drawing, { color: "rgba(0,0,0,0)", size: 10, line: { width: 1.6, color: colour.accent } }),
  ] : [];
  return [
    scatter(completed, drawing, tinted(completed, faint, drawing)),
    ...others,
    frontLine(drawing),
    frontMarks(drawing),
    baselineMarks(drawing),
    teacherTrace("selection", drawing),
    teacherTrace("report", drawing),
    finalistTrace(drawing),
  ].flat();
}

/** Leaves out marks that nobody could tell from others, at the present zoom. */
function thinner(figure, view) {
  const size = { width: figure.clientWidth, height: figure.clientHeight };
  const log = (value) => Math.log10(Math.max(value, Number.MIN_VALUE));
  const same = (value) => value;
  const scale = { x: view.logX ? log : same, y: view.logY ? log : same };
  const own = figure.layout?.uirevision === revisionOf(view) ? figure.layout : null;
  const range = (axis, isLog) => (own?.[axis].autorange === false && own[axis].range ? own[axis].range.map((end) => (isLog ? 10 ** end : end)) : null);
  const [x, y] = [range("xaxis", view.logX), range("yaxis", view.logY)];
  return (points) => thinned(points, size, scale, x && y ? { x, y } : null);
}

function revisionOf(view) {
  return JSON.stringify([view.x, view.y, view.logX, view.logY]);
}

/** One trace on the axes and one at the foot of the figure, for those trials that have no value there. */
function scatter(group, drawing, marker) {
  const scored = group.filter((point) => point.y !== null);
  const unscored = group.filter((point) => point.y === null);
  return [
    trace(scored, drawing, { mode: "markers", marker }),
    trace(unscored.map((point) => ({ ...point, y: FOOT })), drawing, { mode: "markers", marker: { ...marker, color: plainColour(marker.color, drawing) }, yaxis: "y2", cliponaxis: false }),
  ];
}

function frontLine({ marks, colour }) {
  return {
    type: "scatter", mode: "lines", x: marks.line.map((point) => point.x), y: marks.line.map((point) => point.y),
    line: { shape: "hv", width: 1.75, color: colour.accent }, hoverinfo: "skip",
  };
}

function frontMarks(drawing) {
  const { marks, view, colour } = drawing;
  const marker = tinted(marks.front, { color: colour.accent, size: 10, line: { width: 1.5, color: colour.paper } }, drawing);
  if (drawing.tint) marker.line = { width: 1.75, color: colour.accent };
  const bars = view.bars ? errorBars(marks.front, colour) : {};
  return trace(marks.front, drawing, { mode: "markers", marker, uid: "front", ...bars });
}

/** The 95 % intervals of the observation noise. */
function errorBars(group, colour) {
  const bar = (margins) => ({ type: "data", array: margins.map((margin) => margin ?? 0), color: colour.accent, thickness: 1, width: 3 });
  return { error_x: bar(group.map((point) => point.xMargin)), error_y: bar(group.map((point) => point.yMargin)) };
}

function baselineMarks(drawing) {
  const { marks, colour } = drawing;
  return trace(marks.baselines, drawing, {
    mode: "markers",
    marker: { symbol: "triangle-up", size: 12, color: colour.paper, line: { width: 1.8, color: colour.ink } },
  });
}

function finalistTrace(drawing) {
  const { marks, study, view, colour } = drawing;
  const error = (high, low) => ({ type: "data", symmetric: false, array: high, arrayminus: low, color: colour.accent, thickness: 1.4, width: 5 });
  const group = marks.finalists;
  return {
    type: "scatter",
    mode: "markers",
    x: group.map((point) => point.x),
    y: group.map((point) => point.y),
    customdata: group.map((point) => point.number),
    marker: { symbol: "square", color: colour.paper, size: 9, line: { width: 2, color: colour.accent } },
    hoverinfo: "text",
    hovertext: group.map((point) => finalistText(point, study)),
    ...(view.bars && {
      error_y: error(group.map((point) => point.high - point.y), group.map((point) => point.y - point.low)),
      error_x: error(group.map((point) => point.xHigh - point.x), group.map((point) => point.x - point.xLow)),
    }),
  };
}

function teacherTrace(split, drawing) {
  const { marks, view, colour } = drawing;
  const group = marks.teacher.filter((point) => point.split === split);
  const report = split === "report";
  return {
    type: "scatter",
    mode: "markers",
    x: group.map((point) => point.x),
    y: group.map((point) => point.y),
    cliponaxis: false,
    marker: { symbol: report ? "diamond-open" : "diamond", color: colour.ink, size: 11, line: { width: report ? 1.6 : 0, color: colour.ink } },
    hoverinfo: "text",
    hovertext: group.map((point) => teacherText(point, view)),
    ...(report && view.bars && {
      error_y: { type: "data", symmetric: false, array: group.map((point) => point.high - point.y), arrayminus: group.map((point) => point.y - point.low), color: colour.ink, thickness: 1, width: 4 },
    }),
  };
}

function trace(group, drawing, more) {
  return {
    type: "scatter",
    x: group.map((point) => point.x),
    y: group.map((point) => point.y),
    customdata: group.map((point) => drawing.columns.numbers[point.place]),
    hovertext: group.map((point) => trialText(point, drawing)),
    hoverinfo: "text",
    ...more,
  };
}

/** The scale of the third metric {name, low, high, log, scale}, if one is shown and known of any mark. */
function tintOf(columns, marks, view, colour) {
  if (!view.colour) return null;
  const values = [...marks.completed, ...marks.front].map(({ place }) => columns.value(view.colour, place)).filter((value) => value !== null);
  if (!values.length) return null;
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  return { name: view.colour, low, high, log: low > 0 && high / low > WIDE, scale: [[0, colour["tint-low"]], [0.5, colour["tint-mid"]], [1, colour["tint-high"]]] };
}

function tinted(group, marker, { columns, tint }) {
  if (!tint) return marker;
  const shown = (value) => (value === null ? NaN : tint.log ? Math.log10(value) : value);
  return {
    ...marker,
    opacity: 1,
    color: group.map(({ place }) => shown(columns.value(tint.name, place))),
    coloraxis: "coloraxis",
  };
}

function plainColour(color, { colour }) {
  return Array.isArray(color) ? colour.faint : color;
}

function colourAxis({ tint, colour }) {
  if (!tint) return {};
  const of = (value) => (tint.log ? Math.log10(value) : value);
  const values = [0, 0.25, 0.5, 0.75, 1].map((share) => of(tint.low) + share * (of(tint.high) - of(tint.low)));
  return {
    coloraxis: {
      cmin: of(tint.low), cmax: of(tint.high) > of(tint.low) ? of(tint.high) : of(tint.low) + 1, colorscale: tint.scale,
      colorbar: {
        title: { text: plain(metricOf(tint.name).title), side: "right", font: { size: 12, color: colour.soft } },
        thickness: 10, outlinewidth: 0, tickfont: { size: 11, color: colour.soft },
        tickvals: values, ticktext: values.map((value) => plain(written(tint.name, tint.log ? 10 ** value : value))),
      },
    },
  };
}

function frameOf(figure, drawing) {
  const { study, marks, view, colour } = drawing;
  const known = baselines(study, view, marks);
  const at = (place) => known.filter((baseline) => baseline.place === place);
  const format = metricOf(view.y).unit === "share" ? { tickformat: ".2f", tickformatstops: FINE } : {};
  return {
    ...layout(colour, figure.clientHeight),
    uirevision: revisionOf(view),
    xaxis: axis(colour, plain(axisTitle(view.x)), view.logX ? logarithmic : { rangemode: "tozero" }),
    yaxis: axis(colour, plain(axisTitle(view.y)), view.logY ? logarithmic : format),
    yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
    ...colourAxis(drawing),
    annotations: [
      ...at("below").reverse().map((baseline, row) => edge(`↓ ${baseline.name} ${quality(baseline.value)}`, 0, FOOT_PX + row * ROW_PX, colour)),
      ...at("above").map((baseline, row) => edge(`↑ ${baseline.name} ${quality(baseline.value)}`, 1, -row * ROW_PX, colour)),
    ],
  };
}

/** Where less than a power of ten is shown, digits between are told, too. */
const logarithmic = { type: "log", minorloglabels: "complete" };

/** Lines of the baselines and of the study's own bounds. */
function fixedShapes({ study, marks, view, colour }) {
  const near = baselines(study, view, marks).filter(({ place }) => place === "near");
  const across = { xref: "paper", x0: 0, x1: 1 };
  const along = { yref: "paper", y0: 0, y1: 1 };
  return [
    ...near.map(({ value }, index) => line({ ...across, y0: value, y1: value }, { color: colour.soft, width: 1, dash: DASHES[index % DASHES.length] })),
    ...bounds(study, view, marks).filter((bound) => bound.near).map(({ axis: on, value }) =>
      line(on === "x" ? { ...along, x0: value, x1: value } : { ...across, y0: value, y1: value }, { color: colour.soft, width: 1, dash: "dash" })),
  ];
}

/** The ring around the best student within the bound that is asked for, and the bound. */
function movingShapes({ ring, bound, colour }) {
  const shapes = [];
  if (bound?.axis === "x") shapes.push(line({ yref: "paper", y0: 0, y1: 1, x0: bound.value, x1: bound.value }, { color: colour.accent, width: 1.5 }));
  if (bound?.axis === "y") shapes.push(line({ xref: "paper", x0: 0, x1: 1, y0: bound.value, y1: bound.value }, { color: colour.accent, width: 1.5 }));
  if (ring) {
    shapes.push({ type: "path", path: RING, xsizemode: "pixel", ysizemode: "pixel", xanchor: ring.x, yanchor: ring.y, line: { color: colour.ink, width: 2 } });
  }
  return shapes;
}

function line(places, style) {
  return { type: "line", layer: "below", ...places, line: style };
}

/** A note at the lower (0) or upper (1) edge, `shift` pixels up from it: what lies beyond. */
function edge(text, y, shift, colour) {
  return {
    text: plain(text), xref: "paper", yref: "paper", x: 1, y, xanchor: "right", yanchor: y ? "top" : "bottom", yshift: shift,
    showarrow: false, font: { size: 12, color: colour.soft }, bgcolor: colour.paper, borderpad: 2,
  };
}

function trialText({ place, more }, { columns, study, view }) {
  const shown = [...new Set([view.y, view.x, view.colour, study.spec.task.metric].filter(Boolean))];
  const lines = [`trial ${columns.numbers[place]}, ${columns.states[place]}`, columns.labels[place]];
  if (columns.baseline(place)) lines.push(`baseline ${columns.baseline(place)}`);
  for (const name of shown) {
    const value = columns.value(name, place);
    const margin = columns.margin(name, place);
    if (value !== null) lines.push(`${metricOf(name).title} ${written(name, value)}${margin === null ? "" : ` ± ${written(name, margin)}`}`);
  }
  if (more) lines.push(`and ${more} more here`);
  return lines.map(plain).join("<br>");
}

function finalistText({ trial }, study) {
  const report = trial.finalist.evaluation.report;
  const lines = [
    `finalist: trial ${trial.number} in full`,
    trial.label,
    `${study.spec.task.metric} ${quality(report.value)} (report, 95 % ${interval(report)})`,
  ];
  if (study.prepared) lines.push(`${against(report.value, study.prepared.teacher_report.value, study.spec)} against the teacher`);
  if (trial.finalist.latency) lines.push(`p50 ${written("latency_p50", trial.finalist.latency.p50_s)}`);
  return lines.map(plain).join("<br>");
}

function teacherText({ x, y, split }, view) {
  const at = (name, value) => `${metricOf(name).title} ${written(name, value / metricOf(name).scale)}`;
  return [`teacher (${split} split)`, at(view.y, y), at(view.x, x)].map(plain).join("<br>");
}
