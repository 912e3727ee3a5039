/** Small DOM: elements, glyphs, texts. */

/**
 * @param {string} tag @param {Record<string, any>} [attributes] `text`, `class`, `on…` and attributes
 * @param {...(Node|string|null)} children
 * @returns {any}
 */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((c) => c !== null));
  return node;
}

/** @param {number} code */
function glyph(code) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 10 10");
  svg.setAttribute("class", `nbq-glyph nbq-${LOOKS[code].name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", LOOKS[code].path);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

let ids = 0;
