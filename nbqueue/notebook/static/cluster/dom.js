// Making elements.

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function button(label, title, onClick) {
  const node = make("button", { type: "button", title, "aria-label": title }, label);
  node.addEventListener("click", onClick);
  return node;
}
