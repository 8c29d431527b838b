// The page of all studies, a page at a time: as soon there with ten thousand of them as with ten.

import { readPage } from "./api.js";
import { element, setText, show } from "./dom.js";
import { moment, volume } from "./format.js";
import { live } from "./live.js";
import { aboutText, cost, isOver, remaining, stageProgress, trialsText } from "./study_summary.js";

const body = document.querySelector("#studies tbody");
const filter = document.getElementById("studies-filter");
const state = document.getElementById("studies-state");
const IDLE_MS = 10_000;
const TYPING_MS = 150;
/** As the service has it for the first paint. */
const ROWS = 50;
/** With fewer there is nothing to look for. */
const FEW = 6;
/** Of names of studies; with any other sign in it, a text is in none. */
const SIGNS = /^[a-z0-9._-]*$/i;
/** Where each page up to the present one begins. */
let begins = [null];
let next = null;
let shown = null;

async function refresh() {
  const asked = address();
  const page = SIGNS.test(wanted()) ? await readPage(`/studies?${asked}`) : { items: [], next: null };
  if (asked === address()) showPage(page.items, page.next);
  return IDLE_MS;
}

/** What is asked for, as a query. */
function address() {
  const query = new URLSearchParams({ limit: ROWS });
  if (wanted()) query.set("name", wanted());
  if (state.value) query.set("state", state.value);
  if (begins.at(-1) !== null) query.set("cursor", begins.at(-1));
  return String(query);
}

function showPage(studies, following) {
  next = following;
  const signature = JSON.stringify(studies.map(cells));
  if (signature !== shown) {
    shown = signature;
    const focused = document.activeElement?.closest?.("tr")?.dataset.name;
    body.replaceChildren(...studies.map(cells).map(row));
    if (focused) body.querySelector(`[data-name="${CSS.escape(focused)}"] a`)?.focus();
  }
  const isWhole = begins.length === 1 && next === null;
  const isFiltered = Boolean(wanted() || state.value);
  show("studies", studies.length > 0);
  show("empty", !studies.length && isWhole && !isFiltered);
  show("studies-tools", isFiltered || !isWhole || studies.length > FEW);
  show("studies-pages", !isWhole);
  document.getElementById("studies-first").disabled = document.getElementById("studies-before").disabled = begins.length === 1;
  document.getElementById("studies-after").disabled = next === null;
  setText("studies-told", told(studies, isWhole, isFiltered));
}

/** How many studies there are, by state; of many, which of them are shown. */
function told(studies, isWhole, isFiltered) {
  if (!studies.length) return isFiltered ? "There is no such study." : "";
  if (!isWhole) {
    const first = (begins.length - 1) * ROWS;
    return `Studies ${first + 1} to ${first + studies.length}${next === null ? ` of ${first + studies.length}` : ""}, the newest first`;
  }
  const counts = new Map();
  for (const study of studies) counts.set(study.state, (counts.get(study.state) ?? 0) + 1);
  return [...counts].map(([each, count]) => `${count} ${each}`).join(", ");
}

function cells(study) {
  const { spec } = study;
  const numbers = [trialsText(study), study.front_size.toLocaleString("en"), volume(study.hypervolume), remaining(study)];
  const share = isOver(study) || study.state === "stopped" ? study.spent_trials / spec.budget.trials : stageProgress(study);
  return { name: study.name, about: aboutText(spec), state: study.state, priority: spec.priority ?? 0, share, numbers, cost: cost(study), created: study.created_at };
}

function row({ name, about, state: standing, priority, share, numbers: [trials, front, hypervolume, left], cost: taken, created }) {
  const link = element("a", { href: `/studies/${encodeURIComponent(name)}` }, name);
  const first = priority ? [element("span", { class: "under" }, `priority ${priority}`)] : [];
  return element(
    "tr", { "data-name": name },
    element("td", {}, link, element("span", { class: "under" }, about)),
    element("td", {}, element("span", { class: "state", "data-state": standing }, standing), ...first),
    element("td", { class: "number" }, trials, element("progress", { max: 1, value: share ?? 0, "aria-label": "Progress of the stage" })),
    element("td", { class: "number wide" }, front),
    element("td", { class: "number wide" }, hypervolume),
    element("td", { class: "number" }, left),
    element("td", { class: "number wide" }, taken ?? "–"),
    element("td", { class: "wide quiet" }, element("time", { datetime: created }, moment(created))),
  );
}

function wanted() {
  return filter.value.trim();
}

/** Shows the page that begins where the last one of `pages` does. */
function turn(pages) {
  begins = pages;
  next = null; // until the page is there
  follower.turn();
}

let typing = null;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => turn([null]), TYPING_MS);
});
state.addEventListener("change", () => turn([null]));
document.getElementById("studies-first").addEventListener("click", () => turn([null]));
document.getElementById("studies-before").addEventListener("click", () => turn(begins.slice(0, -1)));
document.getElementById("studies-after").addEventListener("click", () => next !== null && turn([...begins, next]));
const follower = live("/events", refresh, document.getElementById("link"));
