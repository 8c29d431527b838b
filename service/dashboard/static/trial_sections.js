// Parts of a trial's page that are lists of what is known; null where there is nothing.

import { copyButton } from "./copy.js";
import { definitions, element } from "./dom.js";
import { against, count, duration, interval, latency, moment, quality } from "./format.js";
import { loadingLines } from "./loading.js";

/** What a calibration of the target said, beside what was measured. */
export function predicted(trial, study) {
  const said = trial.predicted;
  if (!said) return null;
  const found = trial.latency?.[`${said.quantile}_s`];
  const inside = found === undefined ? null : found >= said.low_s && found <= said.high_s;
  return element(
    "div", {},
    element("h3", {}, "The calibration’s prediction"),
    definitions([
      [said.quantile, `${latency(said.latency_s)} predicted, 95 % ${latency(said.low_s)} to ${latency(said.high_s)}`],
      ["measured", found === undefined ? null : `${latency(found)}, ${inside ? "inside" : "outside"} the interval`],
      ["calibration", said.calibration.slice(0, 12)],
    ]),
  );
}

/** Why the training was ended before its last step. */
export function earlyStop(stop, study) {
  if (!stop) return null;
  const metric = study.spec.task.metric;
  const rival = stop.dominated_by;
  const link = rival === null ? null : element("a", { href: `/studies/${encodeURIComponent(study.name)}/trials/${rival}` }, `trial ${rival}`);
  return element(
    "div", {},
    element("p", {}, stop.reason),
    definitions([
      [metric, `${quality(stop.current)} after ${count(stop.step)} of ${count(stop.steps)} steps`],
      ["forecast", `${quality(stop.expected)} ± ${quality(Math.sqrt(stop.variance))}, at best ${quality(stop.optimistic)}`],
      ["learnt from", stop.curves === 1 ? "the curve of 1 trial" : `the curves of ${stop.curves} trials`],
      ["dominated by", link],
      ["saved", stop.saved_steps ? `${count(stop.saved_steps)} steps` : null],
      ["decided", moment(stop.decided_at)],
    ]),
  );
}

/** The full distillation: on both splits, against the teacher. */
export function finalist(trial, study) {
  const found = trial.finalist;
  if (!found) return null;
  const { evaluation } = found;
  const teacher = study.prepared;
  const row = (split, score, reference) =>
    score && element(
      "tr", {},
      element("th", { scope: "row" }, split),
      element("td", { class: "number" }, quality(score.value)),
      element("td", { class: "number" }, interval(score)),
      element("td", { class: "number" }, reference ? quality(reference.value) : "–"),
      element("td", { class: "number" }, reference ? against(score.value, reference.value, study.spec) : "–"),
    );
  const heads = ["Split", study.spec.task.metric, "95 % interval", "Teacher", "Difference"];
  const table = evaluation && element(
    "div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores in full" },
    element(
      "table", { class: "tight" },
      element("thead", {}, element("tr", {}, ...heads.map((head, place) => element("th", { scope: "col", class: place ? "number" : null }, head)))),
      element("tbody", {}, row("selection", evaluation.selection, teacher?.teacher_selection), row("report", evaluation.report, teacher?.teacher_report)),
    ),
  );
  const list = definitions([
    ["state", found.state],
    ["error", found.error],
    ["steps", evaluation && evaluation.steps.toLocaleString("en-US")],
    ["time", evaluation && duration(evaluation.seconds)],
  ]);
  return element("div", {}, table, list);
}

/** The lines that load it, with a button that copies them. */
export function loading(trial, study) {
  if (!trial.finalist?.export) return null;
  const lines = loadingLines(study, trial).join("\n");
  const code = element("code", {}, lines);
  const where = trial.finalist.folder
    ? "The folder is on the machine of the service."
    : "No folder of this finalist is in the home of the service. The command makes one, and says how to load it.";
  return element(
    "div", { class: "load" },
    element("div", { class: "copied" }, element("pre", { tabindex: 0 }, code), copyButton(() => lines, code)),
    element("p", { class: "caption" }, where),
  );
}
