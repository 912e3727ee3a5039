/**
 * The job widget's front end: one self-contained module, no build, no dependencies.
 *
 *   model traits ──Board (states, seq, summary)──► views: header, grid, table, timeline, item
 *   a view ──model.send({kind, ask})──► kernel ──msg:custom, same ask──► that view
 *
 * A Board belongs to a model and is shared by its views, so they agree. The wire format is told in
 * `notebook/feed.py`. Whatever comes from the user's code is set as `textContent`, never as HTML.
 */

/**
 * @typedef {{seq: number, states: Uint8Array}} Snapshot
 * @typedef {{cols: number, rows: number, pitch: number, cells: number, perCell: number}} Layout
 * @typedef {{state: string, counts: number[], done: number, finished: boolean, gone: boolean,
 *   rate: ?number, eta_s: ?number, elapsed_s: number, workers: number, progress: any[][],
 *   said: string, busy: string, round: number}} Summary
 */

// -- states ---------------------------------------------------------------------------------------

export const PENDING = 0;
export const STARTED = 1;
export const RETRY = 2;
export const SUCCESS = 3;
export const FAILURE = 4;
export const REVOKED = 5;

/** A state's name in CSS, its word, and its shape in a box of 10 × 10. By code. */
export const LOOKS = [
  { name: "pending", word: "waiting", path: "M2 2h6v6h-6z M3.4 3.4v3.2h3.2v-3.2z" },
  { name: "running", word: "running", path: "M1.5 .5L9.5 5L1.5 9.5z" },
  { name: "retry", word: "to be retried", path: "M5 0L10 5L5 10L0 5z M5 3L3 5L5 7L7 5z" },
  { name: "success", word: "succeeded", path: "M2 1h6q1 0 1 1v6q0 1 -1 1h-6q-1 0 -1 -1v-6q0 -1 1 -1z" },
  {
    name: "failure",
    word: "failed",
    path:
      "M0 0h10v10h-10z M2 3.2L3.8 5L2 6.8L3.2 8L5 6.2L6.8 8L8 6.8L6.2 5L8 3.2L6.8 2L5 3.8L3.2 2z",
  },
  { name: "revoked", word: "cancelled", path: "M.5 3.5h9v3h-9z" },
];

/** Order of the bar's segments and of the legend. */
const SEGMENTS = [SUCCESS, FAILURE, REVOKED, RETRY, STARTED, PENDING];

/** How bad a state is, by code: a cell of several items shows its worst. */
const SEVERITY = [1, 3, 2, 0, 5, 4];

// -- the wire -------------------------------------------------------------------------------------

/** @param {DataView} view @returns {Snapshot} */
export function readSnapshot(view) {
  const n = view.getUint32(4, true);
  const states = new Uint8Array(n);
  for (let i = 0; i < n; i += 2) {
    const pair = view.getUint8(8 + (i >> 1));
    states[i] = pair & 15;
    if (i + 1 < n) states[i + 1] = pair >> 4;
  }
  return { seq: view.getUint32(0, true), states };
}

/**
 * Apply a delta to a board in place.
 * @param {Snapshot} board @param {DataView} view
 * @returns {"applied"|"old"|"gap"} "gap" leaves the board alone: a snapshot is wanted
 */
export function applyDelta(board, view) {
  if (view.byteLength < 4) return "old";
  const seq = view.getUint32(0, true);
  if (seq <= board.seq) return "old";
  if (seq !== board.seq + 1) return "gap";
  for (let at = 4; at < view.byteLength; at += 4) {
    const word = view.getUint32(at, true);
    board.states[word >>> 4] = word & 15;
  }
  board.seq = seq;
  return "applied";
}

// -- numbers as text ------------------------------------------------------------------------------

/** @param {number} n */
export const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");

