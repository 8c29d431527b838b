// All that is known of one trial, below its row.

import { definitions, drawing, element } from "./dom.js";
import { count, duration, interval, latency, moment, quality, ratio } from "./format.js";
import { speedUp } from "./latency.js";
import { judged, metricOf, written } from "./metrics.js";

export function trialDetail(trial, study) {
  const parts = [trialPart(trial), architecturePart(trial), ...predictedParts(trial)];
  if (study.spec.external) parts.push(toldPart(trial, study));
  if (trial.latency) parts.push(latencyPart(trial.latency, study, "Latency"));
  if (trial.evaluation) parts.push(evaluationPart(trial.evaluation, study, "Flash distillation"));
  if (trial.early_stop) parts.push(earlyStopPart(trial.early_stop, study));
  if (trial.finalist) parts.push(...finalistParts(trial.finalist, study));
  return element("div", { class: "detail-grid" }, ...parts);
}

function trialPart(trial) {
  return part("Trial", [
    ["state", trial.state],
    ["reason", trial.reason],
    ["origin", trial.origin],
    ["created", moment(trial.created_at)],
    ["ended", trial.ended_at && moment(trial.ended_at)],
  ]);
}

function architecturePart(trial) {
  const shape = trial.architecture;
  return part("Architecture", [
    ["layers", shape.layers],
    ["hidden size", shape.hidden_size],
    ["heads", `${shape.heads} of ${shape.head_size}`],
    ["FFN size", shape.ffn_size],
    ["parameters", trial.metrics.parameters === undefined ? null : count(trial.metrics.parameters)],
  ]);
}

/** The metrics of a trial that somebody else evaluated, those first that the study judges by. */
function toldPart(trial, study) {
  const names = new Set([...judged(study.spec), ...Object.keys(trial.metrics)]);
  return part("As told", [...names].filter((name) => name in trial.metrics).map((name) => [metricOf(name).title, written(name, trial.metrics[name])]));
}

/** What a calibration of the target said before anybody measured. */
function predictedParts(trial) {
  const said = trial.predicted;
  if (!said) return [];
  return [
    part("Predicted latency", [
      [said.quantile, `${latency(said.latency_s)} predicted`],
      ["", `95 % ${latency(said.low_s)} to ${latency(said.high_s)}`],
      ["source", `predicted, calibration ${said.calibration.slice(0, 12)}`],
    ]),
  ];
}

function latencyPart(measured, study, title) {
  const bounded = measured.low_s !== null && measured.high_s !== null;
  const range = bounded ? `95 % ${latency(measured.low_s)} to ${latency(measured.high_s)}` : null;
  const times = speedUp(measured, study);
  return part(title, [
    ["p50", latency(measured.p50_s)],
    ["", range],
    ["p90", latency(measured.p90_s)],
    ["p99", latency(measured.p99_s)],
    ["speed-up", times === null ? null : `${ratio(times)} the teacher`],
    ["source", `${measured.source}, ${measured.verdict}`],
    ["effort", `${measured.effort}, ${measured.samples} samples`],
    ["notes", measured.notes.join("; ") || null],
  ]);
}

function evaluationPart(evaluation, study, title) {
  const metric = study.spec.task.metric;
  const made = part(title, [
    [metric, `${quality(evaluation.selection.value)} on selection`],
    ["", `95 % ${interval(evaluation.selection)}`],
    ["steps", evaluation.steps],
    ["time", duration(evaluation.seconds)],
  ]);
  if (evaluation.curve.length > 1) made.append(curve(evaluation.curve, metric));
  return made;
}

/** Why the training was ended before its last step. */
function earlyStopPart(stop, study) {
  const rival = stop.dominated_by;
  return part("Early stop", [
    [study.spec.task.metric, `${quality(stop.current)} after ${count(stop.step)} of ${count(stop.steps)} steps`],
    ["forecast", `${quality(stop.expected)}, at best ${quality(stop.optimistic)}`],
    ["learnt from", `${stop.curves} curves`],
    ["dominated by", rival === null ? null : `trial ${rival}`],
    ["saved", stop.saved_steps ? `${count(stop.saved_steps)} steps` : null],
  ]);
}

function finalistParts(finalist, study) {
  const parts = [];
  if (finalist.evaluation) parts.push(evaluationPart(finalist.evaluation, study, "Full distillation"));
  if (finalist.latency) parts.push(latencyPart(finalist.latency, study, "Latency as exported"));
  if (!parts.length || finalist.error) parts.push(part("Finalist", [["state", finalist.state], ["error", finalist.error]]));
  return parts;
}

function part(title, pairs) {
  return element("div", {}, element("h3", {}, title), definitions(pairs));
}

/** The learning curve as a line; its numbers are in its name for those who cannot see it. */
function curve(points, metric) {
  const [first, last] = [points[0], points[points.length - 1]];
  const values = points.map((point) => point.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step) => ((step - first.step) / (last.step - first.step || 1)) * 100;
  const y = (value) => 38 - ((value - low) / (high - low || 1)) * 36;
  const name = `Learning curve: ${metric} from ${quality(first.value)} at step ${first.step} to ${quality(last.value)} at step ${last.step}`;
  return drawing(
    "svg",
    { class: "curve", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": name },
    drawing("line", { x1: 0, x2: 100, y1: 39.5, y2: 39.5 }),
    drawing("polyline", { points: points.map((point) => `${x(point.step)},${y(point.value)}`).join(" ") }),
  );
}
