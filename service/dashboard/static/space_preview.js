// What a study would search: the ranges of its costs, and how much each constraint leaves.

import { definitions, element } from "./dom.js";
import { count, latency } from "./format.js";
import { bytes } from "./sizes.js";

/** Parts for a `PreviewView`. */
export function spacePreview(found) {
  return [costs(found), ...constraints(found.constraints), ...latencies(found.latencies)];
}

function costs({ parameters, flops, weight_bytes }) {
  const span = (spread, text) => `${text(spread.minimum)} to ${text(spread.maximum)}, the middle one ${text(spread.median)}`;
  return element(
    "div", {},
    definitions([
      ["parameters", span(parameters, count)],
      ["FLOPs", span(flops, count)],
      ["weights", span(weight_bytes, bytes)],
    ]),
    element("p", { class: "caption" }, "Without the token embeddings, which follow from the teacher’s vocabulary."),
  );
}

function constraints(all) {
  if (!all.length) return [];
  const rows = all.map((one) => {
    const share = one.met_by === null ? null : one.met_by / one.of;
    const said = share === null ? `judged ${one.judged}` : one.met_by ? `met by ${one.met_by.toLocaleString("en-US")} of ${one.of.toLocaleString("en-US")}` : "empties the space";
    const bar = share === null ? null : element("meter", { min: 0, max: 1, value: share, "aria-label": `share that meets ${one.text}` });
    return element("li", {}, element("code", {}, one.text), element("span", { class: "under" }, said), bar);
  });
  return [element("h3", {}, "Constraints, each by itself"), element("ul", { class: "plain constraints" }, ...rows)];
}

function latencies(all) {
  const title = element("h3", {}, "Latency");
  if (!all.length) return [title, element("p", { class: "caption" }, "Nothing was calibrated for this target: latencies are known when they are measured.")];
  const items = all.map((one) =>
    element(
      "li", {},
      `${latency(one.fastest_s)} to ${latency(one.slowest_s)} predicted, the middle one ${latency(one.median_s)}`,
      element("span", { class: "under" }, `${one.calibration.quantile} on hardware ${one.calibration.hardware_key}, by a calibration that errs by ${(one.calibration.cross_validated.mape * 100).toFixed(1)} % on average`),
    ),
  );
  return [title, element("ul", { class: "plain" }, ...items)];
}
