// The job widget's pure parts: the wire, the grid's layout and pixels, numbers as text.
import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./module.mjs";

const job = await load("shared", "job");

const { SUCCESS, FAILURE, STARTED, PENDING, REVOKED, RETRY } = job;
const words = (...numbers) => new DataView(Uint32Array.from(numbers).buffer);
const summary = (changes) => ({
  state: "STARTED", counts: [0, 0, 0, 0, 0, 0], done: 0, finished: false, gone: false, busy: "", failures: [], compared: 0,
  ...changes,
});

test("a snapshot holds two items a byte, and an odd one at the end", () => {
  const view = new DataView(Uint8Array.from([7, 0, 0, 0, 3, 0, 0, 0, 0x43, 0x05]).buffer);
  const { seq, states } = job.readSnapshot(view);
  assert.equal(seq, 7);
  assert.deepEqual([...states], [SUCCESS, FAILURE, REVOKED]);
});

test("a delta in turn is applied, an old one ignored, a gap found and left alone", (t) => {
  t.mock.method(console, "debug", () => {});
  const board = { seq: 4, states: new Uint8Array(10) };
  assert.equal(job.applyDelta(board, words(5, (9 << 4) | SUCCESS, (2 << 4) | FAILURE)), "applied");
  assert.deepEqual([board.seq, board.states[9], board.states[2]], [5, SUCCESS, FAILURE]);
  assert.equal(job.applyDelta(board, words(5, (1 << 4) | SUCCESS)), "old");
  assert.equal(job.applyDelta(board, words(7, (1 << 4) | SUCCESS)), "gap");
  assert.equal(job.applyDelta(board, new DataView(new ArrayBuffer(0))), "old");
  assert.deepEqual([board.seq, board.states[1]], [5, PENDING]);
});

test("an item's number may be large", () => {
  const board = { seq: 0, states: new Uint8Array(1_000_000) };
  job.applyDelta(board, words(1, ((999_999 << 4) | REVOKED) >>> 0));
  assert.equal(board.states[999_999], REVOKED);
});

test("every item to 100,000 has a cell of its own, at any width", () => {
  for (const ratio of [1, 1.25, 2])
    for (const width of [320, 640, 900, 1400])
      for (const n of [1, 10, 1000, 9999, 100_000]) {
        const g = job.fit(n, width, ratio);
        assert.equal(g.perCell, 1);
        assert.ok(g.cols * g.rows >= n, `${n} in ${width}`);
        assert.ok(g.cols * g.pitch <= width * ratio);
      }
});

test("the clock stands while the kernel is gone, and goes on when it is heard of again", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const told = summary({ elapsed_s: 10 });
  const context = contextOf({});
  context.sessionContext.connectionStatusChanged = signal();
  const model = { ...modelOf(context), get: (key) => ({ summary: told, job: { n: 1 } })[key] };
  const board = new job.Board(model);
  const session = context.sessionContext;
  now = 5_000;
  assert.equal(board.elapsed, 15);
  session.connectionStatusChanged.emit("disconnected");
  now = 60_000;
  assert.deepEqual([board.lost, board.elapsed], [true, 15]);
  session.connectionStatusChanged.emit("connected");
  assert.deepEqual([board.lost, board.elapsed], [false, 15]);
  now += 29_000 - 5_000; // nothing was heard for 29 s while it could be
  board.listen();
  assert.equal(board.lost, false);
  now += 2_000;
  board.listen();
  assert.equal(board.lost, true);
  board.onSummary();
  assert.equal(board.lost, false);
  session.statusChanged.emit("dead");
  session.connectionStatusChanged.emit("connected"); // to another kernel
  assert.equal(board.lost, true);
  board.close();
  assert.equal(session.statusChanged.slots.size + session.kernelChanged.slots.size, 0);
});

test("what stands in a job's way is told: an outage with its length, else why nothing begins", () => {
  const away = summary({ outage: ["Redis has not answered", "no Redis answers at x"], outage_s: 9.6 });
  assert.deepEqual(job.hindrance(away, 2), {
    text: "Redis has not answered", how: " for 12 s; trying again", why: "no Redis answers at x",
  });
  const waits = summary({ outage: [], waits: "no worker consumes queue 'gpu'" });
  assert.equal(job.hindrance(waits, 2).text, "No worker consumes queue 'gpu'");
  assert.deepEqual(job.hindrance(summary({ outage: [], waits: "" }), 2), { text: "", how: "", why: "" });
});

