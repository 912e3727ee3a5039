/** Why items failed: the most frequent errors, each a button that chooses its first item. */

/** @param {any} context */
function reasonLines({ board, signal }) {
  const list = h("ul", { class: "nbq-reasons", "aria-label": "Most frequent errors" });
  const rest = h("p", { class: "nbq-note" });
  const node = h("div", { class: "nbq-why", hidden: true }, list, rest);
  let drawn = "";
  const line = (/** @type {any} */ { item, times, error, where }, /** @type {boolean} */ alone) => {
    const button = h("button", { type: "button", class: "nbq-reason", title: `${error}\nShow item ${grouped(item)}` },
      glyph(FAILURE),
      h("span", { class: "nbq-times", text: times, hidden: alone }),
      h("span", { class: "nbq-reason-text", text: error }),
      h("span", { class: "nbq-where", text: where }));
    button.addEventListener("click", () => board.select(item), { signal });
    return h("li", {}, button);
  };
  const update = (/** @type {Summary} */ s) => {
    const lines = reasons(s);
    node.hidden = !lines.length;
    const now = JSON.stringify(lines);
    if (now !== drawn) {
      drawn = now;
      const focused = [...list.children].findIndex((each) => each.contains(document.activeElement));
      const alone = lines.every(({ times }) => !times);
      list.replaceChildren(...lines.map((each) => line(each, alone)));
      node.style.setProperty("--nbq-times", `${Math.max(...lines.map(({ times }) => times.length))}ch`);
      list.children[focused]?.firstChild.focus();
    }
    say(rest, unsaid(s));
    rest.hidden = !rest.textContent;
  };
  return { node, update };
}
