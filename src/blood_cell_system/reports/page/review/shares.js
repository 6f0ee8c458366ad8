// Counts and shares with their 95 % intervals, as they are after the review.

const Z_95 = 1.959963984540054;

// Wilson's interval of a share.
export function wilson(count, total) {
  if (!total) return null;
  const share = count / total;
  const z2 = Z_95 ** 2;
  const middle = (share + z2 / (2 * total)) / (1 + z2 / total);
  const half = (Z_95 / (1 + z2 / total)) * Math.sqrt((share * (1 - share)) / total + z2 / (4 * total ** 2));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

const plus = (tally, name, number = 1) => { tally[name] = (tally[name] ?? 0) + number; };

// Cells of a field by type, condition and subtype, as the border rule counts.
export function tallyOf(cells) {
  const tally = { counts: {}, among: {}, seen: 0, reviewed: 0, changed: 0 };
  for (const cell of cells) {
    if (!cell.isMade) tally.seen += 1;
    if (!cell.isMade && cell.isReviewed) tally.reviewed += 1;
    if (cell.isChanged || cell.isGone) tally.changed += 1;
    if (cell.isGone || !cell.isCounted) continue;
    plus(tally.counts, cell.type);
    if (cell.condition && !cell.isUnproven) {
      plus(tally.counts, cell.condition);
      plus(tally.among, `${cell.type} conditions`);
    }
    if (cell.subtype) {
      plus(tally.counts, cell.subtype);
      plus(tally.among, `${cell.type} subtypes`);
    }
  }
  return tally;
}

export function summed(tallies) {
  const sum = { counts: {}, among: {}, seen: 0, reviewed: 0, changed: 0 };
  for (const tally of tallies) {
    for (const part of ["counts", "among"]) {
      for (const [name, number] of Object.entries(tally[part])) plus(sum[part], name, number);
    }
    for (const part of ["seen", "reviewed", "changed"]) sum[part] += tally[part];
  }
  return sum;
}

// Rows of the table: types with their counts, and the classes of each among those that have one.
export function rowsOf(classes, before, now) {
  const rows = [];
  for (const type of classes.types) {
    const [was, is] = [before.counts[type.name] ?? 0, now.counts[type.name] ?? 0];
    if (!was && !is) continue;
    rows.push({ name: type.name, words: type.display, isType: true, was, is });
    for (const kind of ["conditions", "subtypes"]) {
      const total = now.among[`${type.name} ${kind}`] ?? 0;
      const totalBefore = before.among[`${type.name} ${kind}`] ?? 0;
      for (const one of type[kind]) {
        const [wasOne, isOne] = [before.counts[one.name] ?? 0, now.counts[one.name] ?? 0];
        if (!wasOne && !isOne) continue;
        rows.push({
          name: one.name, words: one.display, was: wasOne, is: isOne, total,
          wasShare: totalBefore ? wasOne / totalBefore : 0,
          share: total ? isOne / total : 0, interval: wilson(isOne, total),
        });
      }
    }
  }
  return rows;
}
