// Of many marks that lie on each other one is drawn: a browser takes seconds over ten thousand.

/** About the size of a mark. */
const CELL_PX = 5;
/** Fewer are all drawn. */
const MANY = 2000;

/**
 * Of the points {x, y} one for each cell of the figure, with how many `more` lie there; all of them while they are few.
 * `size` is {width, height} in pixels, `scale` {x, y} functions of equal distances on screen, and `zoom` {x: [from, to],
 * y: [from, to]} the part that is looked at, or null: there cells are as much smaller.
 */
export function thinned(points, size, scale, zoom) {
  if (points.length <= MANY) return points;
  const whole = boxOf(points, scale);
  const kept = inCells(points, whole, size, scale);
  if (!zoom) return kept;
  const box = { x: zoom.x.map(scale.x), y: zoom.y.map(scale.y) };
  const isIn = (point) => ["x", "y"].every((axis) => scale[axis](point[axis]) >= Math.min(...box[axis]) && scale[axis](point[axis]) <= Math.max(...box[axis]));
  return [...kept.filter((point) => !isIn(point)), ...inCells(points.filter(isIn), box, size, scale)];
}

function inCells(points, box, { width, height }, scale) {
  const place = (value, [from, to], pixels) => Math.floor(((value - from) / (to - from || 1)) * (pixels / CELL_PX));
  const cells = new Map();
  for (const point of points) {
    const key = `${place(scale.x(point.x), box.x, width)} ${place(scale.y(point.y ?? 0), box.y, height)} ${point.y === null}`;
    const first = cells.get(key);
    if (first) first.more += 1;
    else cells.set(key, { ...point, more: 0 });
  }
  return [...cells.values()];
}

function boxOf(points, scale) {
  const box = { x: [Infinity, -Infinity], y: [Infinity, -Infinity] };
  for (const point of points) {
    for (const axis of ["x", "y"]) {
      if (point[axis] === null) continue;
      const value = scale[axis](point[axis]);
      box[axis] = [Math.min(box[axis][0], value), Math.max(box[axis][1], value)];
    }
  }
  return box;
}
