/** What is said of a whole job. */

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