/** Seconds as a person says them: 0.35 s, 12 s, 3:07, 1:02:03, 2 d 4 h. @param {?number} s */
export function duration(s) {
  if (s === null || s === undefined || !Number.isFinite(s) || s < 0) return "";
  if (s === 0) return "0 s";
  if (s < 1e-6) return "<1 µs";
  if (s < 0.001) return `${(s * 1e6).toFixed(0)} µs`;
  if (s < 0.1) return `${Number((s * 1e3).toPrecision(2))} ms`;
  if (s < 9.95) return Number.isInteger(s) ? `${s} s` : `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const whole = Math.round(s);
  const two = (/** @type {number} */ k) => String(k).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  if (whole < 86400)
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** Items a second. @param {?number} rate */
export function pace(rate) {
  if (!rate) return "";
  if (rate >= 100) return `${grouped(rate)}/s`;
  if (rate >= 1) return `${Number(rate.toPrecision(2))}/s`;
  return rate * 60 >= 1
    ? `${Number((rate * 60).toPrecision(2))}/min`
    : `${Number((rate * 3600).toPrecision(2))}/h`;
}

/** A text's middle left out, as paths and worker names like it. @param {string} s @param {number} k */
export const middle = (s, k) =>
  s.length <= k ? s : `${s.slice(0, Math.ceil((k - 1) / 2))}…${s.slice(-Math.floor((k - 1) / 2))}`;

/** @param {string} s */
// eslint-disable-next-line no-control-regex
export const withoutAnsi = (s) => s.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "");

// -- what the header says -------------------------------------------------------------------------

/** @param {Summary} s @param {number} n @returns {{code: number, word: string}} */
export function headline(s, n) {
  if (s.gone) return { code: REVOKED, word: "no longer in the store" };
  if (s.busy === "cancel") return { code: REVOKED, word: "cancelling" };
  if (!s.finished) {
    if (s.busy === "retry") return { code: RETRY, word: "retrying" };
    return s.state === "PENDING" ? { code: PENDING, word: "waiting" } : { code: STARTED, word: "running" };
  }
  if (s.counts[FAILURE]) {
    const some = s.counts[FAILURE] < n;
    return { code: FAILURE, word: some ? `finished, ${grouped(s.counts[FAILURE])} failed` : "failed" };
  }
  if (s.counts[REVOKED]) return { code: REVOKED, word: "cancelled" };
  return { code: SUCCESS, word: n ? "succeeded" : "finished, no items" };
}

/** How many items have run to an end of their own; a cancelled item has not. @param {Summary} s */
export const ran = (s) => s.counts[SUCCESS] + s.counts[FAILURE];

/** One line for those who listen. @param {Summary} s @param {string} name @param {number} n */
export function spoken(s, name, n) {
  const { word } = headline(s, n);
  const rest = SEGMENTS.filter((c) => s.counts[c] && c !== PENDING)
    .map((c) => `${grouped(s.counts[c])} ${LOOKS[c].word}`)
    .join(", ");
  return `${name}: ${word}, ${grouped(ran(s))} of ${grouped(n)} items done${rest ? ` (${rest})` : ""}`;
}

// -- the grid -------------------------------------------------------------------------------------

/** Cell sizes in CSS pixels, and how high the grid may be with each. */
const PITCHES = [
  [22, 70], [18, 110], [16, 140], [14, 170], [12, 200], [10, 220], [9, 240], [8, 260],
  [7, 280], [6, 300], [5, 320], [4, 340], [3, 420], [2, 640],
];

/** Most items that have a cell each; beyond, a cell stands for several. */
export const CELLS = 100_000;

/**
 * The largest cells with which all items fit.
 * @param {number} n @param {number} width in CSS pixels @param {number} [ratio] device pixels in one
 * @returns {Layout} `pitch` in device pixels
 */
export function fit(n, width, ratio = 1) {
  const per = n > CELLS ? Infinity : 1;
  for (const [pitch, height] of PITCHES) {
    const device = Math.max(2, Math.round(pitch * ratio));
    const cols = Math.max(1, Math.floor((width * ratio) / device));
    const rows = Math.max(1, Math.floor((height * ratio) / device));
    if (per === 1 ? n <= cols * rows || pitch === 2 : pitch === 4) {
      const perCell = per === 1 ? 1 : Math.ceil(n / (cols * rows));
      const cells = Math.ceil(n / perCell);
      return { cols: Math.min(cols, Math.max(1, cells)), rows: Math.ceil(cells / cols), pitch: device, cells, perCell };
    }
  }
  throw new Error("unreachable: the smallest cells always fit");
}

/** The items of a cell: [first, one past the last]. @param {Layout} g @param {number} cell @param {number} n */
export const itemsOf = (g, cell, n) => [cell * g.perCell, Math.min(n, (cell + 1) * g.perCell)];

/** The worst state among some items. @param {Uint8Array} states @param {number} a @param {number} b */
export function worst(states, a, b) {
  let code = states[a];
  for (let i = a + 1; i < b; i++) if (SEVERITY[states[i]] > SEVERITY[code]) code = states[i];
  return code;
}

/**
 * A small cell's pixels, distinct by shape too where there is room for one.
 * @param {number} code @param {number} d side in device pixels @param {number} rgba
 * @returns {Uint32Array}
 */
export function stamp(code, d, rgba) {
  const out = new Uint32Array(d * d);
  const gap = d >= 6 ? 2 : d >= 3 ? 1 : 0;
  const side = d - gap;
  const mid = (side - 1) / 2;
  const inside = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (code === FAILURE) return true; // fills its gap as well: it stands out in any colour
    if (x >= side || y >= side) return false;
    const dx = Math.abs(x - mid);
    const dy = Math.abs(y - mid);
    if (code === PENDING) return d < 3 ? x + y === 0 : dx <= side / 5 && dy <= side / 5;
    if (d < 4) return true;
    if (code === STARTED) return dx > mid - 1 || dy > mid - 1;
    if (code === REVOKED) return dy <= side / 5;
    if (code === RETRY) return dx + dy <= mid + 0.5;
    return true;
  };
  for (let y = 0; y < d; y++) for (let x = 0; x < d; x++) if (inside(x, y)) out[y * d + x] = rgba;
  return out;
}

/** Cells below this many device pixels are too small for a shape: rare failures are drawn larger. */
const SMALL = 5;

/**
 * Paint all cells into an image's pixels.
 * @param {Uint32Array} pixels @param {Uint8Array} states @param {Layout} g @param {Uint32Array[]} stamps
 */
export function paint(pixels, states, g, stamps) {
  const { cols, pitch, cells, perCell } = g;
  const width = cols * pitch;
  pixels.fill(0);
  const n = states.length;
  const bad = [];
  const most = pitch < SMALL ? cells / 50 : -1;
  for (let cell = 0, col = 0, top = 0; cell < cells; cell++) {
    const code =
      perCell === 1 ? states[cell] : worst(states, cell * perCell, Math.min(n, (cell + 1) * perCell));
    const tile = stamps[code];
    if (code === FAILURE && bad.length <= most) bad.push(cell);
    let to = top + col * pitch;
    for (let from = 0; from < tile.length; to += width - pitch) {
      for (let x = 0; x < pitch; x++) pixels[to++] = tile[from++];
    }
    if (++col === cols) {
      col = 0;
      top += width * pitch;
    }
  }
  if (bad.length > most) return; // so many that they are seen anyway
  const more = bad.length > cells / 500 ? 1 : 2; // the more there are, the less each may claim
  const rgba = stamps[FAILURE][0];
  const height = pixels.length / width;
  for (const cell of bad) {
    const left = (cell % cols) * pitch;
    const up = Math.floor(cell / cols) * pitch;
    for (let y = Math.max(0, up - more); y < Math.min(height, up + pitch + more); y++)
      for (let x = Math.max(0, left - more); x < Math.min(width, left + pitch + more); x++)
        pixels[y * width + x] = rgba;
  }
}

/**
 * Where a key leads from an item of the grid; the item itself when nowhere.
 * @param {string} key @param {number} item -1 for none @param {Layout} g @param {Uint8Array} states
 */
export function walk(key, item, g, states) {
  const n = states.length;
  const step = g.perCell;
  const to = { ArrowRight: step, ArrowLeft: -step, ArrowDown: step * g.cols, ArrowUp: -step * g.cols }[key];
  if (key === "Home") return 0;
  if (key === "End") return n - 1;
  if (key === "f" || key === "F") {
    for (let k = 1; k <= n; k++) {
      const i = (Math.max(item, -1) + k) % n;
      if (states[i] === FAILURE) return i;
    }
    return item;
  }
  if (to === undefined || !n) return item;
  if (item < 0) return 0;
  return item + to >= 0 && item + to < n ? item + to : item;
}

// -- the table ------------------------------------------------------------------------------------

/** Browsers lay out no element much higher than this. */
const TALLEST = 8_000_000;

/**
 * Which rows a scrolled window shows. With more rows than a browser can lay out, scrolling is scaled.
 * @param {number} scroll @param {number} view height of the window @param {number} total rows
 * @param {number} row height of one
 * @returns {{first: number, count: number, height: number, top: number}} `top` where `first` begins
 */
export function visibleRows(scroll, view, total, row) {
  const height = Math.min(total * row, TALLEST);
  const count = Math.ceil(view / row) + 1;
  const most = Math.max(0, total - Math.floor(view / row));
  if (height === total * row) {
    const first = Math.max(0, Math.min(most, Math.floor(scroll / row)));
    return { first, count, height, top: first * row };
  }
  const share = scroll / Math.max(1, height - view);
  const first = Math.max(0, Math.min(most, Math.round(share * most)));
  return { first, count, height, top: Math.min(scroll, height - view) };
}

// -- small DOM ------------------------------------------------------------------------------------

/**
 * @param {string} tag @param {Record<string, any>} [attributes] `text`, `class`, `on…` and attributes
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((c) => c !== null));
  return node;
}

/** @param {number} code */
function glyph(code) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("class", `nbq-glyph nbq-${LOOKS[code].name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", LOOKS[code].path);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

/** Set a text only when it changes: assistive technology and selections notice each time.
 * @param {HTMLElement} node @param {string} text */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let ids = 0;

/** A question without an answer for so many milliseconds may be asked again. */
const LOST = 10_000;

// -- one model ------------------------------------------------------------------------------------

/** What a model's views share: the items' states, kept up to date. */
class Board {
  /** @param {any} model */
  constructor(model) {
    this.model = model;
    this.seq = 0;
    this.states = new Uint8Array(0);
    this.heardAt = performance.now();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Map<string, (answer: any, buffers: DataView[]) => void>} */
    this.asked = new Map();
    this.asks = 0;
    this.missed = 0;
    this.touchedAt = -Infinity;
    this.tag = Math.random().toString(36).slice(2);
    this.onSnapshot = () => {
      const view = model.get("snapshot");
      if (!view || view.byteLength < 8) return;
      const { seq, states } = readSnapshot(view);
      // A page that is slow to load may hear of deltas that are newer than its snapshot.
      this.seq = seq;
      this.states = states;
      this.tell();
    };
    this.onDelta = () => {
      const view = model.get("delta");
      if (!view) return;
      if (applyDelta(this, view) === "gap") {
        this.missed++;
        this.send({ kind: "snapshot" });
      }
      this.tell();
    };
    this.onSummary = () => {
      this.heardAt = performance.now();
      this.tell();
    };
    /** @param {any} message @param {DataView[]} buffers */
    this.onMessage = (message, buffers) => {
      const answer = this.asked.get(message?.ask);
      if (!answer) return;
      this.asked.delete(message.ask);
      answer(message, buffers ?? []);
    };
    model.on("change:snapshot", this.onSnapshot);
    model.on("change:delta", this.onDelta);
    model.on("change:summary", this.onSummary);
    model.on("msg:custom", this.onMessage);
    this.onSnapshot();
  }

  get n() {
    return this.model.get("job").n ?? 0;
  }

  /** @returns {Summary} */
  get summary() {
    return this.model.get("summary");
  }

  /** Seconds since the submission, running on between the kernel's messages. */
  get elapsed() {
    const s = this.summary;
    return s.finished ? s.elapsed_s : s.elapsed_s + (performance.now() - this.heardAt) / 1000;
  }

  get selected() {
    return this.model.get("selected");
  }

  /** @param {number} item */
  select(item) {
    if (item === this.selected) return;
    this.model.set("selected", item);
    this.model.save_changes();
  }

  /** @param {object} message */
  send(message) {
    this.model.send(message);
  }

  /** Ask the kernel; `answer` is called once, if it answers.
   * @param {object} message @param {(answer: any, buffers: DataView[]) => void} answer */
  ask(message, answer) {
    const ask = `${this.tag}-${++this.asks}`;
    this.asked.set(ask, answer);
    this.send({ ...message, ask });
  }

  /** Tell the kernel that somebody is here, at most every few seconds. */
  touch() {
    if (performance.now() - this.touchedAt < 4000) return;
    this.touchedAt = performance.now();
    this.send({ kind: "touch" });
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  close() {
    this.model.off("change:snapshot", this.onSnapshot);
    this.model.off("change:delta", this.onDelta);
    this.model.off("change:summary", this.onSummary);
    this.model.off("msg:custom", this.onMessage);
  }
}

// -- one view -------------------------------------------------------------------------------------

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
  const live = progressBars(context);
  const panel = item(context);
  const tabs = tabbed(context, [
    ["Grid", grid(context)],
    ["Table", table(context)],
    ["Timeline", timeline(context)],
  ]);
  parts.push(head, live, tabs, panel);
  root.append(head.node, live.node, tabs.node, panel.node);

  // One repaint a frame, however many messages have come.
  let wanted = 0;
  const paintSoon = () => {
    if (!wanted) wanted = requestAnimationFrame(update);
  };
  const update = () => {
    wanted = 0;
    const summary = board.summary;
    for (const part of parts) part.update(summary);
    const shown = root.dataset;
    shown.seq = String(board.seq);
    shown.done = String(summary.done);
    shown.n = String(n);
    shown.state = summary.state;
    shown.finished = String(summary.finished);
    shown.counts = summary.counts.join(",");
    shown.missed = String(board.missed);
    shown.selected = String(board.selected);
  };
  const look = () => {
    root.dataset.theme = isDark(root) ? "dark" : "light";
    for (const part of parts) part.look?.();
    paintSoon();
  };
  const ticking = setInterval(() => {
    if (!board.summary.finished) head.tick(board.summary);
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

// -- header ---------------------------------------------------------------------------------------

/** @param {any} context */
function header({ board, root, n, name, signal }) {
  const title = h("span", { class: "nbq-name", text: name, title: name });
  const state = h("span", { class: "nbq-state" });
  const numbers = h("div", { class: "nbq-numbers" });
  const figures = {
    done: h("strong", { class: "nbq-figure" }),
    rate: h("span", { class: "nbq-figure" }),
    eta: h("span", { class: "nbq-figure" }),
    elapsed: h("span", { class: "nbq-figure" }),
  };
  numbers.append(...Object.values(figures));
  const legend = h("ul", { class: "nbq-legend", "aria-label": "Items by state" });
  const said = h("span", { class: "nbq-said" });
  const status = h("div", { class: "nbq-sr", role: "status" });
  const bar = h("div", { class: "nbq-bar", role: "progressbar", "aria-label": "Items done",
    "aria-valuemin": 0, "aria-valuemax": n });
  const segments = SEGMENTS.map((code) => h("span", { class: `nbq-segment nbq-${LOOKS[code].name}` }));
  bar.append(...segments);
  const chips = SEGMENTS.map((code) => {
    const count = h("span", { class: "nbq-count" });
    const chip = h("li", { class: "nbq-chip" }, glyph(code), count, ` ${LOOKS[code].word}`);
    legend.append(chip);
    return { code, chip, count };
  });

  let notice = "";
  let noticeUntil = 0;
  const tell = (/** @type {string} */ text, ms = 6000) => {
    notice = text;
    noticeUntil = performance.now() + ms;
    say(said, text);
  };
  const act = (/** @type {HTMLElement} */ button, /** @type {() => void} */ does) =>
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") does();
    }, { signal });
  const cancel = h("button", { type: "button", class: "nbq-button", text: "Cancel" });
  const retry = h("button", { type: "button", class: "nbq-button", text: "Retry failed" });
  const copy = h("button", { type: "button", class: "nbq-button", text: "Copy as DataFrame",
    title: "Copy the table, for a spreadsheet or pandas.read_clipboard()" });
  let clickedAt = 0;
  act(cancel, () => {
    clickedAt = performance.now();
    root.dataset.cancelClicked = String(Date.now());
    able(cancel, false);
    tell("cancelling…");
    board.send({ kind: "cancel" });
  });
  act(retry, () => {
    clickedAt = performance.now();
    able(retry, false);
    tell("retrying…");
    board.send({ kind: "retry" });
  });
  act(copy, () => {
    able(copy, false);
    tell("copying…", 60000);
    copyTable(board, root, (text) => {
      able(copy, true);
      tell(text);
    });
  });

  const able = (/** @type {HTMLElement} */ button, /** @type {boolean} */ yes) =>
    button.setAttribute("aria-disabled", String(!yes));
  able(copy, true);

  let lastWord = "";
  let spokenAt = 0;
  let lastSaid = board.summary.said;
  const tick = (/** @type {Summary} */ s) => {
    const end = s.finished ? "" : " elapsed";
    say(figures.elapsed, `${s.finished ? "took " : ""}${duration(board.elapsed)}${end}`);
    const left = s.eta_s === null ? null : Math.max(0, s.eta_s - (performance.now() - board.heardAt) / 1000);
    say(figures.eta, s.finished || left === null ? "" : `${duration(Math.max(1, Math.round(left)))} left`);
    if (notice && performance.now() > noticeUntil) say(said, (notice = ""));
  };
  const update = (/** @type {Summary} */ s) => {
    const { code, word } = headline(s, n);
    if (word !== lastWord) {
      state.replaceChildren(glyph(code), word);
      state.className = `nbq-state nbq-is-${LOOKS[code].name}`;
      lastWord = word;
    }
    segments.forEach((node, k) => {
      const count = s.counts[SEGMENTS[k]];
      node.style.flexGrow = String(count);
      node.hidden = !count;
    });
    bar.setAttribute("aria-valuenow", String(s.done));
    bar.setAttribute("aria-valuetext", `${grouped(s.done)} of ${grouped(n)}`);
    say(figures.done, n ? `${grouped(ran(s))} of ${grouped(n)}` : "no items");
    const average = s.finished && s.elapsed_s > 0 && n > 1 ? ran(s) / s.elapsed_s : null;
    say(figures.rate, s.finished ? pace(average) : n > 1 ? pace(s.rate) : "");
    for (const { code: c, chip, count } of chips) {
      chip.hidden = !s.counts[c];
      say(count, grouped(s.counts[c]));
    }
    const open = !s.finished && !s.busy;
    // A click counts before the kernel has answered; after a while, it may be tried again.
    const waiting = performance.now() - clickedAt < 1500 && !s.busy && s.said === lastSaid;
    able(cancel, open && !waiting);
    able(retry, s.counts[FAILURE] > 0 && !s.gone && !s.busy && !waiting);
    cancel.title = s.finished ? "" : `Cancel the ${grouped(n - s.done)} items that have not ended`;
    retry.title = s.counts[FAILURE] ? `Run the ${grouped(s.counts[FAILURE])} failed items again` : "";
    if (s.said !== lastSaid) {
      lastSaid = s.said;
      clickedAt = 0;
      if (s.said) tell(s.said);
    }
    if (s.busy) root.dataset.acknowledged = s.busy;
    tick(s);
    if (performance.now() - spokenAt >= 1000 || s.finished) {
      spokenAt = performance.now();
      say(status, spoken(s, name, n));
    }
  };
  const node = h("header", { class: "nbq-head" },
    h("div", { class: "nbq-line" }, title, state, said,
      h("span", { class: "nbq-buttons" }, cancel, retry, copy)),
    bar,
    h("div", { class: "nbq-line nbq-under" }, numbers, legend),
    status);
  return { node, update, tick };
}

/**
 * Put the table on the clipboard, or where a person can copy it from.
 * @param {Board} board @param {HTMLElement} root @param {(text: string) => void} done
 */
function copyTable(board, root, done) {
  let said = "";
  const text = new Promise((resolve, reject) =>
    board.ask({ kind: "copy" }, (answer, buffers) => {
      if (answer.failed) return reject(new Error(answer.failed));
      said = answer.rows < answer.of
        ? `copied the first ${grouped(answer.rows)} of ${grouped(answer.of)} rows`
        : `copied ${grouped(answer.rows)} row${answer.rows === 1 ? "" : "s"}`;
      resolve(new TextDecoder().decode(buffers[0]));
    }),
  );
  const clip = navigator.clipboard;
  // A promise inside the item keeps the click's permission while the kernel makes the text. A
  // browser that wants to be asked first, and is not, would leave us waiting: hence the timer.
  const written = clip?.write && window.ClipboardItem
    ? Promise.race([
        clip.write([new ClipboardItem({
          "text/plain": text.then((t) => new Blob([t], { type: "text/plain" })) })]),
        text.then(() => new Promise((_, reject) => setTimeout(reject, 3000, new Error("no answer")))),
      ])
    : Promise.reject(new Error("this page may not write to the clipboard"));
  written.then(() => done(said)).catch(async () => {
    let value;
    try {
      value = await text;
    } catch (failed) {
      return done(`nothing was copied: ${failed.message}`);
    }
    const area = h("textarea", { class: "nbq-by-hand", readonly: true, "aria-label": "The table as text" });
    area.value = value;
    const box = h("div", { class: "nbq-copy-box" });
    const close = () => box.remove();
    box.append(
      h("span", { text: "The browser did not allow copying. Press Ctrl+C (⌘C), then close." }),
      h("button", { type: "button", class: "nbq-button", text: "Close", onclick: close }),
      area);
    root.querySelector(".nbq-head").append(box);
    area.select();
    let copied = false;
    try {
      copied = document.execCommand("copy");
    } catch {
      copied = false;
    }
    if (copied) close();
    done(copied ? said : "select and copy the text below");
  });
}

// -- in-task progress -----------------------------------------------------------------------------

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

// -- tabs -----------------------------------------------------------------------------------------

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

// -- the grid's view ------------------------------------------------------------------------------

/** @param {any} context */
function grid({ board, root, n, signal }) {
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
    // Small cells get a frame that is larger than themselves, or nobody finds it.
    const size = Math.max(side, 9);
    cursor.style.width = cursor.style.height = `${size}px`;
    cursor.style.transform = `translate(${(cell % g.cols) * side - (size - side) / 2}px, ${
      Math.floor(cell / g.cols) * side - (size - side) / 2}px)`;
  };
  const cellAt = (/** @type {MouseEvent} */ event) => {
    if (!g) return -1;
    const side = g.pitch / ratio;
    const col = Math.floor(event.offsetX / side);
    const cell = Math.floor(event.offsetY / side) * g.cols + col;
    return col < g.cols && cell >= 0 && cell < g.cells ? cell : -1;
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
    hint.replaceChildren(glyph(code), `${what} · ${b - a === 1 ? "" : "worst: "}${LOOKS[code].word}`);
    const right = event.offsetX > canvas.clientWidth / 2;
    hint.style.left = right ? "" : `${event.offsetX + 12}px`;
    hint.style.right = right ? `${field.clientWidth - event.offsetX + 12}px` : "";
    // Above the pointer: below it, in a short grid, the output area would grow a scrollbar.
    hint.style.bottom = `${field.clientHeight - event.offsetY + 12}px`;
  }, { signal });
  canvas.addEventListener("pointerleave", () => (hint.hidden = true), { signal });
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
    const idle = !s.finished && s.state === "PENDING" && board.elapsed > 5
      ? "Nothing has begun yet: waiting for a worker." : "";
    say(note, n ? idle || several : "This job has no items.");
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

// -- the table's view -----------------------------------------------------------------------------

const ROW = 24;

/** @param {any} context */
function table({ board, root, n, params, signal, id }) {
  const columns = [
    { key: "item", title: "item", number: true },
    ...params.slice(0, 8).map((/** @type {string} */ p, /** @type {number} */ k) => ({ key: `arg:${k}`, title: p })),
    { key: "state", title: "state" },
    { key: "result", title: "result" },
    { key: "error", title: "error" },
    { key: "started", title: "started" },
    { key: "run_s", title: "run", number: true },
    { key: "worker", title: "worker" },
    { key: "attempts", title: "attempts", number: true },
  ];
  const query = { sort: "item", descending: false, text: "", states: /** @type {number[]} */ ([]) };
  let rows = /** @type {any[][]} */ ([]);
  let first = 0;
  let total = n;
  let pending = false;
  let stale = true;
  let askedAt = -Infinity;
  let seenSeq = -1;
  let timer = 0;
  let typing = 0;

  const search = h("input", { type: "search", class: "nbq-search", placeholder: "Filter: number, argument, error, worker",
    "aria-label": "Filter items" });
  const filter = h("select", { class: "nbq-select", "aria-label": "Show items by state" },
    h("option", { value: "", text: "all states" }),
    ...SEGMENTS.map((code) => h("option", { value: code, text: LOOKS[code].word })));
  const count = h("span", { class: "nbq-note nbq-total" });
  const head = h("tr");
  const heads = columns.map((column) => {
    const button = h("button", { type: "button", class: "nbq-sort", text: column.title,
      onclick: () => {
        query.descending = query.sort === column.key ? !query.descending : false;
        query.sort = column.key;
        restart();
      } });
    const cell = h("th", { scope: "col", class: column.number ? "nbq-number" : null }, button);
    head.append(cell);
    return { cell, column };
  });
  const above = h("tr", { class: "nbq-spacer", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
  const below = h("tr", { class: "nbq-spacer", "aria-hidden": "true" }, h("td", { colspan: columns.length }));
  const body = h("tbody");
  const sheet = h("table", { class: "nbq-table", "aria-label": "Items", "aria-rowcount": n + 1 },
    h("thead", {}, head), body);
  const window_ = h("div", { class: "nbq-scroll", tabindex: "0", role: "region", "aria-label": "Table of items" }, sheet);
  const node = h("div", { class: "nbq-page" }, h("div", { class: "nbq-tools" }, search, filter, count), window_);

  const restart = () => {
    window_.scrollTop = 0;
    stale = true;
    heads.forEach(({ cell, column }) => {
      if (column.key === query.sort) cell.setAttribute("aria-sort", query.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    ask();
  };
  const inView = () => visibleRows(window_.scrollTop, window_.clientHeight - ROW, total, ROW);
  const ask = () => {
    if (node.hidden || (pending && performance.now() - askedAt < LOST)) return;
    pending = true;
    stale = false;
    askedAt = performance.now();
    seenSeq = board.seq;
    const v = inView();
    const from = Math.max(0, v.first - 30);
    board.ask({ kind: "rows", ...query, first: from, count: v.count + 60 }, (answer) => {
      pending = false;
      if (answer.failed) return say(count, answer.failed);
      total = answer.total;
      first = answer.first;
      rows = answer.rows;
      const filtered = query.text || query.states.length;
      say(count, `${filtered ? `${grouped(total)} of ` : ""}${grouped(n)} item${n === 1 ? "" : "s"}${
        answer.whole ? "" : " (arguments of so large a job are not searched)"}`);
      sheet.setAttribute("aria-rowcount", String(total + 1));
      render();
      if (stale) ask();
    });
  };
  const cellOf = (/** @type {any[]} */ row, /** @type {any} */ column) => {
    const [item, args, code, result, error, started, run, worker, attempts] = row;
    const cell = h("td", { class: column.number ? "nbq-number" : null });
    if (column.key === "state") cell.append(glyph(code), LOOKS[code].word);
    else {
      const text = column.key.startsWith("arg:")
        ? args[Number(column.key.slice(4))] ?? ""
        : { item: grouped(item), result, error, worker: middle(worker, 28), attempts: attempts ? String(attempts) : "",
            started: started === null ? "" : clock(started), run_s: duration(run) }[column.key];
      cell.textContent = text;
      if (text.length > 12) cell.title = column.key === "worker" ? worker : text;
    }
    return cell;
  };
  const render = () => {
    const v = inView();
    const shown = rows.slice(Math.max(0, v.first - first), v.first - first + v.count);
    const from = Math.max(v.first, first);
    above.firstChild.style.height = `${v.top}px`;
    below.firstChild.style.height = `${Math.max(0, v.height - v.top - shown.length * ROW)}px`;
    body.replaceChildren(above, ...shown.map((row, k) => {
      const tr = h("tr", { class: "nbq-row", id: `${id}-row-${row[0]}`, "aria-rowindex": from + k + 2,
        "aria-selected": row[0] === board.selected, onclick: () => board.select(row[0]) });
      tr.append(...columns.map((column) => cellOf(row, column)));
      return tr;
    }), below);
    if (!total) body.replaceChildren(h("tr", {}, h("td", { class: "nbq-none", colspan: columns.length,
      text: n ? "No item matches." : "This job has no items." })));
    root.dataset.rows = String(shown.length);
    root.dataset.total = String(total);
  };
  window_.addEventListener("scroll", () => {
    board.touch();
    const v = inView();
    if (v.first < first || v.first + v.count > Math.min(total, first + rows.length)) {
      stale = true;
      ask();
    }
    render();
  }, { signal, passive: true });
  window_.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    const at = rows.findIndex(([item]) => item === board.selected);
    const next = at < 0 ? rows[inView().first - first] : rows[at + by];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    board.select(next[0]);
    const top = (first + (at < 0 ? 0 : at + by)) * ROW;
    if (total * ROW < TALLEST) {
      if (top < window_.scrollTop) window_.scrollTop = top;
      const bottom = top + 2 * ROW - window_.clientHeight;
      if (bottom > window_.scrollTop) window_.scrollTop = bottom;
    }
  }, { signal });
  for (const control of [search, filter])
    control.addEventListener("keydown", (/** @type {Event} */ event) => event.stopPropagation(), { signal });
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      query.text = search.value;
      restart();
    }, 200);
  }, { signal });
  filter.addEventListener("change", () => {
    query.states = filter.value === "" ? [] : [Number(filter.value)];
    restart();
  }, { signal });

  let selected = -2;
  const update = () => {
    if (node.hidden) return;
    if (board.selected !== selected) {
      selected = board.selected;
      for (const tr of body.querySelectorAll(".nbq-row"))
        tr.setAttribute("aria-selected", String(tr.id === `${id}-row-${selected}`));
    }
    if (seenSeq === board.seq && !stale) return;
    const wait = 500 - (performance.now() - askedAt);
    clearTimeout(timer);
    if (wait <= 0) ask();
    else timer = setTimeout(ask, wait);
  };
  heads[0].cell.setAttribute("aria-sort", "ascending");
  return { node, update, show: () => ((stale = true), ask()), resize: () => !node.hidden && rows.length && render() };
}

