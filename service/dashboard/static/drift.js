// How far a machine's newest reading of the reference architecture lies from earlier ones.

import { latency } from "./format.js";

/** A sentence; never a number where there is nothing to compare with. */
export function driftText(drift) {
  const now = `${latency(drift.p50_s)} now`;
  if (drift.drift === null) return `${now}, the first reading of such hardware`;
  const change = Math.expm1(drift.drift) * 100;
  const text = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)} %`;
  const readings = `${drift.earlier} earlier reading${drift.earlier === 1 ? "" : "s"}`;
  return `${text} against the median of ${readings}, ${now}${drift.beyond ? ": more than such a machine may vary by" : ""}`;
}
