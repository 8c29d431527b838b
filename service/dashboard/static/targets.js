// What a machine can measure, in words.

/** `cpu/torch`, with the chips that a compiler estimates for; older workers say it as text themselves. */
export function targetText(target) {
  if (typeof target === "string") return target;
  const chips = target.chips.filter(Boolean);
  return `${target.device}/${target.runtime}${chips.length ? ` (${chips.join(", ")})` : ""}`;
}
