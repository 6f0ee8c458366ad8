// The page of a report: a table that sorts, and a viewer of its images.

import { PanZoom } from "./pan_zoom.js";

const images = JSON.parse(document.getElementById("images").textContent);
const viewer = document.getElementById("viewer");
const stage = document.getElementById("stage");
const details = document.getElementById("details");
const SVG = "http://www.w3.org/2000/svg";
let shown = -1;
const panZoom = new PanZoom(stage);
let withOutlines = true;
let chosenCell = null;

// The search leaves the rows of the images whose words hold all of its own.
const search = document.getElementById("search");
search?.addEventListener("input", () => {
  const wanted = search.value.toLowerCase().split(/\s+/);
  const rows = [...document.querySelectorAll("#images-table tbody tr")];
  for (const row of rows) {
    const words = [...row.cells].map((cell) => cell.dataset.value ?? "").join(" ").toLowerCase();
    row.toggleAttribute("hidden", !wanted.every((word) => words.includes(word)));
  }
  const left = rows.filter((row) => !row.hidden).length;
  document.getElementById("found").textContent = search.value ? `${left} of ${rows.length}` : "";
});
const filter = document.getElementById("filter");
const listed = document.getElementById("listed");

// The table: a click on a heading sorts by it, a second one the other way round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") === "descending" ? true
      : heading.hasAttribute("aria-sort") ? false : heading.className !== "number";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const [first, second] = [value(a), value(b)];
      if (first === "" || second === "") return (first === "") - (second === "");
      const both = Number(first) - Number(second);
      const order = Number.isNaN(both) ? first.localeCompare(second, undefined, { numeric: true }) : both;
      return up ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// The cells of an image are columns with a value a cell; a cell is a place in them.
function cellOf(image, place) {
  return Object.fromEntries(Object.entries(image.cells).map(([name, values]) => [name, values[place]]));
}

function wordsOf({ id, type, certainty, uncertain, counted, condition }) {
  return `${type} ${id}, certainty ${certainty.toFixed(2)}`
    + (condition ? `, ${condition}` : "")
    + (uncertain ? ", not sure" : "") + (counted ? "" : ", not counted");
}

// What the viewer may be limited to: classes, conditions and reasons come from the image.
const groups = {
  "All cells": () => true,
  "Not sure": (cell) => cell.uncertain,
  "Not healthy": (cell) => cell.abnormal,
};
const kinds = { "Type": "type", "Class": "name", "Not assessed": "reason" };

function groupOf(name) {
  const [kind, value] = name.split(/: (.*)/s);
  return groups[name] ?? ((cell) => cell[kinds[kind]] === value);
}

function offerGroups(image) {
  const before = filter.value;
  const names = Object.keys(groups);
  for (const [kind, column] of Object.entries(kinds)) {
    const values = [...new Set(image.cells[column])].filter(Boolean).sort();
    names.push(...values.map((value) => `${kind}: ${value}`));
  }
  filter.replaceChildren(...names.map((name) => {
    const count = image.cells.id.filter((_, place) => groupOf(name)(cellOf(image, place))).length;
    return new Option(`${name} (${count})`, name, false, name === before);
  }));
}

function limit() {
  const image = images[shown];
  const isShown = groupOf(filter.value);
  const outlines = stage.querySelectorAll("#outlines polygon");
  const buttons = [];
  outlines.forEach((polygon, place) => {
    const cell = cellOf(image, place);
    polygon.toggleAttribute("hidden", !isShown(cell));
    if (!isShown(cell) || filter.selectedIndex === 0) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.id;
    button.title = wordsOf(cell);
    button.addEventListener("click", () => show(shown, cell.id));
    buttons.push(button);
  });
  listed.replaceChildren(...buttons);
}

