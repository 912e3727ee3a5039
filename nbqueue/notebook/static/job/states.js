/** How items' states look: names, words, shapes, order. */

export const PENDING = 0;
export const STARTED = 1;
export const RETRY = 2;
export const SUCCESS = 3;
export const FAILURE = 4;
export const REVOKED = 5;

/** A state's name in CSS, its word, and its shape in a box of 10 × 10. By code. */
export const LOOKS = [
  { name: "pending", word: "waiting", path: "M2 2h6v6h-6z M3.4 3.4v3.2h3.2v-3.2z" },
  { name: "running", word: "running", path: "M1.5 .5L9.5 5L1.5 9.5z" },
  { name: "retry", word: "to be retried", path: "M5 0L10 5L5 10L0 5z M5 3L3 5L5 7L7 5z" },
  { name: "success", word: "succeeded", path: "M2 1h6q1 0 1 1v6q0 1 -1 1h-6q-1 0 -1 -1v-6q0 -1 1 -1z" },
  {
    name: "failure",
    word: "failed",
    path:
      "M0 0h10v10h-10z M2 3.2L3.8 5L2 6.8L3.2 8L5 6.2L6.8 8L8 6.8L6.2 5L8 3.2L6.8 2L5 3.8L3.2 2z",
  },
  { name: "revoked", word: "cancelled", path: "M.5 3.5h9v3h-9z" },
];

/** Order of the bar's segments and of the legend. */
const SEGMENTS = [SUCCESS, FAILURE, REVOKED, RETRY, STARTED, PENDING];

/** How bad a state is, by code: a cell of several items shows its worst. */
const SEVERITY = [1, 3, 2, 0, 5, 4];
