// Which trials of the table are chosen to be compared: two to five, also of different pages of it.

import { element } from "./dom.js";

const FEWEST = 2;
const MOST = 5;

export class ChosenTrials {
  /** `place` says how many are chosen, and leads to their comparison. */
  constructor(place) {
    this.place = place;
    this.numbers = new Set();
    this.boxes = new Map();
    this.said = element("span", { role: "status" });
    this.link = element("a", { class: "button" });
    const none = element("button", { type: "button", class: "plainly", onclick: () => this.choose([]) }, "choose none");
    place.replaceChildren(this.link, this.said, none);
  }

  /** The box of this trial's row; there is one of each. */
  box(study, number) {
    this.study = study;
    const box = element("input", { type: "checkbox", class: "compared", "aria-label": `Compare trial ${number}` });
    box.addEventListener("change", () => this.choose(box.checked ? [...this.numbers, number] : [...this.numbers].filter((other) => other !== number)));
    this.boxes.set(number, box);
    this.show();
    return box;
  }

  /** The row is gone; what was chosen in it stays so. */
  forget(number) {
    this.boxes.delete(number);
  }

  choose(numbers) {
    const inside = this.place.contains(document.activeElement);
    this.numbers = new Set(numbers);
    this.show();
    if (inside && this.place.hidden) this.boxes.values().next().value?.focus();
  }

  show() {
    const { size } = this.numbers;
    for (const [number, box] of this.boxes) {
      box.checked = this.numbers.has(number);
      box.disabled = !box.checked && size >= MOST;
    }
    this.place.hidden = !size;
    const chosen = [...this.numbers].sort((a, b) => a - b);
    this.link.hidden = size < FEWEST;
    this.link.textContent = `Compare ${size} trials`;
    if (size) this.link.href = `/studies/${encodeURIComponent(this.study)}/compare?trials=${chosen.join(",")}`;
    const more = size < FEWEST ? `${chosen.join()} is chosen: choose another one to compare it with` : chosen.join(", ");
    this.said.textContent = `${size > 1 ? "trials" : "trial"} ${more}${size >= MOST ? ", which is as many as are compared" : ""}`;
  }
}
