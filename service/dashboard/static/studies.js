// The page of all studies.

import { read } from "./api.js";
import { element, setText, show } from "./dom.js";
import { moment, volume } from "./format.js";
import { live } from "./live.js";
import { cost, isOver, remaining, stageProgress, trialsText } from "./study_summary.js";

const body = document.querySelector("#studies tbody");
const filter = document.getElementById("studies-filter");
const IDLE_MS = 10_000;
/** With fewer there is nothing to look for. */
const FEW = 6;
let studies = [];
let shown = null;

async function refresh() {
  studies = await read("/studies");
  showAll();
  return IDLE_MS;
}

function showAll() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = studies.map(cells);
  const rows = all.filter((row) => words.every((word) => JSON.stringify(row).toLowerCase().includes(word)));
  const signature = JSON.stringify(rows);
  if (signature !== shown) {
    shown = signature;
    const focused = document.activeElement?.closest?.("tr")?.dataset.name;
    body.replaceChildren(...rows.map(row));
    if (focused) body.querySelector(`[data-name="${CSS.escape(focused)}"] a`)?.focus();
  }
  show("studies", studies.length > 0);
  show("empty", studies.length === 0);
  show("studies-tools", studies.length > FEW);
  setText("studies-told", told(rows.length));
}

/** How many studies there are, by state. */
function told(matching) {
  if (!studies.length) return "";
  const counts = new Map();
  for (const { state } of studies) counts.set(state, (counts.get(state) ?? 0) + 1);
  const states = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
  return matching === studies.length ? states : `${matching} of ${studies.length} studies`;
}

function cells(study) {
  const { spec } = study;
  const about = spec.external ? "evaluated elsewhere" : `${spec.teacher.model} → ${spec.task.dataset.source}`;
  const numbers = [trialsText(study), String(study.front_size), volume(study.hypervolume), remaining(study)];
  const share = isOver(study) || study.state === "stopped" ? study.spent_trials / spec.budget.trials : stageProgress(study);
  return { name: study.name, about, state: study.state, priority: spec.priority ?? 0, share, numbers, cost: cost(study), created: study.created_at };
}

function row({ name, about, state, priority, share, numbers: [trials, front, hypervolume, left], cost: taken, created }) {
  const link = element("a", { href: `/studies/${encodeURIComponent(name)}` }, name);
  const first = priority ? [element("span", { class: "under" }, `priority ${priority}`)] : [];
  return element(
    "tr", { "data-name": name },
    element("td", {}, link, element("span", { class: "under" }, about)),
    element("td", {}, element("span", { class: "state", "data-state": state }, state), ...first),
    element("td", { class: "number" }, trials, element("progress", { max: 1, value: share ?? 0, "aria-label": "Progress of the stage" })),
    element("td", { class: "number" }, front),
    element("td", { class: "number wide" }, hypervolume),
    element("td", { class: "number" }, left),
    element("td", { class: "number wide" }, taken ?? "–"),
    element("td", { class: "wide quiet" }, element("time", { datetime: created }, moment(created))),
  );
}

filter.addEventListener("input", showAll);
live("/events", refresh, document.getElementById("link"));
