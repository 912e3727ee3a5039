/** The grid on its canvas: a cell an item. */

const CLICK = "Click an item for its arguments, result and output.";

/**
 * What is said of an item that is pointed at: its arguments, then its result or error.
 * @param {any[]} row as the kernel gives rows @param {string[]} params @param {string[]} fields
 * @returns {{text: string, kind: ?string}[]}
 */
export function hintLines([, args, code, result, error, , , , , cached], params, fields) {
  const called = args.length === params.length
    ? args.map((/** @type {string} */ a, /** @type {number} */ k) => a && `${params[k]}=${a}`).filter(Boolean).join(", ")
    : args.join(", ");
  const returned = result.length === fields.length && fields.length
    ? result.map((/** @type {string} */ r, /** @type {number} */ k) => r && `${fields[k]} ${r}`).filter(Boolean).join(", ")
    : result.join(", ");
  return [
    { text: called, kind: null },
    { text: error, kind: "nbq-bad" },
    { text: returned && `→ ${returned}${cached ? " (from the cache)" : ""}`, kind: "nbq-value" },
  ].filter(({ text }) => text).map(({ text, kind }) => ({ text: text.length > 200 ? `${text.slice(0, 199)}…` : text, kind }));
}

/** @param {any} context */
function grid({ board, root, n, params, signal }) {
  const canvas = h("canvas", { class: "nbq-canvas", role: "img", tabindex: "0" });
  const cursor = h("div", { class: "nbq-cursor", hidden: true });
  const hint = h("div", { class: "nbq-hint", hidden: true });
  const field = h("div", { class: "nbq-field" }, canvas, cursor, hint);
  const note = h("p", { class: "nbq-note" });
  const node = h("div", { class: "nbq-page" }, field, note);
  const ink = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {?Layout} */ let g = null;
  /** @type {?Uint32Array[]} */ let stamps = null;
  /** @type {?ImageData} */ let image = null;
  let ratio = 1;
  let drawnSeq = -1;
  let width = 0;
  let draws = 0;
  let longest = 0;
  let spent = 0;

  const resize = () => {
    const room = Math.floor(node.clientWidth);
    const now = window.devicePixelRatio || 1;
    if (!room || (room === width && now === ratio)) return;
    [width, ratio] = [room, now];
    g = fit(n, width, ratio);
    canvas.width = g.cols * g.pitch;
    canvas.height = Math.max(1, g.rows * g.pitch);
    canvas.style.width = `${canvas.width / ratio}px`;
    canvas.style.height = `${canvas.height / ratio}px`;
    image = ink.createImageData(canvas.width, canvas.height);
    stamps = null;
    drawnSeq = -1;
    root.dataset.cellPx = String(g.pitch);
    root.dataset.perCell = String(g.perCell);
  };
  const draw = () => {
    if (!g || !image || !n) return;
    const began = performance.now();
    stamps ??= makeStamps(root, g.pitch, ratio);
    paint(new Uint32Array(image.data.buffer), board.states, g, stamps);
    ink.putImageData(image, 0, 0);
    const took = performance.now() - began;
    draws++;
    spent += took;
    longest = Math.max(longest, took);
    drawnSeq = board.seq;
    Object.assign(root.dataset, { draws: String(draws), drawMs: took.toFixed(2),
      drawMsMean: (spent / draws).toFixed(2), drawMsMax: longest.toFixed(2) });
  };
  const place = () => {
    const item = board.selected;
    cursor.hidden = item < 0 || !g;
    if (cursor.hidden || !g) return;
    const cell = Math.floor(item / g.perCell);
    const side = g.pitch / ratio;
    // Around what is drawn, which leaves a gap at the right and below; small cells get a frame that
    // is larger than themselves, or nobody finds it.
    const gap = Math.max(1, Math.round(g.pitch / 8)) / ratio;
    const size = Math.max(side - gap, 9);
    const middle = (side - gap - size) / 2;
    cursor.style.width = cursor.style.height = `${size}px`;
    cursor.style.transform = `translate(${(cell % g.cols) * side + middle}px, ${
      Math.floor(cell / g.cols) * side + middle}px)`;
  };
  const cellAt = (/** @type {MouseEvent} */ event) => {
    if (!g) return -1;
    const side = g.pitch / ratio;
    const col = Math.floor(event.offsetX / side);
    const cell = Math.floor(event.offsetY / side) * g.cols + col;
    return col < g.cols && cell >= 0 && cell < g.cells ? cell : -1;
  };
  /** What is known of items that were pointed at, by number and state. @type {Map<string, Node[]>} */
  const known = new Map();
  let pointed = -1;
  let asking = 0;
  // The kernel is asked when the pointer rests: it passes over many cells on its way.
  const about = (/** @type {number} */ item, /** @type {boolean} */ named) => {
    pointed = item;
    clearTimeout(asking);
    const key = `${item}:${board.states[item]}`;
    const found = known.get(key);
    const title = named ? [h("div", { text: `item ${grouped(item)}` })] : [];
    if (found) return hint.append(...title, ...found);
    asking = setTimeout(() => board.ask({ kind: "rows", first: item, count: 1 }, (answer) => {
      if (answer.failed || !answer.rows.length) return;
      const lines = hintLines(answer.rows[0], params, answer.fields);
      if (known.size > 500) known.clear();
      known.set(key, lines.map(({ text, kind }) => h("div", { text, class: kind })));
      if (pointed === item && !hint.hidden) hint.append(...title, ...(known.get(key) ?? []));
    }), 60);
  };
  const worstItem = (/** @type {number} */ cell) => {
    const [a, b] = itemsOf(/** @type {Layout} */ (g), cell, n);
    const code = worst(board.states, a, b);
    for (let i = a; i < b; i++) if (board.states[i] === code) return i;
    return a;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const cell = cellAt(event);
    hint.hidden = cell < 0;
    if (cell < 0 || !g) return;
    const [a, b] = itemsOf(g, cell, n);
    const code = worst(board.states, a, b);
    const what = b - a === 1 ? `item ${grouped(a)}` : `items ${grouped(a)}–${grouped(b - 1)}`;
    hint.replaceChildren(h("div", { class: "nbq-hint-head" }, glyph(code),
      `${what} · ${b - a === 1 ? "" : "worst: "}${LOOKS[code].word}`));
    about(b - a === 1 ? a : worstItem(cell), b - a > 1);
    const right = event.offsetX > field.clientWidth / 2;
    hint.style.left = right ? "" : `${event.offsetX + 12}px`;
    hint.style.right = right ? `${field.clientWidth - event.offsetX + 12}px` : "";
    // Above the pointer: below it, in a short grid, the output area would grow a scrollbar.
    hint.style.bottom = `${field.clientHeight - event.offsetY + 12}px`;
  }, { signal });
  canvas.addEventListener("pointerleave", () => {
    hint.hidden = true;
    pointed = -1;
  }, { signal });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    hint.hidden = true;
    const cell = cellAt(event);
    if (cell >= 0) board.select(worstItem(cell));
  }, { signal });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (!g || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") board.select(-1);
    else {
      const to = walk(event.key, board.selected, g, board.states);
      if (to === board.selected && !/^(Arrow|Home$|End$|f$)/i.test(event.key)) return;
      board.select(to);
    }
    event.preventDefault();
    event.stopPropagation();
  }, { signal });

  const update = (/** @type {Summary} */ s) => {
    if (!g) resize();
    if (drawnSeq !== board.seq) draw();
    place();
    const several = g && g.perCell > 1 ? `Each cell stands for ${grouped(g.perCell)} items and shows the worst.` : "";
    const idle = !s.finished && !s.waits && !s.outage?.length && s.state === "PENDING" && board.elapsed > 5
      ? "Nothing has begun yet: waiting for a worker." : "";
    const click = board.selected < 0 && (s.finished || s.done) ? CLICK : "";
    say(note, n ? idle || [several, click].filter(Boolean).join(" ") : "This job has no items.");
    note.hidden = !note.textContent;
    canvas.hidden = !n;
    canvas.setAttribute("aria-label",
      `Grid of ${grouped(n)} items: ${SEGMENTS.filter((c) => s.counts[c])
        .map((c) => `${grouped(s.counts[c])} ${LOOKS[c].word}`).join(", ")}. ` +
      "Arrow keys choose an item, F the next that failed; the table has them all.");
  };
  return { node, update, resize, look: () => ((stamps = null), (drawnSeq = -1)) };
}

/** The cells' pixels in this theme's colours. @param {HTMLElement} root @param {number} d @param {number} ratio */
function makeStamps(root, d, ratio) {
  const style = getComputedStyle(root);
  const canvas = h("canvas");
  canvas.width = canvas.height = d;
  const ink = canvas.getContext("2d", { willReadFrequently: true });
  return LOOKS.map(({ name, path }, code) => {
    // A field of tiny cells is one large surface, which wants to be quieter.
    const quiet = d / ratio < 4 && code === SUCCESS ? "-field" : "";
    const colour = style.getPropertyValue(`--nbq-${name}${quiet}`).trim();
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.clearRect(0, 0, d, d);
    ink.fillStyle = colour;
    if (d / ratio < 8) {
      ink.fillRect(0, 0, d, d);
      const [rgba] = new Uint32Array(ink.getImageData(0, 0, 1, 1).data.buffer);
      return stamp(code, d, rgba);
    }
    const gap = Math.max(1, Math.round(d / 8));
    ink.scale((d - gap) / 10, (d - gap) / 10);
    ink.fill(new Path2D(path), "evenodd");
    return new Uint32Array(ink.getImageData(0, 0, d, d).data.buffer);
  });
}
