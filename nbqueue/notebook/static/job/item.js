/** The chosen item. */

/** What there is to say of the chosen item. @param {any} context */
function item({ board, root, n, signal }) {
  const title = h("h4", { class: "nbq-item-title" });
  const close = h("button", { type: "button", class: "nbq-button nbq-quiet", "aria-label": "Close item", text: "✕" });
  const facts = h("span", { class: "nbq-item-facts" });
  const list = h("dl", { class: "nbq-item-values" });
  const trace = h("pre", { class: "nbq-trace", tabindex: "0", "aria-label": "Traceback", hidden: true });
  const node = h("section", { class: "nbq-item", "aria-label": "Chosen item", hidden: true },
    h("div", { class: "nbq-line nbq-item-head" }, h("div", { class: "nbq-item-about" }, title, facts),
      h("span", { class: "nbq-buttons" }, close)), list, trace);
  if (n === 1) node.classList.add("nbq-only");
  close.addEventListener("click", () => board.select(-1), { signal });
  let shown = -1;
  let code = -1;
  let pending = false;
  let askedAt = 0;
  const ask = () => {
    pending = true;
    askedAt = performance.now();
    const wanted = board.selected;
    board.ask({ kind: "item", item: wanted }, (answer) => {
      pending = false;
      if (board.selected === wanted) fill(answer);
    });
  };
  const fill = (/** @type {any} */ a) => {
    if (a.failed) {
      say(facts, a.failed);
      return;
    }
    say(facts, [a.run_s === null ? "" : duration(a.run_s), a.started === null ? "" : `began ${clock(a.started)}`,
      a.cached ? "from the cache" : "", a.worker, a.attempts > 1 ? `${a.attempts} attempts` : "", a.memory_mb ? `${Math.round(a.memory_mb)} MB peak` : ""]
      .filter(Boolean).join(" · "));
    list.replaceChildren();
    const pair = (/** @type {string} */ key, /** @type {string} */ value, kind = "") =>
      list.append(h("dt", { text: key }), h("dd", { text: value, class: kind || null }));
    if (a.args.length === a.params.length)
      a.params.forEach((/** @type {string} */ p, /** @type {number} */ k) => a.args[k] !== "" && pair(p, a.args[k]));
    else if (a.args.length) pair("arguments", a.args[0]);
    if (a.state === SUCCESS && a.fields.length && a.result.length === a.fields.length)
      a.fields.forEach((/** @type {string} */ f, /** @type {number} */ k) => a.result[k] !== "" && pair(f, a.result[k], "nbq-value"));
    else if (a.state === SUCCESS) pair("result", a.result.join(), "nbq-value");
    if (a.error) pair("error", a.error, "nbq-bad");
    trace.hidden = !a.traceback;
    trace.textContent = withoutAnsi(a.traceback || "");
    root.dataset.item = String(a.item);
  };
  const update = () => {
    const chosen = board.selected;
    node.hidden = chosen < 0 || chosen >= n;
    if (node.hidden) {
      shown = -1;
      delete root.dataset.item;
      return;
    }
    if (chosen === shown && board.states[chosen] === code) return;
    if (pending && performance.now() - askedAt < LOST) return;
    const other = chosen !== shown;
    shown = chosen;
    code = board.states[chosen];
    title.replaceChildren(glyph(code), `Item ${grouped(chosen)}`, h("span", { class: "nbq-item-state", text: LOOKS[code].word }));
    if (other) {
      list.replaceChildren();
      trace.hidden = true;
      say(facts, "");
    }
    ask();
  };
  return { node, update };
}
