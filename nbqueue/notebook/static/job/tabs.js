/** Tabs: one page at a time. */

/** @param {any} context @param {[string, any][]} pages */
function tabbed({ id, root, board }, pages) {
  let shown = 0;
  const list = h("div", { class: "nbq-tabs", role: "tablist", "aria-label": "Views of the job" });
  const buttons = pages.map(([title], k) => {
    const button = h("button", { type: "button", class: "nbq-tab", role: "tab", text: title,
      id: `${id}-tab-${k}`, "aria-controls": `${id}-page-${k}`, onclick: () => show(k) });
    list.append(button);
    return button;
  });
  const body = h("div", { class: "nbq-pages" });
  pages.forEach(([, page], k) => {
    page.node.setAttribute("role", "tabpanel");
    page.node.setAttribute("aria-labelledby", `${id}-tab-${k}`);
    page.node.id = `${id}-page-${k}`;
    body.append(page.node);
  });
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own idea of arrows
    show((shown + by + pages.length) % pages.length);
    buttons[shown].focus();
  });
  const show = (/** @type {number} */ k) => {
    shown = k;
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === k));
      button.tabIndex = i === k ? 0 : -1;
      pages[i][1].node.hidden = i !== k;
    });
    root.dataset.tab = pages[k][0].toLowerCase();
    pages[k][1].show?.();
    pages[k][1].resize?.();
    pages[k][1].update(board.summary);
  };
  show(0);
  return {
    node: h("div", { class: "nbq-body" }, list, body),
    update: (/** @type {Summary} */ s) => pages[shown][1].update(s),
    resize: () => pages[shown][1].resize?.(),
    look: () => pages.forEach(([, page]) => page.look?.()),
  };
}
