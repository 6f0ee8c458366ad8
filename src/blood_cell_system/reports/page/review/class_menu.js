// The classes that a person may set: a palette that digits choose from, and a menu of all.

import { byId, html } from "./elements.js";

const DIGITS = 9;

export class ClassMenu extends EventTarget {
  constructor(classes) {
    super();
    this.palettes = classes.palettes;
    this.ofType = new Map(); // The palette that was last used for cells of a type.
    this.chooser = byId("palette");
    this.buttons = byId("choices");
    this.chooser.append(...this.palettes.map((palette, i) => html("option", { value: i }, palette.name)));
    this.chooser.addEventListener("change", () => {
      if (this.type) this.ofType.set(this.type, Number(this.chooser.value));
      this.show();
    });
    this.menu = byId("menu");
    this.search = byId("menu-search");
    this.list = byId("menu-list");
    this.search.addEventListener("input", () => this.listAll());
    this.menu.addEventListener("keydown", (event) => this.menuKey(event));
    this.show();
  }

  // The palette for cells of a type: kinds where digits reach them all, else conditions.
  follow(type) {
    if (type === this.type) return;
    this.type = type;
    const ofType = this.palettes.map((palette, i) => [palette, i]).filter(([palette]) => palette.type === type);
    const usual = ofType.find(([palette]) => palette.choices.length <= DIGITS) ?? ofType[0] ?? [null, 0];
    this.chooser.value = this.ofType.get(type) ?? usual[1];
    this.show();
  }

  get palette() {
    return this.palettes[Number(this.chooser.value) || 0];
  }

  show() {
    this.buttons.replaceChildren(...this.palette.choices.map((choice, i) =>
      html("button", { type: "button", onclick: () => this.pick(choice) },
        ...(i < DIGITS ? [html("kbd", {}, String(i + 1)), " "] : []), choice.words)));
  }

  next() {
    this.chooser.value = (Number(this.chooser.value) + 1) % this.palettes.length;
    this.chooser.dispatchEvent(new Event("change"));
    return this.palette;
  }

  pick(choice) {
    this.dispatchEvent(new CustomEvent("picked", { detail: choice }));
  }

  // A digit's choice; gives whether it has one.
  digit(key) {
    const choice = /^[1-9]$/.test(key) ? this.palette.choices[Number(key) - 1] : undefined;
    if (choice) this.pick(choice);
    return Boolean(choice);
  }

  open() {
    this.search.value = "";
    this.listAll();
    this.menu.showModal();
    this.search.focus();
  }

  listAll() {
    const words = this.search.value.toLowerCase();
    this.list.replaceChildren(...this.palettes.flatMap((palette) => palette.choices
      .filter((choice) => `${palette.name} ${choice.words}`.toLowerCase().includes(words))
      .map((choice) => html("button", { type: "button", onclick: () => this.choose(choice) },
        choice.words, " ", html("span", { class: "soft" }, palette.name)))));
  }

  choose(choice) {
    this.menu.close();
    this.pick(choice);
  }

  menuKey(event) {
    const buttons = [...this.list.children];
    const here = buttons.indexOf(document.activeElement);
    if (event.key === "Enter" && here < 0 && buttons.length) {
      event.preventDefault();
      buttons[0].click();
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    (buttons[here + by] ?? this.search).focus();
  }
}
