// Pixels of the fields: decoded when they are needed, forgotten when there are too many.

import { decodeOutlines } from "./polygons.js";

const MOST_PIXELS = 40e6; // Of decoded blocks together: 160 MB.
const AT_ONCE = 4; // Blocks that are decoded at the same time.
const SURROUND = 1.9; // Side of a tile in diameters of a red cell, the same for all cells.
const ROOM = 1.15; // And at least this much around a larger cell.

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

export class FieldImages {
  constructor(fields) {
    this.fields = fields;
    this.blocks = new Map(); // Decoded, the longest unused first.
    this.pixels = 0;
    this.waiting = new Map(); // Key of a block: what to do when it is there.
    this.running = 0;
    this.outlines = new Map();
  }

  // Fields come after the script: while the page loads, the last of them may be half there.
  get areThere() {
    return document.readyState !== "loading";
  }

  lines(place) {
    return document.getElementById(`f${place}`).textContent.split("\n");
  }

  // Outlines of a field, in the order of its cells.
  outlinesOf(place) {
    if (!this.outlines.has(place)) {
      if (!this.areThere) return [];
      this.outlines.set(place, decodeOutlines(bytesOf(this.lines(place)[0])));
    }
    return this.outlines.get(place);
  }

  // Blocks that a box in pixels of the image touches, with their places there.
  blocksIn(place, [left, top, right, bottom]) {
    const field = this.fields[place];
    const scale = field.shown_width / field.width;
    const side = field.block / scale;
    const columns = Math.ceil(field.shown_width / field.block);
    const rows = Math.ceil(field.shown_height / field.block);
    const found = [];
    const last = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value / side)));
    for (let row = last(top, rows); row <= last(bottom, rows); row++) {
      for (let column = last(left, columns); column <= last(right, columns); column++) {
        found.push({ key: `${place}:${row * columns + column}`, place, number: row * columns + column, x: column * side, y: row * side, scale });
      }
    }
    return found;
  }

  allBlocks(place) {
    const { width, height } = this.fields[place];
    return this.blocksIn(place, [0, 0, width, height]);
  }

  blobOf({ place, number }) {
    return new Blob([bytesOf(this.lines(place)[number + 1])], { type: "image/jpeg" });
  }

  // The decoded block, or nothing and a call when it is there.
  decoded(block, whenThere) {
    const bitmap = this.blocks.get(block.key);
    if (bitmap) {
      this.blocks.delete(block.key);
      this.blocks.set(block.key, bitmap);
      return bitmap;
    }
    if (!this.waiting.has(block.key)) this.waiting.set(block.key, { block, calls: [], isRunning: false });
    this.waiting.get(block.key).calls.push(whenThere);
    this.work();
    return null;
  }

  // What was asked for last is shown now: it comes first.
  work() {
    if (!this.areThere) return;
    for (const job of [...this.waiting.values()].reverse()) {
      if (this.running >= AT_ONCE) return;
      if (job.isRunning) continue;
      job.isRunning = true;
      this.running += 1;
      createImageBitmap(this.blobOf(job.block)).then((bitmap) => this.keep(job, bitmap), () => this.keep(job, null));
    }
  }

  keep(job, bitmap) {
    this.running -= 1;
    this.waiting.delete(job.block.key);
    if (bitmap) {
      this.blocks.set(job.block.key, bitmap);
      this.pixels += bitmap.width * bitmap.height;
      for (const call of job.calls) call();
      for (const [key, old] of this.blocks) {
        if (this.pixels <= MOST_PIXELS || this.blocks.size === 1) break;
        this.blocks.delete(key);
        this.pixels -= old.width * old.height;
        old.close();
      }
    }
    this.work();
  }

  // Those that nobody waits for any more are not decoded.
  forget() {
    for (const [key, job] of this.waiting) if (!job.isRunning) this.waiting.delete(key);
  }

  // What a tile shows: a square around the cell.
  squareOf(cell) {
    const [left, top, right, bottom] = cell.box;
    const side = Math.max(SURROUND * this.fields[cell.field].cell_diameter, ROOM * Math.max(right - left, bottom - top));
    return [(left + right - side) / 2, (top + bottom - side) / 2, side];
  }

  // Draws a cell; gives false while pixels are missing, and calls when it should be drawn again.
  draw(canvas, cell, { isOutlined, whenThere }) {
    const context = canvas.getContext("2d", { alpha: false });
    const [left, top, side] = this.squareOf(cell);
    const zoom = canvas.width / side;
    const blocks = this.blocksIn(cell.field, [left, top, left + side, top + side]);
    const bitmaps = blocks.map((block) => this.decoded(block, whenThere));
    context.fillStyle = "#808080";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (bitmaps.includes(null)) return false;
    context.imageSmoothingQuality = "high";
    context.setTransform(zoom, 0, 0, zoom, -left * zoom, -top * zoom);
    blocks.forEach(({ x, y, scale }, i) => {
      context.drawImage(bitmaps[i], x, y, bitmaps[i].width / scale, bitmaps[i].height / scale);
    });
    if (isOutlined) {
      context.lineWidth = 1.5 * devicePixelRatio / zoom;
      context.strokeStyle = "#ffe04a";
      for (const polygon of this.polygonsOf(cell)) {
        context.beginPath();
        for (const [x, y] of polygon) context.lineTo(x, y);
        context.closePath();
        context.stroke();
      }
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    return true;
  }

  polygonsOf(cell) {
    if (cell.polygons) return cell.polygons;
    const outline = this.outlinesOf(cell.field)[cell.id - 1];
    return outline?.length ? [outline] : [];
  }

  // Pixels of a box in pixels of the image, as the page has them.
  async pixelsOf(place, box) {
    const blocks = this.blocksIn(place, box);
    const scale = blocks[0].scale;
    const [left, top] = [Math.floor(box[0] * scale), Math.floor(box[1] * scale)];
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.ceil(box[2] * scale) - left);
    canvas.height = Math.max(1, Math.ceil(box[3] * scale) - top);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (const block of blocks) {
      const bitmap = await createImageBitmap(this.blobOf(block));
      context.drawImage(bitmap, Math.round(block.x * scale) - left, Math.round(block.y * scale) - top);
      bitmap.close();
    }
    return { data: context.getImageData(0, 0, canvas.width, canvas.height), left, top, scale };
  }
}
