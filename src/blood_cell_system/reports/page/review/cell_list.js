// Cells that a link names: review.html#suggested=KEY/3:1,2;5:7 are cells 1 and 2 of the fourth field
// and cell 7 of the sixth, of the results of that key.

const LISTS = { suggested: "Suggested", disagreed: "Disagreed on" };

// { words, keys, isOfOthers } of an address; null where it names no cells.
export function cellsOfLink(address, key) {
  const [, name, of, list] = /^#(\w+)=([0-9a-f]+)\/([\d:,;]*)$/.exec(address) ?? [];
  if (!Object.hasOwn(LISTS, name ?? "")) return null;
  const keys = new Set();
  for (const part of list.split(";").filter(Boolean)) {
    const [field, ids = ""] = part.split(":");
    for (const id of ids.split(",")) keys.add(`${Number(field)}:${Number(id)}`);
  }
  return { words: LISTS[name], keys, isOfOthers: !key.startsWith(of) };
}