/** Local time of day. @param {number} seconds since the epoch */
function clock(seconds) {
  const at = new Date(seconds * 1000);
  const two = (/** @type {number} */ k) => String(k).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// -- the timeline's view --------------------------------------------------------------------------

const LANE = 18;
const LABEL = 150;
const AXIS = 20;

/** Round steps for an axis: about `k` of them in a span. @param {number} span @param {number} k */
export function ticks(span, k) {
  const raw = span / Math.max(1, k);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
  const tiny = 10 ** Math.floor(Math.log10(raw));
  const step = raw < 1 ? [1, 2, 5, 10].map((m) => m * tiny).find((s) => s >= raw) : steps.find((s) => s >= raw) ?? raw;
  const found = [];
  for (let i = 0; i * step <= span * (1 + 1e-9); i++) found.push(i * step);
  return found;
}

/** @param {any} context */
function timeline({ board, root, signal }) {
  const canvas = h("canvas", { class: "nbq-canvas", role: "img" });
  const hint = h("div", { class: "nbq-hint", hidden: true });
  const note = h("p", { class: "nbq-note" });
  const node = h("div", { class: "nbq-page" }, h("div", { class: "nbq-field" }, canvas, hint), note);
  const ink = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {any} */ let data = null;
  let pending = false;
  let askedAt = -Infinity;
  let cost = 0;
  let seenSeq = -1;
  let timer = 0;

  const ask = () => {
    if (node.hidden || (pending && performance.now() - askedAt < LOST)) return;
    pending = true;
    askedAt = performance.now();
    seenSeq = board.seq;
    board.ask({ kind: "lanes" }, (answer, buffers) => {
      pending = false;
      cost = performance.now() - askedAt;
      if (answer.failed) return say(note, answer.failed);
      const own = buffers.map((b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
      data = answer.form === "bars"
        ? { ...answer, start: new Float32Array(own[0] ?? 0), length: new Float32Array(own[1] ?? 0),
            word: new Uint32Array(own[2] ?? 0), lane: new Uint16Array(own[3] ?? 0) }
        : { ...answer, busy: new Uint8Array(own[0]), failed: new Uint8Array(own[1]) };
      draw();
    });
  };
  const draw = () => {
    const room = node.clientWidth;
    if (!room || !data) return;
    const began = performance.now();
    const ratio = window.devicePixelRatio || 1;
    const height = data.lanes.length * LANE + AXIS;
    canvas.width = Math.round(room * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${room}px`;
    canvas.style.height = `${height}px`;
    canvas.hidden = !data.lanes.length;
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(root);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--nbq-${name}`).trim();
    const wide = room - LABEL - 8;
    ink.clearRect(0, 0, room, height);
    ink.font = `11px ${style.fontFamily}`;
    ink.textBaseline = "middle";
    const bottom = data.lanes.length * LANE;
    for (const at of ticks(data.span, wide / 90)) {
      const x = LABEL + (at / data.span) * wide;
      ink.fillStyle = colour("line");
      ink.fillRect(Math.round(x), 0, 1, bottom + 3);
      ink.fillStyle = colour("faint");
      ink.textAlign = x > room - 40 ? "right" : "center";
      ink.fillText(at === 0 ? "0" : duration(at), x, bottom + 12);
    }
    ink.textAlign = "left";
    data.lanes.forEach((/** @type {string} */ name, /** @type {number} */ k) => {
      ink.fillStyle = colour("faint");
      ink.fillText(middle(name, 24), 0, k * LANE + LANE / 2, LABEL - 10);
    });
    if (data.form === "bars") {
      for (let k = 0; k < data.start.length; k++) {
        const code = data.word[k] & 15;
        const x = LABEL + (data.start[k] / data.span) * wide;
        const w = Math.max(1.5, (data.length[k] / data.span) * wide - 0.5);
        const y = data.lane[k] * LANE;
        ink.fillStyle = colour(LOOKS[code].name);
        // A failure is as high as its lane; other bars leave a margin: shape besides colour.
        if (code === FAILURE) ink.fillRect(x, y + 1, w, LANE - 2);
        else ink.fillRect(x, y + 4, w, LANE - 8);
      }
    } else {
      const slice = wide / data.slices;
      for (let lane = 0; lane < data.lanes.length; lane++) {
        for (let k = 0; k < data.slices; k++) {
          const busy = data.busy[lane * data.slices + k] / 255;
          const x = LABEL + k * slice;
          const tall = busy ? Math.max(1, busy * (LANE - 4)) : 0;
          ink.fillStyle = colour("success");
          ink.fillRect(x, lane * LANE + LANE - 2 - tall, slice + 0.3, tall);
          if (data.failed[lane * data.slices + k]) {
            ink.fillStyle = colour("failure");
            ink.fillRect(x, lane * LANE + 1, Math.max(1.5, slice), 4);
          }
        }
      }
    }
    const some = data.more ? ` and ${grouped(data.more)} more that ran fewer items` : "";
    say(note, data.lanes.length
      ? `${data.lanes.length} worker process${data.lanes.length === 1 ? "" : "es"}${some}${
          data.form === "bars" ? "" : "; height is the share of time spent on this job, red marks failures"}`
      : "No item has begun yet.");
    canvas.setAttribute("aria-label", `Timeline of ${data.lanes.length} worker${data.lanes.length === 1 ? "" : "s"} over ${duration(data.span)}: ${
      data.lanes.map((/** @type {string} */ name, /** @type {number} */ k) => `${name} ran ${grouped(data.items[k])} items`).join(", ")}`);
    root.dataset.timelineMs = (performance.now() - began).toFixed(2);
    root.dataset.lanes = String(data.lanes.length);
  };
  const hit = (/** @type {MouseEvent} */ event) => {
    if (!data || data.form !== "bars") return -1;
    const wide = canvas.clientWidth - LABEL - 8;
    const at = ((event.offsetX - LABEL) / wide) * data.span;
    const lane = Math.floor(event.offsetY / LANE);
    const slack = (2 / wide) * data.span;
    for (let k = 0; k < data.start.length; k++)
      if (data.lane[k] === lane && at >= data.start[k] - slack && at <= data.start[k] + data.length[k] + slack) return k;
    return -1;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const lane = Math.floor(event.offsetY / LANE);
    const k = hit(event);
    hint.hidden = !data || lane >= data.lanes.length || (data.form === "bars" && k < 0 && event.offsetX > LABEL);
    if (hint.hidden) return;
    if (k >= 0) hint.replaceChildren(glyph(data.word[k] & 15),
      `item ${grouped(data.word[k] >>> 4)} · ${LOOKS[data.word[k] & 15].word} · ${duration(data.length[k])}`);
    else hint.replaceChildren(`${data.lanes[lane]} · ${grouped(data.items[lane])} items`);
    const right = event.offsetX > canvas.clientWidth / 2;
    hint.style.left = right ? "" : `${event.offsetX + 12}px`;
    hint.style.right = right ? `${canvas.clientWidth - event.offsetX + 12}px` : "";
    hint.style.top = `${event.offsetY + 12}px`;
  }, { signal });
  canvas.addEventListener("pointerleave", () => (hint.hidden = true), { signal });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const k = hit(event);
    if (k >= 0) board.select(data.word[k] >>> 4);
  }, { signal });
  const update = (/** @type {Summary} */ s) => {
    if (node.hidden || (seenSeq === board.seq && s.finished)) return;
    // The dearer the kernel's answer, the rarer the question.
    const wait = Math.max(1000, 20 * cost) - (performance.now() - askedAt);
    clearTimeout(timer);
    if (wait <= 0) ask();
    else timer = setTimeout(ask, wait);
  };
  return { node, update, show: ask, resize: draw, look: draw };
}

