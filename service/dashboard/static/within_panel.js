// "What is the best student under 4 ms?": a bound on any metric, and the answer while it is being moved.

import { element, setText } from "./dom.js";
import { against, counted, ratio } from "./format.js";
import { axisTitle, metricOf, parsed, written } from "./metrics.js";
import { bestWithin, boundText, boundsOf, firstBound } from "./within.js";
import { HowToHave } from "./within_how.js";

/** Screen readers are told when the slider rests. */
const SAY_AFTER_MS = 400;

export class WithinPanel {
  /** `onAnswer({place, name, bound, isChosen})` is called when the answer, the metric or the bound changed. */
  constructor(place, onAnswer) {
    this.place = place;
    this.onAnswer = onAnswer;
    this.metric = place.querySelector("select");
    this.text = place.querySelector('input[type="text"]');
    this.slider = place.querySelector('input[type="range"]');
    this.answerPlace = place.querySelector(".answer");
    this.how = new HowToHave(place.querySelector("details"));
    this.constraint = null;
    this.metric.addEventListener("change", () => this.choose({ name: this.metric.value, bound: null }));
    this.slider.addEventListener("input", () => this.choose({ name: this.metric.value, bound: this.bounds.toBound(Number(this.slider.value)) }));
    this.text.addEventListener("change", () => this.readText());
    place.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.readText();
    });
  }

  /** Shows the answer of these trials; `finalists` are those that are distilled in full. */
  update(columns, finalists, constraint) {
    this.columns = columns;
    this.finalists = finalists;
    const names = columns.metricNames.filter((name) => boundsOf(columns, name));
    this.place.hidden = !names.length;
    if (!names.length) return;
    this.offer(names);
    const wanted = this.constraint ?? constraint ?? { name: null, bound: null };
    const usual = names.find((name) => name.startsWith("latency_")) ?? names[0];
    this.choose(names.includes(wanted.name) ? wanted : { name: usual, bound: null }, constraint !== null || this.constraint !== null);
  }

  offer(names) {
    if (names.join() === [...this.metric.options].map(({ value }) => value).join()) return;
    this.metric.replaceChildren(...names.map((name) => element("option", { value: name }, metricOf(name).title)));
  }

  /** Takes this bound, the usual one without any; only a chosen one is said in the address. */
  choose({ name, bound }, chosen = true) {
    this.bounds = boundsOf(this.columns, name);
    const constraint = { name, bound: this.bounds.snapped(bound ?? firstBound(this.columns, name)) };
    if (chosen) this.constraint = constraint;
    this.metric.value = name;
    const metric = metricOf(name);
    setText("within-relation", metric.better === "minimize" ? "at most" : "at least");
    this.text.value = written(name, constraint.bound);
    this.text.setAttribute("aria-label", axisTitle(name));
    this.text.removeAttribute("aria-invalid");
    this.slider.max = this.bounds.steps;
    this.slider.value = this.bounds.toStep(constraint.bound);
    this.slider.setAttribute("aria-label", `Bound on ${metric.title}`);
    this.slider.setAttribute("aria-valuetext", written(name, constraint.bound));
    setText("within-low", written(name, this.bounds.low));
    setText("within-high", written(name, this.bounds.high));
    this.answer(constraint);
  }

  readText() {
    const bound = parsed(this.metric.value, this.text.value.trim());
    if (bound === null) {
      this.text.setAttribute("aria-invalid", "true");
      return this.say(`${this.text.value} is no value of ${this.metric.value}; write for example ${written(this.metric.value, this.bounds.high)}`);
    }
    return this.choose({ name: this.metric.value, bound });
  }

  answer(constraint) {
    const found = bestWithin(this.columns, constraint.name, constraint.bound);
    const signature = JSON.stringify([found, constraint, this.finalists.map(({ number, finalist }) => [number, finalist.export, finalist.folder]), this.columns.study.references.teacher?.p50_s]);
    if (signature === this.signature) return;
    this.signature = signature;
    this.found = found;
    this.answerPlace.replaceChildren(...(found.place === null ? this.nothing(constraint) : this.best(found)));
    this.how.update(this.columns, this.finalists, constraint, found.place);
    this.say(found.place === null ? `No trial has a ${boundText(constraint.name, constraint.bound)}.` : this.sentence(found, constraint));
    this.onAnswer({ place: found.place, ...constraint, isChosen: this.constraint !== null });
  }

  nothing({ name }) {
    const { better } = metricOf(name);
    const end = better === "minimize" ? `the least is ${written(name, this.bounds.low)}` : `the most is ${written(name, this.bounds.high)}`;
    return [element("p", { class: "headline" }, "None"), element("p", { class: "caption" }, `No completed trial is within this bound; ${end}.`)];
  }

  best({ place, wanted, fits, of }) {
    const { columns } = this;
    const { study } = columns;
    const number = columns.numbers[place];
    const margin = columns.margin(wanted, place);
    const teacher = study.prepared?.teacher_selection.value;
    const times = speedUpOf(columns, place);
    const others = columns.metricNames.filter((name) => name !== wanted && columns.value(name, place) !== null && isTold(study, name));
    const facts = others.map((name) => [metricOf(name).title, written(name, columns.value(name, place))]);
    if (teacher !== undefined && wanted === study.spec.task.metric) facts.push(["against the teacher", against(columns.value(wanted, place), teacher, study.spec)]);
    if (times !== null) facts.push(["speed-up", ratio(times)]);
    return [
      element("p", { class: "headline" }, written(wanted, columns.value(wanted, place)), element("small", {}, margin === null ? "" : ` ± ${written(wanted, margin)}`)),
      element("p", {}, `${metricOf(wanted).title} of `, element("a", { href: trialAddress(study, number) }, `trial ${number}`), `, ${columns.labels[place]}`),
      element("dl", { class: "told" }, ...facts.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text)))),
      element("p", { class: "caption" }, `Best of ${fits.toLocaleString("en")} of ${of.toLocaleString("en")} completed trials${study.spec.external ? "" : "; flash distillation, selection split"}.`),
    ];
  }

  sentence({ place, wanted, fits }, { name, bound }) {
    const { columns } = this;
    return `${boundText(name, bound)}: best is trial ${columns.numbers[place]}, ${metricOf(wanted).title} ${written(wanted, columns.value(wanted, place))}, ${metricOf(name).title} ${written(name, columns.value(name, place))}; ${counted(fits, "trial")} ${fits === 1 ? "fits" : "fit"}.`;
  }

  say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => setText("within-said", text), SAY_AFTER_MS);
  }
}

export function trialAddress(study, number) {
  return `/studies/${encodeURIComponent(study.name)}/trials/${number}`;
}

/** How many times as fast as the teacher, by the quantile that the study judges; all its latencies are of one hardware. */
export function speedUpOf(columns, place) {
  const { study } = columns;
  const judged = study.spec.objectives.map(({ metric }) => metric).find((name) => name.startsWith("latency_")) ?? "latency_p50";
  const teacher = study.references.teacher?.[`${judged.slice("latency_".length)}_s`];
  const own = columns.value(judged, place);
  return teacher === undefined || own === null ? null : teacher / own;
}

/** Of several quantiles the one that the study judges is told. */
function isTold(study, name) {
  const named = [...study.spec.objectives, ...study.spec.constraints].some(({ metric }) => metric === name);
  return named || !name.startsWith("latency_") || (name === "latency_p50" && !study.spec.objectives.some(({ metric }) => metric.startsWith("latency_")));
}
