/** The steps of a workflow, each with how far it is. */

/** @param {number[]} counts by code */
export function farOf(counts) {
  const n = counts.reduce((sum, count) => sum + count, 0);
  const done = counts[SUCCESS] + counts[FAILURE] + counts[REVOKED];
  return { n, done, text: n ? `${grouped(done)} of ${grouped(n)}` : "–" };
}

/** @param {any} context */
function stepBars({ board }) {
  const list = h("ol", { class: "nbq-step-list", "aria-label": "Steps of the workflow" });
  const more = h("p", { class: "nbq-note", hidden: true });
  const node = h("div", { class: "nbq-steps", hidden: true }, list, more);
  /** @type {any[]} */
  const rows = [];
  const make = () => {
    const name = h("span", { class: "nbq-step-name" });
    const segments = SEGMENTS.map((code) => h("span", { class: `nbq-segment nbq-${LOOKS[code].name}` }));
    const bar = h("span", { class: "nbq-bar nbq-step-bar", role: "progressbar" }, ...segments);
    const far = h("span", { class: "nbq-step-far" });
    const row = h("li", { class: "nbq-step" }, name, bar, far);
    list.append(row);
    return { row, name, segments, bar, far };
  };
  const update = (/** @type {Summary} */ s) => {
    const now = s.steps ?? [];
    node.hidden = !now.length;
    while (rows.length < now.length) rows.push(make());
    now.forEach(([task, counts, rescue], k) => {
      const { row, name, segments, bar, far } = rows[k];
      const { n, done, text } = farOf(counts);
      say(name, task);
      say(far, text);
      row.classList.toggle("nbq-rescue", rescue);
      row.title = rescue ? `${task}: called because something failed` : task;
      bar.setAttribute("aria-label", task);
      bar.setAttribute("aria-valuemax", String(n));
      bar.setAttribute("aria-valuenow", String(done));
      segments.forEach((/** @type {HTMLElement} */ segment, /** @type {number} */ at) => {
        segment.style.flexGrow = String(counts[SEGMENTS[at]]);
        segment.hidden = !counts[SEGMENTS[at]];
      });
    });
    more.hidden = !s.steps_left;
    say(more, s.steps_left ? `… and ${grouped(s.steps_left)} more steps` : "");
  };
  return { node, update };
}