// -- one item -------------------------------------------------------------------------------------

/** What there is to say of the chosen item. @param {any} context */
function item({ board, root, n, signal }) {
  const title = h("h4", { class: "nbq-item-title" });
  const close = h("button", { type: "button", class: "nbq-button nbq-quiet", "aria-label": "Close item", text: "✕" });
  const facts = h("span", { class: "nbq-item-facts" });
  const list = h("dl", { class: "nbq-item-values" });
  const trace = h("pre", { class: "nbq-trace", tabindex: "0", "aria-label": "Traceback", hidden: true });
  const node = h("section", { class: "nbq-item", "aria-label": "Chosen item", hidden: true },
    h("div", { class: "nbq-line" }, title, facts, h("span", { class: "nbq-buttons" }, close)), list, trace);
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
      a.worker, a.attempts > 1 ? `${a.attempts} attempts` : "", a.memory_mb ? `${Math.round(a.memory_mb)} MB peak` : ""]
      .filter(Boolean).join(" · "));
    list.replaceChildren();
    const pair = (/** @type {string} */ key, /** @type {string} */ value, kind = "") =>
      list.append(h("dt", { text: key }), h("dd", { text: value, class: kind || null }));
    if (a.args.length === a.params.length)
      a.params.forEach((/** @type {string} */ p, /** @type {number} */ k) => a.args[k] !== "" && pair(p, a.args[k]));
    else if (a.args.length) pair("arguments", a.args[0]);
    if (a.state === SUCCESS) pair("result", a.result, "nbq-value");
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

