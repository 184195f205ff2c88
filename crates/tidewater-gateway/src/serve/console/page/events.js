// Events as they came, and the rows that show them: as many as the page has room for.

import { element } from "./dom.js";
import { decode, moved } from "./cursor.js";
import { clock, gapInWords } from "./words.js";

/** The most rows, and the most characters of data in them. */
const MOST_ROWS = 500;
const MOST_TEXT = 8 << 20;
/** The most events that wait while it is paused. */
const MOST_WAITING = 2000;
/** What a row shows of an event. */
const PREVIEW = 240;

/** An event as it came, behind the id before it. */
export class Shown {
  #before;
  #cursor;

  constructor({ type, data, id }, before) {
    Object.assign(this, { type, data, id, at: new Date() });
    this.#before = before;
  }

  /** What its id holds. Only when somebody looks: most events of a fast channel are never shown. */
  get cursor() { return this.#cursor ??= decode(this.id); }
  get places() { return moved(decode(this.#before), this.cursor); }

  get isGap() { return this.type === "tidewater.gap"; }
  get isCursor() { return this.type === "tidewater.cursor"; }
  get size() { return this.data.length + this.id.length; }

  /** Where it stands, if that is one place: an id tells where its client is in all partitions. */
  get place() {
    if (this.isCursor || this.isGap) return undefined;
    const places = this.places;
    return places.length === 1 ? places[0] : undefined;
  }

  get inWords() {
    if (this.isGap) return gapInWords(this.data);
    if (this.isCursor) return "The stream is here; nothing is missing before it.";
    if (this.type === "tidewater.tombstone") return `The value of ${this.data} is gone.`;
    return this.data;
  }
}

/** What is shown, what waits, and what had to go. */
export class Rows {
  #kept = [];
  #waiting = [];
  #waitingText = 0;
  #text = 0;
  #filter = "";
  dropped = 0;
  isPaused = false;

  constructor(list) { this.list = list; }

  get waiting() { return this.#waiting.filter(event => !event.isCursor).length; }
  get shown() { return this.#kept.filter(({ row }) => !row.hidden).length; }
  get length() { return this.#kept.length; }

  take(event) {
    // Heartbeats that follow each other say the same.
    if (event.isCursor && this.#waiting.at(-1)?.isCursor) this.#waitingText -= this.#waiting.pop().size;
    this.#waiting.push(event);
    this.#waitingText += event.size;
    while (this.#waiting.length > MOST_WAITING || (this.#waitingText > MOST_TEXT && this.#waiting.length > 1)) {
      this.#waitingText -= this.#waiting.shift().size;
      this.dropped += 1;
    }
  }

  /** Shows what waits. */
  draw() {
    if (this.isPaused || this.#waiting.length === 0) return;
    const fresh = this.#waiting.splice(0).slice(-MOST_ROWS);
    this.#waitingText = 0;
    const newest = this.#kept.at(-1);
    if (newest?.event.isCursor && !newest.row.contains(document.activeElement)) this.#remove(this.#kept.pop());
    const rows = fresh.filter((event, index) => !event.isCursor || index === fresh.length - 1).map(event => {
      const row = made(event);
      row.hidden = !this.#fits(event);
      this.#kept.push({ event, row });
      this.#text += event.size;
      return row;
    });
    this.list.prepend(...rows.reverse());
    while (this.#kept.length > MOST_ROWS || (this.#text > MOST_TEXT && this.#kept.length > 1)) {
      this.#remove(this.#kept.shift());
    }
    this.#rove();
  }

  clear() {
    this.#kept = [];
    this.#waiting = [];
    this.#text = this.#waitingText = 0;
    this.dropped = 0;
    this.list.replaceChildren();
  }

  filter(text) {
    this.#filter = text.toLowerCase();
    for (const { event, row } of this.#kept) row.hidden = !this.#fits(event);
    this.#rove();
  }

  eventOf(row) { return this.#kept.find(kept => kept.row === row)?.event; }

  /** The row that has, or is to have, the keyboard. */
  next(row, step) {
    const rows = [...this.list.children].filter(row => !row.hidden);
    return rows[row ? rows.indexOf(row) + step : 0];
  }

  /** One row is in the tab order: the arrows go to the others. */
  #rove() {
    if (this.list.querySelector("li:not([hidden]) [tabindex='0']")) return;
    const row = this.next();
    if (row) row.firstChild.tabIndex = 0;
  }

  #fits({ type, data, id, inWords }) {
    return [type, data, id, inWords].some(text => text.toLowerCase().includes(this.#filter));
  }

  #remove({ event, row }) {
    this.#text -= event.size;
    row.remove();
  }
}

function made(event) {
  const button = element("button", "", element("time", "", clock(event.at)));
  button.type = "button";
  button.tabIndex = -1;
  button.append(element("span", "type", event.isGap ? "gap" : event.isCursor ? "cursor" : event.type));
  const words = event.inWords;
  button.append(words
    ? element("span", "data", words.length > PREVIEW ? `${words.slice(0, PREVIEW)}…` : words)
    : element("span", "data quiet", "empty"));
  if (event.place) {
    const { topic, partition, offset } = event.place;
    button.append(element("span", "place", topic.next.length > 1 ? `${partition} · ${offset}` : `${offset}`));
  }
  return element("li", event.isGap ? "missing" : event.isCursor ? "cursor" : "new", button);
}
