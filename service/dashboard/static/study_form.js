// The fields of the new study as a specification: what is empty is left out, what cannot be read goes as it is, so that
// the service says at its key what is wrong.

const NUMBERS = /^(target\.(batch|length|threads)|budget\.(trials|finalists|parallel|calibration)|distillation\.(steps|batch_size|max_length|learning_rate)|seed)$/;
const DIMENSIONS = /^search_space\.(?!constraints)/;
const LINES = ["constraints", "search_space.constraints"];
const DEFAULTS = {
  "task.kind": "classification", "target.device": "cpu", "target.runtime": "torch", "target.dtype": "float32", strategy: "pareto",
  "budget.measuring": "search", "budget.final_measuring": "report", search_space: "bert",
};

/** The specification that these fields describe; `value(key)` is a field's text. */
export function specification(keys, value) {
  const spec = {};
  const own = value("search_space") === "";
  for (const key of keys) {
    const text = value(key);
    if (text === "" || text === false || text === DEFAULTS[key]) continue;
    if (!own && key.startsWith("search_space.")) continue;
    put(spec, key.split("."), read(key, text));
  }
  return spec;
}

function read(key, text) {
  if (text === true) return true;
  if (LINES.includes(key)) return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (key === "task.text") return text.split(",").map((word) => word.trim()).filter(Boolean);
  if (DIMENSIONS.test(key)) return dimension(text);
  return NUMBERS.test(key) ? number(text) : text;
}

/** "4", "1, 2, 4", "24-192 step 24": a number, a list, a range; anything else stays text. */
export function dimension(text) {
  const range = /^(\d+)\s*(?:-|–|to|\.\.)\s*(\d+)(?:\s*(?:step|by)\s*(\d+))?$/.exec(text);
  if (range) {
    const [low, high, step] = range.slice(1).map((digits) => (digits === undefined ? undefined : Number(digits)));
    return step === undefined ? { low, high } : { low, high, step };
  }
  const words = text.split(/[\s,]+/).filter(Boolean);
  if (words.length && words.every((word) => /^\d+$/.test(word))) return words.length > 1 ? words.map(Number) : Number(words[0]);
  return text;
}

function number(text) {
  const value = Number(text.replace(/[\s_]/g, ""));
  return Number.isFinite(value) ? value : text;
}

function put(owner, [key, ...rest], value) {
  if (!rest.length) owner[key] = value;
  else put((owner[key] = typeof owner[key] === "object" ? owner[key] : {}), rest, value);
}
