// What a person did, as events, and the cells of a field after them: the same rules as those of
// corrections/replay.py. A cell's class is what the program says until somebody acts on it.

import { boxOf, diameterOf, joinedBox, splitAmong } from "./polygons.js";

const FORMAT = "blood-cell-corrections";
const VERSION = 1;
const ACTIONS = new Set([
  "set_class", "delete", "draw", "split", "merge", "set_outline", "review_cells", "review_field", "undo",
]);

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // A page from another machine without encryption lacks it.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export const newEvent = (by, image, action, { cells = [], value = {}, at = new Date() } = {}) => ({
  id: uuid(), at: at.toISOString(), by, image, action, cells,
  value: Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null && part !== undefined)),
});

// Events that hold: undoing an undo makes what it undid hold again.
export function inForce(events) {
  const undone = new Set();
  for (const event of [...events].reverse()) {
    if (event.action === "undo" && !undone.has(event.id)) undone.add(event.value.event);
  }
  return events.filter((event) => event.action !== "undo" && !undone.has(event.id));
}

const withOutline = (cell, polygons) => {
  const box = joinedBox(polygons.map(boxOf));
  return { ...cell, polygons, box, diameter: diameterOf(polygons) * cell.unitsPerPixel };
};

// The cells of a field after its events, by id, with those that are gone.
export function replay(cells, events, { outlinesOf, newCell }) {
  const state = { cells: new Map(cells.map((cell) => [cell.id, cell])), isReviewed: false };
  const change = (id, changes) => state.cells.set(id, { ...state.cells.get(id), group: undefined, ...changes });
  const outlineOf = (cell) => cell.polygons ?? outlinesOf(cell);
  const add = (id, like, polygons) => {
    const made = { ...like, id, group: undefined, isMade: true, isChanged: true, certainty: 1, flags: 0, reason: null };
    state.cells.set(id, polygons.length ? withOutline(made, polygons) : made);
  };
  const setClass = (id, value) => {
    const before = state.cells.get(id);
    const [condition, subtype] = [value.condition ?? null, value.subtype ?? null];
    const isSame = before.type === value.cell_type && before.subtype === subtype
      && (before.isUnproven ? null : before.condition) === condition;
    change(id, {
      type: value.cell_type, condition, subtype, reason: isSame ? before.reason : null,
      isUnproven: false, isChanged: before.isChanged || !isSame, isReviewed: true,
    });
  };
  for (const event of inForce(events)) {
    const alive = event.cells.filter((id) => state.cells.has(id) && !state.cells.get(id).isGone);
    if (event.action === "review_field") state.isReviewed = true;
    if (event.action === "draw") {
      add(event.id, newCell(event), [event.value.polygon]);
      setClass(event.id, event.value);
    }
    if (event.action === "set_class") for (const id of alive) setClass(id, event.value);
    if (event.action === "review_cells") for (const id of alive) change(id, { isReviewed: true });
    if (event.action === "delete") for (const id of alive) change(id, { isGone: true, isDeleted: true, isReviewed: true });
    if (event.action === "set_outline" && alive.length) {
      state.cells.set(alive[0], withOutline({ ...state.cells.get(alive[0]), isChanged: true }, [event.value.polygon]));
    }
    if (event.action === "split" && alive.length) {
      const whole = state.cells.get(alive[0]);
      change(alive[0], { isGone: true, isReviewed: true });
      splitAmong(outlineOf(whole), event.value.points).forEach((polygons, i) =>
        add(`${event.id}/${i + 1}`, whole, polygons));
    }
    if (event.action === "merge" && alive.length > 1) {
      const parts = alive.map((id) => state.cells.get(id));
      add(event.id, parts[0], parts.flatMap(outlineOf));
      if (event.value.cell_type) setClass(event.id, event.value);
      for (const id of alive) change(id, { isGone: true, isReviewed: true });
    }
  }
  return state;
}

// A value as text that does not depend on the order of its keys.
const sorted = (value) => JSON.stringify(value ?? null, (_, part) =>
  (part && typeof part === "object" && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part));

// The corrections of some results: events in their order, and the state of each field.
export class Corrections {
  constructor(header, fields, base, tools) {
    this.header = header;
    this.fields = fields;
    this.base = base;
    this.tools = tools;
    this.placeOf = new Map(fields.map((field, place) => [field.name, place]));
    this.events = [];
    this.byImage = new Map();
    this.known = new Set();
    this.states = base.map((cells) => ({ cells: new Map(cells.map((cell) => [cell.id, cell])), isReviewed: false }));
  }

  // Takes events over; gives the places of the fields that they change.
  add(events) {
    const changed = new Set();
    for (const event of events) {
      if (this.known.has(event.id)) continue;
      this.known.add(event.id);
      this.events.push(event);
      if (!this.byImage.has(event.image)) this.byImage.set(event.image, []);
      this.byImage.get(event.image).push(event);
      // Fields of another page of the same results are kept, and not shown.
      if (this.placeOf.has(event.image)) changed.add(this.placeOf.get(event.image));
    }
    for (const place of changed) {
      const ofImage = this.byImage.get(this.fields[place].name);
      this.states[place] = replay(this.base[place], ofImage, this.tools);
    }
    return changed;
  }

  cell(place, id) {
    return this.states[place].cells.get(id);
  }

  *cells() {
    for (const state of this.states) yield* state.cells.values();
  }

  // What "undo" takes back: the last things done that hold, those of one moment together. For
  // "redo" what took something back, unless something new was done after it.
  last({ wasUndone = false } = {}) {
    const byId = new Map(this.events.map((event) => [event.id, event]));
    const held = new Set(byId.keys());
    for (const event of [...this.events].reverse()) {
      if (event.action === "undo" && held.has(event.id)) held.delete(event.value.event);
    }
    const takesBack = (event) => event.action === "undo" && byId.get(event.value.event)?.action !== "undo";
    const isWanted = wasUndone ? takesBack : (event) => event.action !== "undo";
    const from = wasUndone ? this.events.findLastIndex((event) => event.action !== "undo") + 1 : 0;
    const found = this.events.slice(from).filter((event) => held.has(event.id) && isWanted(event));
    const last = found.at(-1);
    return found.filter((event) => event.at === last.at && event.by === last.by);
  }

  toFile() {
    return JSON.stringify({ ...this.header, events: this.events }, null, 1) + "\n";
  }

  // Events of a file that somebody exported, or words why it is refused.
  read(text) {
    let file;
    try {
      file = JSON.parse(text);
    } catch {
      throw new Error("this is not JSON. Choose a corrections.json that this page has saved.");
    }
    const { events, ...header } = file ?? {};
    if (header.format !== FORMAT || !Array.isArray(events)) {
      throw new Error("this is no file of corrections. Choose a corrections.json that this page has saved.");
    }
    if (header.version !== VERSION) {
      throw new Error(`its version is ${header.version}; this page reads ${VERSION}. Open it with the program that wrote it.`);
    }
    if (sorted(header.taxonomy) !== sorted(this.header.taxonomy)) {
      throw new Error("it was made with other cell types. Open the page of the results that were corrected.");
    }
    for (const event of events) {
      const isEvent = ACTIONS.has(event?.action) && typeof event.id === "string" && typeof event.image === "string";
      if (!isEvent) throw new Error("an event in it is damaged. Export the corrections again.");
      if (!(event.image in this.header.images) || header.images?.[event.image] !== this.header.images[event.image]) {
        throw new Error(`it corrects other results: the cells of ${event.image} differ. Open the page of those results.`);
      }
    }
    return events.map((event) => ({ cells: [], value: {}, ...event }));
  }
}
