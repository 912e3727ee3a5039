/** What is said of a whole job. */

/**
 * What is so in a word or two, as `views/words.py` says it of a page.
 * @param {Summary} s @param {number} n @param {boolean} [lost] the kernel is gone
 * @returns {{code: number, word: string}}
 */
export function headline(s, n, lost = false) {
  if (s.gone) return { code: REVOKED, word: "no longer in the store" };
  if (s.finished) return { code: outcome(s, n), word: ending(s, n) };
  if (lost) return { code: REVOKED, word: "kernel gone" };
  if (s.busy === "cancel") return { code: REVOKED, word: "cancelling" };
  if (s.busy === "retry") return { code: RETRY, word: "retrying" };
  return s.state === "PENDING" ? { code: PENDING, word: "waiting" } : { code: STARTED, word: "running" };
}

/** @param {Summary} s @param {number} n */
const outcome = (s, n) => (s.counts[FAILURE] ? FAILURE : s.counts[REVOKED] ? REVOKED : SUCCESS);

/** @param {Summary} s @param {number} n */
function ending(s, n) {
  const [failed, cancelled] = [s.counts[FAILURE], s.counts[REVOKED]];
  if (!n) return "finished, no items";
  if (!failed && !cancelled) return "succeeded";
  if (failed === n) return "failed";
  if (cancelled === n) return "cancelled";
  if (!failed) return `${grouped(cancelled)} of ${grouped(n)} cancelled`;
  return `finished, ${grouped(failed)} failed${cancelled ? `, ${grouped(cancelled)} cancelled` : ""}`;
}

/**
 * Why items failed, a line a reason: how often, the error, and where to look.
 * @param {Summary} s
 * @returns {{item: number, times: string, error: string, where: string}[]}
 */
export const reasons = (s) =>
  s.failures.map(([item, error, times]) => ({
    item,
    times: times > 1 ? `${grouped(times)} ×` : "",
    error,
    where: `${times > 1 ? "first: " : ""}item ${grouped(item)}`,
  }));

/** What those lines leave out. @param {Summary} s */
export function unsaid(s) {
  const told = s.failures.reduce((sum, [, , times]) => sum + times, 0);
  const left = s.counts[FAILURE] - told;
  if (!s.failures.length || left <= 0) return "";
  return s.compared < s.counts[FAILURE]
    ? `among the first ${grouped(s.compared)} of ${grouped(s.counts[FAILURE])} that failed`
    : `and ${grouped(left)} of other kinds`;
}

/** How many items have run to an end of their own; a cancelled item has not. @param {Summary} s */
export const ran = (s) => s.counts[SUCCESS] + s.counts[FAILURE];

/** One line for those who listen. @param {Summary} s @param {string} name @param {number} n */
export function spoken(s, name, n, lost = false) {
  const { word } = headline(s, n, lost);
  const rest = SEGMENTS.filter((c) => s.counts[c] && c !== PENDING)
    .map((c) => `${grouped(s.counts[c])} ${LOOKS[c].word}`)
    .join(", ");
  return `${name}: ${word}, ${grouped(ran(s))} of ${grouped(n)} items done${rest ? ` (${rest})` : ""}`;
}
