// The channels, and how they are: a listing at first, and what the gateway's own feed says from then on.

import { at, request } from "./session.js";
import { Stream } from "./stream.js";

/** How many seconds of rates are kept. */
export const SECONDS = 60;

/** Fewer offsets than this are no news: a busy channel is always some behind. */
const FAR = 1000;

/** A channel, as the gateway tells it, with its rates: `{ in, out, bytes }` for a second. */
class Channel {
  rates = [];
  lags = [];
  #age;

  constructor(told) { this.tell(told); }

  tell(told) {
    const before = this.told;
    this.told = { ...before, ...told };
    if (told.at === undefined) return;
    const seconds = (told.at - before?.at) / 1000;
    // Counts that went down are another process's.
    if (!(seconds > 0) || !told.in || !before?.in || told.in.events < before.in.events) return;
    const each = (now, then) => Math.max(0, now - then) / seconds;
    this.rates.push({
      in: each(told.in.events, before.in.events),
      out: each(told.out.events, before.out.events),
      bytes: each(told.out.bytes, before.out.bytes),
    });
    this.rates = this.rates.slice(-SECONDS);
    if (told.lag) this.#look(told.lag);
  }

  /** It is measured every few seconds, and told every second: a look is new when it is younger than the one before. */
  #look({ offsets, seconds }) {
    const isNew = this.#age === undefined || seconds < this.#age;
    this.#age = seconds;
    if (isNew) this.lags = [...this.lags.slice(-3), offsets];
  }

  get rate() { return this.rates.at(-1); }

  /** Behind the broker, and further each time that it was looked at. */
  get fallsBehind() {
    return this.lags.length >= 3 && this.lags.at(-1) > FAR && this.lags.every((lag, index) => index === 0 || lag > this.lags[index - 1]);
  }
}

export class Channels extends EventTarget {
  /** By name. */
  all = new Map();
  /** Of the feed: see `Stream`. */
  state = "connecting";
  refusal = undefined;
  /** Since when there is no feed. */
  lostAt = undefined;
  /** Whether the gateway has told its channels. */
  listed = false;
  #stream;
  #told = false;

  /** Follows, from the beginning: at first, and whenever somebody else asks. */
  follow() {
    this.#stream?.stop();
    this.#stream = new Stream(at("console/status"), {
      state: (name, why) => this.#turned(name, why),
      event: event => this.#heard(event),
    });
  }

  /** Follows no more, and forgets nothing. */
  rest() { this.#stream?.stop(); }

  /** Tries again at once. */
  hurry() { this.#stream.hurry(); }

  get sorted() { return [...this.all.values()].sort((one, other) => one.told.name < other.told.name ? -1 : 1); }
  get(name) { return this.all.get(name); }

  /** Whether all is told of channels, or their names and states alone. */
  get seesAll() { return [...this.all.values()].some(({ told }) => told.source !== undefined); }

  async list() {
    const response = await request(at("channels"));
    if (!response.ok) return;
    const { channels } = await response.json();
    const names = new Set(channels.map(channel => channel.name));
    for (const name of this.all.keys()) if (!names.has(name)) this.all.delete(name);
    channels.forEach(channel => this.#tell(channel));
    this.listed = true;
    this.#change();
  }

  #turned(state, refusal) {
    this.refusal = refusal;
    if (state === "open") this.lostAt = undefined;
    if (state === "waiting") this.lostAt ??= Date.now();
    // While it tries again it is what it was.
    if (state !== "connecting") this.state = state;
    if (state === "open" || state === "refused") this.list().catch(() => {});
    this.#change();
  }

  #heard({ type, data }) {
    if (type === "tidewater.tombstone") this.all.delete(data);
    if (type === "message") {
      const told = JSON.parse(data);
      // Whether one may publish is the listing's to say.
      if (!this.all.has(told.name) && told.publish === undefined) this.list().catch(() => {});
      this.#tell(told);
    }
    if (!type.startsWith("tidewater.") || type === "tidewater.tombstone") this.#change();
  }

  #tell(told) {
    const own = this.all.get(told.name);
    if (own) own.tell(told);
    else this.all.set(told.name, new Channel(told));
  }

  /** Once for all that comes together. */
  #change() {
    if (this.#told) return;
    this.#told = true;
    setTimeout(() => {
      this.#told = false;
      this.dispatchEvent(new Event("change"));
    }, 50);
  }
}
