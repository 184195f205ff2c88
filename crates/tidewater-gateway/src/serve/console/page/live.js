// One channel: its events as they come.

import { $, say } from "./dom.js";
import { Detail } from "./detail.js";
import { Rows, Shown } from "./events.js";
import { notice } from "./notices.js";
import { Plot } from "./plot.js";
import { streamUrl } from "./selection.js";
import { Stream } from "./stream.js";
import { count, refusalInWords, since } from "./words.js";

/** How often what has come is shown. Not with each frame: a hidden tab has none, and would keep everything. */
const DRAW = 100;

const WORDS = { connecting: "connecting", open: "live", waiting: "reconnecting", refused: "refused" };

export class Live {
  #rows = new Rows($("events"));
  #detail = new Detail();
  #plot = new Plot();
  #stream;
  #id = "";
  #lostAt;
  #seen = 0;
  #gaps = 0;
  /** The names that events had, for who listens by name. */
  names = new Set();
  /** Called when there is another name. */
  onname = () => {};

  #identify;

  /** `identify` lets the viewer say who they are. */
  constructor(identify) {
    this.#identify = identify;
    setInterval(() => this.#draw(), DRAW);
    setInterval(() => this.#plot.draw($("plot"), $("plot-words")), 1000);
    $("pause").onclick = () => this.pause();
    $("clear").onclick = () => this.clear();
    $("filter").oninput = () => this.#rows.filter($("filter").value);
    $("events").onclick = ({ target }) => this.#choose(target.closest("li"));
    $("events").onkeydown = pressed => this.#walk(pressed);
    $("close").onclick = () => this.close();
  }

  /** Whether a stream is open, or about to be. */
  get isOpen() { return this.#stream !== undefined; }

  open(name, query) {
    this.stop();
    this.clear();
    this.close();
    this.#plot = new Plot();
    this.#id = "";
    this.names = new Set(query.getAll("event"));
    if (this.#rows.isPaused) this.pause();
    this.#stream = new Stream(streamUrl(name, query), {
      state: (state, why) => this.#turned(state, why),
      event: event => this.#heard(event),
    });
  }

  stop() {
    this.#stream?.stop();
    this.#stream = undefined;
    this.#lostAt = undefined;
    notice("stream", undefined);
  }

  hurry() { this.#stream?.hurry(); }

  pause() {
    this.#rows.isPaused = !this.#rows.isPaused;
    $("pause").setAttribute("aria-pressed", this.#rows.isPaused);
    say($("pause"), this.#rows.isPaused ? "Resume" : "Pause");
    this.#draw();
  }

  clear() {
    this.#rows.clear();
    this.#seen = this.#gaps = 0;
    this.#draw();
  }

  /** Puts the detail away, and the keyboard back where it came from. */
  close() { this.#detail.close(); }

  #turned(state, why) {
    if (state === "waiting") this.#lostAt ??= Date.now();
    if (state === "open") this.#lostAt = undefined;
    $("stream").dataset.state = state;
    say($("stream"), WORDS[state]);
    const action = [401, 403].includes(why?.status) ? { label: "Give a token", run: this.#identify } : undefined;
    notice("stream", state === "refused" ? refusalInWords(why) : undefined, { level: "bad", action });
    this.#draw();
  }

  #heard(told) {
    const event = new Shown(told, this.#id);
    this.#id = event.id;
    this.#rows.take(event);
    if (event.isCursor) return;
    if (event.isGap) this.#gaps += 1;
    else {
      this.#seen += 1;
      this.#plot.count(1);
      if (!this.names.has(event.type) && this.names.size < 50) {
        this.names.add(event.type);
        this.onname();
      }
    }
  }

  #draw() {
    this.#rows.draw();
    const { waiting, dropped, isPaused, length, shown } = this.#rows;
    const words = [count(this.#seen, "event")];
    if (this.#gaps) words.push(count(this.#gaps, "gap"));
    if (shown < length) words.push(`${shown} of ${length} rows fit the filter`);
    if (isPaused) words.push(`${waiting.toLocaleString("en")} wait`);
    if (dropped) words.push(`${dropped.toLocaleString("en")} came faster than they are shown, or had no room`);
    say($("count"), words.join(" · "));
    $("empty").hidden = length > 0 && shown > 0;
    say($("waiting"), length > 0 && shown === 0 ? "None of the rows fits the filter." : this.#idle());
  }

  #idle() {
    if (this.#lostAt) return `The stream is lost since ${since(this.#lostAt)}. It comes back by itself, with the last id that it has.`;
    if ($("stream").dataset.state === "refused") return "The gateway has refused the stream: see above.";
    return "Waiting for events.";
  }

  #choose(row) {
    const event = row && this.#rows.eventOf(row);
    if (!event) return;
    for (const other of $("events").querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    this.#focusable(row);
    row.firstChild.setAttribute("aria-current", "true");
    this.#detail.show(event, row.firstChild);
  }

  #walk(pressed) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[pressed.key];
    if (!step || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    pressed.preventDefault();
    this.step(step);
  }

  /** The keyboard goes to the next row, or the one before. */
  step(step) {
    const own = document.activeElement.closest("#events li");
    const row = this.#rows.next(own, step);
    if (!row) return;
    this.#focusable(row);
    row.firstChild.focus();
  }

  #focusable(row) {
    for (const other of $("events").querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    row.firstChild.tabIndex = 0;
  }
}
