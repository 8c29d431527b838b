// Latencies against each other: by the quantile that the study judges, and only where both were measured alike.

import { element } from "./dom.js";
import { NONE, latency } from "./format.js";

/** "p50", "p90" or "p99": what the study's objectives name, p50 if none. */
export function quantileOf(spec) {
  const named = spec.objectives.map((objective) => objective.metric).find((name) => name.startsWith("latency_"));
  return named ? named.slice("latency_".length) : "p50";
}

export function seconds(measured, spec) {
  return measured ? measured[`${quantileOf(spec)}_s`] : null;
}

/** How many times as fast as the teacher; null unless both were measured on the same hardware. */
export function speedUp(measured, study) {
  const teacher = study.references.teacher;
  if (!measured || !teacher || measured.hardware_key !== teacher.hardware_key) return null;
  return seconds(teacher, study.spec) / seconds(measured, study.spec);
}

/** `4.21 ms` over `measured, steady`. */
export function latencyCell(measured, spec) {
  if (!measured) return [NONE];
  const under = element("span", { class: "under" }, `${measured.source}, ${measured.verdict}`);
  return [latency(seconds(measured, spec)), under];
}
