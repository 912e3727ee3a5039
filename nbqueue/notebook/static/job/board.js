/** One model: what its views share. */

/** A question without an answer for so many milliseconds may be asked again. */
const LOST = 10_000;

/**
 * A kernel that has not been heard of for so many milliseconds is gone: several times the interval at
 * which `job_widget.py` speaks up. Lower: a kernel that is busy for a while would be called gone.
 */
const SILENCE = 30_000;

/** What a model's views share: the items' states, kept up to date. */
export class Board {
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
    /** When the kernel was found to be gone; `null` while it is there. @type {?number} */
    this.lostAt = null;
    this.dead = false;
    this.unwatch = watchKernel(model, {
      dead: () => {
        this.dead = true;
        this.lose();
      },
      away: () => this.lose(),
      back: () => this.find(),
    });
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
      this.dead = false;
      this.find();
      this.tell();
    };
    /** @param {any} message @param {DataView[]} buffers */
    this.onMessage = (message, buffers) => {
      const answer = this.asked.get(message?.ask);
      if (!answer) return;
      this.asked.delete(message.ask);
      answer(message, buffers ?? []);
    };
    // A workflow has found more items; their states come with the next message.
    this.onJob = () => {
      if (this.states.length >= this.n) return;
      const states = new Uint8Array(this.n);
      states.set(this.states);
      this.states = states;
    };
    model.on("change:job", this.onJob);
    model.on("change:snapshot", this.onSnapshot);
    model.on("change:delta", this.onDelta);
    model.on("change:summary", this.onSummary);
    model.on("msg:custom", this.onMessage);
    this.onSnapshot();
    this.onJob();
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
    const until = this.lostAt ?? performance.now();
    return s.finished ? s.elapsed_s : s.elapsed_s + Math.max(0, until - this.heardAt) / 1000;
  }

  /** Whether nothing more will come from the kernel, as far as is known. */
  get lost() {
    return this.lostAt !== null;
  }

  /** Take it that the kernel is gone, until it is heard of again. */
  lose() {
    if (this.lostAt !== null) return;
    this.lostAt = performance.now();
    this.tell();
  }

  /** Take it that the kernel could not be reached for a while. */
  find() {
    if (this.dead || this.lostAt === null) return;
    this.heardAt = performance.now() - (this.lostAt - this.heardAt);
    this.lostAt = null;
    this.tell();
  }

  /** A kernel of which nothing was heard for so long is gone: while a job runs it speaks up. */
  listen() {
    if (!this.summary.finished && performance.now() - this.heardAt > SILENCE) this.lose();
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
    this.unwatch();
    this.model.off("change:job", this.onJob);
    this.model.off("change:snapshot", this.onSnapshot);
    this.model.off("change:delta", this.onDelta);
    this.model.off("change:summary", this.onSummary);
    this.model.off("msg:custom", this.onMessage);
  }
}