test("items that report keep their places, and others take those that are free", () => {
  assert.deepEqual(job.placed([], [4, 7]), [4, 7]);
  assert.deepEqual(job.placed([4, 7], [7, 9]), [9, 7]);
  assert.deepEqual(job.placed([4, 7], [7]), [null, 7]);
  assert.deepEqual(job.placed([null, 7], [7, 8, 9]), [8, 7, 9]);
});

test("what is a number stands right", () => {
  for (const text of ["3", "-0.25", "1e-05", "1,234", "nan", "inf", ".5"]) assert.ok(job.numeric(text), text);
  for (const text of ["", "a", "1 s", "e", "nine", "1.2.3", "fine"]) assert.ok(!job.numeric(text), text);
});

test("a workflow that finds more items has a state for each before the kernel has told it", () => {
  let told = { job: { n: 2 }, summary: summary({}), snapshot: new DataView(Uint8Array.from([1, 0, 0, 0, 2, 0, 0, 0, 0x43]).buffer) };
  const model = { ...modelOf(null), get: (key) => told[key] };
  const board = new job.Board(model);
  assert.deepEqual([...board.states], [SUCCESS, FAILURE]);
  told = { ...told, job: { n: 4 } };
  model.heard.get("change:job")();
  assert.deepEqual([...board.states], [SUCCESS, FAILURE, PENDING, PENDING]);
  board.close();
});

test("a million items share cells, and all of them are in one", () => {
  const g = job.fit(1_000_000, 800);
  assert.ok(g.perCell > 1);
  assert.ok(g.cells * g.perCell >= 1_000_000 && (g.cells - 1) * g.perCell < 1_000_000);
  assert.deepEqual(job.itemsOf(g, g.cells - 1, 1_000_000)[1], 1_000_000);
  assert.ok(g.rows * g.pitch <= 360);
});

test("a cell of several items shows the worst of them", () => {
  const order = [FAILURE, REVOKED, STARTED, RETRY, PENDING, SUCCESS];
  for (let k = 1; k < order.length; k++) {
    const states = Uint8Array.from(order.slice(k - 1).reverse());
    assert.equal(job.worst(states, 0, states.length), order[k - 1]);
  }
});

test("states differ in shape where a cell has room for one", () => {
  for (const d of [4, 5, 6, 7, 8, 10]) {
    const seen = new Set([0, 1, 2, 3, 4, 5].map((code) => job.stamp(code, d, 1).join("")));
    assert.equal(seen.size, 6, `side ${d}`);
  }
  for (const d of [2, 3]) {
    assert.ok(job.stamp(FAILURE, d, 1).every((p) => p === 1));
    assert.notDeepEqual(job.stamp(PENDING, d, 1), job.stamp(SUCCESS, d, 1));
  }
});

test("cells are painted row by row, and nothing beyond the last", () => {
  const states = Uint8Array.from([SUCCESS, FAILURE, SUCCESS]);
  const g = { cols: 2, rows: 2, pitch: 2, cells: 3, perCell: 1 };
  const pixels = new Uint32Array(16).fill(9);
  const stamps = [0, 0, 0, 3, 4, 0].map((c) => new Uint32Array(4).fill(c));
  job.paint(pixels, states, g, stamps);
  assert.deepEqual([...pixels], [3, 3, 4, 4, 3, 3, 4, 4, 3, 3, 0, 0, 3, 3, 0, 0]);
});

