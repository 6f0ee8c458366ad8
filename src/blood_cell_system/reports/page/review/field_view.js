// A field with the outlines of its cells, and the tools that change them.

import { byId, say, svg } from "./elements.js";
import { PanZoom } from "../pan_zoom.js";
import { boxOf, ellipseIn, joinedBox, pointsOf, sidesOf } from "./polygons.js";

const HINTS = {
  look: "Click a cell to choose it. Drag moves, the wheel zooms.",
  draw: "Click into the missed cell, or drag a box around it. Keys: arrows move the box, + and − change it, Enter draws, Esc stops.",
  split: "Drag a line across the chosen cell. Keys: ← and → turn the line, ↑ and ↓ move it, Enter splits, Esc stops.",
  edit: "Drag a corner of the outline. Keys: [ and ] choose a corner, arrows move it, Enter keeps the outline, Esc does not.",
};
const NEEDS_ONE = new Set(["split", "edit"]);
const TOOLS = ["draw", "split", "edit"];
const tenths = (polygon) => polygon.map(([x, y]) => [Math.round(10 * x) / 10, Math.round(10 * y) / 10]);

export class FieldView extends EventTarget {
  // cellsOf: cells of a field as they are now; polygonsOf: outlines of a cell.
  constructor(images, { cellsOf, polygonsOf, wordsOf }) {
    super();
    Object.assign(this, { images, cellsOf, polygonsOf, wordsOf });
    this.dialog = byId("field");
    this.stage = byId("stage");
    this.place = -1;
    this.chosen = [];
    this.tool = "look";
    this.addresses = [];
    this.panZoom = new PanZoom(this.stage);
    this.panZoom.isDragged = (event) => event.button !== 0 || this.tool === "look"
      || (this.tool === "edit" && event.target.dataset?.corner === undefined);
    this.stage.addEventListener("pointerdown", (event) => this.pressed(event));
    this.stage.addEventListener("pointermove", (event) => this.moved(event));
    this.stage.addEventListener("pointerup", (event) => this.released(event));
    this.dialog.addEventListener("close", () => this.forget());
  }

  get isOpen() {
    return this.dialog.open;
  }

  open(place, id) {
    if (place !== this.place || !this.isOpen) {
      this.forget();
      this.place = place;
      const field = this.images.fields[place];
      byId("field-title").textContent = field.shown;
      this.drawing = svg("svg", { preserveAspectRatio: "xMidYMid meet", role: "img", "aria-label": `Field ${field.shown}` });
      for (const block of this.images.allBlocks(place)) {
        const address = URL.createObjectURL(this.images.blobOf(block));
        this.addresses.push(address);
        const image = svg("image", { x: block.x, y: block.y, preserveAspectRatio: "none", href: address });
        const side = field.block / block.scale;
        image.setAttribute("width", Math.min(side, field.width - block.x));
        image.setAttribute("height", Math.min(side, field.height - block.y));
        this.drawing.append(image);
      }
      this.outlines = svg("g", { id: "outlines" });
      this.draft = svg("g", { id: "draft" });
      this.drawing.append(this.outlines, this.draft);
      this.stage.replaceChildren(this.drawing);
      this.panZoom.size = { width: field.width, height: field.height };
    }
    this.use("look");
    this.chosen = id === undefined ? [] : [id];
    this.refresh();
    this.dispatchEvent(new Event("opening"));
    if (!this.isOpen) this.dialog.showModal();
    this.fit();
    this.stage.focus();
  }

  // The whole field, or the chosen cells and what is around them.
  fit({ whole = false } = {}) {
    const cells = this.chosenCells;
    if (whole || !cells.length) return this.panZoom.fit();
    const [left, top, right, bottom] = joinedBox(cells.map((cell) => cell.box));
    return this.panZoom.focus({ x: left, y: top, width: right - left, height: bottom - top });
  }

  forget() {
    for (const address of this.addresses.splice(0)) URL.revokeObjectURL(address);
  }

  get cells() {
    return [...this.cellsOf(this.place)].filter((cell) => !cell.isGone);
  }

  get chosenCells() {
    return this.cells.filter((cell) => this.chosen.includes(cell.id));
  }

