/** What running items report of themselves. */

/** What running items report of themselves. @param {any} context */
function progressBars({ board }) {
  const node = h("div", { class: "nbq-progress", hidden: true });
  /** @type {Map<number, any>} */
  const rows = new Map();
  const make = (/** @type {number} */ i) => {
    const fill = h("span", { class: "nbq-track-fill" });
    const bar = h("span", { class: "nbq-track", role: "progressbar", "aria-label": `Item ${i}` }, fill);
    const text = h("span", { class: "nbq-track-text" });
    const button = h("button", { type: "button", class: "nbq-track-row",
      onclick: () => board.select(i) }, h("span", { class: "nbq-track-item", text: `#${i}` }), bar, text);
    return { button, bar, fill, text };
  };
  const update = (/** @type {Summary} */ s) => {
    const now = s.finished ? [] : s.progress;
    const seen = new Set(now.map(([i]) => i));
    for (const [i, row] of rows) if (!seen.has(i)) (row.button.remove(), rows.delete(i));
    for (const [i, done, total, info] of now) {
      let row = rows.get(i);
      if (!row) {
        rows.set(i, (row = make(i)));
        node.append(row.button);
      }
      const share = total ? Math.max(0, Math.min(1, done / total)) : null;
      row.fill.style.width = share === null ? "30%" : `${100 * share}%`;
      row.bar.classList.toggle("nbq-open-ended", share === null);
      if (share === null) row.bar.removeAttribute("aria-valuenow");
      else row.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
      const far = total ? `${short(done)}/${short(total)}` : short(done);
      say(row.text, info ? `${far} · ${info}` : far);
      row.button.title = row.text.textContent;
    }
    node.hidden = !now.length;
  };
  return { node, update };
}

/** @param {number} x */
const short = (x) => (Number.isInteger(x) ? grouped(x) : String(Number(x.toPrecision(3))));
