// Who works: alive or gone, busy with what and since when, and how far its machine has drifted.

import { readAll } from "./api.js";
import { driftText } from "./drift.js";
import { definitions, element } from "./dom.js";
import { duration, moment } from "./format.js";
import { live } from "./live.js";
import { part, write } from "./parts.js";
import { targetText } from "./targets.js";

/** Without an event: how long something has been going on is told anew. */
const QUIET_MS = 5_000;
let shown = null;

async function refresh() {
  const workers = await readAll("/workers");
  const alive = workers.filter((worker) => worker.alive);
  const gone = workers.filter((worker) => !worker.alive);
  const busy = alive.filter((worker) => worker.jobs.length).length;
  write("summary", alive.length ? `${alive.length} alive, ${busy ? `${busy} of them busy` : "none of them busy"}.` : "Who asks this service for jobs.");
  part("none").hidden = alive.length > 0;
  part("gone-section").hidden = !gone.length;
  write("gone-title", `${gone.length} seen earlier`);
  const signature = JSON.stringify([alive.map(({ seen_at, ...rest }) => rest), gone]);
  if (signature !== shown) {
    shown = signature;
    part("alive").replaceChildren(...alive.map(card));
    part("gone").replaceChildren(...gone.sort((a, b) => b.seen_at.localeCompare(a.seen_at)).map(line));
  }
  age();
  return QUIET_MS;
}

function card(worker) {
  const jobs = worker.jobs.map(job);
  return element(
    "article", { class: "card", "data-worker": worker.name, "data-busy": String(jobs.length > 0) },
    element("h2", {}, worker.name),
    element("p", { class: "standing" }, jobs.length ? "busy" : "waiting for a job"),
    ...jobs,
    ...worker.notes.map((note) => element("p", { class: "notice" }, note)),
    definitions([
      ["measures", worker.targets.map(targetText).join("; ") || "nothing"],
      ["does", worker.kinds.join(", ")],
      ...worker.drifts.map((drift) => [`drift, ${drift.target}`, driftText(drift)]),
    ]),
  );
}

function job(work) {
  const progress = work.progress;
  const steps = progress?.total ? ` ${progress.done} of ${progress.total}` : "";
  const study = element("a", { href: `/studies/${encodeURIComponent(work.study)}` }, work.study);
  const trial = work.trial === null ? null : element("a", { href: `/studies/${encodeURIComponent(work.study)}/trials/${work.trial}` }, `trial ${work.trial}`);
  const again = work.attempt > 1 ? `, attempt ${work.attempt}` : "";
  return element(
    "div", { class: "job" },
    element("p", {}, `${work.kind} `, trial, trial ? " of " : "", study, progress ? `: ${progress.stage}${steps}` : "", again),
    progress?.total ? element("progress", { max: progress.total, value: progress.done, "aria-label": `Progress of ${work.kind}` }) : null,
    work.since && element("p", { class: "under", "data-since": work.since }, ""),
  );
}

function line(worker) {
  return element("li", {}, worker.name, element("span", { class: "under" }, `last seen ${moment(worker.seen_at)}`));
}

/** How long each job has been going on, by this machine's clock. */
function age() {
  for (const place of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, (Date.now() - Date.parse(place.dataset.since)) / 1e3);
    place.textContent = `for ${duration(seconds)}`;
  }
}

live("/events", refresh, document.getElementById("link"));
