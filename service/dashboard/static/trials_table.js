// The table of trials: rows are kept from one refresh to the next, so that focus and what is open stay.

import { element } from "./dom.js";
import { count, heading, quality, ratio } from "./format.js";
import { latencyCell, seconds, speedUp } from "./latency.js";
import { trialDetail } from "./trial_detail.js";

const BEST_FIRST = { quality: "descending", speed: "descending" };

const COLUMNS = [
  { key: "number", title: "Trial", value: (trial) => trial.number },
  {
    key: "architecture", title: "Architecture", kind: "architecture",
    fill: (trial) => [
      trial.label,
      trial.on_front ? element("span", { class: "badge" }, "front") : null,
      element("span", { class: "under narrow" }, trial.on_front ? `${trial.state}, front` : trial.state),
    ],
  },
  { key: "origin", title: "Origin", kind: "wide quiet", fill: (trial) => [trial.origin] },
  {
    key: "state", title: "State", kind: "wide",
    fill: (trial) => [element("span", { class: "state", "data-state": trial.state }, trial.state), ...underState(trial)],
  },
  {
    key: "quality", title: (study) => heading(study.spec.task.metric), kind: "number quality",
    value: (trial, study) => trial.metrics[study.spec.task.metric],
    fill: (trial, study) => [quality(trial.metrics[study.spec.task.metric])],
  },
  {
    key: "latency", title: "Latency", kind: "number",
    value: (trial, study) => seconds(trial.latency, study.spec),
    fill: (trial, study) => latencyCell(trial.latency, study.spec),
  },
  {
    key: "parameters", title: "Parameters", kind: "number wide",
    value: (trial) => trial.metrics.parameters,
    fill: (trial) => [count(trial.metrics.parameters)],
  },
  {
    key: "speed", title: "Speed-up", kind: "number wide",
    value: (trial, study) => speedUp(trial.latency, study),
    fill: (trial, study) => [ratio(speedUp(trial.latency, study))],
  },
];

export class TrialsTable {
  constructor(place, onSelect) {
    this.place = place;
    this.onSelect = onSelect;
    this.rows = new Map();
    this.selected = null;
    this.sorting = { key: "number", order: "ascending" };
    this.body = null;
  }

  /** Shows these trials; rows that did not change are left alone. */
  update(study, trials) {
    this.study = study;
    this.trials = trials;
    if (!trials.length) return;
    if (!this.body) this.build();
    for (const trial of trials) this.updateRow(trial);
    this.arrange();
  }

  /** Opens a trial's detail, or closes what is open with null. */
  select(number) {
    const before = this.rows.get(this.selected);
    this.selected = number;
    if (before) this.showDetail(before);
    const row = this.rows.get(number);
    if (row) this.showDetail(row);
  }

  scrollTo(number) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.rows.get(number)?.row.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }

  build() {
    this.heads = new Map();
    const heads = COLUMNS.map((column) => {
      const title = typeof column.title === "function" ? column.title(this.study) : column.title;
      const content = column.value ? element("button", { type: "button", onclick: () => this.sort(column.key) }, title) : title;
      const head = element("th", { scope: "col", class: column.kind }, content);
      this.heads.set(column.key, head);
      return head;
    });
    this.body = element("tbody");
    this.place.replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...heads)), this.body));
  }

  updateRow(trial) {
    const known = this.rows.get(trial.number) ?? this.addRow(trial.number);
    const teacher = this.study.references.teacher;
    const signature = JSON.stringify([trial, teacher?.p50_s, teacher?.hardware_key]);
    if (known.signature === signature) return;
    known.signature = signature;
    known.trial = trial;
    known.row.classList.toggle("front", trial.on_front);
    for (const [index, column] of COLUMNS.entries()) {
      if (!column.fill) continue;
      known.row.cells[index].replaceChildren(...column.fill(trial, this.study).filter((part) => part !== null));
    }
    this.showDetail(known);
  }

  addRow(number) {
    const open = element("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": `detail-${number}` }, number);
    const cells = COLUMNS.map((column, index) => element("td", { class: column.kind }, ...(index ? [] : [open])));
    const row = element("tr", { class: "trial", id: `trial-${number}`, "data-number": number }, ...cells);
    row.addEventListener("click", () => {
      if (!getSelection().toString()) this.onSelect(this.selected === number ? null : number);
    });
    const detail = element("tr", { class: "detail", id: `detail-${number}`, hidden: true }, element("td", { colspan: COLUMNS.length }));
    const known = { row, detail, open, trial: null, signature: null };
    this.rows.set(number, known);
    return known;
  }

  showDetail(known) {
    const isOpen = known.trial.number === this.selected;
    known.row.classList.toggle("selected", isOpen);
    known.open.setAttribute("aria-expanded", String(isOpen));
    known.detail.hidden = !isOpen;
    known.detail.firstChild.replaceChildren(...(isOpen ? [trialDetail(known.trial, this.study)] : []));
  }

  sort(key) {
    const again = this.sorting.key === key;
    const first = BEST_FIRST[key] ?? "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    this.sorting = { key, order: again && this.sorting.order === first ? other : first };
    this.arrange();
  }

  arrange() {
    const { key, order } = this.sorting;
    const value = COLUMNS.find((column) => column.key === key).value;
    const sign = order === "ascending" ? 1 : -1;
    const known = [...this.trials].sort((a, b) => compare(value(a, this.study), value(b, this.study), sign) || a.number - b.number);
    for (const [name, head] of this.heads) {
      if (name === key) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
    }
    let place = this.body.firstChild;
    for (const row of known.flatMap((trial) => [this.rows.get(trial.number).row, this.rows.get(trial.number).detail])) {
      if (row === place) place = place.nextSibling;
      else this.body.insertBefore(row, place);
    }
  }
}

/** What has no value comes last, whichever way is up. */
function compare(a, b, sign) {
  const missing = (a ?? null) === null;
  if (missing || (b ?? null) === null) return Number(missing) - Number((b ?? null) === null);
  return sign * (a - b);
}

function underState(trial) {
  if (trial.reason) return [element("span", { class: "under reason clamped" }, trial.reason)];
  if (trial.progress) {
    const steps = trial.progress.total ? ` ${trial.progress.done} of ${trial.progress.total}` : "";
    return [element("span", { class: "under" }, `${trial.progress.stage}${steps}`)];
  }
  if (trial.finalist) return [element("span", { class: "under" }, `finalist, ${trial.finalist.state}`)];
  return [];
}
