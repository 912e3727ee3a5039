// Loads a widget's JavaScript as the notebook does: files put together (`notebook/esm.py`), one module.
import { readFileSync, readdirSync } from "node:fs";

const root = new URL("../../nbqueue/notebook/static/", import.meta.url);

/** @param {...string} parts folders below `static`, or single files @returns {string} one module */
export const read = (...parts) => {
  const files = parts.flatMap((part) =>
    part.endsWith(".js") ? [part] : readdirSync(new URL(part, root)).filter((f) => f.endsWith(".js")).sort().map((f) => `${part}/${f}`));
  return files.map((file) => readFileSync(new URL(file, root), "utf8")).join("\n");
};

/** @param {...string} parts as above */
export const load = (...parts) => {
  const source = read(...parts);
  // The package has no package.json to say that its .js files are modules.
  return import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);
};