// -- what is left in the notebook ------------------------------------------------------------------

/** Words of a kernel that will not speak again. */
const ENDS = new Set(["restarting", "autorestarting", "terminating", "dead"]);

const VIEW = "application/vnd.jupyter.widget-view+json";

/**
 * Put a page in the place of a widget, in every output of a notebook that shows it.
 * @param {any} notebook JupyterLab's model of the notebook
 * @param {string} modelId
 * @param {object} data the page, by MIME type
 * @returns {number} how many outputs were replaced
 */
export function replaceWidget(notebook, modelId, data) {
  const { cells } = notebook;
  let replaced = 0;
  for (let i = 0; i < cells.length; i++) {
    const outputs = cells.get(i).outputs ?? { length: 0 }; // only code has some
    for (let k = 0; k < outputs.length; k++) {
      const output = outputs.get(k);
      if (output.data?.[VIEW]?.model_id !== modelId) continue;
      outputs.set(k, { ...output.toJSON(), data, metadata: {} });
      replaced++;
    }
  }
  return replaced;
}

/**
 * Leave the kernel's page in the notebook when the widget cannot live on: a notebook that was saved
 * with a widget shows an error when it is opened with another kernel.
 *
 * The kernel replaces its output itself, but JupyterLab knows which output that is only until the
 * page is loaded anew, and a kernel that is killed or restarted has no last word. So the kernel sends
 * a page in advance, and here it takes the widget's place when it is due or the kernel goes. Reaches
 * into JupyterLab and Notebook 7; does nothing in front ends of another make.
 *
 * `test_lasting.py` does this in both. The same lines stand in job.js and cluster.js, since each is
 * loaded by itself.
 * @param {any} model
 * @returns {() => void} to end it
 */
