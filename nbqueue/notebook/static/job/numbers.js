/** Numbers and texts as a person reads them. */

/**
 * Seconds as a person says them, as `core/spans.py` does: 46 µs, 0.31 s, 12 s, 3 min 7 s, 2 d 4 h.
 * @param {?number} s
 */
export function duration(s) {
  if (s === null || s === undefined || !Number.isFinite(s) || s < 0) return "";
  if (s === 0) return "0 s";
  if (s < 1e-6) return "<1 µs";
  for (const [unit, size] of /** @type {[string, number][]} */ ([["µs", 1e-6], ["ms", 1e-3]]))
    if (s < 100 * size) return `${Number((s / size).toPrecision(2))} ${unit}`;
  if (s < 1 || (s < 10 && Number.isInteger(s))) return `${Number(s.toPrecision(2))} s`;
  if (s < 10) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  for (const [unit, size, smaller, part] of UNITS) {
    if (whole < size) continue;
    const rest = Math.floor((whole % size) / part);
    return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
  }
  return `${whole} s`;
}

/** @type {[string, number, string, number][]} */
const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];

/** Items a second. @param {?number} rate */
export function pace(rate) {
  if (!rate) return "";
  if (rate >= 100) return `${grouped(rate)}/s`;
  if (rate >= 1) return `${Number(rate.toPrecision(2))}/s`;
  return rate * 60 >= 1
    ? `${Number((rate * 60).toPrecision(2))}/min`
    : `${Number((rate * 3600).toPrecision(2))}/h`;
}

/** A text's middle left out, as paths and worker names like it. @param {string} s @param {number} k */
export const middle = (s, k) =>
  s.length <= k ? s : `${s.slice(0, Math.ceil((k - 1) / 2))}…${s.slice(-Math.floor((k - 1) / 2))}`;

/** @param {string} s */
// eslint-disable-next-line no-control-regex
export const withoutAnsi = (s) => s.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "");
