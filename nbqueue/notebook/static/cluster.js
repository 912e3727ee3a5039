/**
 * The cluster widget: workers with what they run, queues, and buttons to grow, shrink and stop.
 *
 * The kernel sends one `picture` every two seconds while a view says that it is visible; this file
 * draws it and counts the seconds between. Everything that comes from a cluster (names of jobs,
 * workers, queues, errors) is text and is set as text. Buttons send a wish; what became of it comes
 * back in the next picture.
 *
 * Pure functions are exported by name and tested with `node --test`; nothing else is needed to run.
 *
 * @typedef {{label: string, task: string, for_s: number}} Run
 * @typedef {{name: string, host: string, pid: number, pool: string, processes: number,
 *   leaving: number, resizable: boolean, queues: string[], running: Run[], n_running: number,
 *   done: number, items_per_s: number | null, memory_mb: number, silent_s: number,
 *   stopping: boolean}} Worker
 * @typedef {{name: string, waiting: number, consumers: number}} Queue
 * @typedef {{total: number, counts: [string, number][], last: string, by: string,
 *   ago_s: number | null}} Refused
 * @typedef {{known: boolean, trouble: string, away: string, away_s: number, refused: Refused | null,
 *   items_per_s: number | null, workers: Worker[], n_workers: number, queues: Queue[],
 *   closed: boolean, said: string, failed: boolean, busy: string}} Picture
 */

/** A view says that it is visible this often; the kernel forgets it after 12 s. */
const SPEAK_MS = 5000;

/** Squares drawn for a pool; larger pools have a bar. */
const MOST_SQUARES = 16;

/** Lines of what a worker runs. */
const MOST_LINES = 4;

// -- words -----------------------------------------------------------------------------------------

/**
 * A length of time in one or two units, as a person would say it.
 * @param {number} seconds
 */
export function span(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const units = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];
  for (const [unit, size, smaller, part] of units) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / part);
      return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
    }
  }
  return `${whole} s`;
}

/** @param {number} n */
export function grouped(n) {
  return Math.round(n).toLocaleString("en-US");
}

/**
 * Items a second, in three figures.
 * @param {number | null} rate
 */
export function rate(rate) {
  if (rate === null) return "–";
  if (rate >= 100) return grouped(rate);
  return String(Number(rate.toPrecision(rate < 1 ? 2 : 3)));
}

/** @param {number} mb */
export function memory(mb) {
  return mb >= 10000 ? `${(mb / 1024).toFixed(1)} GB` : `${grouped(mb)} MB`;
}

/**
 * @param {number} n
 * @param {string} word
 */
export function plural(n, word) {
  const many = word.endsWith("s") ? `${word}es` : `${word}s`;
  return `${grouped(n)} ${n === 1 ? word : many}`;
}

/**
 * The cluster in a line.
 * @param {Picture} picture
 */
export function summary(picture) {
  if (!picture.known) return picture.trouble ? "" : "asking the workers …";
  const here = picture.workers.filter((worker) => !worker.silent_s);
  const processes = here.reduce((sum, worker) => sum + worker.processes + worker.leaving, 0);
  const busy = here.reduce((sum, worker) => sum + worker.n_running, 0);
  const more = picture.n_workers - picture.workers.length;
  const parts = [plural(here.length, "worker") + (more > 0 ? ` and ${grouped(more)} more` : "")];
  if (here.length) parts.push(`${grouped(busy)} of ${plural(processes, "process")} busy`);
  if (picture.items_per_s !== null) parts.push(`${rate(picture.items_per_s)} items/s`);
  const used = here.reduce((sum, worker) => sum + worker.memory_mb, 0);
  if (here.length) parts.push(memory(used));
  return parts.join(" · ");
}

/**
 * What a worker is at, line by line.
 * @param {Worker} worker
 * @param {number} sinceS seconds since the picture was taken
 * @returns {{label: string, detail: string}[]}
 */
export function runs(worker, sinceS) {
  if (worker.silent_s) return [{ label: silence(worker, sinceS), detail: "" }];
  const shown = worker.running.slice(0, MOST_LINES);
  const lines = shown.map((run) => ({ label: run.label, detail: span(run.for_s + sinceS) }));
  const more = worker.n_running - shown.length;
  if (more > 0) lines.push({ label: `and ${grouped(more)} more`, detail: "" });
  if (!lines.length) lines.push({ label: worker.stopping ? "stopping" : "idle", detail: "" });
  return lines;
}

