// What may be done to a study: fills every `<div data-actions="NAME">` of the page with buttons, and tells the page with
// an event `study-changed` on the document when something was done.

import { Refused, read } from "./api.js";
import { confirmed } from "./dialog.js";
import { element } from "./dom.js";
import { counted } from "./format.js";
import { goOn, rest } from "./live.js";
import { send } from "./send.js";

const FORMATS = { csv: "CSV", json: "JSON", parquet: "Parquet" };
const TOTALS = { trials: "Trials in all", finalists: "Finalists in all", device_hours: "Device hours in all" };
const OVER = ["completed", "failed"];
const EACH_MS = 4000;

/** Whether whoever looks may do nothing but read. */
const ONLY_READS = "onlyReads" in document.body.dataset;

/** Whether the study is being deleted. */
let isGoing = false;
const latest = new WeakMap();

for (const place of document.querySelectorAll("[data-actions]")) keep(place);

/** Shows what may be done now, and looks again while the study can change. */
async function keep(place) {
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", "What may be done to this study");
  const refresh = async () => {
    try {
      const study = await read(pathOf(place.dataset.actions));
      latest.set(place, study);
      show(place, study.state, refresh);
    } catch (error) {
      // That the service is gone the page itself says.
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    }
  };
  document.addEventListener("study-changed", refresh);
  setInterval(() => document.hidden || isGoing || refresh(), EACH_MS);
  await refresh();
}

/** Only another state changes the buttons: what is open stays open. */
function show(place, state, refresh) {
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  const over = OVER.includes(state);
  const stopped = state === "stopped";
  const said = element("p", { class: "notice", role: "alert", hidden: true });
  const button = (title, name, ask) => {
    const done = () => ask(latest.get(place)).then(refresh, (error) => {
      said.textContent = error.message;
      said.hidden = false;
    });
    return element("button", { type: "button", class: name === "delete" ? "button danger" : "button", "data-action": name, onclick: done }, title);
  };
  const buttons = [
    ONLY_READS || over || stopped ? null : button("Stop", "stop", stop),
    !ONLY_READS && stopped ? button("Resume", "resume", (study) => act(study, "resume")) : null,
    ONLY_READS || state === "failed" ? null : button("Extend", "extend", extend),
    downloads(place.dataset.actions),
    !ONLY_READS && (over || stopped) ? button("Delete", "delete", remove) : null,
    said,
  ];
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.action : null;
  place.replaceChildren(...buttons.filter(Boolean));
  if (focused) (place.querySelector(`[data-action="${focused}"]`) ?? place.firstElementChild).focus();
}

async function act(study, verb, body) {
  await send("POST", `${pathOf(study.name)}:${verb}`, body);
  document.dispatchEvent(new CustomEvent("study-changed", { detail: study.name }));
}

function stop(study) {
  const text = ["Nothing new is begun, and what runs is given back. All that was found stays, and the study can be resumed where it was."];
  return confirmed({ title: `Stop ${study.name}?`, text, verb: "Stop the study", act: () => act(study, "stop") });
}

function extend(study) {
  const { budget } = study.spec;
  const fields = Object.entries(TOTALS)
    .filter(([name]) => typeof budget[name] === "number")
    .map(([name, title]) => ({ name, title, value: budget[name], least: budget[name], step: name === "device_hours" ? "any" : 1 }));
  const ask = async (values) => {
    const larger = Object.entries(values).filter(([name, value]) => value !== budget[name]);
    if (!larger.length) throw new Error("Raise at least one of them.");
    await act(study, "extend", Object.fromEntries(larger));
  };
  return confirmed({ title: `Extend ${study.name}`, text: ["The search goes on from what it knows, up to these totals."], fields, verb: "Extend", act: ask });
}

function remove(study) {
  const text = [`The study, its ${counted(Object.values(study.trials).reduce((sum, many) => sum + many, 0), "trial")} and all that is known of them are deleted. This cannot be undone.`];
  const gone = async () => {
    isGoing = true;
    await rest(); // or the page would ask for what is gone
    try {
      await send("DELETE", pathOf(study.name));
    } catch (error) {
      isGoing = false;
      goOn();
      throw error;
    }
    location.assign("/");
  };
  return confirmed({ title: `Delete ${study.name}?`, text, verb: "Delete for good", danger: true, act: gone });
}

/** A disclosure of links; the browser saves what they answer. */
function downloads(name) {
  const links = Object.entries(FORMATS).map(([format, title]) =>
    element("li", {}, element("a", { href: `/v1${pathOf(name)}/export?format=${format}`, download: `${name}.${format}` }, `Trials as ${title}`)),
  );
  const menu = element("details", { class: "menu" }, element("summary", { class: "button", "data-action": "download" }, "Download"), element("ul", {}, ...links));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  return menu;
}

function pathOf(name) {
  return `/studies/${encodeURIComponent(name)}`;
}
