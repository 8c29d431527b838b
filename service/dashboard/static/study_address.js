// What the reader chose, in the page's address: whoever gets the address sees the same.

import { firstAxes } from "./front_points.js";
import { constraintText, readConstraint } from "./within.js";

/** A slider changes it many times a second, which browsers forbid. */
const REST_MS = 200;
let writing = null;

/** {x, y, colour, logX, logY, bars, others, within, filter, sort}: the choices that the address names, and the usual ones; `logX` is null where the points decide. */
export function readChoices(spec) {
  const given = new URLSearchParams(location.search);
  const axes = firstAxes(spec);
  return {
    x: given.get("x") ?? axes.x,
    y: given.get("y") ?? axes.y,
    colour: given.get("colour") ?? "",
    logX: given.has("log-x") ? given.get("log-x") === "1" : null,
    logY: given.get("log-y") === "1",
    bars: given.get("bars") !== "0",
    others: given.get("others") !== "0",
    within: readConstraint(given.get("constraint")),
    filter: given.get("filter") ?? "",
    sort: given.get("sort") ?? "number",
  };
}

/** Has the address say these choices soon, without a new entry in the history; usual ones are left out. */
export function writeChoices(spec, choices) {
  clearTimeout(writing);
  writing = setTimeout(() => write(spec, choices), REST_MS);
}

function write(spec, choices) {
  const axes = firstAxes(spec);
  const said = new URLSearchParams();
  const put = (key, value, usual) => value !== usual && said.set(key, value);
  put("x", choices.x, axes.x);
  put("y", choices.y, axes.y);
  put("colour", choices.colour, "");
  if (choices.logX !== null) said.set("log-x", choices.logX ? "1" : "0");
  put("log-y", choices.logY ? "1" : "0", "0");
  put("bars", choices.bars ? "1" : "0", "1");
  put("others", choices.others ? "1" : "0", "1");
  if (choices.within) said.set("constraint", constraintText(choices.within.name, choices.within.bound));
  put("filter", choices.filter, "");
  put("sort", choices.sort, "number");
  const query = said.size ? `?${said}` : "";
  if (query !== location.search) history.replaceState(null, "", `${location.pathname}${query}${location.hash}`);
}
