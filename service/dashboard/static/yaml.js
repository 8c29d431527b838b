// JSON values as the YAML that people keep: mappings as blocks, what is small on one line.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_./-]*$/;
const WORDS = /^(true|false|null|yes|no|on|off)$/i;

/** The mapping as a YAML document, its keys in the order that they have. */
export function yaml(values) {
  return block(values, "");
}

function block(values, indent) {
  return Object.entries(values).map(([key, value]) => `${indent}${scalar(key)}:${entry(value, indent)}`).join("");
}

function entry(value, indent) {
  if (Array.isArray(value)) return value.every((item) => typeof item === "number") || !value.length ? ` ${flow(value)}\n` : `\n${items(value, indent)}`;
  if (typeof value !== "object" || value === null) return ` ${scalar(value)}\n`;
  const small = Object.values(value).every((item) => typeof item !== "object") && flow(value).length < 60;
  return small && indent ? ` ${flow(value)}\n` : `\n${block(value, `${indent}  `)}`;
}

function items(values, indent) {
  return values.map((value) => `${indent}  - ${typeof value === "object" ? flow(value) : scalar(value)}\n`).join("");
}

function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value !== "object" || value === null) return scalar(value);
  return `{${Object.entries(value).map(([key, item]) => `${scalar(key)}: ${flow(item)}`).join(", ")}}`;
}

/** Text without quotes only where nobody could read it as something else. */
function scalar(value) {
  if (typeof value !== "string") return String(value);
  return PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);
}
