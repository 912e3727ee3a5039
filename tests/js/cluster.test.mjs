// The cluster widget's pure functions: `node --test tests/js/`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { load, read } from "./module.mjs";

const widget = await load("shared", "cluster");
const {
  consequences, memory, outage, poolWords, queueNote, rate, refusals, runs, silence, span, squares, summary,
} = widget;

const makeWorker = (changes = {}) => ({
  name: "a@box",
  host: "box",
  pid: 7,
  pool: "prefork",
  processes: 2,
  leaving: 0,
  resizable: true,
  queues: ["celery"],
  running: [],
  n_running: 0,
  done: 0,
  items_per_s: null,
  memory_mb: 100,
  silent_s: 0,
  stopping: false,
  ...changes,
});

const makePicture = (changes = {}) => {
  const workers = changes.workers ?? [makeWorker()];
  return {
    known: true,
    trouble: "",
    items_per_s: null,
    queues: [],
    n_workers: workers.length,
    ...changes,
    workers,
  };
};

const running = (n) =>
  Array.from({ length: n }, (_, k) => ({ label: `grid ${k}`, task: "fit", for_s: k + 0.5 }));

test("times are said as a person would", () => {
  assert.deepEqual([0, 3.21, 9.96, 42, 75, 3700, 180000].map(span), [
    "0.0 s", "3.2 s", "10 s", "42 s", "1 min 15 s", "1 h 1 min", "2 d 2 h",
  ]);
});

test("rates and memory have three figures", () => {
  assert.deepEqual([null, 0, 0.1234, 3.456, 42.34, 1234.5].map(rate), [
    "–", "0", "0.12", "3.46", "42.3", "1,235",
  ]);
  assert.deepEqual([132.4, 20480].map(memory), ["132 MB", "20.0 GB"]);
});

test("the cluster in a line", () => {
  assert.equal(summary(makePicture({ known: false, workers: [] })), "asking the workers …");
  assert.equal(summary(makePicture({ workers: [] })), "0 workers");
  const workers = [
    makeWorker({ n_running: 1 }),
    makeWorker({ name: "b", processes: 4, n_running: 4 }),
    makeWorker({ name: "c", silent_s: 9 }),
  ];
  assert.equal(
    summary(makePicture({ workers, items_per_s: 12.3 })),
    "2 workers · 5 of 6 processes busy · 12.3 items/s · 200 MB",
  );
  assert.match(summary(makePicture({ n_workers: 140 })), /^1 worker and 139 more/);
});

test("what runs, and for how long: time goes on between two pictures", () => {
  assert.deepEqual(runs(makeWorker(), 0), [{ label: "idle", detail: "" }]);
  const busy = makeWorker({ running: running(6), n_running: 9 });
  const lines = runs(busy, 1);
  assert.equal(lines.length, 5);
  assert.deepEqual(lines[0], { label: "grid 0", detail: "1.5 s" });
  assert.deepEqual(lines[4], { label: "and 5 more", detail: "" });
});

test("a worker that does not answer says since when, or that it is stopping", () => {
  assert.equal(runs(makeWorker({ silent_s: 4 }), 1)[0].label, "no answer for 5.0 s");
  assert.equal(
    silence(makeWorker({ silent_s: 4, stopping: true, n_running: 2 }), 0),
    "stopping: finishes what it ran (2 messages)",
  );
});

test("a pool is drawn as squares, and told in words", () => {
  assert.deepEqual(squares(makeWorker({ processes: 3, n_running: 1 })), ["busy", "idle", "idle"]);
  const shrinking = makeWorker({ processes: 2, leaving: 1, n_running: 3 });
  assert.deepEqual(squares(shrinking), ["busy", "busy", "leaving"]);
  assert.equal(poolWords(shrinking), "3 of 3 processes busy, 1 to end after what they run");
  assert.deepEqual(squares(makeWorker({ processes: 64 })), []);
});

test("before a worker is stopped, what runs on it is told", () => {
  const worker = makeWorker({ running: running(2), n_running: 2 });
  const told = consequences(worker, makePicture({ workers: [worker] }), false);
  assert.equal(told.question, "Stop a@box?");
  assert.match(told.consequence, /finishes what it runs first \(grid 0, grid 1\); nothing is lost/);
  assert.match(told.consequence, /No other worker takes from celery/);
  assert.equal(told.verb, "Stop worker");
});

test("with another worker on its queues, nothing waits for ever", () => {
  const workers = [makeWorker(), makeWorker({ name: "b@box", queues: ["celery", "gpu"] })];
  const picture = makePicture({ workers });
  assert.doesNotMatch(consequences(workers[0], picture, false).consequence, /No other/);
  assert.match(consequences(workers[1], picture, false).consequence, /takes from gpu:/);
  workers[0].silent_s = 5;
  assert.match(consequences(workers[1], picture, false).consequence, /celery, gpu/);
});

test("an embedded cluster's worker comes back, and so the button says", () => {
  const told = consequences(makeWorker(), makePicture(), true);
  assert.equal(told.verb, "Restart worker");
  assert.match(told.consequence, /runs nothing now.*new worker takes its place/);
});

test("what does not answer is told with how long that has been so", () => {
  assert.equal(outage(makePicture({ away: "" }), 3), "");
  const away = makePicture({ away: "the broker has not answered", away_s: 9.4 });
  assert.equal(outage(away, 2.5), "The broker has not answered for 12 s; trying again");
});

test("what was refused is told with what it was the last time, and by whom", () => {
  const refused = { total: 3, last: "a message", by: "w/7", ago_s: 58, counts: [["a message", 2], ["a blob", 1]] };
  assert.deepEqual(refusals(refused, 2), {
    text: "3 refused; the last: a message (refused by w/7, 1 min ago)", all: "2 × a message\n1 × a blob", news: true,
  });
  assert.equal(refusals({ ...refused, total: 1, ago_s: 0 }, 0).text, "1 refused: a message (refused by w/7, just now)");
  assert.equal(refusals({ ...refused, ago_s: 90_000 }, 0).news, false);
  assert.equal(refusals({ ...refused, last: "", ago_s: null }, 0).text, "3 refused");
  assert.equal(refusals(null, 0).text, "");
});

test("a queue that nobody serves is pointed out", () => {
  const note = (waiting, consumers, restarting = false) =>
    queueNote({ name: "q", waiting, consumers }, restarting);
  assert.equal(note(1, 0), "no worker takes from it");
  assert.equal(note(1, 0, true), "until the worker is back");
  assert.equal(note(0, 0), "");
  assert.equal(note(5, 1), "");
});

test("nothing that comes from a cluster or a job is ever parsed as HTML", () => {
  assert.doesNotMatch(read("shared", "cluster", "job"), /innerHTML|outerHTML|insertAdjacentHTML|document\.write/);
});