test("a rare failure among tiny cells is drawn larger than its cell, many are not", () => {
  const g = { cols: 20, rows: 10, pitch: 2, cells: 200, perCell: 1 };
  const stamps = [0, 0, 0, 3, 4, 0].map((c) => new Uint32Array(4).fill(c));
  const red = (failures) => {
    const states = new Uint8Array(200).fill(SUCCESS);
    for (const i of failures) states[i] = FAILURE;
    const pixels = new Uint32Array(40 * 20);
    job.paint(pixels, states, g, stamps);
    return pixels.reduce((k, p) => k + (p === 4 ? 1 : 0), 0);
  };
  assert.equal(red([105]), 16);
  assert.equal(red([0]), 9); // in the corner
  assert.equal(red([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 40);
});

test("arrow keys stay within the grid; F finds the next failure and goes round", () => {
  const states = new Uint8Array(10);
  states[2] = states[7] = FAILURE;
  const g = { cols: 4, rows: 3, pitch: 10, cells: 10, perCell: 1 };
  assert.equal(job.walk("ArrowRight", -1, g, states), 0);
  assert.equal(job.walk("ArrowDown", 1, g, states), 5);
  assert.equal(job.walk("ArrowDown", 7, g, states), 7);
  assert.equal(job.walk("ArrowLeft", 0, g, states), 0);
  assert.equal(job.walk("End", 0, g, states), 9);
  assert.equal(job.walk("f", -1, g, states), 2);
  assert.equal(job.walk("f", 2, g, states), 7);
  assert.equal(job.walk("f", 7, g, states), 2);
  assert.equal(job.walk("x", 3, g, states), 3);
});

test("a scrolled table shows the right rows, also more of them than a browser can lay out", () => {
  assert.deepEqual(job.visibleRows(48, 240, 1000, 24), { first: 2, count: 11, height: 24000, top: 48 });
  const end = job.visibleRows(8_000_000 - 240, 240, 1_000_000, 24);
  assert.equal(end.first + 10, 1_000_000);
  assert.equal(job.visibleRows(0, 240, 1_000_000, 24).first, 0);
  assert.equal(job.visibleRows(500, 240, 3, 24).first, 0);
});

test("durations and rates read as a person says them", () => {
  const said = [0.0004, 0.05, 0.32, 12.4, 59.7, 187, 3723, 187_200].map(job.duration);
  assert.deepEqual(said, ["0.4 ms", "50 ms", "0.32 s", "12 s", "1 min", "3 min 7 s", "1 h 2 min", "2 d 4 h"]);
  assert.deepEqual([0, 1e-7, 0.0000999, 3.21, 9.96].map(job.duration), ["0 s", "<1 µs", "100 µs", "3.2 s", "10.0 s"]);
  assert.equal(job.duration(null), "");
  assert.equal(job.duration(NaN), "");
  assert.deepEqual([12345, 4.26, 0.5, 0.01, null].map(job.pace), ["12,345/s", "4.3/s", "30/min", "36/h", ""]);
  assert.equal(job.grouped(1234567), "1,234,567");
  assert.equal(job.middle("abcdefghij", 5), "ab…ij");
  assert.equal(job.withoutAnsi("\u001b[0;31mred\u001b[0m"), "red");
});

test("the headline says what is so, failures before anything", () => {
  const word = (changes, n = 10) => job.headline(summary(changes), n).word;
  assert.equal(word({ state: "PENDING" }), "waiting");
  assert.equal(word({}), "running");
  assert.equal(word({ busy: "cancel" }), "cancelling");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 8, 2, 0] }), "finished, 2 failed");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 0, 10, 0] }), "failed");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 5, 0, 5] }), "5 of 10 cancelled");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 0, 0, 10] }), "cancelled");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 1, 2, 7] }), "finished, 2 failed, 7 cancelled");
  assert.equal(job.headline(summary({}), 10, true).word, "kernel gone");
  assert.equal(job.headline(summary({ finished: true, counts: [0, 0, 0, 10, 0, 0] }), 10, true).word, "succeeded");
  assert.equal(word({ finished: true, counts: [0, 0, 0, 10, 0, 0] }), "succeeded");
  assert.equal(word({ finished: true, gone: true }), "no longer in the store");
  assert.equal(
    job.spoken(summary({ counts: [5, 1, 0, 3, 1, 0], done: 4 }), "grid", 10),
    "grid: running, 4 of 10 items done (3 succeeded, 1 failed, 1 running)",
  );
});

test("the most frequent errors are told, and what those lines leave out", () => {
  const s = summary({ counts: [0, 0, 0, 0, 5, 0], failures: [[7, "ValueError: bad", 3], [9, "OSError", 1]], compared: 5 });
  assert.deepEqual(job.reasons(s), [
    { item: 7, times: "3 ×", error: "ValueError: bad", where: "first: item 7" },
    { item: 9, times: "", error: "OSError", where: "item 9" },
  ]);
  assert.equal(job.unsaid(s), "and 1 of other kinds");
  assert.equal(job.unsaid(summary({ ...s, counts: [0, 0, 0, 0, 4, 0] })), "");
  assert.equal(job.unsaid(summary({ ...s, counts: [0, 0, 0, 0, 5000, 0], compared: 200 })), "among the first 200 of 5,000 that failed");
  assert.equal(job.unsaid(summary({})), "");
});