/**
 * Why a worker does not answer, as far as that is known.
 * @param {Worker} worker
 * @param {number} sinceS
 */
export function silence(worker, sinceS) {
  if (!worker.stopping) return `no answer for ${span(worker.silent_s + sinceS)}`;
  const n = worker.n_running;
  return n ? `stopping: finishes what it ran (${plural(n, "message")})` : "stopping";
}

/**
 * The state of a pool in words: for those who do not see the squares.
 * @param {Worker} worker
 */
export function poolWords(worker) {
  const all = worker.processes + worker.leaving;
  const of = `${grouped(worker.n_running)} of ${plural(all, "process")} busy`;
  return worker.leaving ? `${of}, ${grouped(worker.leaving)} to end after what they run` : of;
}

/**
 * The squares of a pool: busy, idle, or about to leave. Empty for a pool too large for squares.
 * @param {Worker} worker
 * @returns {("busy" | "idle" | "leaving")[]}
 */
export function squares(worker) {
  const all = worker.processes + worker.leaving;
  if (all > MOST_SQUARES) return [];
  return Array.from({ length: all }, (_, k) => {
    if (k >= worker.processes) return "leaving";
    return k < worker.n_running - worker.leaving ? "busy" : "idle";
  });
}

/**
 * What stopping a worker means, told before it is done.
 * @param {Worker} worker
 * @param {Picture} picture
 * @param {boolean} embedded
 * @returns {{question: string, consequence: string, verb: string}}
 */
export function consequences(worker, picture, embedded) {
  const shown = worker.running.slice(0, MOST_LINES).map((run) => run.label);
  const more = worker.n_running - shown.length;
  if (more > 0) shown.push(`${grouped(more)} more`);
  const finishes = shown.length
    ? `It finishes what it runs first (${shown.join(", ")}); nothing is lost.`
    : "It runs nothing now; nothing is lost.";
  if (embedded) {
    return {
      question: `Restart ${worker.name}?`,
      consequence: `${finishes} Then a new worker takes its place, with as many processes as the cluster was started with.`,
      verb: "Restart worker",
    };
  }
  const others = picture.workers.filter((each) => each.name !== worker.name && !each.silent_s);
  const alone = worker.queues.filter(
    (queue) => !others.some((each) => each.queues.includes(queue)),
  );
  const left = alone.length
    ? ` No other worker takes from ${alone.join(", ")}: what waits there then waits until one does.`
    : "";
  return {
    question: `Stop ${worker.name}?`,
    consequence: `${finishes} It cannot be started again from here.${left}`,
    verb: "Stop worker",
  };
}

/**
 * What a queue's depth means, for its class and for a screen reader.
 * @param {Queue} queue
 * @param {boolean} restarting whether the only worker will be replaced
 */
export function queueNote(queue, restarting) {
  if (!queue.waiting || queue.consumers) return "";
  return restarting ? "until the worker is back" : "no worker takes from it";
}

/**
 * How long what does not answer has not done so; empty when all answers.
 * @param {Picture} picture
 * @param {number} sinceS seconds since the picture was taken
 */
export function outage(picture, sinceS) {
  if (!picture.away) return "";
  const what = picture.away[0].toUpperCase() + picture.away.slice(1);
  const seconds = Math.max(1, Math.round(picture.away_s + sinceS));
  return `${what} for ${seconds < 60 ? `${seconds} s` : span(seconds)}; trying again`;
}

/** Refusals are news for so many seconds; the store never forgets their count. */
const NEWS_S = 86400;

/**
 * What workers and clients have refused: how often, and what it was the last time.
 * @param {Refused | null} refused
 * @param {number} sinceS
 * @returns {{text: string, all: string, news: boolean}}
 */
export function refusals(refused, sinceS) {
  if (!refused) return { text: "", all: "", news: false };
  const ago = refused.ago_s === null ? null : refused.ago_s + sinceS;
  const when = ago === null ? "" : `, ${ago < 60 ? "just now" : `${span(60 * Math.floor(ago / 60))} ago`}`;
  const by = refused.by ? ` (refused by ${refused.by}${when})` : "";
  const last = refused.last ? `${refused.total > 1 ? "; the last" : ""}: ${refused.last}${by}` : "";
  return {
    text: `${grouped(refused.total)} refused${last}`,
    all: refused.counts.map(([kind, n]) => `${grouped(n)} × ${kind}`).join("\n"),
    news: ago !== null && ago < NEWS_S,
  };
}

