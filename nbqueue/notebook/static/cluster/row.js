// A worker in the table: what it runs, and buttons to grow, shrink and stop it.

/** One worker's row, and the question below it. */
class Row {
  /** @param {View} view @param {string} name */
  constructor(view, name) {
    this.view = view;
    this.name = name;
    this.lines = make("ul", { class: "nbq-c-runs" });
    this.squares = make("span", { class: "nbq-c-squares", "aria-hidden": "true" });
    this.count = make("span", { class: "nbq-c-count" });
    this.words = make("span", { class: "nbq-c-hidden" });
    this.shrink = button("−", `One process fewer: ${name}`, () => this.resize(-1));
    this.grow = button("+", `One process more: ${name}`, () => this.resize(+1));
    const restarts = view.fixed.embedded;
    this.stop = button(restarts ? "Restart" : "Stop", `${restarts ? "Restart" : "Stop"} ${name}`, () => this.ask());
    this.stop.classList.add("nbq-c-stop");
    this.host = make("div", { class: "nbq-c-quiet" });
    // Their names are shown where there is no room for a table's head.
    this.rate = make("td", { class: "nbq-c-number", "data-name": "items/s" });
    this.done = make("td", { class: "nbq-c-number", "data-name": "done" });
    this.memory = make("td", { class: "nbq-c-number" });
    this.queues = make("td", { "data-name": "queues" });
    const steps = make("span", { class: "nbq-c-steps", role: "group", "aria-label": `Processes of ${name}` }, this.shrink, this.count, this.grow);
    this.node = make(
      "tr",
      {},
      make("th", { scope: "row" }, make("div", { class: "nbq-c-name" }, name), this.host),
      make("td", {}, make("div", { class: "nbq-c-pool" }, steps, this.squares, this.words)),
      make("td", {}, this.lines),
      this.rate,
      this.done,
      this.memory,
      this.queues,
      make("td", { class: "nbq-c-number" }, this.stop),
    );
    this.question = null;
  }

  /** @param {Worker} worker */
  draw(worker) {
    this.worker = worker;
    const { picture } = this.view;
    const out = Boolean(worker.silent_s) || Boolean(picture.trouble) || picture.closed || this.view.lost;
    this.node.classList.toggle("nbq-c-out", out);
    say(this.host, `${worker.pool} · pid ${worker.pid}`);
    say(this.count, grouped(worker.processes));
    say(this.words, poolWords(worker));
    this.drawSquares(worker);
    this.drawRuns();
    say(this.rate, rate(worker.items_per_s));
    say(this.done, grouped(worker.done));
    say(this.memory, memory(worker.memory_mb));
    say(this.queues, worker.queues.join(", "));
    const still = out || picture.busy === this.name || worker.stopping;
    this.grow.disabled = still || !worker.resizable;
    this.shrink.disabled = still || !worker.resizable || worker.processes <= 1;
    this.stop.disabled = still;
    for (const each of [this.grow, this.shrink]) each.hidden = !worker.resizable;
    if (this.question && still) this.answer();
    if (this.question) this.drawQuestion();
  }

  drawSquares(worker) {
    const kinds = squares(worker);
    const key = kinds.join();
    if (this.squares.dataset.key === key) return;
    this.squares.dataset.key = key;
    this.squares.replaceChildren(...kinds.map((kind) => make("i", { class: `nbq-c-${kind}` })));
  }

  drawRuns() {
    const wanted = runs(this.worker, this.view.sinceS());
    while (this.lines.children.length > wanted.length) this.lines.lastChild.remove();
    while (this.lines.children.length < wanted.length) {
      this.lines.append(make("li", {}, make("span"), make("span", { class: "nbq-c-time" })));
    }
    wanted.forEach(({ label, detail }, k) => {
      const [name, time] = this.lines.children[k].children;
      say(name, label);
      say(time, detail);
      this.lines.children[k].classList.toggle("nbq-c-quiet", !detail);
    });
  }

  resize(by) {
    const processes = this.worker.processes + by;
    this.view.send({ kind: "resize", worker: this.name, processes });
  }

  ask() {
    if (this.question) return this.answer();
    this.about = make("p");
    this.because = make("p", { class: "nbq-c-quiet" });
    this.yes = button("", "", () => {
      this.view.send({ kind: "stop", worker: this.name });
      this.answer();
    });
    this.yes.classList.add("nbq-c-danger");
    this.yes.removeAttribute("aria-label");
    const no = make("button", { type: "button" }, "Leave it running");
    no.addEventListener("click", () => this.answer());
    const id = `nbq-c-${Math.random().toString(36).slice(2)}`;
    this.because.id = id;
    const box = make("div", { class: "nbq-c-question", role: "group", "aria-describedby": id }, this.about, this.because, make("div", { class: "nbq-c-answers" }, this.yes, no));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.answer();
    });
    this.question = make("tr", { class: "nbq-c-asks" }, make("td", { colspan: "8" }, box));
    this.stop.setAttribute("aria-expanded", "true");
    this.node.after(this.question);
    this.drawQuestion();
    no.focus(); // the harmless answer is the one at hand
  }

  drawQuestion() {
    const { question, consequence, verb } = consequences(this.worker, this.view.picture, this.view.fixed.embedded);
    say(this.about, question);
    say(this.because, consequence);
    say(this.yes, verb);
    this.yes.title = verb;
    if (this.node.nextSibling !== this.question) this.node.after(this.question);
  }

  /** Take the question away, and give the focus back where it came from. */
  answer() {
    const focused = this.question.contains(document.activeElement);
    this.question.remove();
    this.question = null;
    this.stop.removeAttribute("aria-expanded");
    if (focused) (this.stop.disabled ? this.view.status : this.stop).focus();
  }

  remove() {
    this.question?.remove();
    this.node.remove();
  }
}
