// What a study's header says: how far it is, what is being done, and what was found so far.

import { NONE, count, duration, interval, latency, quality, volume } from "./format.js";
import { seconds } from "./latency.js";
import { setText, show } from "./dom.js";

const STAGES = ["preparing", "calibrating", "searching", "finalizing"];

export function isOver(study) {
  return study.state === "completed" || study.state === "failed";
}

/** Share of the present stage that is done, or null where nothing can be said. */
export function stageProgress(study) {
  if (study.state === "completed") return 1;
  if (study.state === "searching") return study.spent_trials / study.spec.budget.trials;
  if (study.state === "finalizing") {
    const all = Object.values(study.finalists).reduce((sum, number) => sum + number, 0);
    return all ? (all - (study.finalists.finalizing ?? 0)) / all : null;
  }
  const progress = study.jobs.find((job) => job.progress?.total)?.progress;
  if (progress) return progress.done / progress.total;
  return study.state === "failed" ? study.spent_trials / study.spec.budget.trials : null;
}

/** What it is about: teacher and data, or, of a study that somebody else evaluates, what it searches for. */
export function aboutText(spec) {
  if (spec.external) return `evaluated elsewhere: ${spec.objectives.map(({ metric }) => metric).join(", ")}`;
  return `${spec.teacher.model} → ${spec.task.dataset.source}`;
}

/** An estimate, or an honest word where there is none. */
export function remaining(study) {
  if (isOver(study) || study.state === "stopped") return NONE;
  return study.remaining_s === null ? "not known yet" : duration(study.remaining_s);
}

/** How long its jobs have had workers, all together; null where the service does not tell, or there is nothing to tell. */
export function cost(study) {
  const seconds = Object.values(study.device_seconds ?? {}).reduce((sum, value) => sum + value, 0);
  return seconds > 0 ? duration(seconds) : null;
}

export function trialsText(study) {
  return `${study.spent_trials.toLocaleString("en")} of ${study.spec.budget.trials.toLocaleString("en")}`;
}

/** What is under way, in words. */
export function doing(study) {
  const leased = study.jobs.filter((job) => job.state === "leased");
  if (leased.length) return leased.map(jobText).join(" · ");
  if (isOver(study) || study.state === "stopped") return "";
  if (study.spec.external) return study.jobs.length ? "waiting for somebody who asks for a trial" : "waiting for the next trial";
  return study.jobs.length ? "waiting for a worker" : "waiting for the next job";
}

export function jobText(job) {
  const subject = job.trial === null ? job.kind : `${job.kind} trial ${job.trial}`;
  const progress = job.progress;
  if (!progress) return subject;
  const steps = progress.total ? ` ${progress.done} of ${progress.total}` : "";
  return `${subject}: ${progress.stage}${steps}`;
}

export function showSummary(study) {
  const state = document.getElementById("state");
  state.dataset.state = study.state;
  setText("state", study.state);
  showStages(study);
  setText("doing", doing(study));
  setText("trials-count", trialsText(study));
  setText("trials-aside", trialsAside(study));
  setText("front-size", study.front_size.toLocaleString("en"));
  setText("hypervolume", volume(study.hypervolume));
  setText("remaining-term", isOver(study) ? "Took" : "Remaining");
  setText("remaining", isOver(study) ? taken(study) : remaining(study));
  setText("remaining-aside", isOver(study) || study.remaining_s === null ? "" : "estimated from what has ended");
  setText("cost", cost(study) ?? "");
  show("cost-fact", cost(study) !== null);
  setText("teacher", study.prepared ? quality(study.prepared.teacher_report.value) : NONE);
  setText("teacher-aside", teacherAside(study));
}

function showStages(study) {
  const present = STAGES.indexOf(study.stopped_from ?? study.state);
  for (const [index, stage] of STAGES.entries()) {
    const item = document.getElementById(`stage-${stage}`);
    if (!item) continue; // of a study that somebody else evaluates
    const step = study.state === "completed" || index < present ? "done" : index === present ? "current" : "ahead";
    item.dataset.step = step;
    if (step === "current") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  const bar = document.getElementById("progress");
  const share = stageProgress(study);
  bar.classList.toggle("stuck", study.state === "failed");
  if (share === null) bar.removeAttribute("value");
  else bar.value = Math.min(1, share);
  if (study.state === "failed" && share === null) bar.value = 0;
}

function trialsAside(study) {
  const parts = ["infeasible", "failed", "stopped"].filter((state) => study.trials[state]);
  const lines = parts.map((state) => `${study.trials[state].toLocaleString("en")} ${state}`);
  if (study.saved_steps) lines.push(`${count(study.saved_steps)} steps saved`);
  return lines.join(", ");
}

function teacherAside(study) {
  const parts = [];
  if (study.prepared) parts.push(`95 % ${interval(study.prepared.teacher_report)}`);
  if (study.references.teacher) parts.push(latency(seconds(study.references.teacher, study.spec)));
  return parts.join(", ");
}

function taken(study) {
  return study.ended_at ? duration((new Date(study.ended_at) - new Date(study.created_at)) / 1e3) : NONE;
}
