// One calibration: of what, how well it predicts what it was not shown, and whether latency depends on the space at all.

import { read } from "./api.js";
import { chart, fitted, range, told } from "./chart.js";
import { definitions, drawing, element } from "./dom.js";
import { latency, moment } from "./format.js";

const HEIGHT = 300;

export function calibrationPart(calibration) {
  const { profile } = calibration;
  const threads = `${profile.threads} thread${profile.threads > 1 ? "s" : ""}`;
  const chip = profile.chip ? ` ${profile.chip}` : "";
  const drawn = element("div", { class: "drawing" });
  const details = element("details", {}, element("summary", {}, "Predicted against measured"), drawn);
  details.addEventListener("toggle", () => details.open && !drawn.hasChildNodes() && show(drawn, calibration.id));
  return element(
    "section", { class: "calibration", "aria-label": `Calibration ${calibration.id.slice(0, 12)}` },
    element("p", {}, `${profile.device}${chip} ${profile.runtime} ${profile.dtype}, batch ${profile.batch} × length ${profile.length}, ${threads}`),
    calibration.flat ? element("p", { class: "notice" }, calibration.flat) : null,
    definitions([
      ["predicts", `${calibration.quantile}, learnt from ${calibration.architectures} measured architectures`],
      ["cross-validated", agreementText(calibration.cross_validated)],
      ["held out", calibration.held_out ? agreementText(calibration.held_out) : "too few rows to hold any out"],
      ["depends", calibration.flat ? "hardly: see above" : "latency depends on the space"],
      ["notes", calibration.notes.join("; ") || null],
      ["measured", `${moment(calibration.measured_at)}, effort ${calibration.effort}`],
      ["id", element("span", { class: "hash" }, calibration.id.slice(0, 12))],
    ]),
    details,
  );
}

function agreementText(agreement) {
  const percent = (share) => `${(share * 100).toFixed(1)} %`;
  const ranks = agreement.spearman === null ? "" : `, rank correlation ${agreement.spearman.toFixed(3)}`;
  return `errs by ${percent(agreement.mape)} on average, ${percent(agreement.median_ape)} at the median${ranks}; its 95 % intervals held ${percent(agreement.within)} of ${agreement.count}`;
}

async function show(place, identity) {
  place.textContent = "Reading…";
  try {
    scatter(place, (await read(`/calibrations/${identity}`)).rows);
  } catch (error) {
    place.textContent = error.message;
  }
}

/** Each row as a point; on the diagonal the prediction of a model that was not shown it is what was measured. */
function scatter(place, rows) {
  const values = rows.flatMap((row) => [row.latency_s, row.predicted_s]);
  const ends = range(values, 0.05);
  const text = (value) => String(Number((value * 1e3).toPrecision(3)));
  const name = `Predicted against measured latencies of ${rows.length} architectures, from ${latency(Math.min(...values))} to ${latency(Math.max(...values))}`;
  fitted(place, (width) => {
    const made = chart({ width, height: HEIGHT, x: { ...ends, title: "measured, in ms", text }, y: { ...ends, title: "predicted, in ms", text }, name });
    const { inside, x, y } = made;
    inside.append(drawing("line", { class: "teacher-line", x1: x(ends.low), y1: y(ends.low), x2: x(ends.high), y2: y(ends.high) }));
    for (const row of rows) {
      const dot = drawing("circle", { class: "curve-dot full", cx: x(row.latency_s), cy: y(row.predicted_s), r: 3.5 });
      inside.append(told(dot, `measured ${latency(row.latency_s)}, predicted ${latency(row.predicted_s)}`));
    }
    return made.svg;
  });
}
