// Which trials a line of text asks for: `front layers<=4 accuracy>=0.8 state:completed sobol`.

import { metricOf, parsed } from "./metrics.js";

const TERM = /^(\w+)(<=|>=|=|<|>)(.+)$/;
const RELATIONS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, "=": (a, b) => a === b, ">=": (a, b) => a >= b, ">": (a, b) => a > b,
};

/** {holds(place), mistake}: whether a trial is asked for, and what of the text cannot be read. */
export function filterOf(columns, text) {
  const terms = text.replace(/\s*(<=|>=|=|<|>)\s*/g, "$1").replace(/([<>=][\d.e+-]+)\s+(ms|us|µs|s|k|m|g)\b/gi, "$1$2").split(/\s+/).filter(Boolean);
  const tests = [];
  let mistake = "";
  for (const term of terms) {
    const test = testOf(columns, term);
    if (typeof test === "string") mistake ||= test;
    else tests.push(test);
  }
  return { holds: (place) => tests.every((test) => test(place)), mistake };
}

/** A test of a place, or what is wrong with the term. */
function testOf(columns, term) {
  const [, name, relation, bound] = TERM.exec(term) ?? [];
  if (name !== undefined) return boundTest(columns, name, relation, bound);
  const state = /^state:(\w+)$/.exec(term)?.[1];
  if (state !== undefined) return (place) => columns.states[place] === state;
  if (term === "front") return (place) => columns.onFront[place];
  const wanted = term.toLowerCase();
  return (place) => [columns.numbers[place], columns.labels[place], columns.origins[place], columns.states[place]].some((value) => String(value).toLowerCase().includes(wanted));
}

function boundTest(columns, name, relation, text) {
  const isMetric = Object.hasOwn(columns.metrics, name);
  if (!isMetric && !Object.hasOwn(columns.dimensions, name)) {
    return `there is no ${name}; there are ${[...Object.keys(columns.metrics), ...Object.keys(columns.dimensions)].join(", ")}`;
  }
  if (!isMetric && relation === "=") return (place) => String(columns.value(name, place)) === text;
  const bound = isMetric ? parsed(name, text) : Number(text);
  if (bound === null || Number.isNaN(bound)) return `${text} is no value of ${name}`;
  return (place) => {
    const value = columns.value(name, place);
    return value !== null && RELATIONS[relation](Number(value), bound);
  };
}

/** The text with this range of a metric or dimension in place of what it says of it so far; without a range, without. */
export function withRange(text, name, low, high) {
  const others = text.split(/\s+/).filter((term) => term && TERM.exec(term)?.[1] !== name);
  if (low === null) return others.join(" ");
  const { scale, suffix } = metricOf(name);
  const bound = (value) => `${Number((value * scale).toPrecision(4))}${suffix.trim()}`;
  return [...others, `${name}>=${bound(low)}`, `${name}<=${bound(high)}`].join(" ");
}
