// Two to five trials of a study side by side, with what differs marked.

import { read } from "./api.js";
import { drawArchitecture } from "./architecture.js";
import { comparisonTable } from "./comparison.js";
import { curveFigure } from "./curve_figure.js";
import { element } from "./dom.js";
import { intervalsFigure } from "./intervals_figure.js";
import { live } from "./live.js";
import { learn } from "./metrics.js";
import { fill, part, write } from "./parts.js";

/** Without an event. */
const QUIET_MS = 15_000;
const FEWEST = 2;
const MOST = 5;
const name = document.querySelector("article.compare").dataset.study;
const path = `/studies/${encodeURIComponent(name)}`;
let known = null;
let turn = 0;

async function refresh() {
  const mine = ++turn;
  const [study, front] = await Promise.all([read(path), read(`${path}/front`)]);
  const wanted = addressed();
  const last = Object.values(study.trials).reduce((sum, many) => sum + many, 0);
  const there = wanted.filter((number) => number >= 1 && number <= last);
  const trials = await Promise.all(there.slice(0, MOST).map((number) => read(`${path}/trials/${number}`)));
  const news = JSON.stringify([wanted, trials, study.references, front.numbers]);
  const pause_ms = study.ended_at === null ? QUIET_MS : null;
  if (news === known || mine !== turn) return pause_ms;
  known = news;
  showChoice(there, front.numbers);
  tell(wanted, there);
  show(study, trials);
  return pause_ms;
}

function show(study, trials) {
  learn(study.spec);
  const enough = trials.length >= FEWEST;
  const teacher = study.prepared?.architecture;
  fill("shapes", ...(enough ? trials.map((trial, place) => shape(trial, place, teacher, trials)) : []));
  fill("table", enough ? comparisonTable(study, trials) : null);
  const learned = trials.map((trial, place) => ({ name: `trial ${trial.number}`, kind: `c${place + 1}`, points: trial.evaluation?.curve ?? [] }));
  const curves = learned.filter(({ points }) => points.length > 1);
  const metric = study.spec.task.metric;
  fill("curves", enough && curves.length ? curveFigure(curves, study.prepared?.teacher_selection.value ?? null, metric) : null);
  const timed = trials.filter((trial) => trial.latency);
  fill("latencies", enough && timed.length ? intervalsFigure(timed, trials, study) : null);
}

function shape(trial, place, teacher, trials) {
  const drawn = element("div", { class: "drawing" });
  const others = trials.filter((other) => other !== trial).map((other) => other.architecture);
  drawArchitecture(drawn, trial.architecture, teacher, others);
  const link = element("a", { href: `/studies/${encodeURIComponent(name)}/trials/${trial.number}` }, `trial ${trial.number}`);
  return element("figure", {}, drawn, element("figcaption", {}, element("span", { class: `swatch c${place + 1}`, "aria-hidden": "true" }), link, element("span", { class: "under" }, trial.label)));
}

/** Buttons for the front's trials: pressed are those that are compared. */
function showChoice(wanted, front) {
  const field = part("numbers");
  if (document.activeElement !== field) field.value = wanted.join(", ");
  const offered = [...new Set([...front, ...wanted])].sort((a, b) => a - b);
  const focused = document.activeElement?.dataset?.number;
  const buttons = offered.map((number) => {
    const chosen = wanted.includes(number);
    const full = !chosen && wanted.length >= MOST;
    return element("button", { type: "button", "data-number": number, "aria-pressed": String(chosen), disabled: full, onclick: () => toggle(number) }, `trial ${number}`);
  });
  fill("offered", ...buttons);
  if (focused) part("offered").querySelector(`[data-number="${CSS.escape(focused)}"]`)?.focus();
}

function tell(wanted, there) {
  const unknown = wanted.filter((number) => !there.includes(number));
  const lines = [];
  if (unknown.length) lines.push(`The study has no trial ${unknown.join(", ")}.`);
  if (there.length > MOST) lines.push(`At most ${MOST} are compared: the first of them are shown.`);
  if (there.length < FEWEST) lines.push("Name at least two trials.");
  write("hint", lines.join(" "));
}

/** What is chosen stands in the address: what is shown may be a moment behind. */
function toggle(number) {
  const now = addressed();
  choose(now.includes(number) ? now.filter((other) => other !== number) : [...now, number]);
}

function addressed() {
  return numbersIn(new URLSearchParams(location.search).get("trials") ?? "");
}

function choose(numbers) {
  history.replaceState(null, "", `?trials=${numbers.join(",")}`);
  refresh().catch((error) => write("hint", error.message));
}

function numbersIn(text) {
  const numbers = text.split(/[\s,]+/).filter((word) => /^\d{1,9}$/.test(word)).map(Number);
  return [...new Set(numbers)];
}

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  choose(numbersIn(part("numbers").value));
});
part("only").addEventListener("change", (event) => part("table").classList.toggle("only-differences", event.target.checked));
live(`${path}/events`, refresh, document.getElementById("link"));
