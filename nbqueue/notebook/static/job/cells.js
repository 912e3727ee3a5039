/** The grid without its canvas: layout, pixels, where keys lead. */

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
