// Small figures drawn as SVG at the width there is, in the style sheet's colours: nothing to load, nothing to redraw
// when the scheme changes.

import { drawing } from "./dom.js";

const MARGIN = { top: 14, right: 14, bottom: 44, left: 54 };
const painted = new WeakMap();

/** Keeps `place` filled with `paint(width)`, which is called again where the width changes. */
export function fitted(place, paint) {
  painted.get(place)?.disconnect();
  let shown = 0;
  const fill = () => {
    const width = Math.floor(place.clientWidth);
    if (!width || width === shown) return;
    shown = width;
    place.replaceChildren(paint(width));
  };
  const observer = new ResizeObserver(fill);
  painted.set(place, observer);
  observer.observe(place);
  fill();
}

/**
 * An empty chart: axes `{ low, high, title, text }`, where `text` writes a tick; y may have no title. `x` and `y` of the answer turn values
 * into pixels; whatever is drawn goes into `inside`.
 */
export function chart({ width, height, x, y, name, margin = {} }) {
  const edge = { ...MARGIN, ...(y.title ? { top: 32 } : {}), ...margin };
  const right = width - edge.right;
  const bottom = height - edge.bottom;
  const across = scale(x, edge.left, right);
  const up = scale(y, bottom, edge.top);
  const svg = drawing("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  for (const tick of y.ticks ?? ticks(y.low, y.high, 5)) {
    svg.append(
      drawing("line", { class: "grid", x1: edge.left, x2: right, y1: up(tick), y2: up(tick) }),
      words(y.text(tick), { class: "tick", x: edge.left - 8, y: up(tick) + 4, "text-anchor": "end" }),
    );
  }
  svg.append(drawing("line", { class: "axis", x1: edge.left, x2: right, y1: bottom, y2: bottom }));
  for (const tick of ticks(x.low, x.high, Math.max(3, Math.floor((right - edge.left) / 90)))) {
    svg.append(
      drawing("line", { class: "axis", x1: across(tick), x2: across(tick), y1: bottom, y2: bottom + 4 }),
      words(x.text(tick), { class: "tick", x: across(tick), y: bottom + 18, "text-anchor": "middle" }),
    );
  }
  if (y.title) svg.append(words(y.title, { class: "title", x: 0, y: 12 }));
  svg.append(words(x.title, { class: "title", x: right, y: height - 6, "text-anchor": "end" }));
  const inside = drawing("g");
  svg.append(inside);
  return { svg, inside, x: across, y: up, left: edge.left, right, top: edge.top, bottom };
}

/** A line through these points, pixels by pixels. */
export function line(points, attributes) {
  return drawing("polyline", { points: points.map(([x, y]) => `${round(x)},${round(y)}`).join(" "), ...attributes });
}

export function words(text, attributes) {
  return drawing("text", attributes, String(text));
}

/** What a pointer that rests on a mark is told. */
export function told(mark, text) {
  mark.append(drawing("title", {}, text));
  return mark;
}

/** About so many round numbers between the two. */
export function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** The extremes of the values with some room around them. */
export function range(values, room = 0.06, least = 0) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const beyond = Math.max((high - low) * room, least, Math.abs(high) * 1e-3);
  return { low: low - beyond, high: high + beyond };
}

function scale({ low, high }, from, to) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

function round(value) {
  return Math.round(value * 100) / 100;
}
