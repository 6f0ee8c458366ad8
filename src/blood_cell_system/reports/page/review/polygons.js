// Outlines: lists of corners [x, y] in pixels of the image.

// Unpacks what the page holds of a field: see encode_outlines in field_spool.py.
export function decodeOutlines(bytes) {
  const outlines = [];
  let at = 0;
  let x = 0.5;
  let y = 0.5;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const step = () => {
    const value = number();
    return value & 1 ? -(value + 1) / 2 : value / 2;
  };
  while (at < bytes.length) {
    const outline = [];
    for (let left = number(); left > 0; left--) {
      x += step();
      y += step();
      outline.push([x, y]);
    }
    outlines.push(outline);
  }
  return outlines;
}

export function boxOf(polygon) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of polygon) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

export const joinedBox = (boxes) => [
  Math.min(...boxes.map((box) => box[0])), Math.min(...boxes.map((box) => box[1])),
  Math.max(...boxes.map((box) => box[2])), Math.max(...boxes.map((box) => box[3])),
];

export function areaOf(polygon) {
  let twice = 0;
  polygon.forEach(([x, y], i) => {
    const [nextX, nextY] = polygon[(i + 1) % polygon.length];
    twice += x * nextY - nextX * y;
  });
  return Math.abs(twice) / 2;
}

export const diameterOf = (polygons) =>
  2 * Math.sqrt(polygons.reduce((sum, polygon) => sum + areaOf(polygon), 0) / Math.PI);

export const pointsOf = (polygon) => polygon.map(([x, y]) => `${x},${y}`).join(" ");

export function ellipseIn([left, top, right, bottom], corners = 32) {
  return Array.from({ length: corners }, (_, i) => {
    const angle = (2 * Math.PI * i) / corners;
    return [
      (left + right) / 2 + ((right - left) / 2) * Math.cos(angle),
      (top + bottom) / 2 + ((bottom - top) / 2) * Math.sin(angle),
    ];
  });
}

// The part of a polygon that is nearer to a point than to another (Sutherland and Hodgman).
function nearer(polygon, point, other) {
  const [nx, ny] = [other[0] - point[0], other[1] - point[1]];
  const middle = [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
  const beyond = ([x, y]) => (x - middle[0]) * nx + (y - middle[1]) * ny;
  const kept = [];
  polygon.forEach((corner, i) => {
    const next = polygon[(i + 1) % polygon.length];
    const [here, there] = [beyond(corner), beyond(next)];
    if (here <= 0) kept.push(corner);
    if (here * there < 0) {
      const share = here / (here - there);
      kept.push([corner[0] + share * (next[0] - corner[0]), corner[1] + share * (next[1] - corner[1])]);
    }
  });
  return kept;
}

// Polygons cut among points, one in each part: what is nearest to a point is its part.
export function splitAmong(polygons, points) {
  return points.map((point) => {
    const others = points.filter((other) => other !== point);
    return polygons
      .map((polygon) => others.reduce((part, other) => nearer(part, point, other), polygon))
      .filter((part) => part.length > 2);
  });
}

// The two points that a line from one place to another divides, one on each side of its middle.
export function sidesOf([x, y], [toX, toY]) {
  const [middleX, middleY] = [(x + toX) / 2, (y + toY) / 2];
  const length = Math.hypot(toX - x, toY - y) || 1;
  const [nx, ny] = [-(toY - y) / length, (toX - x) / length];
  const away = length / 4;
  return [[middleX + nx * away, middleY + ny * away], [middleX - nx * away, middleY - ny * away]];
}

// Corners that matter: none of the others is further from the line than the tolerance
// (Douglas and Peucker).
export function simplified(polygon, tolerance = 0.7) {
  const kept = new Set([0, polygon.length - 1]);
  const stack = [[0, polygon.length - 1]];
  while (stack.length) {
    const [from, to] = stack.pop();
    const [ax, ay] = polygon[from];
    const [bx, by] = polygon[to];
    const length = Math.hypot(bx - ax, by - ay);
    let worst = tolerance;
    let place = -1;
    for (let i = from + 1; i < to; i++) {
      const [x, y] = polygon[i];
      const away = length
        ? Math.abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length
        : Math.hypot(x - ax, y - ay);
      if (away > worst) [worst, place] = [away, i];
    }
    if (place >= 0) {
      kept.add(place);
      stack.push([from, place], [place, to]);
    }
  }
  return polygon.filter((_, i) => kept.has(i));
}
