/** The table: rows as they are scrolled to, sorted and filtered by the kernel. */

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

const ROW = 24;

/**
 * The table's columns. @param {string[]} params @param {string[]} fields what results hold, if they are dicts
 * @param {boolean} [errors] whether there is an error to show
 * @returns {{key: string, title: string, number?: boolean, narrow?: boolean}[]}
 */
export const columnsOf = (params, fields, errors = true) => [
  { key: "item", title: "item", number: true },
  ...params.slice(0, 8).map((title, k) => ({ key: `arg:${k}`, title, narrow: true })),
  { key: "state", title: "state" },
  ...(fields.length ? fields.map((title, k) => ({ key: `field:${k}`, title, narrow: true }))
    : [{ key: "result", title: "result", narrow: true }]),
  ...(errors ? [{ key: "error", title: "error" }] : []),
  { key: "run_s", title: "run", number: true },
  { key: "started", title: "started" },
  { key: "worker", title: "worker" },
  { key: "attempts", title: "attempts", number: true },
];

/** Whether a text is a number, as a cell shows one. @param {string} text */
export const numeric = (text) => /^[-+]?(\d[\d_,]*\.?\d*|\.\d+)(e[-+]?\d+)?$|^[-+]?(inf|nan)$/.test(text);

/** Whether there is an error to show of any item. @param {Summary} s */
const hasErrors = (s) => s.counts[FAILURE] + s.counts[RETRY] + s.counts[REVOKED] > 0;

/** @param {any} context */
function table({ board, root, n, params, signal, id }) {
  let columns = columnsOf(params, [], false);
  let fields = "";
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

  const search = h("input", { type: "search", class: "nbq-search", placeholder: "Filter: a word, or run > 1",
    "aria-label": "Filter items", title: "A number, or a word in arguments, results, errors or workers; or conditions on columns: depth > 3 and kind = tree" });
  const filter = h("select", { class: "nbq-select", "aria-label": "Show items by state" },
    h("option", { value: "", text: "all states" }),
    ...SEGMENTS.map((code) => h("option", { value: code, text: LOOKS[code].word })));
  const count = h("span", { class: "nbq-note nbq-total" });
  const head = h("tr");
  const headOf = (/** @type {any} */ column) => {
    const button = h("button", { type: "button", class: "nbq-sort", text: column.title,
      onclick: () => {
        query.descending = query.sort === column.key ? !query.descending : false;
        query.sort = column.key;
        restart();
      } });
    return { cell: h("th", { scope: "col", class: column.number ? "nbq-number" : null }, button), column };
  };
  let heads = columns.map(headOf);
  const above = h("tr", { class: "nbq-spacer", "aria-hidden": "true" }, h("td", { colspan: 100 }));
  const below = h("tr", { class: "nbq-spacer", "aria-hidden": "true" }, h("td", { colspan: 100 }));
  const body = h("tbody");
  const sheet = h("table", { class: "nbq-table", "aria-label": "Items", "aria-rowcount": n + 1 },
    h("thead", {}, head), body);
  const window_ = h("div", { class: "nbq-scroll", tabindex: "0", role: "region", "aria-label": "Table of items" }, sheet);
  const node = h("div", { class: "nbq-page" }, h("div", { class: "nbq-tools" }, search, filter, count), window_);

  const showSort = () => heads.forEach(({ cell, column }) => {
      if (column.key === query.sort) cell.setAttribute("aria-sort", query.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  const restart = () => {
    window_.scrollTop = 0;
    stale = true;
    showSort();
    ask();
  };
  // Which columns results have is known when the first of them are there.
  const arrange = (/** @type {string[]} */ names) => {
    const wanted = JSON.stringify([names, hasErrors(board.summary)]);
    if (wanted === fields && heads[0].cell.parentNode) return;
    fields = wanted;
    columns = columnsOf(params, names, hasErrors(board.summary));
    const focused = heads.find(({ cell }) => cell.contains(document.activeElement))?.column.key;
    heads = columns.map(headOf);
    head.replaceChildren(...heads.map(({ cell }) => cell));
    heads.find(({ column }) => column.key === focused)?.cell.firstChild.focus();
    showSort();
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
      arrange(answer.fields);
      settle();
      const filtered = query.text || query.states.length;
      say(count, `${filtered ? `${grouped(total)} of ` : ""}${grouped(n)} item${n === 1 ? "" : "s"}${
        answer.whole ? "" : " (arguments of so large a job are not searched)"}`);
      sheet.setAttribute("aria-rowcount", String(total + 1));
      render();
      if (stale) ask();
    });
  };
  const textOf = (/** @type {any[]} */ row, /** @type {any} */ column) => {
    const [kind, place] = column.key.split(":");
    return (kind === "arg" ? row[1] : row[3])[Number(place ?? 0)] ?? "";
  };
  // Titles stand over numbers as the numbers do; the filter's example has a column that there is.
  const settle = () => {
    for (const { cell, column } of heads) {
      if (!column.narrow) continue;
      const texts = rows.map((row) => textOf(row, column)).filter(Boolean);
      column.number = texts.length > 0 && texts.every(numeric);
      cell.classList.toggle("nbq-number", column.number);
    }
    const example = columns.find((column) => column.narrow && column.number)?.title ?? "run";
    search.placeholder = `Filter: a word, or ${example} > 1`;
  };
  const cellOf = (/** @type {any[]} */ row, /** @type {any} */ column) => {
    const [item, , code, result, error, started, run, worker, attempts, cached] = row;
    const cell = h("td", { class: column.number ? "nbq-number" : column.key === "error" ? "nbq-bad" : null });
    if (column.key === "state") cell.append(glyph(code), LOOKS[code].word, cached ? h("span", { class: "nbq-aside", text: " · cached" }) : "");
    else {
      const text = column.key.includes(":") ? textOf(row, column)
        : { item: grouped(item), result: result.join(), error, worker: middle(worker, 28), attempts: attempts ? String(attempts) : "",
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
    if (!total) body.replaceChildren(h("tr", {}, h("td", { class: "nbq-none", colspan: 100,
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
  arrange([]);
  return { node, update, show: () => ((stale = true), ask()), resize: () => !node.hidden && rows.length && render() };
}

/** Local time of day. @param {number} seconds since the epoch */
function clock(seconds) {
  const at = new Date(seconds * 1000);
  const two = (/** @type {number} */ k) => String(k).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
