/**
 * The cluster widget: workers with what they run, queues, and buttons to grow, shrink and stop.
 *
 * The kernel sends one `picture` every two seconds while a view says that it is visible; the files of
 * this folder draw it and count the seconds between. Everything that comes from a cluster (names of
 * jobs, workers, queues, errors) is text and is set as text. Buttons send a wish; what became of it
 * comes back in the next picture. (`notebook/esm.py` puts the files together, those of `shared/` too.)
 *
 * @typedef {{label: string, task: string, for_s: number}} Run
 * @typedef {{name: string, host: string, pid: number, pool: string, processes: number,
 *   leaving: number, resizable: boolean, queues: string[], running: Run[], n_running: number,
 *   done: number, items_per_s: number | null, memory_mb: number, silent_s: number,
 *   stopping: boolean}} Worker
 * @typedef {{name: string, waiting: number, consumers: number}} Queue
 * @typedef {{total: number, counts: [string, number][], last: string, by: string,
 *   ago_s: number | null}} Refused
 * @typedef {{known: boolean, trouble: string, away: string, away_s: number, refused: Refused | null,
 *   items_per_s: number | null, workers: Worker[], n_workers: number, queues: Queue[],
 *   closed: boolean, said: string, failed: boolean, busy: string}} Picture
 */

/** A view says that it is visible this often; the kernel takes it for hidden after 12 s. */
const SPEAK_MS = 5000;

function render({ model, el, signal }) {
  const view = new View(model, el);
  const news = () => view.news();
  model.on("change:picture", news);

  let inSight = false;
  const speak = () => {
    if (inSight && document.visibilityState === "visible") model.send({ kind: "visible" });
  };
  const sight = new IntersectionObserver((entries) => {
    inSight = entries[entries.length - 1].isIntersecting;
    speak();
  });
  sight.observe(view.root);
  model.send({ kind: "shown" }); // it is there, also where one has to scroll to it
  const unwatch = watchKernel(model, { dead: () => view.lose(true), away: () => view.lose(true), back: () => view.lose(false) });
  document.addEventListener("visibilitychange", speak);
  const speaking = setInterval(speak, SPEAK_MS);
  const ticking = setInterval(() => inSight && view.tick(), 1000);

  const end = () => {
    sight.disconnect();
    unwatch();
    document.removeEventListener("visibilitychange", speak);
    clearInterval(speaking);
    clearInterval(ticking);
    model.off("change:picture", news);
  };
  signal?.addEventListener("abort", end, { once: true });
  return end; // anywidget before 0.11 calls this instead
}

export default { initialize: ({ model }) => keepPage(model), render };
