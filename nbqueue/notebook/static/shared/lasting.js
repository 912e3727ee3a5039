/** What is left in the notebook when a widget cannot live on. */

/** Words of a kernel that will not speak again. */
const ENDS = new Set(["restarting", "autorestarting", "terminating", "dead"]);

const VIEW = "application/vnd.jupyter.widget-view+json";

/**
 * Put a page in the place of a widget, in every output of a notebook that shows it.
 * @param {any} notebook JupyterLab's model of the notebook
 * @param {string} modelId
 * @param {object} data the page, by MIME type
 * @returns {number} how many outputs were replaced
 */
export function replaceWidget(notebook, modelId, data) {
  const { cells } = notebook;
  let replaced = 0;
  for (let i = 0; i < cells.length; i++) {
    const outputs = cells.get(i).outputs ?? { length: 0 }; // only code has some
    for (let k = 0; k < outputs.length; k++) {
      const output = outputs.get(k);
      if (output.data?.[VIEW]?.model_id !== modelId) continue;
      outputs.set(k, { ...output.toJSON(), data, metadata: {} });
      replaced++;
    }
  }
  return replaced;
}

/** Where a notebook keeps widgets' states, for when it is opened without their kernel. */
const STATES = "application/vnd.jupyter.widget-state+json";

/** The class of models that stand for a widget whose kernel is gone. */
const SPARE = "nbq-spare";

/**
 * A model that shows a page under a widget's id. @param {string} modelId @param {string} html
 * @returns {Record<string, object>} by id, as notebooks keep states
 */
const spare = (modelId, html) => ({
  [modelId]: {
    model_name: "HTMLModel",
    model_module: "@jupyter-widgets/controls",
    model_module_version: "2.0.0",
    state: { value: html, _dom_classes: [SPARE], layout: `IPY_MODEL_${modelId}-layout` },
  },
  [`${modelId}-layout`]: {
    model_name: "LayoutModel",
    model_module: "@jupyter-widgets/base",
    model_module_version: "2.0.0",
    state: { margin: "0" },
  },
});

/** The ids of models that the outputs of a notebook show. @param {any} notebook */
function shown({ cells }) {
  const found = new Set();
  for (let i = 0; i < cells.length; i++) {
    const outputs = cells.get(i).outputs ?? { length: 0 };
    for (let k = 0; k < outputs.length; k++) found.add(outputs.get(k).data?.[VIEW]?.model_id);
  }
  return found;
}

/**
 * Keep a page in a notebook's metadata, for when the notebook is opened again and the widget is not
 * there any more. Front ends look for a widget in the kernel first, and then there. (Without it, or
 * with HTML beside the widget in the output, they show an error.)
 * @param {any} notebook JupyterLab's model of the notebook @param {string} modelId
 * @param {?string} html the page; `null` when it is not wanted any more
 */
export function keepSpare(notebook, modelId, html) {
  const before = notebook.getMetadata?.("widgets");
  const states = { ...before?.[STATES]?.state };
  const wanted = shown(notebook);
  for (const [id, { state }] of Object.entries(states)) {
    if (!state?._dom_classes?.includes(SPARE) || (wanted.has(id) && id !== modelId)) continue;
    delete states[id];
    delete states[`${id}-layout`];
  }
  if (html !== null) Object.assign(states, spare(modelId, html));
  if (Object.keys(states).length)
    notebook.setMetadata("widgets", { ...before, [STATES]: { version_major: 2, version_minor: 0, ...before?.[STATES], state: states } });
  else if (before) {
    const { [STATES]: _, ...others } = before;
    if (Object.keys(others).length) notebook.setMetadata("widgets", others);
    else notebook.deleteMetadata("widgets");
  }
}

/**
 * Call back when a model's kernel ends, restarts or is changed (`dead`), and when it cannot be reached
 * (`away`) and can be again (`back`). Of other front ends than Jupyter's nothing is heard.
 * @param {any} model @param {{dead: () => void, away: () => void, back: () => void}} tell
 * @returns {() => void} to end it
 */
function watchKernel(model, { dead, away, back }) {
  const session = model.widget_manager?.context?.sessionContext;
  const onStatus = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (ENDS.has(status)) dead();
  };
  const onConnection = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (status === "disconnected" || status === "connecting") away();
    if (status === "connected") back();
  };
  session?.statusChanged?.connect?.(onStatus);
  session?.connectionStatusChanged?.connect?.(onConnection);
  session?.kernelChanged?.connect?.(dead);
  return () => {
    session?.statusChanged?.disconnect?.(onStatus);
    session?.connectionStatusChanged?.disconnect?.(onConnection);
    session?.kernelChanged?.disconnect?.(dead);
  };
}

/**
 * Leave the kernel's page in the notebook when the widget cannot live on: a notebook that was saved
 * with a widget shows an error when it is opened with another kernel.
 *
 * The kernel replaces its output itself, but JupyterLab knows which output that is only until the
 * page is loaded anew, and a kernel that is killed or restarted has no last word. So the kernel sends
 * a page in advance, and here it takes the widget's place when it is due or the kernel goes. Reaches
 * into JupyterLab and Notebook 7; does nothing in front ends of another make.
 *
 * `test_lasting.py` does this in both.
 * @param {any} model
 * @returns {() => void} to end it
 */
export function keepPage(model) {
  const leave = () => {
    const { data, view } = model.get("page") ?? {};
    const notebook = model.widget_manager?.context?.model;
    try {
      if (!data || !notebook?.cells) return;
      replaceWidget(notebook, view, data);
      if (notebook.getMetadata?.("widgets")) keepSpare(notebook, view, null);
    } catch (error) {
      console.debug("nbqueue: this front end's notebook cannot be written to", error);
    }
  };
  const onPage = () => {
    if (model.get("page")?.due) leave();
  };
  const spareNow = () => {
    const { data, view } = model.get("page") ?? {};
    const notebook = model.widget_manager?.context?.model;
    try {
      if (data?.["text/html"] && notebook?.setMetadata) keepSpare(notebook, view, data["text/html"]);
    } catch (error) {
      console.debug("nbqueue: this front end's notebook cannot be written to", error);
    }
  };
  const onStatus = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (ENDS.has(status)) leave();
  };
  // What is saved may be opened when this kernel is gone. The widget of a job that runs must stay in
  // the file as well: while the kernel lives, a page that is loaded anew finds it by that.
  const onSave = (/** @type {any} */ _, /** @type {string} */ state) => {
    if (state !== "started") return;
    const { due, over } = model.get("page") ?? {};
    if (due || over) leave();
    else spareNow();
  };
  const context = model.widget_manager?.context;
  const session = context?.sessionContext;
  model.on("change:page", onPage);
  model.on("destroy", leave); // before its views go
  session?.statusChanged?.connect?.(onStatus);
  session?.kernelChanged?.connect?.(leave);
  context?.saveState?.connect?.(onSave);
  onPage();
  context?.ready?.then?.(onPage); // its cells may be on their way
  return () => {
    model.off("change:page", onPage);
    model.off("destroy", leave);
    session?.statusChanged?.disconnect?.(onStatus);
    session?.kernelChanged?.disconnect?.(leave);
    context?.saveState?.disconnect?.(onSave);
  };
}
