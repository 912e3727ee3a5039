/** What running items report of themselves. */

/** A place stays free for so many milliseconds before it goes: the next item is about to take it, and
 * nothing below jumps up and down between the two. */
const FREE = 1500;

/**
 * Which item is shown in which place: those that go on stay where they are, others take free places.
 * @param {(number|null)[]} places item by place; `null` where free @param {number[]} items @returns {(number|null)[]}
 */
export function placed(places, items) {
  const kept = places.map((i) => (i !== null && items.includes(i) ? i : null));
  for (const i of items) {
    if (kept.includes(i)) continue;
    const free = kept.indexOf(null);
    if (free < 0) kept.push(i);
    else kept[free] = i;
  }
  return kept;
}

/** What running items report of themselves. @param {any} context */
function progressBars({ board }) {
  const node = h("div", { class: "nbq-progress", hidden: true });
  /** @type {any[]} */
  const rows = [];
  /** @type {(number|null)[]} */
  let places = [];
  const make = () => {
    const fill = h("span", { class: "nbq-track-fill" });
    const bar = h("span", { class: "nbq-track", role: "progressbar" }, fill);
    const [name, text] = [h("span", { class: "nbq-track-item" }), h("span", { class: "nbq-track-text" })];
    const row = { item: -1, freeAt: 0, name, bar, fill, text, button: /** @type {any} */ (null) };
    row.button = h("button", { type: "button", class: "nbq-track-row", onclick: () => board.select(row.item) }, name, bar, text);
    node.append(row.button);
    return row;
  };
  const show = (/** @type {any} */ row, /** @type {any[]} */ [i, done, total, info]) => {
    row.button.classList.remove("nbq-free");
    row.freeAt = 0;
    if (row.item !== i) {
      row.item = i;
      say(row.name, `#${i}`);
      row.bar.setAttribute("aria-label", `Item ${i}`);
    }
    const share = total ? Math.max(0, Math.min(1, done / total)) : null;
    row.fill.style.width = share === null ? "30%" : `${100 * share}%`;
    row.bar.classList.toggle("nbq-open-ended", share === null);
    if (share === null) row.bar.removeAttribute("aria-valuenow");
    else row.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const far = total ? `${short(done)}/${short(total)}` : short(done);
    say(row.text, info ? `${far} · ${info}` : far);
    row.button.title = row.text.textContent;
  };
  const update = (/** @type {Summary} */ s) => {
    const now = s.finished ? [] : s.progress;
    const reports = new Map(now.map((report) => [report[0], report]));
    places = placed(places, [...reports.keys()]);
    places.forEach((i, k) => {
      const row = (rows[k] ??= make());
      if (i !== null) return show(row, /** @type {any[]} */ (reports.get(i)));
      row.freeAt ||= performance.now();
      row.button.classList.add("nbq-free");
    });
    const gone = (/** @type {any} */ row) => row.freeAt && (s.finished || performance.now() - row.freeAt > FREE);
    while (rows.length && gone(rows[rows.length - 1])) {
      rows.pop().button.remove();
      places.pop();
    }
    node.hidden = !rows.length;
  };
  return { node, update };
}

/** @param {number} x */
const short = (x) => (Number.isInteger(x) ? grouped(x) : String(Number(x.toPrecision(3))));
