/** One view of a board: its parts, put together and painted. */

/**
 * Build a view of a board in an element.
 * @param {Board} board @param {HTMLElement} host
 * @returns {() => void} what takes it away
 */
function view(board, host) {
  const { model } = board;
  const { name, params } = model.get("job");
  const n = board.n;
  const leaving = new AbortController();
  const { signal } = leaving;
  const id = `nbq-job-${++ids}`;

  const root = h("section", { class: "nbq-job", "aria-label": `Job ${name}`, tabindex: "-1" });
  host.append(root);
  root.dataset.id = model.get("job").id;

  /** @type {any[]} */
  const parts = [];
  const context = { board, root, n, id, params, signal, name };
  const head = header(context);
  const held = notice(context);
  const steps = stepBars(context);
  const why = reasonLines(context);
  const live = progressBars(context);
  const panel = item(context);
  const tabs = () => tabbed(context, [
    ["Grid", grid(context)],
    ["Table", table(context)],
    ["Timeline", timeline(context)],
  ]);
  // Of a single call there is nothing to choose: what became of it is shown at once.
  const single = n === 1 && !board.summary.steps?.length;
  const shown = single ? [head, held, live, panel] : [head, held, steps, why, live, tabs(), panel];
  parts.push(...shown);
  root.append(...shown.map((part) => part.node));

  // One repaint a frame, however many messages have come.
  let wanted = 0;
  const paintSoon = () => {
    if (!wanted) wanted = requestAnimationFrame(update);
  };
  const update = () => {
    wanted = 0;
    const summary = board.summary;
    for (const part of parts) part.update(summary);
    const said = root.dataset;
    said.seq = String(board.seq);
    said.done = String(summary.done);
    said.n = String(n);
    said.state = summary.state;
    said.finished = String(summary.finished);
    said.counts = summary.counts.join(",");
    said.missed = String(board.missed);
    said.selected = String(board.selected);
    said.lost = String(board.lost);
  };
  const look = () => {
    root.dataset.theme = isDark(root) ? "dark" : "light";
    for (const part of parts) part.look?.();
    paintSoon();
  };
  const ticking = setInterval(() => {
    board.listen();
    if (board.summary.finished) return;
    head.tick(board.summary);
    held.update(board.summary);
  }, 250);
  const themes = new MutationObserver(look);
  for (const node of [document.documentElement, document.body])
    themes.observe(node, { attributes: true });
  const sizes = new ResizeObserver(() => {
    for (const part of parts) part.resize?.();
    paintSoon();
  });
  sizes.observe(root);
  for (const kind of ["pointerdown", "keydown"])
    root.addEventListener(kind, () => board.touch(), { signal, passive: true });
  board.listeners.add(paintSoon);
  model.on("change:selected", paintSoon);
  board.send({ kind: "hello" });
  look();
  update();

  return () => {
    leaving.abort();
    cancelAnimationFrame(wanted);
    clearInterval(ticking);
    themes.disconnect();
    sizes.disconnect();
    board.listeners.delete(paintSoon);
    model.off("change:selected", paintSoon);
    root.remove();
  };
}

/** Whether what is behind an element is dark. @param {HTMLElement} node */
function isDark(node) {
  for (let at = /** @type {?HTMLElement} */ (node); at; at = at.parentElement) {
    const match = getComputedStyle(at).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (match && (match[3] ?? 1) > 0.5)
      return 0.2126 * match[0] + 0.7152 * match[1] + 0.0722 * match[2] < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
