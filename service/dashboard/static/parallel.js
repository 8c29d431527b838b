// Dimensions and metrics of all trials as parallel coordinates, drawn by hand: ten thousand lines take a canvas.

import { significant } from "./format.js";
import { metricOf, written } from "./metrics.js";
import { colours } from "./plot.js";

const MARGIN = { left: 44, right: 44, top: 40, bottom: 30 };
/** An axis beyond this ratio is logarithmic. */
const WIDE = 20;
/** Axes closer than this are no longer told apart; a narrow screen gets a picture to be scrolled. */
const LEAST_GAP = 88;
/** Many lines are thin enough to see how many they are. */
const INK = 60;
const SNAP_PX = 6;

export class ParallelCoordinates {
  /** `onBrush(name, low, high)` is called with a range of an axis that was drawn with a pointer; null bounds end it. */
  constructor(figure, onBrush) {
    this.figure = figure;
    this.onBrush = onBrush;
    this.canvas = null;
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  /** `holds(place)` says which trials are asked for; `chosen` is the place of one to point out, or null. */
  update(columns, holds, chosen) {
    Object.assign(this, { columns, holds, chosen });
    return this.draw();
  }

  /** Whether there was anything to draw. */
  draw() {
    if (!this.columns) return false;
    const axes = axesOf(this.columns);
    const drawn = this.columns.where((place) => this.columns.states[place] === "completed");
    if (axes.length < 2 || !drawn.length || !this.figure.clientWidth) return false;
    const { context, width, height } = this.prepare(axes);
    const colour = colours();
    const step = (width - MARGIN.left - MARGIN.right) / (axes.length - 1);
    this.axes = axes.map((axis, index) => ({ ...axis, x: MARGIN.left + index * step, top: MARGIN.top, bottom: height - MARGIN.bottom }));
    context.clearRect(0, 0, width, height);
    this.lines(context, drawn, colour);
    this.scales(context, colour);
    this.describe(drawn);
    return true;
  }

  prepare(axes) {
    if (!this.canvas) {
      this.canvas = document.createElement("canvas");
      this.figure.replaceChildren(this.canvas);
      this.listen();
    }
    const width = Math.max(this.figure.clientWidth, MARGIN.left + MARGIN.right + LEAST_GAP * (axes.length - 1));
    const height = this.figure.clientHeight;
    const ratio = devicePixelRatio;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    return { context, width, height };
  }

  /** The faint ones first, then those asked for, then the front, then the one that is pointed out. */
  lines(context, drawn, colour) {
    const { columns } = this;
    const asked = drawn.filter((place) => this.holds(place));
    const rest = asked.length < drawn.length ? drawn.filter((place) => !this.holds(place)) : [];
    const ink = (many) => Math.max(0.06, Math.min(0.8, INK / many));
    this.strokes(context, rest, colour.rule, 1, ink(drawn.length));
    this.strokes(context, asked.filter((place) => !columns.onFront[place]), colour.soft, 1, ink(asked.length));
    const best = asked.filter((place) => columns.onFront[place]);
    this.strokes(context, best, colour.accent, best.length > INK ? 1 : 1.75, Math.max(0.3, ink(best.length)));
    if (this.chosen !== null) this.strokes(context, [this.chosen], colour.ink, 2.5, 1);
    context.globalAlpha = 1;
  }

  strokes(context, places, stroke, width, alpha) {
    Object.assign(context, { strokeStyle: stroke, lineWidth: width, globalAlpha: alpha, lineJoin: "round" });
    for (const place of places) {
      context.beginPath();
      let pen = false;
      for (const axis of this.axes) {
        const y = axis.toY(this.columns.value(axis.name, place), axis);
        if (y === null) pen = false;
        else if (pen) context.lineTo(axis.x, y);
        else {
          context.moveTo(axis.x, y);
          pen = true;
        }
      }
      context.stroke();
    }
  }

  scales(context, colour) {
    const family = getComputedStyle(document.body).fontFamily;
    for (const [index, axis] of this.axes.entries()) {
      const end = index === 0 ? "left" : index === this.axes.length - 1 ? "right" : "center";
      const x = end === "left" ? axis.x - MARGIN.left : end === "right" ? axis.x + MARGIN.right : axis.x;
      context.strokeStyle = colour.ink;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(axis.x, axis.top);
      context.lineTo(axis.x, axis.bottom);
      context.stroke();
      context.textAlign = end;
      context.fillStyle = colour.ink;
      context.font = `600 12px ${family}`;
      context.fillText(axis.title, x, 14);
      context.fillStyle = colour.soft;
      context.font = `12px ${family}`;
      context.fillText(axis.written(axis.high), x, 31);
      context.fillText(axis.written(axis.low), x, axis.bottom + 18);
    }
    if (this.brush) this.showBrush(context, colour);
  }

  showBrush(context, colour) {
    const axis = this.axes.find(({ name }) => name === this.brush.name);
    if (!axis) return;
    Object.assign(context, { fillStyle: colour.accent, globalAlpha: 0.25 });
    const [top, bottom] = [Math.min(this.brush.from, this.brush.to), Math.max(this.brush.from, this.brush.to)];
    context.fillRect(axis.x - 6, top, 12, bottom - top);
    context.globalAlpha = 1;
  }

  describe(drawn) {
    const names = this.axes.map(({ title }) => title.toLowerCase()).join(", ");
    this.figure.setAttribute("aria-label", `${drawn.length} completed trials over ${names}; the front stands out.`);
  }

  /** Along an axis a pointer draws a range; a click ends it. */
  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      const { x, y } = at(event);
      const axis = this.axes?.find((one) => Math.abs(one.x - x) < 24 && y > one.top - SNAP_PX && y < one.bottom + SNAP_PX);
      if (!axis || event.pointerType === "touch") return;
      this.brush = { name: axis.name, from: y, to: y };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.brush || !this.canvas.hasPointerCapture(event.pointerId)) return;
      this.brush.to = at(event).y;
      this.draw();
    });
    this.canvas.addEventListener("pointerup", () => this.endBrush());
  }

  endBrush() {
    if (!this.brush) return;
    const { name, from, to } = this.brush;
    const axis = this.axes.find((one) => one.name === name);
    this.brush = null;
    if (Math.abs(from - to) < SNAP_PX) return this.onBrush(name, null, null);
    const ends = [axis.toValue(from, axis), axis.toValue(to, axis)].sort((a, b) => a - b);
    return this.onBrush(name, ...ends);
  }
}

