// The whole widget as it stands on the page: summary, workers, queues, what was said.

class View {
  constructor(model, el) {
    this.model = model;
    this.fixed = model.get("cluster");
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.at = performance.now();
    this.lost = false;
    this.title = make("div", { class: "nbq-c-title" });
    this.summary = make("div", { class: "nbq-c-summary nbq-c-quiet" });
    this.trouble = make("div", { class: "nbq-c-trouble", role: "alert" });
    this.away = make("div", { class: "nbq-c-away" });
    this.why = make("div", {});
    this.trouble.append(this.away, this.why);
    this.refused = make("div", { class: "nbq-c-refused", "aria-label": "Refused" });
    this.status = make("div", { class: "nbq-c-status", role: "status", tabindex: "-1" });
    this.body = make("tbody");
    const head = ["Worker", "Processes", "Runs", "Items/s", "Done", "Memory", "Queues", ""];
    this.table = make(
      "table",
      { class: "nbq-c-workers", "aria-label": "Workers" },
      make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col", class: ["Items/s", "Done", "Memory"].includes(word) ? "nbq-c-number" : "" }, word || make("span", { class: "nbq-c-hidden" }, "Actions"))))),
      this.body,
    );
    this.none = make("div", { class: "nbq-c-none nbq-c-quiet" });
    this.queueBody = make("tbody");
    this.queues = make(
      "table",
      { class: "nbq-c-queues", "aria-label": "Queues" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Queue"), make("th", { scope: "col", class: "nbq-c-number" }, "Waiting"), make("th", { scope: "col", class: "nbq-c-number" }, "Workers"), make("th", { scope: "col" }, make("span", { class: "nbq-c-hidden" }, "Note")))),
      this.queueBody,
    );
    say(this.title, this.fixed.title);
    this.root = make(
      "section",
      { class: "nbq-cluster", "aria-label": this.fixed.title },
      make("header", {}, this.title, this.summary),
      this.trouble,
      make("div", { class: "nbq-c-scroll" }, this.table),
      this.none,
      make("div", { class: "nbq-c-scroll" }, this.queues),
      this.refused,
      this.status,
    );
    el.append(this.root);
    this.draw();
  }

  /** Seconds since the picture was taken. */
  ageS() {
    return (performance.now() - this.at) / 1000;
  }

  sinceS() {
    // A worker that is not heard of goes on as far as anybody knows; one in trouble may not.
    return this.picture.trouble || this.lost ? 0 : this.ageS();
  }

  send(message) {
    this.model.send(message);
  }

  /** Take it that the kernel is gone, or there again. @param {boolean} lost */
  lose(lost) {
    this.lost = lost;
    this.draw();
  }

  /** Draw a picture that has come. */
  news() {
    this.lost = false;
    this.at = performance.now();
    this.draw();
  }

  draw() {
    /** @type {Picture} */
    this.picture = this.model.get("picture");
    const { picture } = this;
    if (!picture.workers) return;
    say(this.summary, picture.closed ? "this client is closed" : this.lost ? "the kernel is gone" : summary(picture));
    this.drawTrouble();
    this.drawRefused();
    say(this.status, picture.said);
    this.status.classList.toggle("nbq-c-failed", picture.failed);
    this.drawWorkers();
    this.drawQueues();
    const { dataset } = this.root;
    dataset.drawn = String(Number(dataset.drawn || 0) + 1);
    dataset.workers = String(picture.workers.length);
    dataset.away = String(Boolean(picture.away));
  }

  drawTrouble() {
    const { picture } = this;
    const quiet = picture.closed || this.lost;
    say(this.away, quiet ? "" : outage(picture, this.ageS()));
    say(this.why, quiet ? "" : picture.trouble);
    this.why.classList.toggle("nbq-c-quiet", Boolean(picture.away));
    this.trouble.hidden = quiet || !picture.trouble;
  }

  drawRefused() {
    const { text, all, news } = refusals(this.picture.refused, this.ageS());
    say(this.refused, text);
    this.refused.title = all;
    this.refused.classList.toggle("nbq-c-news", news);
    this.refused.hidden = !text;
  }

  drawWorkers() {
    const { workers, known, trouble } = this.picture;
    const names = new Set(workers.map((worker) => worker.name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    let last = null;
    for (const worker of workers) {
      let row = this.rows.get(worker.name);
      if (!row) {
        row = new Row(this, worker.name);
        this.rows.set(worker.name, row);
        if (last) (last.question ?? last.node).after(row.node);
        else this.body.prepend(row.node);
      }
      row.draw(worker);
      last = row;
    }
    this.table.hidden = !workers.length;
    const none = known && !workers.length && !trouble;
    const how = this.fixed.embedded ? "it may be starting" : "start one with: nbqueue worker";
    say(this.none, none ? `No worker answers; ${how}.` : "");
    this.none.hidden = !none;
  }

  drawQueues() {
    const { queues, workers } = this.picture;
    const restarting = this.fixed.embedded && workers.some((worker) => worker.stopping);
    while (this.queueBody.children.length > queues.length) this.queueBody.lastChild.remove();
    while (this.queueBody.children.length < queues.length) {
      this.queueBody.append(make("tr", {}, make("th", { scope: "row" }), make("td", { class: "nbq-c-number" }), make("td", { class: "nbq-c-number" }), make("td", { class: "nbq-c-note" })));
    }
    queues.forEach((queue, k) => {
      const [name, waiting, consumers, note] = this.queueBody.children[k].children;
      say(name, queue.name);
      say(waiting, grouped(queue.waiting));
      say(consumers, grouped(queue.consumers));
      note.classList.toggle("nbq-c-quiet", restarting);
      say(note, queueNote(queue, restarting));
    });
    this.queues.hidden = !queues.length;
  }

  /** Let the times go on between two pictures. */
  tick() {
    if (this.picture.closed || this.lost) return;
    if (this.picture.away) this.drawTrouble();
    if (this.picture.refused) this.drawRefused();
    if (this.picture.trouble) return;
    for (const row of this.rows.values()) if (row.worker) row.drawRuns();
  }
}
