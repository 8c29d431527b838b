// The page of one study: reads it, shows it, and reads it again while it runs.

import { follow, read } from "./api.js";
import { element, setText, show } from "./dom.js";
import { Finalists } from "./finalists.js";
import { heading, moment } from "./format.js";
import { drawFront } from "./front_figure.js";
import { showLegend } from "./front_legend.js";
import { horizontal, marksOf } from "./front_points.js";
import { drawHistory } from "./history_figure.js";
import { onSchemeChange } from "./plot.js";
import { isOver, jobText, showSummary } from "./study_summary.js";
import { TrialsTable } from "./trials_table.js";

const place = (id) => document.getElementById(id);
const path = `/studies/${encodeURIComponent(place("study").dataset.study)}`;
const table = new TrialsTable(place("trials-table"), (number) => select(number, false));
const finalists = new Finalists(place("finalists"), place("finalists-findings"), place("finalists-table"), place("finalists-load"));
/** For so long after a study's end the page looks on: whoever ran it fetches the exports only then. */
const EXPORTING_MS = 10_000;
let seen = null;
let drawn = null;
let known = null;

/**
 * Asks for the study, and for its trials and front only when something happened: a machine that measures should have
 * nothing else to do.
 */
async function refresh() {
  const study = await read(path);
  showSummary(study);
  const news = JSON.stringify({ ...study, remaining_s: null });
  if (news === known && !isOver(study)) return true;
  const [trials, front] = await Promise.all([read(`${path}/trials`), read(`${path}/front`)]);
  seen = { study, trials, front, marks: marksOf(study, trials, front) };
  showTexts(study, trials, front);
  showJobs(study);
  showNotes(study);
  showLegend(place("front-legend"), study, seen.marks);
  table.update(study, trials);
  finalists.update(study, trials, (number) => select(number, true));
  openAddressed();
  await draw();
  known = news;
  return !isOver(study) || Date.now() - Date.parse(study.ended_at) < EXPORTING_MS;
}

/** Draws again only what changed. */
async function draw() {
  const { study, trials, front, marks } = seen;
  const signature = JSON.stringify([trials, front, study.references, study.prepared, table.selected]);
  if (signature === drawn) return;
  drawn = signature;
  await drawFront(place("front-figure"), { study, marks, selected: table.selected, select: (number) => select(number, true) });
  await drawHistory(place("hypervolume-figure"), front);
}

function select(number, scroll) {
  table.select(number);
  history.replaceState(null, "", number === null ? location.pathname : `#trial-${number}`);
  if (scroll && number !== null) table.scrollTo(number);
  draw();
}

/** An address that ends in #trial-7 opens trial 7, once. */
let addressed = /^#trial-(\d+)$/.exec(location.hash)?.[1];
function openAddressed() {
  if (addressed === undefined || !table.rows.has(Number(addressed))) return;
  const number = Number(addressed);
  addressed = undefined;
  select(number, true);
}

function showTexts(study, trials, front) {
  const across = horizontal(study.spec);
  setText(
    "front-caption",
    `${heading(study.spec.task.metric)} against ${across.title}. Every trial is a flash distillation scored on the selection split; choose a point to see its trial.`,
  );
  const completed = study.trials.completed ?? 0;
  setText("front-summary", completed ? `${front.numbers.length} of ${completed} completed trials are on the front.` : "");
  setText("created", moment(study.created_at));
  setText("error", study.error ?? "");
  show("error", Boolean(study.error));
}

function showJobs(study) {
  const list = place("jobs");
  const entries = study.jobs.map((job) => {
    const who = job.state === "leased" ? `on ${job.worker ?? "a worker"}` : job.state;
    const again = job.attempt > 1 ? `, attempt ${job.attempt}` : "";
    return element("li", {}, jobText(job), element("span", { class: "under" }, `${who}${again}`));
  });
  const nothing = element("li", { class: "quiet" }, "None at the moment.");
  show("jobs-section", !isOver(study) || entries.length > 0);
  list.replaceChildren(...(entries.length ? entries : [nothing]));
}

function showNotes(study) {
  const notes = [...study.machines, ...study.notes];
  show("notes", notes.length > 0);
  place("notes-list").replaceChildren(...notes.map((note) => element("li", {}, note)));
}

onSchemeChange(() => {
  drawn = null;
  if (seen) draw();
});
follow(refresh, place("link"));
