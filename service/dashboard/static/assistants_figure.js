// How an assistant was chosen: t(s) of every candidate over the share s of the teacher that it keeps.

import { chart, fitted, line, range, told, words } from "./chart.js";
import { drawing, element } from "./dom.js";
import { quality } from "./format.js";

const HEIGHT = 240;

/** A figure for each round; nothing for a student that the teacher alone taught. */
export function assistantsFigure(assistance, spec) {
  return (assistance?.rounds ?? []).map((round, place) => {
    const points = [...round.points].sort((a, b) => a.share - b.share);
    const chosen = round.chosen === null ? null : round.points[round.chosen];
    const title = assistance.rounds.length > 1 ? element("h3", {}, `Assistant ${place + 1}`) : null;
    return element("figure", {}, title, curve(points, chosen, spec), element("figcaption", { class: "caption" }, verdict(chosen, points, spec)));
  });
}

function curve(points, chosen, spec) {
  const place = element("div", { class: "canvas" });
  const metric = spec.task.metric;
  const x = { low: 0, high: 1, title: "s, the share of the teacher’s blocks that it keeps", text: (value) => String(Number(value.toPrecision(2))) };
  const y = { ...range(points.flatMap((point) => [point.tradeoff, point.selection.value]), 0.1, 0.005), text: quality };
  const name = `t(s) of ${points.length} candidates: ${points.map((point) => `${quality(point.tradeoff)} at ${quality(point.share)}`).join(", ")}`;
  fitted(place, (width) => {
    const made = chart({ width, height: HEIGHT, x, y, name });
    const at = (value) => points.map((point) => [made.x(point.share), made.y(value(point))]);
    const [merits, metrics] = [at((point) => point.tradeoff), at((point) => point.selection.value)];
    made.inside.append(line(metrics, { class: "curve-line flash" }), line(merits, { class: "curve-line full" }));
    for (const [index, point] of points.entries()) {
      const size = point === chosen ? 6 : 3.5;
      const dot = drawing("circle", { class: point === chosen ? "chosen-dot" : "curve-dot full", cx: merits[index][0], cy: merits[index][1], r: size });
      made.inside.append(told(dot, `${point.sparsity < 0 ? "the student itself" : `sparsity ${point.sparsity}`}: t ${quality(point.tradeoff)}, ${metric} ${quality(point.selection.value)}, s ${quality(point.share)}`));
    }
    made.inside.append(
      words("t(s)", { class: "curve-name full", x: merits[0][0] + 6, y: merits[0][1] - 10 }),
      words(metric, { class: "curve-name flash", x: metrics[0][0] + 6, y: metrics[0][1] + 18 }),
    );
    return made.svg;
  });
  return place;
}

function verdict(chosen, points, spec) {
  if (chosen === null) return `None of the ${points.length} candidates was better than the student itself: the teacher taught it alone.`;
  const share = `${Math.round(chosen.share * 100)} %`;
  return `Chosen: the slice that keeps ${share} of the teacher’s blocks, with ${spec.task.metric} ${quality(chosen.selection.value)} and t(s) ${quality(chosen.tradeoff)}.`;
}
