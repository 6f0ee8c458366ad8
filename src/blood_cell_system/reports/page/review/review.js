// The review page: what people do to cells becomes events, and events what everybody sees.

import { cellsOfLink } from "./cell_list.js";
import { ClassMenu } from "./class_menu.js";
import { Classes } from "./classes.js";
import { Corrections, newEvent } from "./corrections.js";
import { byId, counted, html, say } from "./elements.js";
import { FieldView } from "./field_view.js";
import { Gallery, NOT_COUNTED, NOT_VALIDATED } from "./gallery.js";
import { openKeeping, saveFile } from "./keeping.js";
import { discAround, proposedOutline } from "./outline_proposal.js";
import { areaOf, ellipseIn } from "./polygons.js";
import { FLAGS, selected } from "./selection.js";
import { rowsOf, summed, tallyOf } from "./shares.js";
import { FieldImages } from "./tiles.js";

const results = JSON.parse(byId("results").textContent);
const { fields } = results;
const classes = new Classes(results.types, results.reasons);
const images = new FieldImages(fields);

// Cells of each field as the program found them, from columns of all cells.
const base = fields.map(() => []);
{
  const columns = JSON.parse(byId("cells").textContent);
  const named = (names, number) => (number < 0 ? null : names[number]);
  columns.id.forEach((id, i) => {
    const field = columns.field[i];
    base[field].push({
      field, id,
      type: results.names[columns.type[i]],
      condition: named(results.names, columns.condition[i]),
      subtype: named(results.names, columns.subtype[i]),
      reason: named(results.reason_names, columns.reason[i]),
      certainty: columns.certainty[i] / 1e4,
      flags: columns.flags[i],
      isUnproven: Boolean(columns.flags[i] & NOT_VALIDATED),
      isCounted: !(columns.flags[i] & NOT_COUNTED),
      box: columns.box.slice(4 * i, 4 * i + 4),
      diameter: columns.diameter[i] / 100,
      roundness: columns.roundness[i] / 1e3,
      unitsPerPixel: fields[field].um_per_px ?? 1,
    });
  });
}

const corrections = new Corrections(results.header, fields, base, {
  outlinesOf: (cell) => images.polygonsOf(cell),
  newCell: (event) => {
    const field = corrections.placeOf.get(event.image);
    return { field, roundness: 1, isCounted: true, unitsPerPixel: fields[field].um_per_px ?? 1 };
  },
});

const cellOf = ({ field, id }) => corrections.cell(field, id);

// Two lines under a tile: the class, and how sure or why not.
function wordsOf(cell) {
  const name = classes.wordOf(cell);
  const size = `${cell.diameter.toFixed(cell.unitsPerPixel === 1 ? 0 : 1)} ${fields[cell.field].um_per_px ? "µm" : "px"}`;
  if (cell.isGone) return [`${name}, deleted`, size];
  const state = cell.isChanged ? "corrected" : cell.isReviewed ? "reviewed" : classes.reasons[cell.reason] ?? cell.certainty.toFixed(2);
  return [name, `${state}, ${size}`];
}

const gallery = new Gallery(byId("scroller"), byId("grid"), images, {
  cellOf, wordsOf, groupWords: (group) => classes.groupWords(group),
});
const view = new FieldView(images, {
  cellsOf: (place) => corrections.states[place].cells.values(),
  polygonsOf: (cell) => images.polygonsOf(cell),
  wordsOf: (cell) => [`${cell.type} ${cell.isMade ? "of yours" : cell.id}`, ...wordsOf(cell)],
});
const menu = new ClassMenu(classes);

// Figures.

const tallies = base.map(tallyOf);
const talliesBefore = [...tallies];
const chosenSlide = () => byId("slide")?.value ?? "";

