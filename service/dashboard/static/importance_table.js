// How much each dimension has to do with each objective, as bars that are also numbers.

import { drawing, element } from "./dom.js";
import { metricOf } from "./metrics.js";

/** `importance` is {objective: {dimension: share} | null}; the dimension that matters most comes first. False while nothing can be said. */
export function showImportance(place, importance) {
  const objectives = Object.keys(importance).filter((name) => importance[name]);
  if (!objectives.length) return false;
  const names = [...new Set(objectives.flatMap((objective) => Object.keys(importance[objective])))];
  const weight = (name) => objectives.reduce((sum, objective) => sum + (importance[objective][name] ?? 0), 0);
  names.sort((a, b) => weight(b) - weight(a));
  const head = element("tr", {}, element("th", { scope: "col" }, "Dimension"), ...objectives.map((name) => element("th", { scope: "col" }, metricOf(name).title)));
  const rows = names.map((name) =>
    element("tr", {}, element("th", { scope: "row" }, name.replace(/_/g, " ")), ...objectives.map((objective) => cell(importance[objective][name]))));
  place.replaceChildren(element("table", { class: "importance" }, element("thead", {}, head), element("tbody", {}, ...rows)));
  return true;
}

function cell(share) {
  if (share === null || share === undefined) return element("td", {}, "–");
  const bar = drawing("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("rect", { class: "rail", width: 100, height: 8, rx: 1 }), drawing("rect", { width: 100 * Math.min(1, Math.max(0, share)), height: 8, rx: 1 }));
  return element("td", {}, bar, element("span", {}, `${Math.round(100 * share)} %`));
}