export function keepPage(model) {
  const leave = () => {
    const { data, view } = model.get("page") ?? {};
    const notebook = model.widget_manager?.context?.model;
    try {
      if (data && notebook?.cells) replaceWidget(notebook, view, data);
    } catch (error) {
      console.debug("nbqueue: this front end's notebook cannot be written to", error);
    }
  };
  const onPage = () => {
    if (model.get("page")?.due) leave();
  };
  const onStatus = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (ENDS.has(status)) leave();
  };
  // What is saved may be opened when this kernel is gone.
  const onSave = (/** @type {any} */ _, /** @type {string} */ state) => {
    if (state === "started" && model.get("page")?.over) leave();
  };
  const context = model.widget_manager?.context;
  const session = context?.sessionContext;
  model.on("change:page", onPage);
  model.on("destroy", leave); // before its views go
  session?.statusChanged?.connect?.(onStatus);
  session?.kernelChanged?.connect?.(leave);
  context?.saveState?.connect?.(onSave);
  onPage();
  context?.ready?.then?.(onPage); // its cells may be on their way
  return () => {
    model.off("change:page", onPage);
    model.off("destroy", leave);
    session?.statusChanged?.disconnect?.(onStatus);
    session?.kernelChanged?.disconnect?.(leave);
    context?.saveState?.disconnect?.(onSave);
  };
}

// -- anywidget ------------------------------------------------------------------------------------

export default () => {
  /** @type {?Board} */ let board = null;
  return {
    /** @param {{model: any}} context */
    initialize({ model }) {
      board = new Board(model);
      board.send({ kind: "hello" });
      const end = keepPage(model);
      return () => {
        board?.close();
        end();
      };
    },
    /** @param {{model: any, el: HTMLElement}} context */
    render({ model, el }) {
      board ??= new Board(model);
      return view(board, el);
    },
  };
};