function showFigures() {
  const isSummed = (_, place) => fields[place].is_smear && (!chosenSlide() || fields[place].slide === chosenSlide());
  const [before, now] = [talliesBefore, tallies].map((all) => summed(all.filter(isSummed)));
  const isAcross = results.is_grouped && !chosenSlide();
  byId("figures-words").textContent = now.reviewed || now.changed
    ? `Reviewed by a person: ${now.reviewed.toLocaleString("en")} of ${counted(now.seen, "cell")}, ${now.changed.toLocaleString("en")} changed. Counts are after the review.`
    : `As the program counts ${counted(now.seen, "cell")}; none of them is reviewed.`;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  byId("figures-rows").replaceChildren(...rowsOf(classes, before, now).map((row) => {
    const share = row.isType || isAcross || !row.total ? "" : percent(row.share);
    const interval = share && row.interval ? `${percent(row.interval[0])} to ${percent(row.interval[1])}` : "";
    return html("tr", { class: row.isType ? "type" : "", "data-name": row.name },
      html("th", { scope: "row" }, row.words),
      html("td", {}, row.was.toLocaleString("en")),
      html("td", { class: row.was === row.is ? "" : "differs" }, row.is.toLocaleString("en")),
      html("td", {}, share, ...(interval ? [html("span", { class: "soft" }, interval)] : [])));
  }));
  byId("across").hidden = !isAcross;
}

// What is shown.

const filters = ["search", "slide", "group", "reason", "flag", "state", "order"];
const value = (id) => byId(id)?.value ?? "";

let listed = new Set();
function followLink() {
  const link = cellsOfLink(location.hash, results.key);
  byId("state").querySelector("[value=listed]")?.remove();
  if (link?.isOfOthers) say("The link names cells of other results, or of results that were made anew.");
  if (!link || link.isOfOthers) return;
  listed = link.keys;
  byId("state").prepend(new Option(`${link.words} (${listed.size})`, "listed"));
  byId("state").value = "listed";
}

function showCells() {
  const entries = selected(corrections.cells(), fields, classes, {
    words: value("search"), slide: value("slide"), group: value("group"), reason: value("reason"),
    flag: value("flag"), state: value("state"), order: value("order"), listed,
  });
  gallery.show(entries);
  byId("count").textContent = `${counted(entries.length, "cell")}${entries.length === corrections.total ? "" : " shown"}`;
  showSelection();
}

function offerFilters() {
  const groups = new Map();
  const reasons = new Set();
  for (const cell of corrections.cells()) {
    const group = classes.groupOf(cell);
    groups.set(group, (groups.get(group) ?? 0) + 1);
    if (cell.reason) reasons.add(cell.reason);
  }
  const before = byId("group").value;
  const known = classes.order.filter((group) => groups.has(group));
  byId("group").replaceChildren(new Option("All classes", ""), ...known.map((group) =>
    new Option(`${classes.groupWords(group)} (${groups.get(group).toLocaleString("en")})`, group, false, group === before)));
  byId("reason").replaceChildren(new Option("Any reason", ""), ...[...reasons].map((reason) => new Option(classes.reasons[reason] ?? reason, reason)));
  byId("flag").replaceChildren(new Option("Any flag", ""), ...Object.entries(FLAGS).map(([name, [words]]) => new Option(words, name)));
}

function showSelection() {
  const entry = gallery.entries[gallery.active];
  const number = gallery.selected.size;
  byId("selection").textContent = number ? `${counted(number, "cell")} selected` : "";
  if (entry) menu.follow(cellOf(entry).type);
}

// What people do.

let keeping = null;
const unsaved = [];
const person = () => byId("by").value.trim() || "reviewer";

function showKeeping(trouble = "") {
  const words = trouble ? `Not saved: ${trouble}. Export before you close the page` : keeping.words;
  byId("kept").textContent = words;
  byId("kept").classList.toggle("failed", Boolean(trouble) || !keeping.isSafe);
}

let saving = null;
async function save() {
  if (saving) return saving;
  saving = (async () => {
    while (unsaved.length) {
      const part = unsaved.slice(0, 500);
      await keeping.append(part);
      unsaved.splice(0, part.length);
    }
  })();
  try {
    await saving;
    showKeeping();
  } catch (error) {
    showKeeping(error.message);
    setTimeout(save, 3000);
  } finally {
    saving = null;
  }
  return undefined;
}

const MAKES_CELLS = new Set(["draw", "split", "merge"]);
let hasNewCells = false;
let exported = 0;

function take(events, { isNew = true } = {}) {
  const changed = corrections.add(events);
  hasNewCells ||= events.some((event) => MAKES_CELLS.has(event.action));
  for (const place of changed) tallies[place] = tallyOf(corrections.states[place].cells.values());
  gallery.refresh();
  showFigures();
  if (view.isOpen && changed.has(view.place)) view.refresh();
  if (isNew) {
    unsaved.push(...events);
    if (keeping) save();
  }
  byId("undo").disabled = !corrections.last().length;
  byId("redo").disabled = !corrections.last({ wasUndone: true }).length;
}

