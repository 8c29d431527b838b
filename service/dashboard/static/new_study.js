// A new study by form: what it would search is counted while it is written, and what is wrong is said at its field.

import { copyButton } from "./copy.js";
import { part, write } from "./parts.js";
import { send } from "./send.js";
import { spacePreview } from "./space_preview.js";
import { specification } from "./study_form.js";
import { yaml } from "./yaml.js";

const PAUSE_MS = 350;
/** The preview needs a name, and the study may have none yet. */
const NAMELESS = "unnamed";
const form = part("form");
const fields = [...form.querySelectorAll("[data-key]")];
const metrics = JSON.parse(form.dataset.metrics);
let timer = null;
let turn = 0;

const value = (key) => {
  const field = fields.find((each) => each.dataset.key === key);
  return field.type === "checkbox" ? field.checked : field.value.trim();
};
const spec = () => specification(fields.map((field) => field.dataset.key), value);

async function preview() {
  const mine = ++turn;
  part("standing").textContent = "Counting…";
  try {
    const found = await send("POST", "/preview", { spec: { name: NAMELESS, ...spec() } });
    if (mine !== turn) return;
    mark([]);
    write("standing", `${found.size.toLocaleString("en-US")} architectures of ${found.grid_points.toLocaleString("en-US")} combinations.`);
    part("space").replaceChildren(...spacePreview(found));
    part("space").classList.remove("stale");
  } catch (error) {
    if (mine !== turn) return;
    mark(error.errors ?? []);
    write("standing", error.errors?.length ? "Not a study yet: see what is marked." : error.message);
    part("space").classList.add("stale");
  }
}

/** Says at each field what is wrong with it, and below the form what belongs to none. */
function mark(errors) {
  const told = new Map();
  const others = [];
  for (const line of errors) {
    const [, key, message] = /^([\w.-]+): (.*)$/s.exec(line) ?? [null, "", line];
    const field = nearest(key);
    if (field) told.set(field, [...(told.get(field) ?? []), field.dataset.key === key ? message : line]);
    else others.push(line);
  }
  for (const field of fields) {
    const said = told.get(field)?.join("; ") ?? "";
    const place = form.querySelector(`[id="${CSS.escape(field.dataset.key)}-said"] .wrong`);
    if (place && place.textContent !== said) place.textContent = said;
    if (said) {
      field.setAttribute("aria-invalid", "true");
      field.closest("details")?.setAttribute("open", "");
    } else field.removeAttribute("aria-invalid");
  }
  part("problem").hidden = !others.length;
  write("problem", others.join("\n"));
  return [...told.keys()];
}

/** The field of this key, or of the nearest one above it. */
function nearest(key) {
  for (let path = key; path; path = path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "") {
    const found = fields.find((field) => field.dataset.key === path);
    if (found && !found.closest("[hidden]")) return found;
  }
  return null;
}

function changed() {
  part("dimensions").hidden = value("search_space") !== "";
  const text = yaml(spec());
  write("yaml", text);
  part("download").download = `${value("name") || "study"}.yaml`;
  clearTimeout(timer);
  timer = setTimeout(preview, PAUSE_MS);
}

/** The metrics of the kind that is chosen; the first is its own. */
function offerMetrics() {
  const field = fields.find((each) => each.dataset.key === "task.metric");
  const before = field.value;
  const options = metrics[value("task.kind")].map((name) => new Option(name, name, false, name === before));
  field.replaceChildren(new Option("the kind’s own", ""), ...options);
}

async function start(event) {
  event.preventDefault();
  clearTimeout(timer);
  turn += 1;
  const made = spec();
  part("start").disabled = true;
  try {
    const study = await send("POST", "/studies", { spec: made }, { "Idempotency-Key": await digest(made) });
    location.assign(`/studies/${encodeURIComponent(study.name)}`);
  } catch (error) {
    const taken = error.code === "study_differs" ? [`name: ${error.message}`] : error.errors?.length ? error.errors : [error.message];
    const marked = mark(taken);
    (marked[0] ?? part("problem")).focus();
    write("standing", "Not started: see what is marked.");
  } finally {
    part("start").disabled = false;
  }
}

/** Equal studies have equal keys, so that a click that was heard twice starts one. */
async function digest(made) {
  const text = JSON.stringify(made);
  if (!crypto.subtle) return `form-${[...text].reduce((sum, sign) => (sum * 31 + sign.codePointAt(0)) >>> 0, 7)}`;
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `form-${[...bytes.slice(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

part("copy").append(copyButton(() => part("yaml").textContent, part("yaml")));
part("download").addEventListener("click", (event) => {
  event.currentTarget.href = URL.createObjectURL(new Blob([part("yaml").textContent], { type: "application/yaml" }));
});
form.addEventListener("input", (event) => {
  if (event.target.dataset.key === "task.kind") offerMetrics();
  changed();
});
form.addEventListener("submit", part("start") ? start : (event) => event.preventDefault());
offerMetrics();
changed();
