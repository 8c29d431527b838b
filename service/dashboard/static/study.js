// The page of one study: reads it, shows it, and reads it again whenever the service tells of news.

import { read } from "./api.js";
import { element, setText, show } from "./dom.js";
import { drawFidelity, fidelityText, pairsOf } from "./fidelity_figure.js";
import { Finalists } from "./finalists.js";
import { moment } from "./format.js";
import { FrontSection } from "./front_section.js";
import { drawHistory } from "./history_figure.js";
import { showImportance } from "./importance_table.js";
import { live } from "./live.js";
import { learn } from "./metrics.js";
import { ParallelCoordinates } from "./parallel.js";
import { onSchemeChange } from "./plot.js";
import { readChoices, writeChoices } from "./study_address.js";
import { readFinalists } from "./study_finalists.js";
import { isOver, jobText, showSummary } from "./study_summary.js";
import { TrialColumns } from "./trial_columns.js";
import { filterOf, withRange } from "./trial_filter.js";
import { TrialsTable } from "./trials_table.js";
import { WhenSeen } from "./when_seen.js";
import { WithinPanel, trialAddress } from "./within_panel.js";

const place = (id) => document.getElementById(id);
const path = `/studies/${encodeURIComponent(place("study").dataset.study)}`;
/** For so long after a study's end the page looks on: whoever ran it fetches the exports only then. */
const EXPORTING_MS = 10_000;
const QUICK_MS = 1500;
/** What remains is estimated anew even if nothing happens. */
const IDLE_MS = 10_000;

/** All trials of a large study are asked for again only after so many times as long as the answer took. */
const REST = 4;
const LONGEST_REST_MS = 5000;

let choices = null;
let rested_ms = 0;
let seen = null;
let known = null;
let answered = null;

const front = new FrontSection(place("front"), { onChange: (chosen) => choose(chosen, showFront), open: openTrial });
const within = new WithinPanel(place("within"), answer);
const finalists = new Finalists(place("finalists"), place("finalists-findings"), place("finalists-table"), place("finalists-load"));
const table = new TrialsTable(place("trials"), (chosen) => choose(chosen, () => below.now("parallel-figure")));
const parallel = new ParallelCoordinates(place("parallel-figure"), (name, low, high) => table.setFilter(withRange(choices.filter, name, low, high)));
const below = new WhenSeen({
  "hypervolume-figure": async () => drawHistory(place("hypervolume-figure"), await read(`${path}/history`)),
  "fidelity-figure": showFidelity,
  "parallel-figure": () => parallel.update(seen.columns, filterOf(seen.columns, choices.filter).holds, answered?.place ?? null),
  importance: async () => showImportance(place("importance"), await read(`${path}/importance`)),
});

/**
 * Reads the study, and its trials only when something happened: a machine that measures should have nothing else to do.
 */
async function refresh() {
  const first = known === null ? read(`${path}/points`) : null;
  first?.catch(() => null); // what is wrong, the study says as well
  const study = await read(path);
  learn(study.spec);
  choices ??= readChoices(study.spec);
  showSummary(study);
  showJobs(study);
  const pause_ms = pauseOf(study);
  const news = JSON.stringify({ ...study, remaining_s: null, jobs: study.jobs.map(({ id, state }) => [id, state]) });
  if (news === known && pause_ms !== QUICK_MS) {
    seen.columns.study = study;
    table.update(seen.columns, seen.finalists, choices);
    return pause_ms;
  }
  if (performance.now() < rested_ms) return Math.min(pause_ms ?? Infinity, rested_ms - performance.now());
  const asked_ms = performance.now();
  const columns = new TrialColumns(await (first ?? read(`${path}/points`)), study);
  const took_ms = performance.now() - asked_ms;
  rested_ms = first ? 0 : performance.now() + Math.min(LONGEST_REST_MS, REST * took_ms);
  seen = { columns, finalists: await readFinalists(path, columns) };
  showTexts(study);
  within.update(columns, seen.finalists, choices.within);
  table.update(columns, seen.finalists, choices);
  finalists.update(study, seen.finalists);
  openAddressed();
  if (first) await painted(); // the figure takes longer than all the rest
  await showFront();
  below.news();
  known = news;
  return pause_ms;
}

/** In how many milliseconds to look again although nothing was told. */
function pauseOf(study) {
  if (!isOver(study)) return IDLE_MS;
  return Date.now() - Date.parse(study.ended_at) < EXPORTING_MS ? QUICK_MS : null;
}

/** When what was changed so far can be seen. */
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

function showFront() {
  return front.update(seen.columns, seen.finalists, choices);
}

/** The reader chose something: the address says so, and what depends on it is shown again. */
function choose(chosen, then) {
  choices = { ...choices, ...chosen };
  writeChoices(seen.columns.study.spec, choices);
  then();
}

/** The best student within a bound is another one; `isChosen` where somebody chose the bound. */
function answer({ place: best, name, bound, isChosen }) {
  answered = { place: best, name, bound };
  front.answer(answered);
  if (isChosen) choose({ within: { name, bound } }, () => below.now("parallel-figure"));
}

async function showFidelity() {
  const pairs = pairsOf(seen.columns);
  if (!pairs.length) return false;
  setText("fidelity-caption", fidelityText(seen.columns, pairs));
  return drawFidelity(place("fidelity-figure"), seen.columns, openTrial);
}

function openTrial(number, event) {
  const address = trialAddress(seen.columns.study, number);
  if (event?.ctrlKey || event?.metaKey) window.open(address, "_blank", "noopener");
  else location.assign(address);
}

/** An address that ends in #trial-7 opens trial 7, once. */
let addressed = /^#trial-(\d+)$/.exec(location.hash)?.[1];
function openAddressed() {
  if (addressed === undefined || !seen.columns.places.has(Number(addressed))) return;
  table.openTrial(Number(addressed));
  addressed = undefined;
}

function showTexts(study) {
  setText("created", moment(study.created_at));
  setText("error", study.error ?? "");
  show("error", Boolean(study.error));
  const notes = [...study.machines, ...study.notes];
  show("notes", notes.length > 0);
  place("notes-list").replaceChildren(...notes.map((note) => element("li", {}, note)));
}

function showJobs(study) {
  const entries = study.jobs.map((job) => {
    const who = job.state === "leased" ? `on ${job.worker ?? "a worker"}` : job.state;
    const again = job.attempt > 1 ? `, attempt ${job.attempt}` : "";
    return element("li", {}, jobText(job), element("span", { class: "under" }, `${who}${again}`));
  });
  const nothing = element("li", { class: "quiet" }, "None at the moment.");
  show("jobs-section", !isOver(study) || entries.length > 0);
  place("jobs").replaceChildren(...(entries.length ? entries : [nothing]));
}

onSchemeChange(() => {
  if (!seen) return;
  showFront();
  for (const id of below.parts.keys()) below.now(id);
});
live(`${path}/events`, refresh, place("link"));