  // Draws the outlines anew.
  refresh() {
    const cells = this.cells;
    this.chosen = this.chosen.filter((id) => cells.some((cell) => cell.id === id));
    this.outlines.replaceChildren(...cells.flatMap((cell) => {
      const marks = [cell.type, cell.isChanged && "changed", cell.isReviewed && "reviewed", !cell.isCounted && "left-out", this.chosen.includes(cell.id) && "chosen"];
      return this.polygonsOf(cell).map((polygon) =>
        svg("polygon", { points: pointsOf(polygon), class: marks.filter(Boolean).join(" "), "data-id": cell.id },
          svg("title", {}, this.wordsOf(cell).join(", "))));
    }));
    this.outlines.append(...this.outlines.querySelectorAll(".chosen"));
    byId("field-details").textContent = this.chosenCells.length
      ? this.chosenCells.map((cell) => this.wordsOf(cell).join(", ")).join("; ")
      : HINTS[this.tool];
    this.dispatchEvent(new Event("changed"));
  }

  choose(id, { more = false } = {}) {
    if (!more) this.chosen = [id];
    else if (this.chosen.includes(id)) this.chosen = this.chosen.filter((one) => one !== id);
    else this.chosen = [...this.chosen, id];
    this.refresh();
  }

  // The next cell in reading order, from the chosen one on.
  step(by) {
    const cells = this.cells;
    if (!cells.length) return;
    const here = cells.findIndex((cell) => cell.id === this.chosen.at(-1));
    const next = cells[(here + by + cells.length + (here < 0 && by < 0 ? 1 : 0)) % cells.length];
    this.choose(next.id);
    this.fit();
  }

  use(tool) {
    const [cell, ...others] = this.chosenCells;
    if (NEEDS_ONE.has(tool) && (!cell || others.length)) return say("Choose one cell first.");
    if (tool === "edit" && this.polygonsOf(cell).length !== 1) return say("This cell is in pieces: draw it anew.");
    this.tool = tool;
    this.shape = null;
    this.draft.replaceChildren();
    for (const name of TOOLS) byId(`tool-${name}`).setAttribute("aria-pressed", tool === name);
    this.stage.classList.toggle("drawing", tool === "draw" || tool === "split");
    if (tool === "edit") {
      this.edited = { id: cell.id, polygon: this.polygonsOf(cell)[0].map((corner) => [...corner]), corner: 0 };
      this.drawEdited();
    }
    byId("field-details").textContent = HINTS[tool];
    return say(HINTS[tool]);
  }

  toolOrLook(tool) {
    this.use(this.tool === tool ? "look" : tool);
  }

  // Shapes that a person draws: a box from corner to corner, or a line.
  drawShape() {
    const { from, to } = this.shape;
    const drawn = this.tool === "draw"
      ? svg("polygon", { points: pointsOf(ellipseIn(boxOf([from, to]))) })
      : svg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
    this.draft.replaceChildren(drawn);
  }

  // The outline with its corners, as dots of one size whatever the zoom.
  drawEdited() {
    const { polygon, corner } = this.edited;
    this.draft.replaceChildren(
      svg("polygon", { points: pointsOf(polygon) }),
      ...polygon.map(([x, y], i) => svg("path", { d: `M${x},${y}h0`, class: i === corner ? "corner chosen" : "corner", "data-corner": i })));
  }

  moveCorner(x, y) {
    this.edited.polygon[this.edited.corner] = [x, y];
    this.drawEdited();
  }

  pressed(event) {
    const { x, y } = this.panZoom.placeOf(event.clientX, event.clientY);
    this.press = { at: [x, y], client: [event.clientX, event.clientY], target: event.target };
    if (this.tool === "look" || this.panZoom.isDragged(event)) return;
    if (this.tool === "edit") this.edited.corner = Number(event.target.dataset.corner);
    this.stage.setPointerCapture(event.pointerId);
    this.shape = { from: [x, y], to: [x, y] };
    this.isDrawing = true;
  }

  moved(event) {
    if (!this.isDrawing) return;
    const { x, y } = this.panZoom.placeOf(event.clientX, event.clientY);
    if (this.tool === "edit") return this.moveCorner(x, y);
    this.shape.to = [x, y];
    return this.drawShape();
  }

