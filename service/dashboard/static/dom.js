// Elements built from text, never from markup: what a user or a worker wrote cannot become HTML.

/** An element; `properties` are attributes, `on...` listeners and `class`; children are nodes or text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map(node));
  return made;
}

/** The same for SVG, whose attributes are all there is. */
export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** A definition list of [term, description] pairs; pairs without a description are left out. */
export function definitions(pairs) {
  const known = pairs.filter(([, description]) => description !== null && description !== undefined);
  return element("dl", {}, ...known.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
}

/** Sets text only where it changed, so that screen readers are not told twice and selections stay. */
export function setText(id, text) {
  const found = document.getElementById(id);
  if (found && found.textContent !== text) found.textContent = text;
}

export function show(id, visible) {
  const found = document.getElementById(id);
  if (found) found.hidden = !visible;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
