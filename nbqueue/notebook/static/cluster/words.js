// What is said of workers and queues: pure functions, tested with `node --test`.

/** Squares drawn for a pool; larger pools have a bar. */
const MOST_SQUARES = 16;

/** Lines of what a worker runs. */
const MOST_LINES = 4;

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
