/** The heading: what, how far, how long, and the buttons. */

/** @param {any} context */
function header({ board, root, n, name, signal }) {
  const title = h("span", { class: "nbq-name", text: name, title: name });
  const state = h("span", { class: "nbq-state" });
  const numbers = h("div", { class: "nbq-numbers" });
  const figures = {
    done: h("strong", { class: "nbq-figure" }),
    cached: h("span", { class: "nbq-figure", title: "Not run: the cache had their results (cache=True)" }),
    rate: h("span", { class: "nbq-figure" }),
    eta: h("span", { class: "nbq-figure" }),
    elapsed: h("span", { class: "nbq-figure" }),
  };
  numbers.append(...Object.values(figures));
  const legend = h("ul", { class: "nbq-legend", "aria-label": "Items by state" });
  const said = h("span", { class: "nbq-said" });
  const status = h("div", { class: "nbq-sr", role: "status" });
  const bar = h("div", { class: "nbq-bar", role: "progressbar", "aria-label": "Items done",
    "aria-valuemin": 0, "aria-valuemax": n });
  const segments = SEGMENTS.map((code) => h("span", { class: `nbq-segment nbq-${LOOKS[code].name}` }));
  bar.append(...segments);
  const chips = SEGMENTS.map((code) => {
    const count = h("span", { class: "nbq-count" });
    const chip = h("li", { class: "nbq-chip" }, glyph(code), count, ` ${LOOKS[code].word}`);
    legend.append(chip);
    return { code, chip, count };
  });

  let notice = "";
  let noticeUntil = 0;
  const tell = (/** @type {string} */ text, ms = 6000) => {
    notice = text;
    noticeUntil = performance.now() + ms;
    say(said, text);
  };
  const act = (/** @type {HTMLElement} */ button, /** @type {() => void} */ does) =>
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") does();
    }, { signal });
  const cancel = h("button", { type: "button", class: "nbq-button", text: "Cancel" });
  const retry = h("button", { type: "button", class: "nbq-button", text: "Retry failed" });
  const copy = h("button", { type: "button", class: "nbq-button", text: "Copy as DataFrame",
    title: "Copy the table, for a spreadsheet or pandas.read_clipboard()" });
  let clickedAt = 0;
  act(cancel, () => {
    clickedAt = performance.now();
    root.dataset.cancelClicked = String(Date.now());
    able(cancel, false);
    tell("cancelling…");
    board.send({ kind: "cancel" });
  });
  act(retry, () => {
    clickedAt = performance.now();
    able(retry, false);
    tell("retrying…");
    board.send({ kind: "retry" });
  });
  act(copy, () => {
    able(copy, false);
    tell("copying…", 60000);
    copyTable(board, root, (text) => {
      able(copy, true);
      tell(text);
    });
  });

  const able = (/** @type {HTMLElement} */ button, /** @type {boolean} */ yes) =>
    button.setAttribute("aria-disabled", String(!yes));
  able(copy, true);

  // Of a single call its state says it all.
  const single = n === 1 && !board.summary.steps?.length;
  let wasLost = false;
  let lastWord = "";
  let spokenAt = 0;
  let lastSaid = board.summary.said;
  const tick = (/** @type {Summary} */ s) => {
    const end = s.finished ? "" : " elapsed";
    say(figures.elapsed, `${s.finished ? "took " : ""}${duration(board.elapsed)}${end}`);
    if (board.lost || s.outage?.length) return say(figures.eta, "");
    const left = s.eta_s === null ? null : Math.max(0, s.eta_s - (performance.now() - board.heardAt) / 1000);
    say(figures.eta, s.finished || left === null ? "" : `${duration(Math.max(1, Math.round(left)))} left`);
    if (notice && performance.now() > noticeUntil) say(said, (notice = ""));
  };
  const update = (/** @type {Summary} */ s) => {
    const { code, word } = headline(s, n, board.lost);
    if (word !== lastWord) {
      state.replaceChildren(glyph(code), word);
      state.className = `nbq-state nbq-is-${LOOKS[code].name}`;
      lastWord = word;
    }
    segments.forEach((node, k) => {
      const count = s.counts[SEGMENTS[k]];
      node.style.flexGrow = String(count);
      node.hidden = !count;
    });
    bar.setAttribute("aria-valuenow", String(s.done));
    bar.setAttribute("aria-valuetext", `${grouped(s.done)} of ${grouped(n)}`);
    bar.hidden = single;
    say(figures.done, single ? "" : n ? `${grouped(ran(s))} of ${grouped(n)}` : "no items");
    say(figures.cached, s.cached ? `${s.cached === n ? "all" : grouped(s.cached)} from the cache` : "");
    const average = s.finished && s.elapsed_s > 0 && n > 1 ? ran(s) / s.elapsed_s : null;
    say(figures.rate, s.finished ? pace(average) : n > 1 && !board.lost && !s.outage?.length ? pace(s.rate) : "");
    for (const { code: c, chip, count } of chips) {
      chip.hidden = !s.counts[c] || single;
      say(count, grouped(s.counts[c]));
    }
    const open = !s.finished && !s.busy;
    // A click counts before the kernel has answered; after a while, it may be tried again.
    const waiting = performance.now() - clickedAt < 1500 && !s.busy && s.said === lastSaid;
    able(cancel, open && !waiting && !board.lost);
    able(retry, s.counts[FAILURE] > 0 && !s.gone && !s.busy && !waiting && !board.lost);
    cancel.hidden = s.finished;
    retry.hidden = !s.counts[FAILURE] || s.gone;
    if (board.lost !== wasLost) {
      wasLost = board.lost;
      able(copy, !board.lost);
      tell(board.lost ? `nq.job('${name}') in a new kernel shows the job again` : "",
        board.lost ? Infinity : 0);
    }
    cancel.title = s.finished ? "" : `Cancel the ${grouped(n - s.done)} items that have not ended`;
    retry.title = s.counts[FAILURE] ? `Run the ${grouped(s.counts[FAILURE])} failed items again` : "";
    if (s.said !== lastSaid) {
      lastSaid = s.said;
      clickedAt = 0;
      if (s.said) tell(s.said);
    }
    if (s.busy) root.dataset.acknowledged = s.busy;
    tick(s);
    if (performance.now() - spokenAt >= 1000 || s.finished) {
      spokenAt = performance.now();
      say(status, spoken(s, name, n, board.lost));
    }
  };
  const node = h("header", { class: single ? "nbq-head nbq-head-of-one" : "nbq-head" },
    h("div", { class: "nbq-line" }, title, state, said,
      h("span", { class: "nbq-buttons" }, cancel, retry, copy)),
    bar,
    h("div", { class: "nbq-line nbq-under" }, numbers, legend),
    status);
  return { node, update, tick };
}