// Events of one moment for cells of several fields; value may differ from cell to cell.
function act(action, cells, valueOf = () => ({})) {
  const at = new Date();
  const parts = new Map();
  for (const cell of cells) {
    const worth = valueOf(cell);
    const key = JSON.stringify([cell.field, worth]);
    if (!parts.has(key)) parts.set(key, { field: cell.field, worth, ids: [] });
    parts.get(key).ids.push(cell.id);
  }
  return [...parts.values()].map(({ field, worth, ids }) =>
    newEvent(person(), fields[field].name, action, { cells: ids, value: worth, at }));
}

const chosenCells = () => (view.isOpen ? view.chosenCells : gallery.chosen.map(cellOf)).filter((cell) => cell && !cell.isGone);

function advance() {
  if (view.isOpen) {
    if (view.chosen.length === 1) view.step(1);
  } else if (gallery.selected.size) {
    gallery.selectNone();
  } else {
    gallery.go(gallery.active + 1);
  }
}

function setClass(choice) {
  const cells = chosenCells();
  if (!cells.length) return;
  take(act("set_class", cells, (cell) => classes.chosen(cell, choice.class)));
  say(`${counted(cells.length, "cell")}: ${choice.words}`);
  advance();
}

// A person agrees with what the page shows; a condition that it does not show stays open.
function confirm() {
  const cells = chosenCells();
  const hidden = cells.filter((cell) => cell.isUnproven);
  const events = [
    ...act("review_cells", cells.filter((cell) => !cell.isUnproven)),
    ...act("set_class", hidden, (cell) => ({ cell_type: cell.type, subtype: cell.subtype })),
  ];
  for (const event of events) event.at = events[0].at;
  if (events.length) take(events);
  say(`${counted(cells.length, "cell")} reviewed`);
  advance();
}

function remove() {
  const cells = chosenCells();
  if (!cells.length) return;
  take(act("delete", cells));
  say(`${counted(cells.length, "cell")} deleted`);
  advance();
}

function takeBack(wasUndone) {
  const at = new Date();
  const events = corrections.last({ wasUndone });
  take(events.map((event) => newEvent(person(), event.image, "undo", { value: { event: event.id }, at })));
  say(events.length ? `${wasUndone ? "Done again" : "Undone"}: ${counted(events.length, "change")}` : `Nothing to ${wasUndone ? "redo" : "undo"}`);
}

const LEAST_SHARE = 0.1; // Of the disc or the box: a smaller outline is of a speck of dirt.

// Draws a missed cell: the server's outline, else one of the stain, else a disc.
async function drawMissed({ at, box }) {
  const place = view.place;
  const field = fields[place];
  const diameter = field.cell_diameter;
  const around = box ?? [at[0] - 0.9 * diameter, at[1] - 0.9 * diameter, at[0] + 0.9 * diameter, at[1] + 0.9 * diameter];
  const inside = [Math.max(0, around[0]), Math.max(0, around[1]), Math.min(field.width, around[2]), Math.min(field.height, around[3])];
  const proposed = keeping?.propose ? await keeping.propose(field.name, at, box).catch(() => null) : null;
  let polygon = proposed?.polygon ?? null;
  if (!polygon && inside[0] < inside[2] && inside[1] < inside[3]) {
    const others = view.cells.flatMap((cell) => images.polygonsOf(cell)).map((corners) => {
      const path = new Path2D();
      for (const [x, y] of corners) path.lineTo(x, y);
      return path;
    });
    const context = document.createElement("canvas").getContext("2d");
    const isTaken = (x, y) => others.some((path) => context.isPointInPath(path, x, y));
    polygon = proposedOutline(await images.pixelsOf(place, inside), at, isTaken);
  }
  const whole = box ? ellipseIn(box) : discAround(at, diameter);
  if (!polygon || areaOf(polygon) < LEAST_SHARE * areaOf(whole)) polygon = whole;
  const type = proposed?.cell_type ?? menu.palette.type ?? menu.type ?? classes.types[0].name;
  const event = newEvent(person(), field.name, "draw", { value: { cell_type: type, polygon } });
  view.chosen = [event.id];
  take([event]);
  say("A cell is drawn. Set its class.");
}

