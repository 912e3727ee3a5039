// Loads a widget's JavaScript as the notebook does: files put together (`notebook/esm.py`), one module.
import { readFileSync, readdirSync } from "node:fs";

const root = new URL("../../nbqueue/notebook/static/", import.meta.url);

/** @param {...string} folders below `static` @returns {string} one module */
export const read = (...folders) => {
  const files = folders.flatMap((folder) =>
    readdirSync(new URL(folder, root)).filter((f) => f.endsWith(".js")).sort().map((f) => `${folder}/${f}`));
  return files.map((file) => readFileSync(new URL(file, root), "utf8")).join("\n");
};

/** @param {...string} folders as above */
export const load = (...folders) => {
  const source = read(...folders);
  // The package has no package.json to say that its .js files are modules.
  return import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);
};
