// A question before something is done: modal, closed by Escape, and honest about what went wrong.

import { element } from "./dom.js";

let asked = 0;

/**
 * Asks, with `fields` of numbers if there are any, and calls `act` with their values by name when it is affirmed. An
 * error keeps the question open and is told in it. Resolves when the dialog is closed.
 */
export function confirmed({ title, text, verb, fields = [], danger = false, act }) {
  const id = `dialog-${++asked}`;
  const wrong = element("p", { class: "notice", role: "alert", hidden: true });
  const inputs = fields.map((field) => [field, element("input", { id: `${id}-${field.name}`, type: "number", min: field.least, step: field.step, value: field.value, required: true })]);
  const yes = element("button", { type: "submit", class: danger ? "button danger" : "button main" }, verb);
  const no = element("button", { type: "button", class: "button" }, "Cancel");
  const form = element(
    "form", { novalidate: true },
    element("h2", { id: `${id}-title` }, title),
    ...text.map((line) => element("p", {}, line)),
    ...inputs.map(([field, input]) => element("div", { class: "field" }, element("label", { for: input.id }, field.title), input)),
    wrong,
    element("p", { class: "answers" }, no, yes),
  );
  const dialog = element("dialog", { "aria-labelledby": `${id}-title` }, form);
  const before = document.activeElement;
  no.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    yes.disabled = true;
    try {
      await act(Object.fromEntries(inputs.map(([field, input]) => [field.name, input.valueAsNumber])));
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      yes.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  (inputs[0]?.[1] ?? no).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve();
    });
  });
}
