// The page of one trial: what it is, why it was tried, and all that was found out about it.

import { read } from "./api.js";
import { architectureLegend, drawArchitecture } from "./architecture.js";
import { drawCurves } from "./curve_figure.js";
import { element } from "./dom.js";
import { showExport } from "./exported.js";
import { NONE, count, heading, interval, latency, quality, ratio } from "./format.js";
import { quantileOf, seconds, speedUp } from "./latency.js";
import { latencySection } from "./latency_section.js";
import { live } from "./live.js";
import { judged, learn, metricOf, written } from "./metrics.js";
import { fill, part, write } from "./parts.js";
import { recipeList } from "./recipe.js";
import { earlyStop, finalist, loading, predicted } from "./trial_sections.js";

const page = document.querySelector("article.trial").dataset;
const study_path = `/studies/${encodeURIComponent(page.study)}`;
const path = `${study_path}/trials/${page.number}`;
/** Without an event. */
const QUIET_MS = 15_000;
const ENDED = ["completed", "infeasible", "failed", "stopped"];
let known = null;

async function refresh() {
  const [study, trial] = await Promise.all([read(study_path), read(path)]);
  const news = JSON.stringify([trial, study.prepared, study.references]);
  if (news !== known) {
    known = news;
    learn(study.spec);
    await show(study, trial);
  }
  return settled(study, trial) ? null : QUIET_MS;
}

/** Whether nothing can happen to it any more. */
function settled(study, trial) {
  return ENDED.includes(trial.state) && (trial.finalist ? trial.finalist.state !== "finalizing" : study.ended_at !== null);
}

async function show(study, trial) {
  showState(trial);
  part("facts").replaceChildren(...facts(study, trial));
  drawArchitecture(part("architecture"), trial.architecture, study.prepared?.architecture);
  part("architecture-legend").replaceChildren(architectureLegend(trial.architecture, study.prepared?.architecture));
  part("predicted").replaceChildren(...[predicted(trial, study)].filter(Boolean));
  fill("early-stop", earlyStop(trial.early_stop, study));
  fill("finalist", finalist(trial, study));
  fill("load", loading(trial, study));
  if (!study.spec.external) part("recipe").replaceChildren(recipeList(study));
  const [curves, measured] = await Promise.all([known_of(`${path}/curves`), known_of(`${path}/measurements?samples=true`)]);
  fill("curve", ...drawCurves(study, trial, curves));
  fill("latency", ...latencySection(study, trial, measured));
  await showExport(study, trial);
}

/** What an older service does not tell is null. */
async function known_of(address) {
  return read(address).catch(() => null);
}

function showState(trial) {
  part("state").dataset.state = trial.state;
  write("state", trial.state);
  part("front").hidden = !trial.on_front;
  part("reason").hidden = !trial.reason;
  write("reason", trial.reason ?? "");
  const progress = trial.progress;
  const steps = progress?.total ? ` ${progress.done} of ${progress.total}` : "";
  write("doing", progress ? `${progress.stage}${steps}` : "");
}

function facts(study, trial) {
  if (study.spec.external) return told(study, trial);
  const metric = study.spec.task.metric;
  const times = speedUp(trial.latency, study);
  const full = trial.finalist?.evaluation?.report;
  const found = trial.latency;
  return [
    fact(`${heading(metric)}, flash`, quality(trial.metrics[metric]), trial.evaluation && `95 % ${interval(trial.evaluation.selection)}, selection`),
    full && fact(`${heading(metric)}, full`, quality(full.value), `95 % ${interval(full)}, report`),
    fact(`${quantileOf(study.spec)} latency`, latency(seconds(found, study.spec)), found && `${found.source}, ${found.verdict}`),
    fact("Parameters", count(trial.metrics.parameters)),
    fact("Speed-up", ratio(times), times === null ? null : "against the teacher"),
  ].filter(Boolean);
}

/** What whoever evaluated the trial told of it, by the names that the study has. */
function told(study, trial) {
  const names = [...new Set([...judged(study.spec), "parameters"])];
  return names.map((name) => fact(metricOf(name).title, written(name, trial.metrics[name]), null));
}

function fact(term, value, aside) {
  return element("div", {}, element("dt", {}, term), element("dd", { class: value === NONE ? "quiet" : null }, value), aside && element("dd", { class: "aside" }, aside));
}

live(`${study_path}/events`, refresh, document.getElementById("link"));