function merge() {
  const cells = view.chosenCells;
  if (cells.length < 2) return say("Choose two cells or more, with Shift or Ctrl, to merge them.");
  const [event] = act("merge", cells);
  view.chosen = [event.id];
  take([event]);
  return say(`${cells.length} cells merged`);
}

function reviewField() {
  const place = view.place;
  const state = corrections.states[place];
  const open = [...state.cells.values()].filter((cell) => !cell.isGone && !cell.isReviewed);
  const at = new Date();
  const proven = open.filter((cell) => !cell.isUnproven);
  const events = [
    ...act("review_cells", proven),
    ...act("set_class", open.filter((cell) => cell.isUnproven), (cell) => ({ cell_type: cell.type, subtype: cell.subtype })),
    newEvent(person(), fields[place].name, "review_field", { at }),
  ];
  for (const event of events) event.at = at.toISOString();
  take(events);
  say(`Field ${fields[place].shown} is reviewed to its end`);
}

function openField(entry) {
  if (!entry) return;
  view.open(entry.field, entry.id);
}

function otherField(by) {
  const order = [...new Set(gallery.entries.map((entry) => entry.field))].sort((a, b) => a - b);
  const next = order[order.indexOf(view.place) + by];
  if (next === undefined) say(`No ${by < 0 ? "previous" : "further"} field`);
  else view.open(next);
}

async function exportFile() {
  const now = corrections.events.length;
  if (await saveFile("corrections.json", corrections.toFile())) {
    exported = now;
    say(`${counted(now, "event")} exported`);
  }
}

async function importFile(file) {
  try {
    const events = corrections.read(await file.text()).filter((event) => !corrections.known.has(event.id));
    take(events);
    showCells();
    say(`${counted(events.length, "event")} of ${file.name} taken over`);
    byId("trouble").textContent = "";
  } catch (error) {
    byId("trouble").textContent = `${file.name}: ${error.message}`;
  }
}

// Buttons and keys.

function regroup() {
  hasNewCells = false;
  offerFilters();
  showCells();
}

const help = () => byId("help").showModal();
const buttons = {
  undo: () => takeBack(false), redo: () => takeBack(true), regroup, export: exportFile,
  import: () => byId("import-file").click(), "open-help": help, "close-help": () => byId("help").close(),
  "all-classes": () => menu.open(), "confirm-cells": confirm, "delete-cells": remove,
  "close-field": () => view.dialog.close(), "tool-draw": () => view.toolOrLook("draw"), "tool-split": () => view.toolOrLook("split"),
  "tool-edit": () => view.toolOrLook("edit"),
  "tool-merge": merge, "review-field": reviewField, "previous-field": () => otherField(-1), "next-field": () => otherField(1),
  "fit-field": () => view.fit({ whole: true }),
};
for (const [id, press] of Object.entries(buttons)) byId(id).addEventListener("click", press);
byId("selecting").addEventListener("click", (event) => {
  gallery.isSelecting = !gallery.isSelecting;
  event.currentTarget.setAttribute("aria-pressed", gallery.isSelecting);
});
byId("import-file").addEventListener("change", (event) => {
  if (event.target.files.length) importFile(event.target.files[0]);
  event.target.value = "";
});
for (const id of filters) byId(id)?.addEventListener("input", () => { showCells(); if (id === "slide") showFigures(); });
byId("tile-size").addEventListener("input", (event) => {
  gallery.tilePx = Number(event.target.value);
  gallery.layOut();
  gallery.reveal();
});
gallery.addEventListener("moved", showSelection);
gallery.addEventListener("opened", () => openField(gallery.entries[gallery.active]));
view.addEventListener("drawn", (event) => drawMissed(event.detail));
view.addEventListener("split", ({ detail: { id, points } }) => take(act("split", [corrections.cell(view.place, id)], () => ({ points }))));
view.addEventListener("reshaped", ({ detail: { id, polygon } }) => take(act("set_outline", [corrections.cell(view.place, id)], () => ({ polygon }))));
view.addEventListener("changed", () => {
  const cell = view.chosenCells[0];
  if (cell) menu.follow(cell.type);
  byId("review-field").setAttribute("aria-pressed", corrections.states[view.place].isReviewed);
});
view.dialog.addEventListener("close", () => {
  byId("tools-home").append(byId("tools"));
  // Cells that were made in the field have no tile yet.
  if (hasNewCells) regroup();
  byId("grid").focus();
});
menu.addEventListener("picked", (event) => setClass(event.detail));

