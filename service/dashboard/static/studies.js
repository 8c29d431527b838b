// The page of all studies.

import { follow, read } from "./api.js";
import { element, show } from "./dom.js";
import { volume } from "./format.js";
import { remaining, trialsText } from "./study_summary.js";

const body = document.querySelector("#studies tbody");
let shown = null;

async function refresh() {
  const studies = await read("/studies");
  const rows = studies.map(cells);
  const signature = JSON.stringify(rows);
  if (signature !== shown) {
    shown = signature;
    show("studies", studies.length > 0);
    show("empty", studies.length === 0);
    const focused = document.activeElement?.closest?.("tr")?.dataset.name;
    body.replaceChildren(...rows.map(row));
    if (focused) body.querySelector(`[data-name="${CSS.escape(focused)}"] a`)?.focus();
  }
  return true;
}

function cells(study) {
  const about = `${study.spec.teacher.model} → ${study.spec.task.dataset.source}`;
  const numbers = [trialsText(study), String(study.front_size), volume(study.hypervolume), remaining(study)];
  const share = [study.spent_trials, study.spec.budget.trials];
  return { name: study.name, about, state: study.state, share, numbers };
}

function row({ name, about, state, share: [ended, all], numbers: [trials, front, hypervolume, left] }) {
  const link = element("a", { href: `/studies/${encodeURIComponent(name)}` }, name);
  return element(
    "tr", { "data-name": name },
    element("td", {}, link, element("span", { class: "under" }, about)),
    element("td", {}, element("span", { class: "state", "data-state": state }, state)),
    element("td", { class: "number" }, trials, element("progress", { max: all, value: ended, "aria-label": "Trials ended" })),
    element("td", { class: "number" }, front),
    element("td", { class: "number wide" }, hypervolume),
    element("td", { class: "number" }, left),
  );
}

follow(refresh, document.getElementById("link"));
