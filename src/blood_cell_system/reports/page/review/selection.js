// Which cells the gallery shows, and in which order.

import { NOT_COUNTED, NOT_VALIDATED, TOUCHES_BORDER, UNCERTAIN } from "./gallery.js";

export const FLAGS = {
  uncertain: ["not sure", UNCERTAIN],
  touching_border: ["cut off", TOUCHES_BORDER],
  not_counted: ["not counted", NOT_COUNTED],
  not_validated: ["not validated", NOT_VALIDATED],
};

const STATES = {
  all: () => true,
  open: (cell) => !cell.isReviewed,
  reviewed: (cell) => cell.isReviewed,
  changed: (cell) => cell.isChanged || cell.isGone,
};

const ORDERS = {
  certainty: (cell) => cell.certainty,
  "-certainty": (cell) => -cell.certainty,
  diameter: (cell) => cell.diameter,
  "-diameter": (cell) => -cell.diameter,
  roundness: (cell) => cell.roundness,
  field: () => 0,
};

const MOST = 1e6; // Above all values that cells are ordered by, twice.

// wanted: { words, slide, group, reason, flag, state, order, listed }; empty parts leave nothing out.
export function selected(cells, fields, classes, wanted) {
  const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
  const nameOfField = fields.map((field) => [field.shown, field.slide, field.patient].join(" ").toLowerCase());
  const isInState = wanted.state === "listed"
    ? (cell) => wanted.listed.has(`${cell.field}:${cell.id}`)
    : STATES[wanted.state] ?? STATES.all;
  const flag = FLAGS[wanted.flag]?.[1] ?? 0;
  const order = ORDERS[wanted.order] ?? ORDERS.certainty;
  const ranks = new Map(classes.order.map((group, rank) => [group, rank]));
  const found = [];
  for (const cell of cells) {
    // Cells that somebody deleted stay where they were; those that became others are gone.
    if (cell.isGone && !cell.isDeleted) continue;
    const group = classes.groupOf(cell);
    if (wanted.slide && fields[cell.field].slide !== wanted.slide) continue;
    if (wanted.group && group !== wanted.group) continue;
    if (wanted.reason && cell.reason !== wanted.reason) continue;
    if (flag && !(cell.flags & flag)) continue;
    if (!isInState(cell)) continue;
    if (words.length) {
      const text = `${nameOfField[cell.field]} ${cell.id} ${classes.wordOf(cell)} ${cell.type} ${cell.reason ?? ""}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
    }
    // One number to sort by; those that are equal stay in the order of the fields.
    const place = (ranks.get(group) ?? ranks.size) * MOST + order(cell);
    found.push({ field: cell.field, id: cell.id, group, place });
  }
  return found.sort((a, b) => a.place - b.place);
}
