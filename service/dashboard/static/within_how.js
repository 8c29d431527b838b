// How to have the best student within a bound: the lines that load it, or the command that distils it in full.

import { read } from "./api.js";
import { element } from "./dom.js";
import { loadingLines, snippetOf } from "./loading.js";
import { bestWithin } from "./within.js";

export class HowToHave {
  constructor(details) {
    this.details = details;
    this.place = details.querySelector("div");
    this.shown = null;
    details.addEventListener("toggle", () => this.show());
  }

  /** `best` is the place of the best trial within the `constraint` {name, bound}, or null. */
  update(columns, finalists, constraint, best) {
    const ready = new Map(finalists.filter((trial) => trial.finalist.export).map((trial) => [trial.number, trial]));
    const among = bestWithin(columns, constraint.name, constraint.bound, (place) => ready.has(columns.numbers[place])).place;
    const numberOf = (place) => (place === null ? null : columns.numbers[place]);
    this.wanted = { study: columns.study, best: numberOf(best), finalist: ready.get(numberOf(among)) ?? null };
    this.details.hidden = best === null;
    this.show();
  }

  async show() {
    const { study, best, finalist } = this.wanted ?? {};
    if (!this.details.open || !study || best === null) return;
    const signature = JSON.stringify([best, finalist?.number, finalist?.finalist.folder]);
    if (this.shown === signature) return;
    this.shown = signature;
    const parts = finalist ? [finalistPart(study, finalist, best)] : [];
    if (finalist?.number === best) return this.place.replaceChildren(...parts);
    this.place.replaceChildren(...parts, element("p", { class: "caption" }, `Reading trial ${best} …`));
    const last = await this.trialPart(study, best);
    if (this.shown === signature) this.place.replaceChildren(...parts, last);
  }

  async trialPart(study, number) {
    try {
      const trial = await read(`/studies/${encodeURIComponent(study.name)}/trials/${number}`);
      if (study.spec.external) return part(`The architecture of trial ${number}, to be trained by whoever evaluated it:`, JSON.stringify(trial.architecture, null, 2));
      return part(`Trial ${number} is no finalist: so far it is a flash distillation. This distils it in full, without the service, on a machine with Stillhouse.`, distillingLines(study, trial));
    } catch (error) {
      this.shown = null;
      return element("p", { class: "caption" }, `Trial ${number} cannot be read: ${error.message}`);
    }
  }
}

function finalistPart(study, trial, best) {
  const which = trial.number === best ? `Trial ${best} is a finalist, distilled in full` : `The best finalist within this bound is trial ${trial.number}, distilled in full`;
  const where = trial.finalist.folder ? "its folder is on the machine of the service." : "the command fetches it, and says how to load it.";
  return part(`${which}; ${where}`, loadingLines(study, trial).join("\n"));
}

function part(text, lines) {
  return element("div", { class: "part" }, element("p", { class: "caption" }, text), ...snippetOf(lines));
}

/** The command that distils this trial's architecture in full; JSON is YAML, and has no line that could end it early. */
function distillingLines(study, trial) {
  const { teacher, task, distillation, seed } = study.spec;
  const given = ["vocabulary_size", "max_positions", "token_types"];
  const student = Object.fromEntries(Object.entries(trial.architecture).filter(([name]) => !given.includes(name)));
  const name = `${study.name.slice(0, 48)}-trial-${trial.number}`;
  const lines = Object.entries({ name, teacher, task, student, distillation, seed }).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return [`cat > ${name}.yaml <<'END'`, ...lines, "END", `stillhouse distill ${name}.yaml`].join("\n");
}
