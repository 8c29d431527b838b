// A button that puts text on the clipboard, and says whether it could.

import { element } from "./dom.js";

const SAID_MS = 2000;

/** Copies `text()`; where the browser gives no clipboard, the text inside `source` is selected instead. */
export function copyButton(text, source, title = "copy") {
  const button = element("button", { type: "button", class: "copy" }, title);
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text(), source)) ? "copied" : "select and copy by hand";
    setTimeout(() => (button.textContent = title), SAID_MS);
  });
  return button;
}

/** The clipboard is only given to pages on localhost or https; elsewhere the text is selected and copied the old way. */
async function copied(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
