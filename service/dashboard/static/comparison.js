// The table of a comparison: a row for each thing that is known, a column for each trial.

import { element } from "./dom.js";
import { NONE, count, heading, interval, latency, lessIsBetter, moment, quality, ratio } from "./format.js";
import { speedUp } from "./latency.js";
import { judged, metricOf, written } from "./metrics.js";

const NAMES = {
  layers: "layers", hidden_size: "hidden size", heads: "heads", head_size: "head size", ffn_size: "feed-forward", ffn_stacks: "stacks of it",
  bottleneck_size: "bottleneck", attention_input: "attention reads", embedding_size: "embedding size", trigram: "trigrams", norm: "norm",
  activation: "activation", pooler: "pooler",
};

const USUAL = { ffn_stacks: 1, bottleneck_size: 0, attention_input: "input", embedding_size: 0, trigram: false, norm: "layer_norm", activation: "gelu", pooler: "none" };

export function comparisonTable(study, trials) {
  const head = element("tr", {}, element("td"), ...trials.map((trial, place) => headOf(study, trial, place)));
  const groups = [["Architecture", shapeRows(trials)], [study.spec.external ? "As told" : "Quality", qualityRows(study)], ["Cost", costRows(study)], ["Story", storyRows()]];
  const bodies = groups.map(([title, rows]) => body(title, rows, trials));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Comparison" }, element("table", { class: "comparison" }, element("thead", {}, head), ...bodies));
}

function headOf(study, trial, place) {
  const link = element("a", { href: `/studies/${encodeURIComponent(study.name)}/trials/${trial.number}` }, `trial ${trial.number}`);
  return element("th", { scope: "col" }, element("span", { class: `swatch c${place + 1}`, "aria-hidden": "true" }), link);
}

function body(title, rows, trials) {
  const made = rows.map((row) => rowOf(row, trials)).filter(Boolean);
  const head = element("tr", { class: "group" }, element("th", { scope: "rowgroup", colspan: trials.length + 1 }, title));
  return made.length ? element("tbody", {}, head, ...made) : null;
}

/** A row of `{ name, text, value, more }`: `value` is compared to find the best, `more` says that larger is better. */
function rowOf({ name, text, value, more }, trials) {
  const texts = trials.map(text);
  if (texts.every((each) => each === null || each === undefined || each === NONE)) return null;
  const differs = new Set(texts).size > 1;
  const values = value ? trials.map(value).filter((each) => Number.isFinite(each)) : [];
  const best = differs && values.length > 1 ? (more ? Math.max(...values) : Math.min(...values)) : null;
  const cells = trials.map((trial, place) => {
    const isBest = best !== null && value(trial) === best;
    const said = isBest ? element("span", { class: "unseen" }, " (best)") : null;
    return element("td", { class: isBest ? "best" : null }, texts[place] ?? NONE, said);
  });
  const mark = differs ? element("span", { class: "unseen" }, ", differs") : null;
  return element("tr", { class: differs ? "differs" : "same" }, element("th", { scope: "row" }, name, mark), ...cells);
}

/** What only few spaces vary is a row only where a trial has it. */
function shapeRows(trials) {
  const known = Object.keys(NAMES).filter((key) => trials.some(({ architecture }) => key in architecture && architecture[key] !== USUAL[key]));
  return known.map((key) => ({ name: NAMES[key], text: (trial) => plain(trial.architecture[key]) }));
}

function plain(value) {
  if (value === undefined) return null;
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** Of a study that somebody else evaluates: what it judges by, as it was told. */
function toldRows(spec) {
  return judged(spec).filter((name) => name !== "parameters").map((name) => ({
    name: metricOf(name).title, more: metricOf(name).better === "maximize", value: (trial) => trial.metrics[name], text: (trial) => written(name, trial.metrics[name]),
  }));
}

function qualityRows(study) {
  if (study.spec.external) return toldRows(study.spec);
  const metric = study.spec.task.metric;
  const more = !lessIsBetter(study.spec);
  const score = (name, of) => [
    { name, more, value: (trial) => of(trial)?.value, text: (trial) => quality(of(trial)?.value) },
    { name: "95 % interval", text: (trial) => (of(trial) ? interval(of(trial)) : null) },
  ];
  return [
    ...score(`${heading(metric)}, flash`, (trial) => trial.evaluation?.selection),
    ...score(`${heading(metric)}, full, report`, (trial) => trial.finalist?.evaluation?.report),
  ];
}

function costRows(study) {
  const timed = ["p50", "p90", "p99"].map((name) => ({
    name: `latency ${name}`, value: (trial) => trial.latency?.[`${name}_s`], text: (trial) => latency(trial.latency?.[`${name}_s`]),
  }));
  return [
    ...timed,
    { name: "95 % of p50", text: (trial) => (trial.latency?.low_s ? `${latency(trial.latency.low_s)} to ${latency(trial.latency.high_s)}` : null) },
    { name: "verdict", text: (trial) => trial.latency && `${trial.latency.source}, ${trial.latency.verdict}` },
    { name: "hardware key", text: (trial) => trial.latency?.hardware_key },
    { name: "speed-up", more: true, value: (trial) => speedUp(trial.latency, study), text: (trial) => ratio(speedUp(trial.latency, study)) },
    { name: "parameters", value: (trial) => trial.metrics.parameters, text: (trial) => count(trial.metrics.parameters) },
  ];
}

function storyRows() {
  return [
    { name: "state", text: (trial) => trial.state },
    { name: "on the front", text: (trial) => (trial.on_front ? "yes" : "no") },
    { name: "origin", text: (trial) => trial.origin },
    { name: "reason", text: (trial) => trial.reason },
    { name: "flash steps", text: (trial) => trial.evaluation && String(trial.evaluation.steps) },
    { name: "finalist", text: (trial) => trial.finalist?.state },
    { name: "created", text: (trial) => moment(trial.created_at) },
  ];
}
