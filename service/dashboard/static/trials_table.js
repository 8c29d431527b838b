// The table of trials, a page at a time: as fast with ten thousand of them as with ten.

import { read } from "./api.js";
import { ChosenTrials } from "./chosen_trials.js";
import { element, setText } from "./dom.js";
import { ratio } from "./format.js";
import { judged, mainMetric, metricOf, written } from "./metrics.js";
import { Reasons } from "./reasons.js";
import { trialDetail } from "./trial_detail.js";
import { filterOf } from "./trial_filter.js";
import { speedUpOf, trialAddress } from "./within_panel.js";

const ROWS = 25;
/** What a row of the table asks for anew while somebody types. */
const TYPING_MS = 150;

export class TrialsTable {
  /** `onChange({filter, sort})` is called with what the reader chose. */
  constructor(place, onChange) {
    this.place = place;
    this.onChange = onChange;
    this.table = place.querySelector("#trials-table");
    this.filter = place.querySelector("#trials-filter");
    this.rows = new Map();
    this.page = 0;
    this.open = null;
    this.built = "";
    this.chosen = new ChosenTrials(place.querySelector("#trials-compare"));
    this.reasons = new Reasons(() => this.show());
    this.filter.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.setFilter(this.filter.value), TYPING_MS);
    });
    for (const [id, step] of [["trials-first", -Infinity], ["trials-before", -1], ["trials-after", 1], ["trials-last", Infinity]]) {
      place.querySelector(`#${id}`).addEventListener("click", () => this.turn(step));
    }
  }

  /**
   * Shows these trials, of which `finalists` are distilled in full; `sort` is a column's key, with "-" before it the
   * other way up.
   */
  update(columns, finalists, { filter, sort }) {
    this.columns = columns;
    this.finalists = new Map(finalists.map((trial) => [trial.number, trial.finalist.state]));
    this.sort = sort;
    if (this.filter.value !== filter && document.activeElement !== this.filter) this.filter.value = filter;
    if (!columns.size) return;
    this.build();
    this.arrange();
  }

  setFilter(text) {
    this.filter.value = text;
    this.page = 0;
    this.onChange({ filter: text, sort: this.sort });
    this.arrange();
  }

  /** Opens a trial's detail, on the page that it is on. */
  openTrial(number) {
    const row = this.found?.findIndex((place) => this.columns.numbers[place] === number) ?? -1;
    if (row < 0) return;
    this.page = Math.floor(row / ROWS);
    this.open = number;
    this.show();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.rows.get(number)?.row.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }

  /** The columns of this study: those of its objectives, and parameters. */
  build() {
    const { spec } = this.columns.study;
    const metrics = [...new Set([mainMetric(spec), ...(spec.external ? judged(spec) : spec.objectives.map(({ metric }) => metric)), "parameters"])];
    const signature = metrics.join();
    if (this.built === signature) return;
    this.built = signature;
    const { columns } = this;
    this.kinds = [
      { key: "number", title: "Trial", value: (place) => this.columns.numbers[place] },
      { key: "architecture", title: "Architecture", kind: "architecture" },
      { key: "origin", title: "Origin", kind: "wide quiet" },
      { key: "state", title: "State", kind: "wide", value: (place) => this.columns.states[place] },
      ...metrics.map((name) => ({
        key: name, title: name.startsWith("latency_") ? `Latency ${name.slice("latency_".length)}` : metricOf(name).title,
        kind: `number ${name === mainMetric(spec) ? "quality" : ""} ${name === "parameters" ? "wide" : ""}`,
        value: (place) => this.columns.value(name, place), text: (place) => written(name, this.columns.value(name, place)),
      })),
      ...(spec.external ? [] : [{ key: "speed-up", title: "Speed-up", kind: "number wide", value: (place) => speedUpOf(this.columns, place), text: (place) => ratio(speedUpOf(this.columns, place)) }]),
    ];
    this.heads = new Map(this.kinds.map((column) => [column.key, this.head(column)]));
    this.body = element("tbody");
    const caption = element("caption", { class: "said" }, `Trials of ${columns.study.name}`);
    this.table.replaceChildren(element("table", {}, caption, element("thead", {}, element("tr", {}, ...this.heads.values())), this.body));
    this.place.querySelector("#trials-tools").hidden = false;
  }

  head({ key, title, kind, value }) {
    const content = value ? element("button", { type: "button", onclick: () => this.sortBy(key) }, title) : title;
    return element("th", { scope: "col", class: kind }, content);
  }

  sortBy(key) {
    const best = this.bestFirst(key);
    this.sort = this.sort === best ? (best.startsWith("-") ? key : `-${key}`) : best;
    this.page = 0;
    this.onChange({ filter: this.filter.value, sort: this.sort });
    this.arrange();
  }

  /** What is clicked first: the task's metric and the speed-up from the top, the rest from below. */
  bestFirst(key) {
    const { spec } = this.columns.study;
    const falling = key === "speed-up" || spec.objectives.some(({ metric, direction }) => metric === key && direction === "maximize");
    return falling ? `-${key}` : key;
  }

  /** Which trials, in which order. */
  arrange() {
    const { holds, mistake } = filterOf(this.columns, this.filter.value);
    this.filter.setAttribute("aria-invalid", String(Boolean(mistake)));
    this.mistake = mistake;
    const key = this.sort.replace(/^-/, "");
    const factor = this.sort.startsWith("-") ? -1 : 1;
    const value = (this.kinds.find((column) => column.key === key && column.value) ?? this.kinds[0]).value;
    this.found = this.columns.where(holds);
    const values = new Map(this.found.map((place) => [place, value(place)]));
    this.found.sort((a, b) => compare(values.get(a), values.get(b), factor) || a - b);
    for (const [name, head] of this.heads) {
      if (name === key) head.setAttribute("aria-sort", factor > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    this.show();
  }

  turn(step) {
    this.page += step;
    this.show();
  }

  /** The rows of this page; those that are there stay, so that focus and what is open do. */
  show() {
    const pages = Math.max(1, Math.ceil(this.found.length / ROWS));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const shown = this.found.slice(this.page * ROWS, (this.page + 1) * ROWS);
    const before = this.rows;
    this.rows = new Map(shown.map((place) => [this.columns.numbers[place], before.get(this.columns.numbers[place]) ?? this.addRow(this.columns.numbers[place])]));
    for (const [number, known] of before) {
      if (this.rows.get(number) === known) continue;
      for (const row of [known.row, known.detail]) row.remove();
      this.chosen.forget(number);
    }
    let next = this.body.firstChild;
    for (const place of shown) {
      const known = this.rows.get(this.columns.numbers[place]);
      this.fill(known, place);
      for (const row of [known.row, known.detail]) {
        if (row === next) next = next.nextSibling;
        else this.body.insertBefore(row, next);
      }
    }
    this.tell(pages, shown.length);
  }

  tell(pages, shown) {
    const first = this.page * ROWS;
    const all = this.found.length.toLocaleString("en");
    const of = this.found.length === this.columns.size ? all : `${all} of ${this.columns.size.toLocaleString("en")}`;
    const text = shown ? `${(first + 1).toLocaleString("en")} to ${(first + shown).toLocaleString("en")} of ${of} trials` : `None of ${this.columns.size.toLocaleString("en")} trials`;
    setText("trials-told", this.mistake || text);
    for (const [id, off] of [["trials-first", this.page === 0], ["trials-before", this.page === 0], ["trials-after", this.page >= pages - 1], ["trials-last", this.page >= pages - 1]]) {
      this.place.querySelector(`#${id}`).disabled = off;
    }
    this.place.querySelector("#trials-pages").hidden = pages === 1;
  }

  addRow(number) {
    const opener = element("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": `detail-${number}` }, number);
    const box = this.chosen.box(this.columns.study.name, number);
    const cells = this.kinds.map((column, index) => element("td", { class: column.kind }, ...(index ? [] : [box, opener])));
    const row = element("tr", { class: "trial", id: `trial-${number}`, "data-number": number }, ...cells);
    row.addEventListener("click", (event) => {
      if (!getSelection().toString() && !event.target.closest("a, input")) this.toggle(number);
    });
    const detail = element("tr", { class: "detail", id: `detail-${number}`, hidden: true }, element("td", { colspan: this.kinds.length }));
    return { row, detail, opener, signature: null, told: null };
  }

  fill(known, place) {
    const { columns } = this;
    const job = columns.study.jobs.find(({ trial, progress }) => trial === columns.numbers[place] && progress);
    const texts = this.kinds.map((column) => column.text?.(place) ?? null);
    const under = this.underState(place, job);
    const signature = JSON.stringify([columns.states[place], columns.onFront[place], columns.labels[place], columns.origins[place], under, texts]);
    if (known.signature !== signature) {
      known.signature = signature;
      known.row.classList.toggle("front", columns.onFront[place]);
      const contents = [null, this.architecture(place), [columns.origins[place]], this.state(place, under), ...texts.slice(4).map((text) => [text])];
      for (const [index, content] of contents.entries()) if (content) known.row.cells[index].replaceChildren(...content);
    }
    this.showDetail(known, columns.numbers[place]);
  }

  architecture(place) {
    const { columns } = this;
    const isBest = columns.onFront[place];
    return [columns.labels[place], ...(isBest ? [element("span", { class: "badge" }, "front")] : []),
      element("span", { class: "under narrow" }, isBest ? `${columns.states[place]}, front` : columns.states[place])];
  }

  state(place, under) {
    const { columns } = this;
    const state = element("span", { class: "state", "data-state": columns.states[place] }, columns.states[place]);
    return under ? [state, element("span", { class: under.isReason ? "under reason clamped" : "under" }, under.text)] : [state];
  }

  /** {text, isReason}: why it has no result, what is being done for it, or that it is a finalist; else null. */
  underState(place, job) {
    const reason = this.reasons.of(this.columns, place);
    if (reason) return { text: reason, isReason: true };
    if (job) {
      const steps = job.progress.total ? ` ${job.progress.done} of ${job.progress.total}` : "";
      return { text: `${job.progress.stage}${steps}`, isReason: false };
    }
    const finalist = this.finalists.get(this.columns.numbers[place]);
    return finalist ? { text: `finalist, ${finalist}`, isReason: false } : null;
  }

  toggle(number) {
    this.open = this.open === number ? null : number;
    for (const [each, known] of this.rows) this.showDetail(known, each);
    history.replaceState(null, "", `${location.pathname}${location.search}${this.open === null ? "" : `#trial-${number}`}`);
  }

  /** What is known of an open trial, read when it is opened and when its row changed. */
  async showDetail(known, number) {
    const isOpen = number === this.open;
    known.row.classList.toggle("selected", isOpen);
    known.opener.setAttribute("aria-expanded", String(isOpen));
    known.detail.hidden = !isOpen;
    if (!isOpen || known.told === known.signature) return;
    known.told = known.signature;
    const { study } = this.columns;
    const target = known.detail.firstChild;
    try {
      const trial = await read(`/studies/${encodeURIComponent(study.name)}/trials/${number}`);
      const link = element("p", {}, element("a", { href: trialAddress(study, number) }, `All of trial ${number}`));
      target.replaceChildren(trialDetail(trial, study), link);
    } catch (error) {
      known.told = null;
      target.replaceChildren(element("p", { class: "quiet" }, `The trial cannot be read: ${error.message}`));
    }
  }
}

/** What has no value comes last, whichever way is up. */
function compare(a, b, factor) {
  const missing = (a ?? null) === null;
  if (missing || (b ?? null) === null) return Number(missing) - Number((b ?? null) === null);
  return factor * (typeof a === "string" ? a.localeCompare(b) : a - b);
}