test("an item that is pointed at tells its arguments, and its result or error, in a few words", () => {
  const lines = (row, fields = []) => job.hintLines(row, ["depth", "lr"], fields).map(({ text }) => text);
  assert.deepEqual(lines([3, ["4", ""], SUCCESS, ["0.5", "", "'x'"], ""], ["auc", "n", "kind"]), ["depth=4", "→ auc 0.5, kind 'x'"]);
  assert.deepEqual(lines([3, ["4", "0.1"], FAILURE, [], "ValueError: bad"]), ["depth=4, lr=0.1", "ValueError: bad"]);
  assert.deepEqual(lines([3, ["(Expired: gone)"], SUCCESS, ["{'a': 1}"], ""], ["a", "b"]), ["(Expired: gone)", "→ {'a': 1}"]);
  assert.equal(lines([3, ["x".repeat(999)], PENDING, [], ""])[0].length, 200);
});

test("the table has a column for each thing that results hold", () => {
  const keys = (fields) => job.columnsOf(["depth"], fields).map(({ key }) => key);
  assert.deepEqual(keys([]).slice(0, 4), ["item", "arg:0", "state", "result"]);
  assert.deepEqual(keys(["auc", "n"]).slice(0, 5), ["item", "arg:0", "state", "field:0", "field:1"]);
});

test("what was cancelled has not run", () => {
  assert.equal(job.ran(summary({ counts: [0, 0, 0, 2, 1, 197], done: 200 })), 3);
});

