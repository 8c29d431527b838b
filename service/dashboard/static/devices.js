// The machines that measure: what they are, what they can, how steady they are, and what their calibrations are worth.

import { readAll } from "./api.js";
import { calibrationPart } from "./calibration.js";
import { definitions, element } from "./dom.js";
import { driftText } from "./drift.js";
import { live } from "./live.js";
import { part } from "./parts.js";
import { targetText } from "./targets.js";

const FIRST = ["cpu", "gpu", "device", "chip", "driver"];
/** Without an event. */
const QUIET_MS = 15_000;
let shown = null;

async function refresh() {
  const devices = await readAll("/devices");
  part("none").hidden = devices.length > 0;
  const signature = JSON.stringify(devices);
  if (signature !== shown) {
    shown = signature;
    part("devices").replaceChildren(...devices.map(card));
  }
  return QUIET_MS;
}

function card(device) {
  const alive = device.alive.length;
  const titled = `device-${device.hardware_key}`;
  return element(
    "article", { class: "card device", "data-busy": String(alive > 0), "aria-labelledby": titled },
    element("h2", { id: titled }, nameOf(device)),
    element("p", { class: "standing" }, alive ? `${alive} worker${alive > 1 ? "s" : ""} alive here` : "no worker is alive here"),
    definitions([
      ["hardware key", element("span", { class: "hash" }, device.hardware_key)],
      ["measures", device.targets.map(targetText).join("; ") || null],
      ["workers", device.workers.join(", ") || null],
      ["studies", device.studies.length ? links(device.studies) : null],
      ...device.drifts.map((drift) => [`drift, ${drift.target}`, driftText(drift)]),
    ]),
    environment(device.environment),
    ...calibrations(device),
  );
}

/** What people call the machine: its processor, or else its key. */
function nameOf({ environment, hardware_key }) {
  const named = FIRST.map((key) => environment?.[key]).find(Boolean);
  return named ?? `hardware ${hardware_key}`;
}

function links(studies) {
  const list = studies.flatMap((name, place) => [place ? ", " : "", element("a", { href: `/studies/${encodeURIComponent(name)}` }, name)]);
  return element("span", {}, ...list);
}

function environment(values) {
  const pairs = Object.entries(values ?? {});
  if (!pairs.length) return null;
  const list = definitions(pairs.map(([key, value]) => [key.replace(/_/g, " "), value]));
  return element("details", { class: "environment" }, element("summary", {}, "Environment"), list);
}

function calibrations(device) {
  if (!device.calibrations.length) return [element("p", { class: "caption bare" }, "Never calibrated: latencies are measured here, none is predicted.")];
  return [element("h3", {}, "Calibrations"), ...device.calibrations.map(calibrationPart)];
}

live("/events", refresh, document.getElementById("link"));
