// What a finalist's export holds: its files with their sizes, where it comes from, and who taught it.

import { read } from "./api.js";
import { assistantsFigure } from "./assistants_figure.js";
import { definitions, element } from "./dom.js";
import { bytes } from "./sizes.js";
import { fill } from "./parts.js";

const PROVENANCE = "provenance.json";
let shown = null;

/** Fills the parts `files`, `provenance` and `assistants` from what the trial left as artefacts, once for each. */
export async function showExport(study, trial) {
  const exported = trial.finalist?.export ?? null;
  const weights = trial.evaluation?.weights ?? null;
  const signature = `${exported} ${weights}`;
  if (signature === shown) return;
  shown = signature;
  const files = exported ? await filesOf(exported) : null;
  const flash = weights ? [["flash student’s weights", weights, `${study.name}-trial-${trial.number}-flash.safetensors`]] : [];
  const all = [...Object.entries(files ?? {}).map(([name, identity]) => [name, identity, name.split("/").pop()]), ...flash];
  fill("files", all.length ? fileTable(all) : null);
  const provenance = files?.[PROVENANCE] ? await read(`/artefacts/${files[PROVENANCE]}`).catch(() => null) : null;
  const known = provenance?.hashes ? provenance : null;
  fill("provenance", known && provenanceList(known));
  fill("assistants", ...assistantsFigure(known?.assistance, study.spec));
}

/** Names and artefacts of an export, a folder; null where its manifest cannot be read. */
async function filesOf(identity) {
  return (await read(`/artefacts/${identity}`).catch(() => null))?.files ?? null;
}

/** Sizes are asked for one by one, and written when they are known. */
function fileTable(files) {
  const rows = files.map(([name, identity, saved]) => {
    const size = element("td", { class: "number" }, "…");
    sizeOf(identity).then((known) => (size.textContent = known));
    const link = element("a", { href: `/v1/artefacts/${identity}`, download: saved }, name);
    return element("tr", {}, element("td", {}, link), size, element("td", { class: "wide hash" }, identity.slice(0, 12)));
  });
  const head = element("tr", {}, element("th", { scope: "col" }, "File"), element("th", { scope: "col", class: "number" }, "Size"), element("th", { scope: "col", class: "wide" }, "SHA-256"));
  return element("div", { class: "scroll" }, element("table", { class: "tight" }, element("thead", {}, head), element("tbody", {}, ...rows)));
}

async function sizeOf(identity) {
  const response = await fetch(`/v1/artefacts/${identity}`, { method: "HEAD" }).catch(() => null);
  return response?.ok ? bytes(Number(response.headers.get("Content-Length"))) : "–";
}

function provenanceList(provenance) {
  const { hashes, surroundings, preparation } = provenance;
  const all = (values) => Object.entries(values).map(([key, value]) => `${key} ${value}`).join(", ");
  return element("div", { class: "columns" }, definitions([
    ["teacher", `${preparation.teacher.model}, ${hashes.teacher.slice(0, 12)}`],
    ["data", `${provenance.task.dataset.source}, ${hashes.data.slice(0, 12)}`],
    ["tokenizer", hashes.tokenizer.slice(0, 12)],
    ["before", hashes.initial.slice(0, 12)],
    ["after", hashes.final.slice(0, 12)],
    ["exported", hashes.export?.slice(0, 12)],
    ["steps", `${provenance.steps} at ${provenance.fidelity} fidelity`],
    ["seed", provenance.seed],
  ]), definitions([
    ["device", `${surroundings.device}, ${surroundings.threads} thread${surroundings.threads > 1 ? "s" : ""}`],
    ["machine", all(surroundings.machine)],
    ["versions", all(surroundings.versions)],
    ["teacher’s outputs", provenance.is_cached ? "from a cache" : "computed with the student’s batches"],
  ]));
}
