// Cell types with their conditions and subtypes, and the words for them.

export const NONE_OF_THESE = "none of these";

export class Classes {
  constructor(types, reasons) {
    this.types = types;
    this.reasons = reasons;
    this.byName = new Map(types.map((type) => [type.name, type]));
    this.words = new Map();
    this.unhealthy = new Set();
    for (const type of types) {
      this.words.set(type.name, type.name);
      for (const one of [...type.conditions, ...type.subtypes]) {
        this.words.set(one.name, one.one || one.name.replaceAll("_", " "));
      }
      for (const one of type.conditions) if (!one.healthy) this.unhealthy.add(one.name);
    }
  }

  // A class in a word or two: the illness, else the subtype, else health, else the type.
  nameOf({ type, condition, subtype }) {
    if (this.unhealthy.has(condition)) return condition;
    return (condition === NONE_OF_THESE ? condition : subtype) ?? condition ?? type;
  }

  wordOf(cell) {
    const name = this.nameOf(cell);
    return this.words.get(name) ?? name;
  }

  // Groups of the gallery: an order of all names, those of a type together.
  get order() {
    return this.groups ??= this.types.flatMap((type) => [
      ...type.conditions.filter((one) => !one.healthy).map((one) => one.name),
      ...type.subtypes.map((one) => one.name),
      ...type.conditions.filter((one) => one.healthy).map((one) => one.name),
      NONE_OF_THESE,
      type.name,
    ].map((name) => `${type.name}/${name}`));
  }

  // Kept with the cell, which is another one after a correction.
  groupOf(cell) {
    return cell.group ??= `${cell.type}/${this.nameOf(cell)}`;
  }

  groupWords(group) {
    const [typeName, name] = group.split(/\/(.*)/s);
    const type = this.byName.get(typeName);
    const words = type ? type.display : typeName;
    const heading = words[0].toUpperCase() + words.slice(1);
    if (name === typeName) return type?.conditions.length ? `${heading}: not assessed` : heading;
    return `${heading}: ${this.words.get(name) ?? name}`;
  }

  // What the digits may set: the types, or the conditions or subtypes of one of them.
  get palettes() {
    const palettes = [{
      name: "Types", type: null,
      choices: this.types.map((type) => ({ words: type.display, class: { cell_type: type.name } })),
    }];
    for (const type of this.types) {
      if (type.subtypes.length) {
        const ill = type.conditions.filter((one) => !one.healthy);
        palettes.push({
          name: `Kinds of ${type.display}`, type: type.name,
          choices: [
            ...type.subtypes.map((one) => ({ words: this.words.get(one.name), class: { cell_type: type.name, subtype: one.name } })),
            ...ill.map((one) => ({ words: this.words.get(one.name), class: { cell_type: type.name, condition: one.name } })),
          ],
        });
      }
      if (type.conditions.length) {
        palettes.push({
          name: `Conditions of ${type.display}`, type: type.name,
          choices: [
            ...type.conditions.map((one) => ({ words: this.words.get(one.name), class: { cell_type: type.name, condition: one.name } })),
            { words: NONE_OF_THESE, class: { cell_type: type.name, condition: NONE_OF_THESE } },
          ],
        });
      }
    }
    return palettes;
  }

  // The whole class of a cell after a person has chosen a part of it. A type says nothing more;
  // an illness nothing of the subtype; a subtype keeps what is known of the condition, unless the
  // cell was so ill that it had none.
  chosen(cell, choice) {
    const isOther = choice.cell_type !== cell.type;
    const known = isOther || cell.isUnproven ? null : cell.condition;
    if (choice.condition !== undefined) {
      const isIll = choice.condition === NONE_OF_THESE || this.unhealthy.has(choice.condition);
      return { cell_type: choice.cell_type, condition: choice.condition, subtype: isOther || isIll ? null : cell.subtype };
    }
    if (choice.subtype !== undefined) {
      const wasWithout = cell.subtype === null && (known === NONE_OF_THESE || this.unhealthy.has(known));
      const healthy = this.byName.get(choice.cell_type).conditions.find((one) => one.healthy)?.name ?? null;
      return { cell_type: choice.cell_type, condition: wasWithout ? healthy : known, subtype: choice.subtype };
    }
    return isOther
      ? { cell_type: choice.cell_type, condition: null, subtype: null }
      : { cell_type: choice.cell_type, condition: known, subtype: cell.subtype };
  }
}
