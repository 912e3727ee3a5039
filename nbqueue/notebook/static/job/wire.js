/** The items' states as they come from the kernel; `notebook/feed.py` tells the format. */

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
