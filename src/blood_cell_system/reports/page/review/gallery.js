// All cells as tiles under the headings of their groups. Only rows in sight are elements.

import { counted, html } from "./elements.js";

const LABEL_PX = 40; // Two lines under a tile.
const HEADING_PX = 40;
const GAP_PX = 8;
const MORE_ROWS = 2; // Above and below what is in sight.

export const UNCERTAIN = 1;
export const NOT_COUNTED = 2;
export const TOUCHES_BORDER = 4;
export const NOT_VALIDATED = 8;

export class Gallery extends EventTarget {
  // scroller: element that scrolls, with the grid in it; cellOf: a cell as it is now, by its entry.
  constructor(scroller, grid, images, { cellOf, wordsOf, groupWords }) {
    super();
    Object.assign(this, { scroller, grid, images, cellOf, wordsOf, groupWords });
    this.entries = []; // { field, id, group } in the order of the grid.
    this.rows = []; // { top, heading } or { top, from, to }.
    this.shown = new Map(); // Elements of rows in sight, by number.
    this.selected = new Map(); // Entries by the key of their cell.
    this.active = 0;
    this.anchor = 0;
    this.tilePx = 104;
    // Kept, as asking for them makes the browser lay the page out.
    this.scrolled = 0;
    this.inSight = 0;
    scroller.addEventListener("scroll", () => {
      this.scrolled = scroller.scrollTop;
      this.render();
    }, { passive: true });
    new ResizeObserver(() => this.layOut()).observe(scroller);
    grid.addEventListener("click", (event) => this.clicked(event));
    grid.addEventListener("focus", () => this.markActive());
  }

  static key = ({ field, id }) => `${field}:${id}`;

  // Shows other cells; stays at the active one where it is among them.
  show(entries) {
    const before = this.entries[this.active];
    this.entries = entries;
    const kept = before ? entries.findIndex((one) => one.field === before.field && one.id === before.id) : -1;
    this.active = Math.max(0, kept);
    this.anchor = this.active;
    if (this.selected.size) this.select(entries.filter((entry) => this.selected.has(Gallery.key(entry))));
    this.layOut();
    if (kept < 0) this.scrollTo(0);
    else this.reveal();
  }

  get cellPx() {
    return this.tilePx + GAP_PX;
  }

  layOut() {
    const width = this.scroller.clientWidth - 2 * GAP_PX;
    this.inSight = this.scroller.clientHeight;
    this.scrolled = this.scroller.scrollTop;
    this.columns = Math.max(1, Math.floor((width + GAP_PX) / this.cellPx));
    this.rows = [];
    this.rowOf = new Int32Array(this.entries.length);
    let top = 0;
    for (let from = 0; from < this.entries.length;) {
      const { group } = this.entries[from];
      let end = from;
      while (end < this.entries.length && this.entries[end].group === group) end += 1;
      this.rows.push({ top, heading: group, count: end - from });
      top += HEADING_PX;
      for (; from < end; from += this.columns) {
        const to = Math.min(end, from + this.columns);
        this.rowOf.fill(this.rows.length, from, to);
        this.rows.push({ top, from, to });
        top += this.tilePx + LABEL_PX + GAP_PX;
      }
      from = end;
    }
    this.height = top;
    this.grid.style.height = `${top}px`;
    this.grid.setAttribute("aria-rowcount", this.rows.length);
    this.grid.setAttribute("aria-colcount", this.columns);
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
    this.render();
  }

  rowAt(offset) {
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].top <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  render() {
    const first = Math.max(0, this.rowAt(this.scrolled) - MORE_ROWS);
    const last = Math.min(this.rows.length - 1, this.rowAt(this.scrolled + this.inSight) + MORE_ROWS);
    for (const [number, element] of this.shown) {
      if (number < first || number > last) {
        element.remove();
        this.shown.delete(number);
      }
    }
    this.images.forget();
    for (let number = first; number <= last; number++) {
      if (this.shown.has(number)) this.drawRow(this.shown.get(number));
      else this.shown.set(number, this.addRow(number));
    }
    this.markActive();
  }

  addRow(number) {
    const row = this.rows[number];
    const element = html("div", { role: "row", "aria-rowindex": number + 1, class: row.heading === undefined ? "tiles-row" : "heading-row" });
    element.style.top = `${row.top}px`;
    if (row.heading !== undefined) {
      element.append(html("div", { role: "gridcell", "aria-colindex": 1 },
        html("b", {}, this.groupWords(row.heading)), ` ${counted(row.count, "cell")}`));
    } else {
      for (let place = row.from; place < row.to; place++) element.append(this.tile(place, place - row.from));
    }
    this.grid.append(element);
    this.drawRow(element);
    return element;
  }

  tile(place, column) {
    const canvas = html("canvas", { width: Math.round(this.tilePx * this.density), height: Math.round(this.tilePx * this.density), "aria-hidden": "true" });
    canvas.style.width = canvas.style.height = `${this.tilePx}px`;
    const tile = html("div", { role: "gridcell", id: `t${place}`, "aria-colindex": column + 1, class: "cell-tile", "data-place": place },
      canvas, html("span", { class: "name" }), html("span", { class: "more" }));
    tile.style.width = `${this.tilePx}px`;
    this.label(tile);
    return tile;
  }

  get density() {
    return Math.min(2, devicePixelRatio);
  }

