// How an assistant was chosen: t(s) of every candidate over the share s of the teacher that it keeps; or, where each
// assistant that is named taught a student, how good those became.

import { chart, fitted, line, range, told, words } from "./chart.js";
import { drawing, element } from "./dom.js";
import { quality } from "./format.js";

const HEIGHT = 240;

/** A figure for each round, or one for an exhaustive search; nothing for a student that the teacher alone taught. */
export function assistantsFigure(assistance, spec) {
  const rounds = assistance?.rounds ?? [];
  const metric = spec.task.metric;
  const own = { name: metric, kind: "flash", value: (point) => point.selection.value };
  if (rounds.length && rounds.every((round) => round.points.every((point) => point.student))) {
    const points = rounds.flatMap((round) => round.points);
    const chosen = points.reduce((best, point) => (point.student.value > best.student.value ? point : best));
    const students = { name: "its student", kind: "full", value: (point) => point.student.value };
    const text = `Each of ${points.length} assistants taught a student; kept is the best one, with ${metric} ${quality(chosen.student.value)}.`;
    return [figure(points, chosen, [own, students], metric, text)];
  }
  const merit = { name: "t(s)", kind: "full", value: (point) => point.tradeoff };
  return rounds.map((round, place) => {
    const chosen = round.chosen === null ? null : round.points[round.chosen];
    const title = rounds.length > 1 ? `Assistant ${place + 1}. ` : "";
    return figure(round.points, chosen, [own, merit], metric, `${title}${verdict(chosen, round.points, metric)}`);
  });
}

/** `series` are drawn over s, the last of them with the chosen point marked. */
function figure(given, chosen, series, metric, text) {
  const points = [...given].sort((a, b) => a.share - b.share);
  const place = element("div", { class: "canvas" });
  const x = { low: 0, high: 1, title: "s, the share that is kept", text: (value) => String(Number(value.toPrecision(2))) };
  const y = { ...range(points.flatMap((point) => series.map(({ value }) => value(point))), 0.1, 0.005), text: quality };
  const judged = series[series.length - 1];
  const name = `${judged.name} of ${points.length} candidates: ${points.map((point) => `${quality(judged.value(point))} at s ${quality(point.share)}`).join(", ")}`;
  fitted(place, (width) => {
    const made = chart({ width, height: HEIGHT, x, y, name, margin: { right: 84 } });
    for (const each of series) draw(made, points, each);
    for (const point of points) made.inside.append(dot(made, point, point === chosen, judged, metric));
    return made.svg;
  });
  return element("figure", {}, place, element("figcaption", { class: "caption" }, text));
}

function draw({ inside, x, y }, points, { name, kind, value }) {
  const last = points[points.length - 1];
  inside.append(
    line(points.map((point) => [x(point.share), y(value(point))]), { class: `curve-line ${kind}` }),
    words(name, { class: `curve-name ${kind}`, x: x(last.share) + 10, y: y(value(last)) + 4 }),
  );
}

function dot({ x, y }, point, isChosen, { name, kind, value }, metric) {
  const made = drawing("circle", { class: isChosen ? "chosen-dot" : `curve-dot ${kind}`, cx: x(point.share), cy: y(value(point)), r: isChosen ? 6 : 3.5 });
  const who = point.sparsity < 0 ? "the student itself" : `sparsity ${point.sparsity}`;
  return told(made, `${who}: ${name} ${quality(value(point))}, ${metric} ${quality(point.selection.value)}, s ${quality(point.share)}`);
}

function verdict(chosen, points, metric) {
  if (chosen === null) return `None of the ${points.length} candidates was better than the student itself: the teacher taught it alone.`;
  const share = `${Math.round(chosen.share * 100)} %`;
  return `Chosen: the slice that keeps ${share} of the teacher’s blocks, with ${metric} ${quality(chosen.selection.value)} and t(s) ${quality(chosen.tradeoff)}.`;
}