  released(event) {
    if (!this.press) return;
    const { client, target, at } = this.press;
    this.press = null;
    const isClick = Math.hypot(event.clientX - client[0], event.clientY - client[1]) < 5;
    if (this.isDrawing) {
      this.isDrawing = false;
      if (this.tool === "edit") return;
      if (isClick && this.tool === "split") return;
      this.finish(isClick ? at : null);
    } else if (isClick && event.button === 0 && target.dataset?.id) {
      const id = target.dataset.id;
      this.choose(/^\d+$/.test(id) ? Number(id) : id, { more: event.shiftKey || event.ctrlKey });
    }
  }

  // A cell is drawn around a click or in a box, split by a line, or has another outline.
  finish(click = null) {
    const { from, to } = this.shape ?? {};
    if (this.tool === "edit") {
      const { id, polygon } = this.edited;
      this.dispatchEvent(new CustomEvent("reshaped", { detail: { id, polygon: tenths(polygon) } }));
    } else if (this.tool === "draw") {
      const detail = click ? { at: click, box: null } : { at: [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2], box: boxOf([from, to]) };
      this.dispatchEvent(new CustomEvent("drawn", { detail }));
    } else {
      this.dispatchEvent(new CustomEvent("split", { detail: { id: this.chosen[0], points: tenths(sidesOf(from, to)) } }));
    }
    this.use("look");
  }

  // Keys of a tool; gives whether the key was one.
  shapeKey(key) {
    if (this.tool === "look") return false;
    if (key === "Escape") this.use("look");
    else if (key === "Enter" && (this.shape || this.tool === "edit")) this.finish();
    else if (key === "Enter") this.shapeKey("ArrowUp");
    else if (this.tool === "edit") return this.cornerKey(key);
    else if (this.tool === "draw") return this.boxKey(key);
    else return this.lineKey(key);
    return true;
  }

  cornerKey(key) {
    const { polygon, corner } = this.edited;
    const turn = { "[": -1, "]": 1 }[key];
    const unit = this.panZoom.view.width / 200;
    const move = { ArrowLeft: [-unit, 0], ArrowRight: [unit, 0], ArrowUp: [0, -unit], ArrowDown: [0, unit] }[key];
    if (turn) this.edited.corner = (corner + turn + polygon.length) % polygon.length;
    if (move) this.moveCorner(polygon[corner][0] + move[0], polygon[corner][1] + move[1]);
    else if (turn) this.drawEdited();
    return Boolean(turn || move);
  }

  boxKey(key) {
    const diameter = this.images.fields[this.place].cell_diameter;
    const { x, y, width, height } = this.panZoom.view;
    this.shape ??= {
      from: [x + (width - diameter) / 2, y + (height - diameter) / 2],
      to: [x + (width + diameter) / 2, y + (height + diameter) / 2],
    };
    const step = diameter / 8;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const grown = { "+": step / 2, "-": -step / 2 }[key];
    if (!moves[key] && grown === undefined) return false;
    const [dx, dy] = moves[key] ?? [0, 0];
    const more = grown ?? 0;
    this.shape = {
      from: [this.shape.from[0] + dx - more, this.shape.from[1] + dy - more],
      to: [this.shape.to[0] + dx + more, this.shape.to[1] + dy + more],
    };
    this.drawShape();
    return true;
  }

  lineKey(key) {
    const [left, top, right, bottom] = this.chosenCells[0].box;
    const length = Math.max(right - left, bottom - top) * 1.2;
    this.line = this.shape ? this.line : { angle: 0, away: 0 };
    const turn = { ArrowLeft: -Math.PI / 12, ArrowRight: Math.PI / 12 }[key];
    const move = { ArrowUp: -length / 16, ArrowDown: length / 16 }[key];
    if (turn === undefined && move === undefined) return false;
    this.line = { angle: this.line.angle + (turn ?? 0), away: this.line.away + (move ?? 0) };
    const [dx, dy] = [Math.cos(this.line.angle) * length / 2, Math.sin(this.line.angle) * length / 2];
    const centre = [
      (left + right) / 2 - Math.sin(this.line.angle) * this.line.away,
      (top + bottom) / 2 + Math.cos(this.line.angle) * this.line.away,
    ];
    this.shape = { from: [centre[0] - dx, centre[1] - dy], to: [centre[0] + dx, centre[1] + dy] };
    this.drawShape();
    return true;
  }
}