// -- drawing ---------------------------------------------------------------------------------------

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set text only where it changes: a selection or a screen reader's place is not lost. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function button(label, title, onClick) {
  const node = make("button", { type: "button", title, "aria-label": title }, label);
  node.addEventListener("click", onClick);
  return node;
}

/** One worker's row, and the question below it. */
class Row {
  /** @param {View} view @param {string} name */
  constructor(view, name) {
    this.view = view;
    this.name = name;
    this.lines = make("ul", { class: "nbq-c-runs" });
    this.squares = make("span", { class: "nbq-c-squares", "aria-hidden": "true" });
    this.count = make("span", { class: "nbq-c-count" });
    this.words = make("span", { class: "nbq-c-hidden" });
    this.shrink = button("−", `One process fewer: ${name}`, () => this.resize(-1));
    this.grow = button("+", `One process more: ${name}`, () => this.resize(+1));
    const restarts = view.fixed.embedded;
    this.stop = button(restarts ? "Restart" : "Stop", `${restarts ? "Restart" : "Stop"} ${name}`, () => this.ask());
    this.stop.classList.add("nbq-c-stop");
    this.host = make("div", { class: "nbq-c-quiet" });
    // Their names are shown where there is no room for a table's head.
    this.rate = make("td", { class: "nbq-c-number", "data-name": "items/s" });
    this.done = make("td", { class: "nbq-c-number", "data-name": "done" });
    this.memory = make("td", { class: "nbq-c-number" });
    this.queues = make("td", { "data-name": "queues" });
    const steps = make("span", { class: "nbq-c-steps", role: "group", "aria-label": `Processes of ${name}` }, this.shrink, this.count, this.grow);
    this.node = make(
      "tr",
      {},
      make("th", { scope: "row" }, make("div", { class: "nbq-c-name" }, name), this.host),
      make("td", {}, make("div", { class: "nbq-c-pool" }, steps, this.squares, this.words)),
      make("td", {}, this.lines),
      this.rate,
      this.done,
      this.memory,
      this.queues,
      make("td", { class: "nbq-c-number" }, this.stop),
    );
    this.question = null;
  }

  /** @param {Worker} worker */
  draw(worker) {
    this.worker = worker;
    const { picture } = this.view;
    const out = Boolean(worker.silent_s) || Boolean(picture.trouble) || picture.closed || this.view.lost;
    this.node.classList.toggle("nbq-c-out", out);
    say(this.host, `${worker.pool} · pid ${worker.pid}`);
    say(this.count, grouped(worker.processes));
    say(this.words, poolWords(worker));
    this.drawSquares(worker);
    this.drawRuns();
    say(this.rate, rate(worker.items_per_s));
    say(this.done, grouped(worker.done));
    say(this.memory, memory(worker.memory_mb));
    say(this.queues, worker.queues.join(", "));
    const still = out || picture.busy === this.name || worker.stopping;
    this.grow.disabled = still || !worker.resizable;
    this.shrink.disabled = still || !worker.resizable || worker.processes <= 1;
    this.stop.disabled = still;
    for (const each of [this.grow, this.shrink]) each.hidden = !worker.resizable;
    if (this.question && still) this.answer();
    if (this.question) this.drawQuestion();
  }

  drawSquares(worker) {
    const kinds = squares(worker);
    const key = kinds.join();
    if (this.squares.dataset.key === key) return;
    this.squares.dataset.key = key;
    this.squares.replaceChildren(...kinds.map((kind) => make("i", { class: `nbq-c-${kind}` })));
  }

  drawRuns() {
    const wanted = runs(this.worker, this.view.sinceS());
    while (this.lines.children.length > wanted.length) this.lines.lastChild.remove();
    while (this.lines.children.length < wanted.length) {
      this.lines.append(make("li", {}, make("span"), make("span", { class: "nbq-c-time" })));
    }
    wanted.forEach(({ label, detail }, k) => {
      const [name, time] = this.lines.children[k].children;
      say(name, label);
      say(time, detail);
      this.lines.children[k].classList.toggle("nbq-c-quiet", !detail);
    });
  }

  resize(by) {
    const processes = this.worker.processes + by;
    this.view.send({ kind: "resize", worker: this.name, processes });
  }

