// Numbers as people read them. The wire carries seconds and shares; the screen shows milliseconds.

export const NONE = "–";

/** 0.00184 -> "1.84 ms", which does not break. */
export function latency(seconds) {
  return seconds === null || seconds === undefined ? NONE : `${significant(seconds * 1e3, 3)}\u00a0ms`;
}

/** A metric's name as a heading: "macro_f1" -> "Macro f1". */
export function heading(name) {
  const words = name.replace(/_/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** 25359000 -> "25.4M", as the command line writes it. */
export function count(value) {
  if (value === null || value === undefined) return NONE;
  for (const [factor, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= 0.9995 * factor) return `${significant(value / factor, 3)}${suffix}`;
  }
  return String(value);
}

/** (1, "trial") -> "1 trial", (3, "trial") -> "3 trials". */
export function counted(many, noun) {
  return `${many.toLocaleString("en")} ${noun}${many === 1 ? "" : "s"}`;
}

/** A share such as an accuracy, to a tenth of a point. */
export function quality(value) {
  return value === null || value === undefined ? NONE : minus(value.toFixed(3));
}

/** A score's 95 % interval. */
export function interval(score) {
  return `${quality(score.low)} to ${quality(score.high)}`;
}

/** The difference of two shares in points: -0.019 -> "−1.9". */
export function points(difference) {
  const text = (difference * 100).toFixed(1);
  return minus(difference > 0 && Number(text) !== 0 ? `+${text}` : text);
}

/** Whether less of the task's metric is better, as the study's objectives say. */
export function lessIsBetter(spec) {
  return spec.objectives.some(({ metric, direction }) => metric === spec.task.metric && direction === "minimize");
}

/** A value of the task's metric against another one: of shares "−1.9 points", of numbers of any size "+4.0 %". */
export function against(value, other, spec) {
  return lessIsBetter(spec) ? `${points(value / other - 1)} %` : `${points(value - other)} points`;
}

/** How much worse a value is than another one, as a share. */
export function shortfall(value, other, spec) {
  return lessIsBetter(spec) ? value / other - 1 : other - value;
}

export function ratio(value) {
  return value === null || value === undefined ? NONE : `${significant(value, 2)}×`;
}

export function volume(value) {
  return value === null || value === undefined ? NONE : significant(value, 4);
}

/** A waiting time: 200 -> "3 min 20 s", as `protocol.quantity.format_duration` writes it. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${padded(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${padded(minutes % 60)} min`;
}

export function moment(iso) {
  const when = new Date(iso);
  return Number.isNaN(when.getTime())
    ? String(iso)
    : when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** So many significant digits: 0.4123, 12.5. */
export function significant(value, digits) {
  if (!Number.isFinite(value)) return NONE;
  const rounded = Number(value.toPrecision(digits));
  const decimals = rounded === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  return minus(rounded.toFixed(Math.min(decimals, 12)));
}

function padded(value) {
  return String(value).padStart(2, "0");
}

function minus(text) {
  return text.replace("-", "−");
}