/**
 * Put the table on the clipboard, or where a person can copy it from.
 * @param {Board} board @param {HTMLElement} root @param {(text: string) => void} done
 */
function copyTable(board, root, done) {
  let said = "";
  const text = new Promise((resolve, reject) =>
    board.ask({ kind: "copy" }, (answer, buffers) => {
      if (answer.failed) return reject(new Error(answer.failed));
      said = answer.rows < answer.of
        ? `copied the first ${grouped(answer.rows)} of ${grouped(answer.of)} rows`
        : `copied ${grouped(answer.rows)} row${answer.rows === 1 ? "" : "s"}`;
      resolve(new TextDecoder().decode(buffers[0]));
    }),
  );
  const clip = navigator.clipboard;
  // A promise inside the item keeps the click's permission while the kernel makes the text. A
  // browser that wants to be asked first, and is not, would leave us waiting: hence the timer.
  const written = clip?.write && window.ClipboardItem
    ? Promise.race([
        clip.write([new ClipboardItem({
          "text/plain": text.then((t) => new Blob([t], { type: "text/plain" })) })]),
        text.then(() => new Promise((_, reject) => setTimeout(reject, 3000, new Error("no answer")))),
      ])
    : Promise.reject(new Error("this page may not write to the clipboard"));
  written.then(() => done(said)).catch(async () => {
    let value;
    try {
      value = await text;
    } catch (failed) {
      return done(`nothing was copied: ${failed.message}`);
    }
    const area = h("textarea", { class: "nbq-by-hand", readonly: true, "aria-label": "The table as text" });
    area.value = value;
    const box = h("div", { class: "nbq-copy-box" });
    const close = () => box.remove();
    box.append(
      h("span", { text: "The browser did not allow copying. Press Ctrl+C (⌘C), then close." }),
      h("button", { type: "button", class: "nbq-button", text: "Close", onclick: close }),
      area);
    root.querySelector(".nbq-head").append(box);
    area.select();
    let copied = false;
    try {
      copied = document.execCommand("copy");
    } catch {
      copied = false;
    }
    if (copied) close();
    done(copied ? said : "select and copy the text below");
  });
}
