// The front of a study with what the reader chose to see of it.

import { element, setText } from "./dom.js";
import { drawFront, pointOut } from "./front_figure.js";
import { showLegend } from "./front_legend.js";
import { marksOf } from "./front_points.js";
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
    this.form.addEventListener("change", () => {
      const chosen = Object.fromEntries([...AXES.map((name) => [name, this.form.elements[name].value]), ...SWITCHES.map((name) => [name, this.form.elements[name].checked])]);
      onChange(chosen);
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  async update(columns, finalists, choices) {
    Object.assign(this, { columns, finalists, choices });
    this.offer(columns.metricNames);
    const marks = marksOf(columns, choices, finalists);
    this.legend.hidden = !columns.size; // bounds alone are no figure
    showLegend(this.legend, { columns, marks, view: choices });
    this.caption();
    await drawFront(this.figure, { columns, marks, view: choices, ...this.pointed(), open: this.open });
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
    const [completed, failed] = [trials.completed ?? 0, trials.failed ?? 0];
    const kind = columns.study.spec.external ? "Every trial stands where it was told to be" : "Every trial is a flash distillation scored on the selection split";
    setText("front-caption", `${axisTitle(choices.y)} against ${axisTitle(choices.x)}. ${kind}; choose a point to see its trial.`);
    const best = columns.where((place) => columns.onFront[place]).length;
    const none = failed ? `No trial was completed; ${failed} failed. The table of trials says why.` : "";
    setText("front-summary", completed ? `${best} of ${completed} completed trials are on the front.` : none);
  }
}
