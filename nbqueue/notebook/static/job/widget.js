/**
 * The job widget's front end: no build, no dependencies, no CDN.
 *
 * anywidget loads one module a widget, from a Blob URL, which can import nothing beside it. So
 * `notebook/esm.py` puts the files of this folder and of `shared/` one after the other, in the order
 * of their names; what a file does while it is loaded may use only what stands in itself.
 *
 *   model traits ──Board (states, seq, summary)──► views: header, grid, table, timeline, item
 *   a view ──model.send({kind, ask})──► kernel ──msg:custom, same ask──► that view
 *
 * A Board belongs to a model and is shared by its views, so they agree. The wire format is told in
 * `notebook/feed.py`. Whatever comes from the user's code is set as `textContent`, never as HTML.
 */

/**
 * @typedef {{seq: number, states: Uint8Array}} Snapshot
 * @typedef {{cols: number, rows: number, pitch: number, cells: number, perCell: number}} Layout
 * @typedef {{state: string, counts: number[], done: number, finished: boolean, gone: boolean,
 *   rate: ?number, eta_s: ?number, elapsed_s: number, workers: number, progress: any[][],
 *   said: string, busy: string, round: number, failures: [number, string, number][],
 *   compared: number, outage?: string[], outage_s?: number, waits?: string, cached?: number, steps?: [string, number[], boolean][], steps_left?: number}} Summary
 */

export default () => {
  /** @type {?Board} */ let board = null;
  return {
    /** @param {{model: any}} context */
    initialize({ model }) {
      board = new Board(model);
      board.send({ kind: "hello" });
      const end = keepPage(model);
      return () => {
        board?.close();
        end();
      };
    },
    /** @param {{model: any, el: HTMLElement}} context */
    render({ model, el }) {
      board ??= new Board(model);
      // A workflow may find out that it has more items; a view is made for so many.
      let n = board.n;
      let end = view(board, el);
      const grown = () => {
        if (!board || board.n === n) return;
        n = board.n;
        end();
        end = view(board, el);
      };
      model.on("change:job", grown);
      return () => {
        model.off("change:job", grown);
        end();
      };
    },
  };
};