  ask() {
    if (this.question) return this.answer();
    this.about = make("p");
    this.because = make("p", { class: "nbq-c-quiet" });
    this.yes = button("", "", () => {
      this.view.send({ kind: "stop", worker: this.name });
      this.answer();
    });
    this.yes.classList.add("nbq-c-danger");
    this.yes.removeAttribute("aria-label");
    const no = make("button", { type: "button" }, "Leave it running");
    no.addEventListener("click", () => this.answer());
    const id = `nbq-c-${Math.random().toString(36).slice(2)}`;
    this.because.id = id;
    const box = make("div", { class: "nbq-c-question", role: "group", "aria-describedby": id }, this.about, this.because, make("div", { class: "nbq-c-answers" }, this.yes, no));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.answer();
    });
    this.question = make("tr", { class: "nbq-c-asks" }, make("td", { colspan: "8" }, box));
    this.stop.setAttribute("aria-expanded", "true");
    this.node.after(this.question);
    this.drawQuestion();
    no.focus(); // the harmless answer is the one at hand
  }

  drawQuestion() {
    const { question, consequence, verb } = consequences(this.worker, this.view.picture, this.view.fixed.embedded);
    say(this.about, question);
    say(this.because, consequence);
    say(this.yes, verb);
    this.yes.title = verb;
    if (this.node.nextSibling !== this.question) this.node.after(this.question);
  }

  /** Take the question away, and give the focus back where it came from. */
  answer() {
    const focused = this.question.contains(document.activeElement);
    this.question.remove();
    this.question = null;
    this.stop.removeAttribute("aria-expanded");
    if (focused) (this.stop.disabled ? this.view.status : this.stop).focus();
  }

  remove() {
    this.question?.remove();
    this.node.remove();
  }
}

