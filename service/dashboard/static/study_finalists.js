// The trials that are distilled in full, as the API shows them: few, whatever the number of trials.

import { read } from "./api.js";

/** Every finalist of the study. */
export async function readFinalists(path, columns) {
  const count = Object.values(columns.study.finalists).reduce((sum, number) => sum + number, 0);
  if (!count) return [];
  const trials = await read(`${path}/trials?on_front=true&state=completed&limit=1000`);
  const found = new Map(trials.filter((trial) => trial.finalist).map((trial) => [trial.number, trial]));
  const missing = distilled(columns).filter((number) => !found.has(number));
  for (const trial of await Promise.all(missing.map((number) => read(`${path}/trials/${number}`)))) found.set(trial.number, trial);
  return [...found.values()];
}

/** The numbers of those that were distilled in full: one may have left the front when the study was extended. */
function distilled(columns) {
  const known = Object.values(columns.full);
  return columns.where((place) => known.some((values) => values[place] !== null)).map((place) => columns.numbers[place]);
}