test("an axis has round steps", () => {
  assert.deepEqual(job.ticks(10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(job.ticks(240, 5), [0, 60, 120, 180, 240]);
  assert.ok(job.ticks(0.5, 8).length >= 4);
});

// -- what is left in the notebook ------------------------------------------------------------------

const VIEW = "application/vnd.jupyter.widget-view+json";

/** A list as JupyterLab's models have it. */
const list = (items) => ({
  get length() { return items.length; },
  get: (k) => items[k],
  set: (k, json) => (items[k] = output(json)),
  items,
});
const output = (json) => ({ data: json.data ?? {}, toJSON: () => json });
const shows = (id, type = "display_data") =>
  output({ output_type: type, data: { [VIEW]: { model_id: id }, "text/plain": "x" }, metadata: { a: 1 } });
const notebook = (...cells) => {
  const metadata = {};
  return {
    cells: list(cells.map((c) => (c ? { outputs: list(c) } : {}))),
    metadata,
    getMetadata: (key) => metadata[key],
    setMetadata: (key, value) => (metadata[key] = value),
    deleteMetadata: (key) => delete metadata[key],
  };
};
const saved = (found) => found.cells.items.flatMap((c) => c.outputs?.items.map((o) => o.toJSON()) ?? []);

/** A signal, and a model with events, as JupyterLab and anywidget have them. */
const signal = () => {
  const slots = new Set();
  return { connect: (f) => slots.add(f), disconnect: (f) => slots.delete(f), emit: (x) => slots.forEach((f) => f(null, x)), slots };
};
const modelOf = (context, page = {}) => {
  const heard = new Map();
  return {
    widget_manager: context && { context },
    get: () => page,
    on: (name, f) => heard.set(name, f),
    off: (name) => heard.delete(name),
    tell(name, value) { if (value) page = value; heard.get(name)(); },
    heard,
  };
};
const contextOf = (model) => ({ model, sessionContext: { statusChanged: signal(), kernelChanged: signal() } });
const page = (due) => ({ view: "v", data: { "text/html": "done" }, due });

test("a page takes the place of a widget, wherever it is shown, and of no other", () => {
  const stream = output({ output_type: "stream", text: "hi" });
  const book = notebook([stream, shows("v")], null, [shows("w")], [shows("v", "execute_result")]);
  assert.equal(job.replaceWidget(book, "v", { "text/html": "done" }), 2);
  const [, first, other, last] = saved(book);
  assert.deepEqual(first, { output_type: "display_data", data: { "text/html": "done" }, metadata: {} });
  assert.equal(other.data[VIEW].model_id, "w");
  assert.equal(last.output_type, "execute_result");
  assert.equal(job.replaceWidget(book, "v", {}), 0);
});

test("a page that is kept takes the widget's place when it is due", () => {
  const book = notebook([shows("v")]);
  const model = modelOf(contextOf(book));
  job.keepPage(model);
  model.tell("change:page", page(false));
  assert.ok(saved(book)[0].data[VIEW]);
  model.tell("change:page", page(true));
  assert.deepEqual(saved(book)[0].data, { "text/html": "done" });
});

test("a page that is due when the notebook is opened takes the widget's place at once", () => {
  const book = notebook([shows("v")]);
  job.keepPage(modelOf(contextOf(book), page(true)));
  assert.deepEqual(saved(book)[0].data, { "text/html": "done" });
});

test("a page that is kept takes the widget's place when the kernel or the model goes", () => {
  const ends = [
    (context) => context.sessionContext.statusChanged.emit("autorestarting"),
    (context) => context.sessionContext.kernelChanged.emit({}),
    (context, model) => model.tell("destroy"),
  ];
  for (const end of ends) {
    const book = notebook([shows("v")]);
    const context = contextOf(book);
    const model = modelOf(context, page(false));
    job.keepPage(model);
    context.sessionContext.statusChanged.emit("busy");
    assert.ok(saved(book)[0].data[VIEW]);
    end(context, model);
    assert.deepEqual(saved(book)[0].data, { "text/html": "done" });
  }
});

const STATES = "application/vnd.jupyter.widget-state+json";

test("a widget that is saved while its job runs stays, and a page is saved for when it is gone", () => {
  const book = notebook([shows("v")]);
  book.metadata.widgets = { other: 1, [STATES]: { version_major: 2, version_minor: 0, state: { w: { state: {} } } } };
  const context = { ...contextOf(book), saveState: signal() };
  const model = modelOf(context, page(false));
  job.keepPage(model);
  context.saveState.emit("completed");
  assert.deepEqual(Object.keys(book.metadata.widgets[STATES].state), ["w"]);
  context.saveState.emit("started");
  assert.ok(saved(book)[0].data[VIEW]);
  const { state, version_major } = book.metadata.widgets[STATES];
  assert.equal(version_major, 2);
  assert.equal(state.v.model_name, "HTMLModel");
  assert.equal(state.v.state.value, "done");
  assert.ok(state.w && state[state.v.state.layout.replace("IPY_MODEL_", "")]);
  model.tell("change:page", page(true));
  const before = { other: 1, [STATES]: { version_major: 2, version_minor: 0, state: { w: { state: {} } } } };
  assert.deepEqual(book.metadata.widgets, before);
  context.saveState.emit("started");
  assert.deepEqual(book.metadata.widgets, before);
});

test("nothing is left in a notebook's metadata of widgets that are shown no more", () => {
  const book = notebook([shows("v")], [shows("w")]);
  for (const id of ["v", "w", "x"]) job.keepSpare(book, id, `page of ${id}`);
  const ids = () => Object.keys(book.metadata.widgets?.[STATES].state ?? {}).filter((id) => !id.endsWith("layout"));
  assert.deepEqual(ids(), ["v", "w", "x"]);
  job.keepSpare(book, "v", "anew");
  assert.deepEqual(ids().sort(), ["v", "w"]);
  job.keepSpare(book, "v", null);
  job.keepSpare(book, "w", null);
  assert.equal("widgets" in book.metadata, false);
});

test("nothing is listened to any more after the end", () => {
  const context = contextOf(notebook([shows("v")]));
  const model = modelOf(context, page(false));
  job.keepPage(model)();
  const { statusChanged, kernelChanged } = context.sessionContext;
  assert.deepEqual([model.heard.size, statusChanged.slots.size, kernelChanged.slots.size], [0, 0, 0]);
});

test("a front end of another make is left alone", () => {
  for (const context of [undefined, {}, { model: {}, sessionContext: {} }, contextOf({ cells: [1] })]) {
    const model = modelOf(context, page(true));
    const end = job.keepPage(model);
    model.tell("destroy");
    end();
  }
});

test("the cluster's widget keeps its page too", async () => {
  const cluster = await load("shared", "cluster");
  assert.equal(String(cluster.keepPage), String(job.keepPage));
});

test("how far a step is: what has ended, of what is known", () => {
  const counts = Array(6).fill(0);
  assert.equal(job.farOf(counts).text, "–");
  Object.assign(counts, { [PENDING]: 995, [STARTED]: 2, [SUCCESS]: 1003, [FAILURE]: 1 });
  assert.deepEqual(job.farOf(counts), { n: 2001, done: 1004, text: "1,004 of 2,001" });
});
