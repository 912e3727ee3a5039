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
      if (data && notebook?.cells) replaceWidget(notebook, view, data);
    } catch (error) {
      console.debug("nbqueue: this front end's notebook cannot be written to", error);
    }
  };
  const onPage = () => {
    if (model.get("page")?.due) leave();
  };
  const onStatus = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (ENDS.has(status)) leave();
  };
  // What is saved may be opened when this kernel is gone.
  const onSave = (/** @type {any} */ _, /** @type {string} */ state) => {
    if (state === "started" && model.get("page")?.over) leave();
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
