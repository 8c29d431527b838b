// The finalists: what they are worth on the report split, and how to load them.

import { element } from "./dom.js";
import { NONE, against, count, heading, interval, lessIsBetter, quality, ratio, shortfall } from "./format.js";
import { latencyCell, seconds, speedUp } from "./latency.js";
import { loadingLines, snippetOf } from "./loading.js";

const WITHIN_POINTS = [3, 8];

export class Finalists {
  constructor(section, findings, table, load) {
    this.section = section;
    this.findings = findings;
    this.table = table;
    this.load = load;
    this.signature = null;
    this.chosen = null;
  }

  /** Shows these finalists: trials as the API shows them. */
  update(study, trials) {
    const finalists = fastestFirst([...trials], study.spec);
    this.section.hidden = !finalists.length;
    const signature = JSON.stringify([finalists, study.references.teacher?.p50_s]);
    if (!finalists.length || this.signature === signature) return;
    this.signature = signature;
    this.findings.replaceChildren(...WITHIN_POINTS.map((most) => finding(study, finalists, most)).filter(Boolean));
    this.table.replaceChildren(tableOf(study, finalists));
    this.exported = finalists.filter((trial) => trial.finalist.export);
    this.showLoading(study);
  }

  /** How one exported finalist is loaded; which one, the reader chooses. */
  showLoading(study) {
    const chosen = this.exported.find((trial) => trial.number === this.chosen) ?? this.exported[0];
    if (!chosen) return this.load.replaceChildren();
    const choose = (trial, event) => {
      this.chosen = trial.number;
      this.showLoading(study);
      if (event.detail === 0) this.load.querySelector('[aria-pressed="true"]').focus();
    };
    const buttons = this.exported.map((trial) =>
      element("button", { type: "button", "aria-pressed": trial === chosen ? "true" : "false", onclick: (event) => choose(trial, event) }, `trial ${trial.number}`),
    );
    return this.load.replaceChildren(snippet(study, chosen, buttons));
  }
}

/** The fastest finalist that is at most so many points below the teacher on the selection split, as a sentence. */
function finding(study, finalists, most) {
  if (!study.prepared) return null;
  const { teacher_selection: selection, teacher_report: report } = study.prepared;
  const best = finalists
    .map((trial) => ({ trial, scores: trial.finalist.evaluation, times: speedUp(trial.finalist.latency, study) }))
    .filter(({ scores, times }) => scores?.report && times !== null && shortfall(scores.selection.value, selection.value, study.spec) <= most / 100 + 1e-9)
    .sort((a, b) => b.times - a.times)[0];
  if (!best) return null;
  const scores = `${quality(best.scores.report.value)} against ${quality(report.value)} on the report split`;
  return element("li", {}, `Within ${most} ${lessIsBetter(study.spec) ? "%" : "points"} of the teacher on the selection split: trial ${best.trial.number}, `, element("strong", {}, `${ratio(best.times)} its speed`), ` (${scores}).`);
}

function fastestFirst(trials, spec) {
  const key = (trial) => seconds(trial.finalist.latency, spec) ?? Infinity;
  return trials.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.number - b.number));
}

function tableOf(study, finalists) {
  const heads = [
    ["Trial", ""], ["Architecture", "architecture"], [heading(study.spec.task.metric), "number"], ["Against the teacher", "number wide"],
    ["Latency", "number"], ["Speed-up", "number wide"], ["Parameters", "number wide"],
  ];
  const head = element("tr", {}, ...heads.map(([title, kind]) => element("th", { scope: "col", class: kind }, title)));
  const rows = finalists.map((trial) => row(study, trial));
  if (study.prepared) rows.push(teacherRow(study));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function row(study, trial) {
  const { evaluation, latency, state, error } = trial.finalist;
  const report = evaluation?.report;
  const teacher = study.prepared?.teacher_report.value;
  const under = state === "completed" ? null : element("span", { class: "under reason" }, error ? `${state}: ${error}` : state);
  const times = speedUp(latency, study);
  const timesUnder = times === null ? null : element("span", { class: "under narrow" }, `${ratio(times)} the teacher’s speed`);
  const link = element("a", { href: `/studies/${encodeURIComponent(study.name)}/trials/${trial.number}` }, trial.number);
  return element(
    "tr", {},
    element("td", {}, link),
    element("td", { class: "architecture" }, trial.label, timesUnder, under),
    scoreCell(report),
    element("td", { class: "number wide" }, report && study.prepared ? against(report.value, teacher, study.spec) : NONE),
    element("td", { class: "number" }, ...latencyCell(latency, study.spec)),
    element("td", { class: "number wide" }, ratio(times)),
    element("td", { class: "number wide" }, count(trial.metrics.parameters)),
  );
}

function teacherRow(study) {
  const measured = study.references.teacher;
  return element(
    "tr", { class: "quiet" },
    element("td", {}, ""),
    element("td", {}, "teacher"),
    scoreCell(study.prepared.teacher_report),
    element("td", { class: "number wide" }, ""),
    element("td", { class: "number" }, ...latencyCell(measured, study.spec)),
    element("td", { class: "number wide" }, measured ? ratio(1) : NONE),
    element("td", { class: "number wide" }, NONE),
  );
}

function scoreCell(score) {
  if (!score) return element("td", { class: "number" }, NONE);
  return element("td", { class: "number" }, quality(score.value), element("span", { class: "under" }, interval(score)));
}

function snippet(study, trial, choices) {
  const [copy, lines] = snippetOf(loadingLines(study, trial).join("\n"));
  const which = element("span", { class: "choices", role: "group", "aria-label": "Which finalist to load" }, "Load", ...choices);
  const where = element("p", { class: "caption" }, trial.finalist.folder
    ? "The folder is on the machine of the service."
    : "No folder of this finalist is in the home of the service. The command makes one for each, and says how to load it.");
  return element("div", { class: "load" }, element("h3", {}, which, copy), lines, where);
}
