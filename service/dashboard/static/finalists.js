// The finalists: what they are worth on the report split, and how to load them.

import { element } from "./dom.js";
import { NONE, count, interval, points, quality, ratio } from "./format.js";
import { latencyCell, speedUp } from "./trials_table.js";

export class Finalists {
  constructor(section, table, load) {
    this.section = section;
    this.table = table;
    this.load = load;
    this.signature = null;
  }

  update(study, trials, select) {
    const finalists = trials.filter((trial) => trial.finalist);
    this.section.hidden = !finalists.length;
    const signature = JSON.stringify([finalists, study.references.teacher?.p50_s]);
    if (!finalists.length || this.signature === signature) return;
    this.signature = signature;
    this.table.replaceChildren(tableOf(study, finalists, select));
    this.load.replaceChildren(...finalists.filter((trial) => trial.finalist.export).map((trial) => snippet(study, trial)));
  }
}

/** The three lines that load an exported checkpoint. */
export function loadingLines(study, trial) {
  const folder = `exports/${study.name}/trial-${trial.number}`;
  return [
    "from transformers import pipeline",
    `classify = pipeline("text-classification", ${JSON.stringify(folder)}, trust_remote_code=True)`,
    'print(classify("a text"))',
  ];
}

function tableOf(study, finalists, select) {
  const heads = [
    ["Trial", ""], ["Architecture", "architecture"], [study.spec.task.metric, "number"], ["Against the teacher", "number wide"],
    ["Latency", "number"], ["Speed-up", "number"], ["Parameters", "number wide"],
  ];
  const head = element("tr", {}, ...heads.map(([title, kind]) => element("th", { scope: "col", class: kind }, title)));
  const rows = finalists.map((trial) => row(study, trial, select));
  if (study.prepared) rows.push(teacherRow(study));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function row(study, trial, select) {
  const { evaluation, latency, state, error } = trial.finalist;
  const report = evaluation?.report;
  const difference = report && study.prepared ? report.value - study.prepared.teacher_report.value : null;
  const under = state === "completed" ? null : element("span", { class: "under reason" }, error ? `${state}: ${error}` : state);
  const link = element("a", { href: `#trial-${trial.number}` }, trial.number);
  link.addEventListener("click", (event) => {
    event.preventDefault();
    select(trial.number);
  });
  return element(
    "tr", {},
    element("td", {}, link),
    element("td", { class: "architecture" }, trial.label, under),
    scoreCell(report),
    element("td", { class: "number wide" }, difference === null ? NONE : `${points(difference)} points`),
    element("td", { class: "number" }, ...latencyCell(latency)),
    element("td", { class: "number" }, ratio(speedUp(latency, study.references.teacher))),
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
    element("td", { class: "number" }, ...latencyCell(measured)),
    element("td", { class: "number" }, measured ? ratio(1) : NONE),
    element("td", { class: "number wide" }, NONE),
  );
}

function scoreCell(score) {
  if (!score) return element("td", { class: "number" }, NONE);
  return element("td", { class: "number" }, quality(score.value), element("span", { class: "under" }, interval(score)));
}

function snippet(study, trial) {
  const lines = loadingLines(study, trial).join("\n");
  const code = element("code", {}, lines);
  const copy = element("button", { type: "button", class: "copy" }, "copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(lines, code)) ? "copied" : "select and copy by hand";
    setTimeout(() => (copy.textContent = "copy"), 2000);
  });
  const title = element("h3", {}, element("span", {}, `Load trial ${trial.number}, ${trial.label}`), copy);
  return element("div", { class: "load" }, title, element("pre", { tabindex: 0 }, code));
}

/** The clipboard is only given to pages on localhost or https; elsewhere the text is selected and copied the old way. */
async function copied(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
