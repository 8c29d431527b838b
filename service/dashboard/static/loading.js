// How an exported student is loaded, and text that can be copied.

import { element } from "./dom.js";

/** The lines that load an exported checkpoint from where it lies, or the command that puts it somewhere. */
export function loadingLines(study, trial) {
  if (!trial.finalist.folder) return [`stillhouse export ${study.name}`];
  const folder = JSON.stringify(trial.finalist.folder);
  const use = USES[study.spec.task.kind];
  if (!use) {
    return [
      "from transformers import AutoModelForQuestionAnswering, AutoTokenizer",
      `model = AutoModelForQuestionAnswering.from_pretrained(${folder}, trust_remote_code=True)`,
      `tokenizer = AutoTokenizer.from_pretrained(${folder})`,
    ];
  }
  return [
    "from transformers import pipeline",
    `${use.name} = pipeline("${use.pipeline}", ${folder}, trust_remote_code=True)`,
    `${use.name}("${use.text}")`,
  ];
}

/** What transformers calls the use of each kind of task; it has no pipeline that answers questions. */
const USES = {
  classification: { pipeline: "text-classification", name: "classify", text: "Compute the eigenvalues of a symmetric matrix." },
  regression: { pipeline: "text-classification", name: "rate", text: "Compute the eigenvalues of a symmetric matrix." },
  token_classification: { pipeline: "token-classification", name: "tag", text: "Ada Lovelace was born in London." },
  masked_lm: { pipeline: "fill-mask", name: "fill", text: "Ada Lovelace was born in [MASK]." },
};

/** [button, text]: lines and the button that copies them. */
export function snippetOf(lines) {
  const code = element("code", {}, lines);
  const copy = element("button", { type: "button", class: "copy" }, "copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(lines, code)) ? "copied" : "select and copy by hand";
    setTimeout(() => (copy.textContent = "copy"), 2000);
  });
  return [copy, element("pre", { tabindex: 0, role: "region", "aria-label": "Lines to copy" }, code)];
}

/** The clipboard is only given to pages on localhost or https; elsewhere the text is selected and copied the old way. */
async function copied(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
