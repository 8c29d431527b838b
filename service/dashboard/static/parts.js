// The places of a page that its script fills: elements with `data-part`.

/** The element of this name. */
export function part(name) {
  return document.querySelector(`[data-part="${name}"]`);
}

/** Fills a part and shows the section around it; without children the section is hidden. */
export function fill(name, ...children) {
  const place = part(name);
  const given = children.filter((child) => child !== null && child !== undefined && child !== "");
  const section = place.closest("section") ?? place;
  section.hidden = !given.length;
  if (given.length) place.replaceChildren(...given);
  return place;
}

/** Sets text only where it changed, so that screen readers are not told twice and selections stay. */
export function write(name, text) {
  const place = part(name);
  if (place.textContent !== text) place.textContent = text;
}