class View {
  constructor(model, el) {
    this.model = model;
    this.fixed = model.get("cluster");
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.at = performance.now();
    this.lost = false;
    this.title = make("div", { class: "nbq-c-title" });
    this.summary = make("div", { class: "nbq-c-summary nbq-c-quiet" });
    this.trouble = make("div", { class: "nbq-c-trouble", role: "alert" });
    this.away = make("div", { class: "nbq-c-away" });
    this.why = make("div", {});
    this.trouble.append(this.away, this.why);
    this.refused = make("div", { class: "nbq-c-refused", "aria-label": "Refused" });
    this.status = make("div", { class: "nbq-c-status", role: "status", tabindex: "-1" });
    this.body = make("tbody");
    const head = ["Worker", "Processes", "Runs", "Items/s", "Done", "Memory", "Queues", ""];
    this.table = make(
      "table",
      { class: "nbq-c-workers", "aria-label": "Workers" },
      make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col", class: ["Items/s", "Done", "Memory"].includes(word) ? "nbq-c-number" : "" }, word || make("span", { class: "nbq-c-hidden" }, "Actions"))))),
      this.body,
    );
    this.none = make("div", { class: "nbq-c-none nbq-c-quiet" });
    this.queueBody = make("tbody");
    this.queues = make(
      "table",
      { class: "nbq-c-queues", "aria-label": "Queues" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Queue"), make("th", { scope: "col", class: "nbq-c-number" }, "Waiting"), make("th", { scope: "col", class: "nbq-c-number" }, "Workers"), make("th", { scope: "col" }, make("span", { class: "nbq-c-hidden" }, "Note")))),
      this.queueBody,
    );
    say(this.title, this.fixed.title);
    this.root = make(
      "section",
      { class: "nbq-cluster", "aria-label": this.fixed.title },
      make("header", {}, this.title, this.summary),
      this.trouble,
      make("div", { class: "nbq-c-scroll" }, this.table),
      this.none,
      make("div", { class: "nbq-c-scroll" }, this.queues),
      this.refused,
      this.status,
    );
    el.append(this.root);
    this.draw();
  }

  /** Seconds since the picture was taken. */
  ageS() {
    return (performance.now() - this.at) / 1000;
  }

  sinceS() {
    // A worker that is not heard of goes on as far as anybody knows; one in trouble may not.
    return this.picture.trouble || this.lost ? 0 : this.ageS();
  }

  send(message) {
    this.model.send(message);
  }

  /** Take it that the kernel is gone, or there again. @param {boolean} lost */
  lose(lost) {
    this.lost = lost;
    this.draw();
  }

  /** Draw a picture that has come. */
  news() {
    this.lost = false;
    this.at = performance.now();
    this.draw();
  }

  draw() {
    /** @type {Picture} */
    this.picture = this.model.get("picture");
    const { picture } = this;
    if (!picture.workers) return;
    say(this.summary, picture.closed ? "this client is closed" : this.lost ? "the kernel is gone" : summary(picture));
    this.drawTrouble();
    this.drawRefused();
    say(this.status, picture.said);
    this.status.classList.toggle("nbq-c-failed", picture.failed);
    this.drawWorkers();
    this.drawQueues();
    const { dataset } = this.root;
    dataset.drawn = String(Number(dataset.drawn || 0) + 1);
    dataset.workers = String(picture.workers.length);
    dataset.away = String(Boolean(picture.away));
  }

  drawTrouble() {
    const { picture } = this;
    const quiet = picture.closed || this.lost;
    say(this.away, quiet ? "" : outage(picture, this.ageS()));
    say(this.why, quiet ? "" : picture.trouble);
    this.why.classList.toggle("nbq-c-quiet", Boolean(picture.away));
    this.trouble.hidden = quiet || !picture.trouble;
  }

  drawRefused() {
    const { text, all, news } = refusals(this.picture.refused, this.ageS());
    say(this.refused, text);
    this.refused.title = all;
    this.refused.classList.toggle("nbq-c-news", news);
    this.refused.hidden = !text;
  }

  drawWorkers() {
    const { workers, known, trouble } = this.picture;
    const names = new Set(workers.map((worker) => worker.name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    let last = null;
    for (const worker of workers) {
      let row = this.rows.get(worker.name);
      if (!row) {
        row = new Row(this, worker.name);
        this.rows.set(worker.name, row);
        if (last) (last.question ?? last.node).after(row.node);
        else this.body.prepend(row.node);
      }
      row.draw(worker);
      last = row;
    }
    this.table.hidden = !workers.length;
    const none = known && !workers.length && !trouble;
    const how = this.fixed.embedded ? "it may be starting" : "start one with: nbqueue worker";
    say(this.none, none ? `No worker answers; ${how}.` : "");
    this.none.hidden = !none;
  }

  drawQueues() {
    const { queues, workers } = this.picture;
    const restarting = this.fixed.embedded && workers.some((worker) => worker.stopping);
    while (this.queueBody.children.length > queues.length) this.queueBody.lastChild.remove();
    while (this.queueBody.children.length < queues.length) {
      this.queueBody.append(make("tr", {}, make("th", { scope: "row" }), make("td", { class: "nbq-c-number" }), make("td", { class: "nbq-c-number" }), make("td", { class: "nbq-c-note" })));
    }
    queues.forEach((queue, k) => {
      const [name, waiting, consumers, note] = this.queueBody.children[k].children;
      say(name, queue.name);
      say(waiting, grouped(queue.waiting));
      say(consumers, grouped(queue.consumers));
      note.classList.toggle("nbq-c-quiet", restarting);
      say(note, queueNote(queue, restarting));
    });
    this.queues.hidden = !queues.length;
  }

  /** Let the times go on between two pictures. */
  tick() {
    if (this.picture.closed || this.lost) return;
    if (this.picture.away) this.drawTrouble();
    if (this.picture.refused) this.drawRefused();
    if (this.picture.trouble) return;
    for (const row of this.rows.values()) if (row.worker) row.drawRuns();
  }
}

// -- anywidget -------------------------------------------------------------------------------------

function render({ model, el, signal }) {
  const view = new View(model, el);
  const news = () => view.news();
  model.on("change:picture", news);

  let inSight = false;
  const speak = () => {
    if (inSight && document.visibilityState === "visible") model.send({ kind: "visible" });
  };
  const sight = new IntersectionObserver((entries) => {
    inSight = entries[entries.length - 1].isIntersecting;
    speak();
  });
  sight.observe(view.root);
  const unwatch = watchKernel(model, { dead: () => view.lose(true), away: () => view.lose(true), back: () => view.lose(false) });
  document.addEventListener("visibilitychange", speak);
  const speaking = setInterval(speak, SPEAK_MS);
  const ticking = setInterval(() => inSight && view.tick(), 1000);

  const end = () => {
    sight.disconnect();
    unwatch();
    document.removeEventListener("visibilitychange", speak);
    clearInterval(speaking);
    clearInterval(ticking);
    model.off("change:picture", news);
  };
  signal?.addEventListener("abort", end, { once: true });
  return end; // anywidget before 0.11 calls this instead
}

export default { initialize: ({ model }) => keepPage(model), render };
