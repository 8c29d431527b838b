// The front of a study with what the reader chose to see of it.

import { element, setText } from "./dom.js";
import { drawFront, pointOut } from "./front_figure.js";
import { showLegend } from "./front_legend.js";
import { isSqueezed, marksOf } from "./front_points.js";
import { axisTitle, metricOf } from "./metrics.js";

const AXES = ["x", "y", "colour"];
const SWITCHES = ["logX", "logY", "bars", "others"];

export class FrontSection {
  /** `onChange(choices)` gets what the reader changed; `open(number, event)` opens a trial. */
  constructor(place, { onChange, open }) {
    this.figure = place.querySelector("#front-figure");
    this.legend = place.querySelector("#front-legend");
    this.form = place.querySelector("#front-controls");
    this.open = open;
    this.answered = null;
    this.form.addEventListener("change", ({ target }) => onChange({ [target.name]: target.type === "checkbox" ? target.checked : target.value }));
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  async update(columns, finalists, choices) {
    const marks = marksOf(columns, choices, finalists);
    const view = { ...choices, logX: choices.logX ?? isSqueezed(marks, choices) };
    Object.assign(this, { columns, finalists, choices: view });
    this.offer(columns.metricNames);
    this.legend.hidden = !columns.size; // bounds alone are no figure
    showLegend(this.legend, { columns, marks, view });
    this.caption();
    await drawFront(this.figure, { columns, marks, view, ...this.pointed(), open: this.open });
  }

  /** Points out the best student within a bound: {place, name, bound}. */
  answer(answered) {
    this.answered = answered;
    if (this.columns) pointOut(this.figure, this.pointed());
  }

  /** Where ring and bound stand on the present axes. */
  pointed() {
    if (!this.answered) return {};
    const { place, name, bound } = this.answered;
    const [x, y] = [metricOf(this.choices.x), metricOf(this.choices.y)];
    const at = place === null ? [null] : [this.columns.value(x.name, place), this.columns.value(y.name, place)];
    const axis = name === x.name ? "x" : name === y.name ? "y" : null;
    return {
      ring: at.includes(null) ? null : { x: at[0] * x.scale, y: at[1] * y.scale },
      bound: axis && { axis, value: bound * metricOf(name).scale },
    };
  }

  offer(names) {
    for (const field of AXES) {
      const select = this.form.elements[field];
      const wanted = field === "colour" ? ["", ...names] : names;
      if (wanted.join() !== [...select.options].map(({ value }) => value).join()) {
        select.replaceChildren(...wanted.map((name) => element("option", { value: name }, name ? metricOf(name).title : "none")));
      }
      select.value = this.choices[field];
    }
    for (const name of SWITCHES) this.form.elements[name].checked = this.choices[name];
    this.form.hidden = !names.length || !this.columns.size;
  }

  caption() {
    const { columns, choices } = this;
    const { trials } = columns.study;
    const completed = trials.completed ?? 0;
    const ended = ["infeasible", "failed"].filter((state) => trials[state]).map((state) => `${trials[state].toLocaleString("en")} ${state}`);
    const kind = columns.study.spec.external ? "Every trial stands where it was told to be" : "Every trial is a flash distillation scored on the selection split";
    setText("front-caption", `${axisTitle(choices.y)} against ${axisTitle(choices.x)}. ${kind}; choose a point to see its trial.`);
    const best = columns.where((place) => columns.onFront[place]).length;
    const none = ended.length ? `No trial was completed; ${ended.join(", ")}. The table of trials says why.` : "";
    const few = best === 1 ? "The only completed trial is the front." : "The only completed trial is not on the front.";
    const many = `${best.toLocaleString("en")} of ${completed.toLocaleString("en")} completed trials ${best === 1 ? "is" : "are"} on the front.`;
    setText("front-summary", completed > 1 ? many : completed ? few : none);
  }
}
