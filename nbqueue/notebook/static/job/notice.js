/** What stands in a job's way: a store that does not answer, or that nothing can begin. */

/**
 * The line that says so; both texts are empty when all is well.
 * @param {Summary} s @param {number} sinceS seconds since the kernel said so
 * @returns {{text: string, how: string, why: string}} `how` changes with time, `why` has the details
 */
export function hindrance(s, sinceS) {
  const [what, why] = s.outage ?? [];
  if (what) return { text: what, how: ` for ${duration(Math.max(1, Math.round((s.outage_s ?? 0) + sinceS)))}; trying again`, why };
  return { text: s.waits ? sentence(s.waits) : "", how: "", why: s.waits ?? "" };
}

/** @param {string} text */
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** @param {any} context */
function notice({ board, root }) {
  const text = h("span", {});
  // Seconds are not told aloud, each of them.
  const how = h("span", { "aria-hidden": "true" });
  const details = h("span", { class: "nbq-notice-why" });
  const node = h("p", { class: "nbq-notice", role: "alert", hidden: true }, h("span", { class: "nbq-notice-text" }, text, how), details);
  const update = (/** @type {Summary} */ s) => {
    const found = board.lost ? { text: "", how: "", why: "" } : hindrance(s, (performance.now() - board.heardAt) / 1000);
    say(text, found.text);
    say(how, found.how);
    say(details, s.outage?.length ? found.why : "");
    node.title = found.why;
    node.hidden = !found.text;
    root.dataset.outage = String(Boolean(s.outage?.length));
  };
  return { node, update };
}