function show(index, cellId) {
  const image = images[index];
  const source = document.getElementById(`p${index}`);
  if (!image || !source) return;
  shown = index;
  document.getElementById("title").textContent = image.name;
  const svg = make("svg", { preserveAspectRatio: "xMidYMid meet" });
  svg.append(make("image", { href: source.src, width: image.width, height: image.height, preserveAspectRatio: "none" }));
  const outlines = make("g", { id: "outlines" });
  image.cells.id.forEach((id, place) => {
    const cell = cellOf(image, place);
    const classes = [cell.type, cell.uncertain ? "uncertain" : "", cell.counted ? "" : "left-out", cell.abnormal ? "abnormal" : "", cell.reason ? "unassessed" : "", id === cellId ? "chosen" : ""];
    const polygon = make("polygon", { points: image.outlines[place], class: classes.join(" ").trim() });
    polygon.addEventListener("pointerenter", () => { details.textContent = wordsOf(cell); });
    polygon.append(make("title", {}));
    polygon.firstChild.textContent = wordsOf(cell);
    outlines.append(polygon);
  });
  svg.append(outlines);
  stage.replaceChildren(svg);
  offerGroups(image);
  limit();
  details.textContent = `${image.cells.id.length} cells. Drag to move, wheel or two fingers to zoom; ? shows colours and keys.`;
  chosenCell = Number.isInteger(cellId) ? cellId : null;
  panZoom.size = { width: image.width, height: image.height };
  if (!viewer.open) viewer.showModal();
  panZoom.fit();
  const chosen = image.cells.id.indexOf(cellId);
  if (chosen >= 0 && outlines.children[chosen].points.length) {
    panZoom.focus(outlines.children[chosen].getBBox());
    details.textContent = wordsOf(cellOf(image, chosen));
  }
  remember();
  showOutlines();
}

// The address names the view, so that it can be sent and reloaded: #3.12 is cell 12 of image 3.
function remember() {
  const place = viewer.open ? `#${shown + 1}${chosenCell === null ? "" : `.${chosenCell}`}` : " ";
  history.replaceState(null, "", place === " " ? location.pathname + location.search : place);
}

function showOutlines() {
  stage.querySelector("#outlines").setAttribute("visibility", withOutlines ? "visible" : "hidden");
  document.getElementById("outlined").setAttribute("aria-pressed", withOutlines);
}

// Images in the order of the table, as it is sorted and searched.
function inOrder() {
  const shownRows = [...document.querySelectorAll("tbody tr:not([hidden]) button.open")];
  return shownRows.map((button) => Number(button.dataset.image));
}

function step(by) {
  const order = inOrder();
  const next = order[order.indexOf(shown) + by];
  if (next !== undefined) show(next);
}

// The next cell that is not sure: of this image, then of those that follow.
function nextUnsure() {
  const order = inOrder();
  const here = Math.max(order.indexOf(shown), 0);
  for (const index of [...order.slice(here), ...order.slice(0, here)]) {
    const { id, uncertain } = images[index].cells;
    const after = index === shown && chosenCell !== null ? id.indexOf(chosenCell) : -1;
    const place = uncertain.findIndex((is, at) => is && at > after);
    if (place >= 0) return show(index, id[place]);
  }
  details.textContent = "No further cell is unsure.";
}

function toggle() {
  withOutlines = !withOutlines;
  showOutlines();
}

for (const button of document.querySelectorAll("[data-image]")) {
  button.addEventListener("click", () => show(Number(button.dataset.image), Number(button.dataset.cell)));
}
const actions = {
  previous: () => step(-1), next: () => step(1), larger: () => panZoom.zoom(1 / 1.4), smaller: () => panZoom.zoom(1.4),
  fit: () => panZoom.fit(), outlined: toggle, close: () => { viewer.close(); remember(); }, unsure: nextUnsure,
  help: () => document.getElementById("legend").toggleAttribute("hidden"),
};
filter.addEventListener("change", limit);
viewer.addEventListener("close", remember);
for (const [id, act] of Object.entries(actions)) document.getElementById(id).addEventListener("click", act);
const keys = { ArrowLeft: actions.previous, ArrowRight: actions.next, "+": actions.larger, "-": actions.smaller, 0: actions.fit, o: toggle, u: nextUnsure, "?": actions.help };
viewer.addEventListener("keydown", (event) => {
  const act = event.target === filter ? undefined : keys[event.key];
  if (act && !event.ctrlKey && !event.metaKey) act();
});
// A link to one image: index.html#3 opens the third, index.html#3.12 at its cell 12.
function follow() {
  const wanted = /^#(\d+)(?:\.(\d+))?$/.exec(location.hash);
  if (wanted) show(Number(wanted[1]) - 1, wanted[2] === undefined ? NaN : Number(wanted[2]));
}
addEventListener("hashchange", follow);
follow();
