/** The timeline: who ran what, when. */

const LANE = 18;
const LABEL = 150;
const AXIS = 20;

/** Round steps for an axis: about `k` of them in a span. @param {number} span @param {number} k */
export function ticks(span, k) {
  const raw = span / Math.max(1, k);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
  const tiny = 10 ** Math.floor(Math.log10(raw));
  const step = raw < 1 ? [1, 2, 5, 10].map((m) => m * tiny).find((s) => s >= raw) : steps.find((s) => s >= raw) ?? raw;
  const found = [];
  for (let i = 0; i * step <= span * (1 + 1e-9); i++) found.push(i * step);
  return found;
}

/** @param {any} context */
function timeline({ board, root, signal }) {
  const canvas = h("canvas", { class: "nbq-canvas", role: "img" });
  const hint = h("div", { class: "nbq-hint", hidden: true });
  const note = h("p", { class: "nbq-note" });
  const node = h("div", { class: "nbq-page" }, h("div", { class: "nbq-field" }, canvas, hint), note);
  const ink = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {any} */ let data = null;
  let pending = false;
  let askedAt = -Infinity;
  let cost = 0;
  let seenSeq = -1;
  let timer = 0;

  const ask = () => {
    if (node.hidden || (pending && performance.now() - askedAt < LOST)) return;
    pending = true;
    askedAt = performance.now();
    seenSeq = board.seq;
    board.ask({ kind: "lanes" }, (answer, buffers) => {
      pending = false;
      cost = performance.now() - askedAt;
      if (answer.failed) return say(note, answer.failed);
      const own = buffers.map((b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
      data = answer.form === "bars"
        ? { ...answer, start: new Float32Array(own[0] ?? 0), length: new Float32Array(own[1] ?? 0),
            word: new Uint32Array(own[2] ?? 0), lane: new Uint16Array(own[3] ?? 0) }
        : { ...answer, busy: new Uint8Array(own[0]), failed: new Uint8Array(own[1]) };
      draw();
    });
  };
  const draw = () => {
    const room = node.clientWidth;
    if (!room || !data) return;
    const began = performance.now();
    const ratio = window.devicePixelRatio || 1;
    const height = data.lanes.length * LANE + AXIS;
    canvas.width = Math.round(room * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${room}px`;
    canvas.style.height = `${height}px`;
    canvas.hidden = !data.lanes.length;
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(root);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--nbq-${name}`).trim();
    const wide = room - LABEL - 8;
    ink.clearRect(0, 0, room, height);
    ink.font = `11px ${style.fontFamily}`;
    ink.textBaseline = "middle";
    const bottom = data.lanes.length * LANE;
    for (const at of ticks(data.span, wide / 90)) {
      const x = LABEL + (at / data.span) * wide;
      ink.fillStyle = colour("line");
      ink.fillRect(Math.round(x), 0, 1, bottom + 3);
      ink.fillStyle = colour("faint");
      ink.textAlign = x > room - 40 ? "right" : "center";
      ink.fillText(at === 0 ? "0" : duration(at), x, bottom + 12);
    }
    ink.textAlign = "left";
    data.lanes.forEach((/** @type {string} */ name, /** @type {number} */ k) => {
      ink.fillStyle = colour("faint");
      ink.fillText(middle(name, 24), 0, k * LANE + LANE / 2, LABEL - 10);
    });
    if (data.form === "bars") {
      for (let k = 0; k < data.start.length; k++) {
        const code = data.word[k] & 15;
        const x = LABEL + (data.start[k] / data.span) * wide;
        const w = Math.max(1.5, (data.length[k] / data.span) * wide - 0.5);
        const y = data.lane[k] * LANE;
        ink.fillStyle = colour(LOOKS[code].name);
        // A failure is as high as its lane; other bars leave a margin: shape besides colour.
        if (code === FAILURE) ink.fillRect(x, y + 1, w, LANE - 2);
        else ink.fillRect(x, y + 4, w, LANE - 8);
      }
    } else {
      const slice = wide / data.slices;
      for (let lane = 0; lane < data.lanes.length; lane++) {
        for (let k = 0; k < data.slices; k++) {
          const busy = data.busy[lane * data.slices + k] / 255;
          const x = LABEL + k * slice;
          const tall = busy ? Math.max(1, busy * (LANE - 4)) : 0;
          ink.fillStyle = colour("success");
          ink.fillRect(x, lane * LANE + LANE - 2 - tall, slice + 0.3, tall);
          if (data.failed[lane * data.slices + k]) {
            ink.fillStyle = colour("failure");
            ink.fillRect(x, lane * LANE + 1, Math.max(1.5, slice), 4);
          }
        }
      }
    }
    const some = data.more ? ` and ${grouped(data.more)} more that ran fewer items` : "";
    say(note, data.lanes.length
      ? `${data.lanes.length} worker process${data.lanes.length === 1 ? "" : "es"}${some}${
          data.form === "bars" ? "" : "; height is the share of time spent on this job, red marks failures"}`
      : "No item has begun yet.");
    canvas.setAttribute("aria-label", `Timeline of ${data.lanes.length} worker${data.lanes.length === 1 ? "" : "s"} over ${duration(data.span)}: ${
      data.lanes.map((/** @type {string} */ name, /** @type {number} */ k) => `${name} ran ${grouped(data.items[k])} items`).join(", ")}`);
    root.dataset.timelineMs = (performance.now() - began).toFixed(2);
    root.dataset.lanes = String(data.lanes.length);
  };
  const hit = (/** @type {MouseEvent} */ event) => {
    if (!data || data.form !== "bars") return -1;
    const wide = canvas.clientWidth - LABEL - 8;
    const at = ((event.offsetX - LABEL) / wide) * data.span;
    const lane = Math.floor(event.offsetY / LANE);
    const slack = (2 / wide) * data.span;
    for (let k = 0; k < data.start.length; k++)
      if (data.lane[k] === lane && at >= data.start[k] - slack && at <= data.start[k] + data.length[k] + slack) return k;
    return -1;
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const lane = Math.floor(event.offsetY / LANE);
    const k = hit(event);
    hint.hidden = !data || lane >= data.lanes.length || (data.form === "bars" && k < 0 && event.offsetX > LABEL);
    if (hint.hidden) return;
    if (k >= 0) hint.replaceChildren(glyph(data.word[k] & 15),
      `item ${grouped(data.word[k] >>> 4)} · ${LOOKS[data.word[k] & 15].word} · ${duration(data.length[k])}`);
    else hint.replaceChildren(`${data.lanes[lane]} · ${grouped(data.items[lane])} items`);
    const right = event.offsetX > canvas.clientWidth / 2;
    hint.style.left = right ? "" : `${event.offsetX + 12}px`;
    hint.style.right = right ? `${canvas.clientWidth - event.offsetX + 12}px` : "";
    hint.style.top = `${event.offsetY + 12}px`;
  }, { signal });
  canvas.addEventListener("pointerleave", () => (hint.hidden = true), { signal });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const k = hit(event);
    if (k >= 0) board.select(data.word[k] >>> 4);
  }, { signal });
  const update = (/** @type {Summary} */ s) => {
    if (node.hidden || (seenSeq === board.seq && s.finished)) return;
    // The dearer the kernel's answer, the rarer the question.
    const wait = Math.max(1000, 20 * cost) - (performance.now() - askedAt);
    clearTimeout(timer);
    if (wait <= 0) ask();
    else timer = setTimeout(ask, wait);
  };
  return { node, update, show: ask, resize: draw, look: draw };
}