const everywhere = {
  " ": confirm, Delete: remove, Backspace: remove, z: () => takeBack(false), y: () => takeBack(true),
  p: () => say(`Digits choose: ${menu.next().name}`), m: () => menu.open(), "?": help,
};
const inGallery = {
  Enter: () => openField(gallery.entries[gallery.active]), x: () => gallery.toggle(), g: regroup,
  Escape: () => gallery.selectNone(), "/": () => byId("search").focus(),
};
const inField = {
  ArrowRight: () => view.step(1), ArrowLeft: () => view.step(-1), d: () => view.toolOrLook("draw"), s: () => view.toolOrLook("split"), e: () => view.toolOrLook("edit"),
  j: merge, f: reviewField, PageDown: () => otherField(1), PageUp: () => otherField(-1), 0: () => view.fit({ whole: true }),
  "+": () => view.panZoom.zoom(1 / 1.4), "-": () => view.panZoom.zoom(1.4),
};
const moves = {
  ArrowRight: () => gallery.active + 1, ArrowLeft: () => gallery.active - 1,
  ArrowDown: () => gallery.beside(1), ArrowUp: () => gallery.beside(-1),
  PageDown: () => gallery.beside(gallery.rowsInSight), PageUp: () => gallery.beside(-gallery.rowsInSight),
  Home: () => 0, End: () => gallery.entries.length - 1,
};

function pressed(event, keys) {
  if (event.target.matches("input, select, textarea") || event.altKey) return;
  const isButton = event.target.closest("button, a, summary") && (event.key === " " || event.key === "Enter");
  if (isButton) return;
  const isCommand = event.ctrlKey || event.metaKey;
  const command = { z: () => takeBack(event.shiftKey), y: () => takeBack(true), a: () => gallery.selectAll() }[event.key.toLowerCase()];
  const done = isCommand ? command : keys[event.key] ?? everywhere[event.key];
  if (done) done();
  else if (isCommand || !menu.digit(event.key)) return;
  event.preventDefault();
}

byId("gallery").addEventListener("keydown", (event) => {
  const move = moves[event.key];
  if (move && gallery.entries.length && event.target.id === "grid") {
    event.preventDefault();
    gallery.go(move(), { extend: event.shiftKey });
  } else {
    pressed(event, inGallery);
  }
});
view.dialog.addEventListener("keydown", (event) => {
  if (view.shapeKey(event.key)) event.preventDefault();
  else pressed(event, inField);
});
// The palette is beside the gallery, and in the field that is open.
view.addEventListener("opening", () => byId("field-tools").append(byId("tools")));

// Beginning.

const BY = "blood-cell-review-by";
try {
  byId("by").value = localStorage.getItem(BY) ?? "";
  byId("by").addEventListener("input", () => localStorage.setItem(BY, byId("by").value));
} catch {
  // A browser that keeps nothing asks for the name each time.
}

corrections.total = [...corrections.cells()].length;
followLink();
addEventListener("hashchange", () => {
  followLink();
  showCells();
});
regroup();
showFigures();
addEventListener("beforeunload", (event) => {
  const isLost = unsaved.length || (!keeping?.isSafe && corrections.events.length > exported);
  if (isLost) event.preventDefault();
});

async function lookAgain() {
  if (document.visibilityState !== "visible" || !keeping) return;
  const events = await keeping.load().catch(() => []);
  take(events.filter((event) => !corrections.known.has(event.id)), { isNew: false });
}
addEventListener("focus", lookAgain);
document.addEventListener("visibilitychange", lookAgain);

openKeeping(results.key).then(async (opened) => {
  keeping = opened;
  showKeeping();
  try {
    const events = await keeping.load();
    take(events, { isNew: false });
    if (events.length) regroup();
  } catch (error) {
    showKeeping(error.message);
  }
  document.body.dataset.ready = "yes";
  if (unsaved.length) save();
});
// Tiles that were asked for before their fields had come with the page.
document.addEventListener("DOMContentLoaded", () => {
  images.work();
  gallery.layOut();
});
