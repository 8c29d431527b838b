// An architecture as a drawing to scale: how wide its hidden states are, its heads side by side, its feed-forward.

import { fitted, told } from "./chart.js";
import { drawing, element } from "./dom.js";

const TALLEST = 300;
const FOOT = 16;
const number = new Intl.NumberFormat("en-US");

/** What a wire's architecture leaves out where it is the default, filled in; sizes one for each layer. */
export function shapeOf(architecture) {
  const layers = architecture.layers;
  const each = (size) => (Array.isArray(size) ? size : Array(layers).fill(size));
  return {
    ...architecture,
    layers,
    heads: each(architecture.heads),
    ffn: each(architecture.ffn_size),
    stacks: architecture.ffn_stacks ?? 1,
    inner: architecture.bottleneck_size || architecture.hidden_size,
    word: architecture.embedding_size || architecture.hidden_size,
  };
}

/**
 * Draws the student, with the teacher's shape as its shadow, into `place`. `beside` are other architectures that are
 * drawn elsewhere in the same scale.
 */
export function drawArchitecture(place, architecture, teacher, beside = []) {
  const student = shapeOf(architecture);
  const shadow = teacher ? shapeOf(teacher) : null;
  const all = [student, ...beside.map(shapeOf), ...(shadow ? [shadow] : [])];
  const widest = Math.max(...all.map(extent));
  const layers = Math.max(...all.map((shape) => shape.layers));
  const rows = 1 + Math.max(...all.map((shape) => shape.stacks));
  const row = Math.max(3, Math.min(18, TALLEST / (layers * rows + layers * 0.4)));
  const frame = { widest, layers, row, pitch: rows * row + 0.4 * row };
  fitted(place, (width) => painted(student, shadow, { ...frame, width }));
}

/** The colours of the drawing, in words; numbers with them, so that nobody has to measure. */
export function architectureLegend(architecture, teacher) {
  const shape = shapeOf(architecture);
  const entry = (kind, text) => element("li", {}, element("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
  return element(
    "ul", { class: "legend" },
    entry("stream", `hidden states ${number.format(shape.hidden_size)} wide${shape.bottleneck_size ? `, ${number.format(shape.inner)} inside` : ""}`),
    entry("heads", `${headsText(shape.heads)} of ${number.format(shape.head_size)} in ${shape.layers > 1 ? `each of ${shape.layers} layers` : "its only layer"}`),
    entry("ffn", `feed-forward ${span(shape.ffn)}${shape.stacks > 1 ? `, ${shape.stacks} in a layer` : ""}`),
    teacher ? entry("shadow", `the teacher: ${described(shapeOf(teacher))}`) : null,
  );
}

export function described(shape) {
  return `${shape.layers} layer${shape.layers > 1 ? "s" : ""} of ${number.format(shape.hidden_size)}, ${headsText(shape.heads)}, feed-forward ${span(shape.ffn)}`;
}

function painted(student, shadow, { width, widest, layers, row, pitch }) {
  const height = Math.ceil(layers * pitch + FOOT);
  const unit = width / widest;
  const middle = width / 2;
  const name = `${described(student)}${shadow ? `; behind it the teacher, ${described(shadow)}` : ""}`;
  const svg = drawing("svg", { class: "shape", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  const bar = (units, y, tall, kind) =>
    drawing("rect", { class: kind, x: middle - (units * unit) / 2, y, width: Math.max(1, units * unit), height: tall, rx: Math.min(2, tall / 3) });
  const base = height - FOOT;
  if (shadow) svg.append(...stack(shadow, base, { row, pitch, bar }, true));
  svg.append(bar(student.inner, base - student.layers * pitch, student.layers * pitch, "stream"));
  svg.append(told(bar(student.word, base + 5, 6, "words"), `embeddings, ${number.format(student.word)} wide, of ${number.format(student.vocabulary_size)} words`));
  svg.append(...stack(student, base, { row, pitch, bar }, false, (units) => middle + units * unit, unit));
  return svg;
}

/** The layers, the first at the bottom: heads below, feed-forward above. */
function stack(shape, base, { row, pitch, bar }, isShadow, at, unit) {
  return Array.from({ length: shape.layers }, (_, layer) => {
    const foot = base - layer * pitch;
    const group = drawing("g", { class: "layer" });
    if (isShadow) group.append(bar(shape.heads[layer] * shape.head_size, foot - row, row, "shadow"));
    else group.append(...heads(shape, layer, foot - row, row, at, unit));
    for (let place = 0; place < shape.stacks && shape.ffn[layer]; place += 1) {
      group.append(bar(shape.ffn[layer], foot - (place + 2) * row, row - 1, isShadow ? "shadow" : "ffn"));
    }
    const who = isShadow ? "teacher, " : "";
    return told(group, `${who}layer ${layer + 1}: ${shape.heads[layer]} heads of ${shape.head_size}, feed-forward ${number.format(shape.ffn[layer])}`);
  });
}

function heads(shape, layer, y, row, at, unit) {
  const count = shape.heads[layer];
  const wide = shape.head_size * unit;
  const gap = wide > 5 ? 1.5 : wide > 2 ? 0.5 : 0;
  return Array.from({ length: count }, (_, place) =>
    drawing("rect", { class: "heads", x: at((place - count / 2) * shape.head_size) + gap / 2, y, width: Math.max(0.5, wide - gap), height: row - 1, rx: Math.min(2, wide / 4) }),
  );
}

function extent(shape) {
  return Math.max(shape.hidden_size, shape.word, ...shape.ffn, ...shape.heads.map((count) => count * shape.head_size));
}

function headsText(counts) {
  return `${span(counts)} head${Math.max(...counts) === 1 ? "" : "s"}`;
}

function span(sizes) {
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  return low === high ? number.format(low) : `${number.format(low)} to ${number.format(high)}`;
}