/** The dimensions that vary, then the metrics that are judged and the parameters. */
function axesOf(columns) {
  const { objectives, constraints } = columns.study.spec;
  const metrics = [...new Set([...constraints.map(({ metric }) => metric), "parameters", ...objectives.map(({ metric }) => metric)])];
  const dimensions = Object.keys(columns.dimensions).map((name) => ({ name, title: name.replace(/_/g, " "), written: (value) => plainNumber(value) }));
  const told = metrics.filter((name) => columns.metrics[name]).map((name) => ({ name, title: metricOf(name).title, written: (value) => written(name, value) }));
  return [...dimensions, ...told].flatMap((axis) => scaleOf(axis, columns));
}

function scaleOf(axis, columns) {
  const given = (columns.dimensions[axis.name] ?? columns.metrics[axis.name]).filter((value, place) => typeof value === "number" && columns.states[place] === "completed");
  const [low, high] = given.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  if (!given.length || !Number.isFinite(low) || low === high) return [];
  const log = low > 0 && high / low > WIDE;
  const share = (value) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const toY = (value, { top, bottom }) => (typeof value === "number" ? bottom - share(value) * (bottom - top) : null);
  const toValue = (y, { top, bottom }) => {
    const part = Math.min(1, Math.max(0, (bottom - y) / (bottom - top)));
    return log ? low * (high / low) ** part : low + part * (high - low);
  };
  return [{ ...axis, low, high, toY, toValue }];
}

function plainNumber(value) {
  return Number.isInteger(value) ? String(value) : significant(value, 4);
}
