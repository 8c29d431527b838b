// A recipe in words: what is taught, from where the student starts, and how it is trained.

import { definitions, element } from "./dom.js";

export function recipeList(study) {
  const recipe = study.spec.distillation;
  return element("div", { class: "columns" }, definitions([
    ["initialisation", `${recipe.initialisation}, ${recipe.units} units`],
    ["schedule", scheduleText(recipe.schedule)],
    ...recipe.stages.flatMap((stage, place) => stagePairs(stage, place, recipe.stages.length)),
  ]), definitions([
    ["steps", recipe.steps.toLocaleString("en-US")],
    ["batch", `${recipe.batch_size} texts of at most ${recipe.max_length} tokens`],
    ["learning rate", `${recipe.learning_rate}, embeddings ${recipe.embedding_learning_rate}`],
    ["warm-up", percent(recipe.warmup)],
    ["weight decay", recipe.weight_decay],
    ["gradient clip", recipe.gradient_clip],
    ["precision", recipe.precision],
    ["keeps", `the ${recipe.keep} weights`],
    ["seed", study.spec.seed],
  ]));
}

function scheduleText(schedule) {
  if (schedule.kind === "direct") return "direct: the teacher alone";
  const between = schedule.kind === "minidisc" ? `, at most ${schedule.iterations} assistant${schedule.iterations > 1 ? "s" : ""}` : "";
  return `${schedule.kind}, λ ${schedule.lambda_}${between}, ${schedule.sparsities.length} sparsities`;
}

function stagePairs(stage, place, of) {
  const name = of > 1 ? `stage ${place + 1} (${percent(stage.share)} share)` : "teaches";
  const terms = stage.terms.map(termText).join("; ");
  const trains = stage.train === "all" ? null : stage.train;
  return [[name, terms], ["trains", trains]];
}

function termText(term) {
  const matched = term.matching ? `, layers ${typeof term.matching === "string" ? term.matching : term.matching.map((pair) => pair.join("→")).join(" ")}` : "";
  const hot = term.temperature === null || term.temperature === undefined ? "" : `, temperature ${ends(term.temperature)}`;
  return `${term.knowledge.replace(/_/g, " ")} by ${term.loss.replace(/_/g, " ")}, weight ${ends(term.weight)}${hot}${matched}`;
}

function ends(value) {
  return typeof value === "object" ? `${value.start} to ${value.end}` : value;
}

function percent(share) {
  return `${Number((share * 100).toPrecision(3))} %`;
}