  label(tile) {
    const entry = this.entries[tile.dataset.place];
    const cell = this.cellOf(entry);
    const [name, more] = this.wordsOf(cell);
    tile.children[1].textContent = name;
    tile.children[2].textContent = more;
    for (const [mark, is] of [["gone", cell.isGone], ["changed", cell.isChanged], ["reviewed", cell.isReviewed]]) {
      tile.classList.toggle(mark, Boolean(is));
    }
    tile.setAttribute("aria-selected", this.selected.has(Gallery.key(entry)));
  }

  drawRow(row) {
    for (const tile of row.children) {
      if (tile.dataset.place === undefined || tile.dataset.drawn) continue;
      this.drawTile(tile);
    }
  }

  drawTile(tile) {
    if (!tile.isConnected) return;
    const entry = this.entries[tile.dataset.place];
    const isDrawn = this.images.draw(tile.firstChild, this.cellOf(entry), {
      isOutlined: Number(tile.dataset.place) === this.active,
      whenThere: () => this.drawTile(tile),
    });
    if (isDrawn) tile.dataset.drawn = "yes";
  }

  // Shows again what has changed of cells.
  refresh() {
    for (const row of this.shown.values()) {
      for (const tile of row.children) if (tile.dataset.place !== undefined) this.label(tile);
    }
  }

  tileAt(place) {
    return this.grid.querySelector(`#t${place}`);
  }

  markActive() {
    for (const tile of this.grid.querySelectorAll(".active")) {
      if (Number(tile.dataset.place) === this.active) continue;
      tile.classList.remove("active");
      this.drawTile(tile);
    }
    const tile = this.tileAt(this.active);
    if (!tile) return this.grid.removeAttribute("aria-activedescendant");
    if (!tile.classList.contains("active")) {
      tile.classList.add("active");
      this.drawTile(tile);
    }
    return this.grid.setAttribute("aria-activedescendant", tile.id);
  }

  scrollTo(top) {
    this.scrolled = Math.max(0, Math.min(top, this.height - this.inSight));
    this.scroller.scrollTop = this.scrolled;
    this.render();
  }

  reveal() {
    const row = this.rows[this.rowOf[this.active]];
    if (!row) return;
    const bottom = row.top + this.tilePx + LABEL_PX + GAP_PX;
    // The heading above the first row of a group is worth seeing too.
    if (row.top - HEADING_PX < this.scrolled) this.scrollTo(row.top - HEADING_PX);
    else if (bottom > this.scrolled + this.inSight) this.scrollTo(bottom - this.inSight);
    else this.markActive();
  }

  // Goes to a cell; with extend everything from the anchor to it is selected.
  go(place, { extend = false } = {}) {
    if (!this.entries.length) return;
    this.active = Math.max(0, Math.min(this.entries.length - 1, place));
    if (extend) {
      const [from, to] = [Math.min(this.anchor, this.active), Math.max(this.anchor, this.active)];
      this.select(this.entries.slice(from, to + 1));
    } else {
      this.anchor = this.active;
    }
    this.reveal();
    this.refresh();
    this.dispatchEvent(new Event("moved"));
  }

  // The cell in the row above or below that is nearest in its column.
  beside(rows) {
    const here = this.rowOf[this.active];
    const column = this.active - this.rows[here].from;
    const way = Math.sign(rows);
    let found = this.active;
    for (let row = here + way, left = Math.abs(rows); left > 0 && row >= 0 && row < this.rows.length; row += way) {
      if (this.rows[row].heading !== undefined) continue;
      found = Math.min(this.rows[row].to - 1, this.rows[row].from + column);
      left -= 1;
    }
    return found;
  }

  get rowsInSight() {
    return Math.max(1, Math.floor(this.inSight / (this.tilePx + LABEL_PX + GAP_PX)));
  }

  select(entries) {
    this.selected = new Map(entries.map((entry) => [Gallery.key(entry), entry]));
  }

  toggle(place = this.active) {
    const entry = this.entries[place];
    const key = Gallery.key(entry);
    if (!this.selected.delete(key)) this.selected.set(key, entry);
    this.refresh();
    this.dispatchEvent(new Event("moved"));
  }

  // All cells of the active one's group, or all where these are selected already.
  selectAll() {
    if (!this.entries.length) return;
    const { group } = this.entries[this.active];
    const ofGroup = this.entries.filter((entry) => entry.group === group);
    const isDone = ofGroup.every((entry) => this.selected.has(Gallery.key(entry)));
    this.select(isDone ? this.entries : ofGroup);
    this.refresh();
    this.dispatchEvent(new Event("moved"));
  }

  selectNone() {
    this.selected.clear();
    this.anchor = this.active;
    this.refresh();
    this.dispatchEvent(new Event("moved"));
  }

  // What an action is about: the selected cells, or the active one.
  get chosen() {
    if (this.selected.size) return [...this.selected.values()];
    return this.entries.length ? [this.entries[this.active]] : [];
  }

  clicked(event) {
    const tile = event.target.closest("[data-place]");
    if (!tile) return;
    const place = Number(tile.dataset.place);
    if (event.shiftKey) return this.go(place, { extend: true });
    this.go(place);
    if (event.ctrlKey || event.metaKey || this.isSelecting) return this.toggle(place);
    return this.dispatchEvent(new Event("opened"));
  }
}
