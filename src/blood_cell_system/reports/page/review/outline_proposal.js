// An outline for a cell that the program missed, from the stain around a place or in a box:
// pixels darker than Otsu's threshold that hang together, holes filled.

import { ellipseIn, simplified } from "./polygons.js";

// How much light each pixel takes away: the sum of its optical densities.
function stainOf({ data, width, height }) {
  const brightest = [0, 1, 2].map((channel) => {
    const values = [];
    for (let i = channel; i < data.length; i += 4 * 7) values.push(data[i]);
    return values.sort((a, b) => a - b)[Math.floor(0.95 * (values.length - 1))] + 1;
  });
  const stain = new Float32Array(width * height);
  for (let i = 0; i < stain.length; i++) {
    for (let channel = 0; channel < 3; channel++) {
      stain[i] += Math.max(0, Math.log(brightest[channel] / (data[4 * i + channel] + 1)));
    }
  }
  return stain;
}

function otsu(values) {
  const most = values.reduce((a, b) => Math.max(a, b), 1e-6);
  const bars = new Float64Array(128);
  for (const value of values) bars[Math.min(127, Math.floor((value / most) * 128))] += 1;
  let [below, sumBelow, best, place] = [0, 0, -1, 64];
  const sum = bars.reduce((total, count, i) => total + i * count, 0);
  for (let i = 0; i < 127; i++) {
    below += bars[i];
    sumBelow += i * bars[i];
    const above = values.length - below;
    if (!below || !above) continue;
    const between = below * above * (sumBelow / below - (sum - sumBelow) / above) ** 2;
    if (between > best) [best, place] = [between, i + 1];
  }
  return (place / 128) * most;
}

// Pixels that hang together with a first one; 4 neighbours.
function flooded(isOpen, start, width, height) {
  const found = new Uint8Array(width * height);
  const stack = start.filter((i) => isOpen(i));
  for (const i of stack) found[i] = 1;
  while (stack.length) {
    const i = stack.pop();
    const x = i % width;
    for (const [next, isInside] of [[i - 1, x > 0], [i + 1, x < width - 1], [i - width, i >= width], [i + width, i < width * (height - 1)]]) {
      if (isInside && !found[next] && isOpen(next)) {
        found[next] = 1;
        stack.push(next);
      }
    }
  }
  return found;
}

// Corners around pixels, along their edges.
function traced(mask, width, height) {
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  const first = mask.indexOf(1);
  if (first < 0) return [];
  const start = [first % width, Math.floor(first / width)];
  let [x, y] = start;
  let [dx, dy] = [1, 0];
  const corners = [];
  do {
    corners.push([x, y]);
    x += dx;
    y += dy;
    [dx, dy] = turn(is, x, y, dx, dy);
  } while ((x !== start[0] || y !== start[1]) && corners.length < 8 * width * height);
  return corners;
}

// The mask is at the right hand: turn left where it goes on there, right where it ends.
function turn(is, x, y, dx, dy) {
  // The pixels ahead, at the left and at the right of the way.
  const left = is(x + (dx + dy - 1) / 2, y + (dy - dx - 1) / 2);
  const right = is(x + (dx - dy - 1) / 2, y + (dy + dx - 1) / 2);
  if (left) return [dy, -dx];
  return right ? [dx, dy] : [-dy, dx];
}

// The outline around a place, or null where nothing is stained there.
//
// pixels: as FieldImages.pixelsOf gives them; at: the place, in pixels of the image;
// isTaken: whether a place, in pixels of the image, is in another cell.
export function proposedOutline({ data, left, top, scale }, at, isTaken) {
  const { width, height } = data;
  const stain = stainOf(data);
  const threshold = otsu(stain);
  const taken = new Uint8Array(width * height);
  for (let i = 0; i < taken.length; i++) {
    taken[i] = isTaken((left + (i % width) + 0.5) / scale, (top + Math.floor(i / width) + 0.5) / scale) ? 1 : 0;
  }
  const isStained = (i) => stain[i] > threshold && !taken[i];
  const [x, y] = [Math.floor(at[0] * scale - left), Math.floor(at[1] * scale - top)];
  // The nearest stained pixel: a click into the pallor means the cell around it.
  let [start, nearest] = [-1, (0.35 * Math.min(width, height)) ** 2];
  for (let i = 0; i < stain.length; i++) {
    const away = ((i % width) - x) ** 2 + (Math.floor(i / width) - y) ** 2;
    if (away < nearest && isStained(i)) [start, nearest] = [i, away];
  }
  if (start < 0) return null;
  const cell = flooded(isStained, [start], width, height);
  const rim = [];
  for (let i = 0; i < cell.length; i++) {
    if (i < width || i >= width * (height - 1) || i % width === 0 || i % width === width - 1) rim.push(i);
  }
  const outside = flooded((i) => !cell[i], rim, width, height);
  const filled = outside.map((is, i) => (is || taken[i] ? 0 : 1));
  const corners = traced(filled, width, height).map(([cornerX, cornerY]) => [
    Math.round(10 * (left + cornerX) / scale) / 10, Math.round(10 * (top + cornerY) / scale) / 10,
  ]);
  const outline = simplified(corners, 0.7 / scale);
  return outline.length > 2 ? outline : null;
}

export const discAround = ([x, y], diameter) =>
  ellipseIn([x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2]);
