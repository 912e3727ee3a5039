/** Numbers and texts as a person reads them. */

/** @param {number} n */
export const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");

/** Seconds as a person says them: 0.35 s, 12 s, 3:07, 1:02:03, 2 d 4 h. @param {?number} s */
export function duration(s) {
  if (s === null || s === undefined || !Number.isFinite(s) || s < 0) return "";
  if (s === 0) return "0 s";
  if (s < 1e-6) return "<1 µs";
  if (s < 0.001) return `${(s * 1e6).toFixed(0)} µs`;
  if (s < 0.1) return `${Number((s * 1e3).toPrecision(2))} ms`;
  if (s < 9.95) return Number.isInteger(s) ? `${s} s` : `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const whole = Math.round(s);
  const two = (/** @type {number} */ k) => String(k).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  if (whole < 86400)
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

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
