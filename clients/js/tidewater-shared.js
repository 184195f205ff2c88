// One stream for all tabs of an origin. README.md, beside this file, says how, and why it is exact.
// SPDX-License-Identifier: MIT OR Apache-2.0

import { OWN, Stream, deliver, resolve, source } from "./tidewater.js";

const CONNECTING = 0, OPEN = 1, CLOSED = 2;
/** Tabs that speak another protocol than this keep apart. */
const PROTOCOL = "tidewater-1";
/** What everybody listens for. */
const ALWAYS = ["message", "tidewater.gap", "tidewater.cursor"];
/** How much of the past each tab keeps for the others: events, and letters of their data. */
const EVENTS = 256, LETTERS = 1 << 18;
/** How long an answer may take before a tab connects by itself, in ms. */
const GRACE = 1000;
/** How long the leader may be silent before it is asked whether it is there, and how long that may take, in ms. */
const SILENCE = 30_000, DOUBT = 5000;

/** Opens a stream that tabs share: those with the same URL, or the same `name`, and the same `user`. */
export function shared(url, options = {}) {
  if (typeof url === "function" && !options.name) throw new TypeError("a URL that a function makes needs a name");
  // Neither is there on pages that are not secure.
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return source(url, options);
  try {
    return new Shared(url, options);
  } catch (error) {
    // A page that may not store anything may have no channel.
    if (error.name !== "SecurityError") throw error;
    return source(url, options);
  }
}

/**
 * What the tabs agree on: the stream as its leader has seen it. Each tab has a replica, which is the leader's up to a place,
 * since all get the leader's messages in its order.
 */
class Log {
  /** Of whoever leads: a name that nobody else has. */
  term;
  /** How many events there were. */
  seq = 0;
  /** The newest of them, the last one being number `seq`. */
  events = [];
  /** From which place on all events of a name are there. */
  covered = new Map();
  readyState = CONNECTING;
  #letters = 0;

  /** Begins behind these events, of which there may be none. */
  constructor(events = [], rest = {}) {
    Object.assign(this, rest);
    for (const event of events) this.#keep(event);
  }

  push(event) {
    this.seq += 1;
    this.#keep(event);
  }

  cover(names, from) {
    for (const name of names) if (!this.covered.has(name)) this.covered.set(name, from);
  }

  covers(names) {
    return names.every(name => this.covered.has(name));
  }

  get lastEventId() {
    return this.events.at(-1)?.lastEventId ?? "";
  }

  /** What whoever begins now is told. */
  start() {
    const last = this.events.at(-1);
    return last ? [{ ...last, type: "tidewater.cursor", data: "" }] : [];
  }

  /** What came behind this event for who listens for these names; `undefined` if that can't be told. */
  behind(event, names) {
    if (!event?.lastEventId || !this.covers(names)) return;
    const complete = Math.max(...names.map(name => this.covered.get(name)));
    // An id says the whole position: where it is the same, so is all that comes.
    const known = this.events.filter(
      (other, n) => other.lastEventId === event.lastEventId && this.#numberOf(n) >= complete,
    );
    // Gaps and cursors may have the id of what came before them.
    const same = known.findLast(other => other.type === event.type && other.data === event.data) ?? known[0];
    return same && this.events.slice(this.events.indexOf(same) + 1);
  }

  #numberOf(index) {
    return this.seq - this.events.length + 1 + index;
  }

  #keep(event) {
    this.events.push(event);
    this.#letters += event.data.length;
    while (this.events.length > EVENTS || (this.#letters > LETTERS && this.events.length > 1)) {
      this.#letters -= this.events.shift().data.length;
    }
  }
}

class Shared extends Stream {
  #options;
  #url;
  #group;
  #names = new Set(ALWAYS);
  /** Whether it is to begin elsewhere than now. */
  #hasStart;
  #closed = false;
  #me = Math.random().toString(36).slice(2);
  #tabs;
  /** The replica; none if it isn't known to be one. */
  #log;
  /** Whether this tab is where its replica is, and so gets what comes there. */
  #follows = false;
  /** The last event that the page got. */
  #at;
  /** A stream of this tab's own, until it meets the others'. */
  #own;
  /** The stream of all tabs, if this one leads. */
  #lead;
  #release;
  #waiting;
  /** Which of its questions still has no answer. */
  #asked;
  #questions = 0;
  #grace;
  #watch;
  #page = new AbortController();

  constructor(url, options) {
    super(options);
    this.#options = options;
    // A function is not called before there is something to connect to: too late to say where to begin.
    this.#url = typeof url === "function" ? async () => resolve(await url(), "") : resolve(url);
    if (typeof url !== "function") this.url = this.#url;
    this.#hasStart = Boolean(options.lastEventId) || (this.url !== "" && resolve(url, "") !== this.url);
    const { name = resolve(url, ""), user } = options;
    this.#group = JSON.stringify([PROTOCOL, name, this.withCredentials, user]);
    this.#meet();
    // A page that is put aside must not hold up the others.
    const { signal } = this.#page;
    globalThis.addEventListener("pagehide", () => this.#leave(), { signal });
    globalThis.addEventListener("pageshow", event => event.persisted && this.#join(), { signal });
    // Those who have just been given it listen first: nothing may come before their names are known.
    queueMicrotask(() => this.#closed || this.#join());
  }

  get readyState() {
    if (this.#closed) return CLOSED;
    return (this.#follows ? this.#log : this.#own)?.readyState ?? CONNECTING;
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (OWN.includes(type) || this.#names.has(type)) return;
    this.#names.add(type);
    this.#own?.addEventListener(type, this.#fromOwn);
    if (this.#lead) this.#cover([type]);
    else this.#tell("want", { names: [type] });
  }

  close() {
    this.#closed = true;
    this.#page.abort();
    this.#leave();
  }

  // Coming and going

  #meet() {
    this.#tabs = new BroadcastChannel(this.#group);
    this.#tabs.onmessage = ({ data }) => !this.#closed && this.#heard(data);
  }

  #join() {
    if (!this.#tabs) this.#meet();
    this.#queue();
    this.#ask();
  }

  #leave() {
    this.#forget();
    clearTimeout(this.#watch);
    this.#waiting?.abort();
    this.#retire();
    this.#tabs?.close();
    this.#tabs = undefined;
  }

  /** Gets into the queue for the lead. The lock goes with the tab, however that ends. */
  #queue(steal = false) {
    this.#waiting?.abort();
    const waiting = (this.#waiting = new AbortController());
    const options = steal ? { steal } : { signal: waiting.signal };
    const led = navigator.locks.request(this.#group, options, () => {
      if (waiting.signal.aborted) return;
      this.#leads();
      return new Promise(release => (this.#release = release));
    });
    // Given up, or taken away.
    led.catch(() => waiting.signal.aborted || this.#deposed());
  }

  #tell(kind, more) {
    this.#tabs?.postMessage({ kind, from: this.#me, term: this.#log?.term, ...more });
  }

  // Leading

  #leads() {
    const previous = this.#log?.term;
    this.#log ??= new Log(this.#at ? [this.#at] : []);
    this.#log.term = Math.random().toString(36).slice(2);
    this.#log.readyState = CONNECTING;
    this.#log.cover(this.#names, this.#log.seq);
    const { seq, covered } = this.#log;
    const url = typeof this.#url === "function" ? this.#url : resolve(this.#url, "");
    const lead = (this.#lead = source(url, { ...this.#plain(), lastEventId: this.#log.lastEventId }));
    for (const name of covered.keys()) lead.addEventListener(name, this.#fromLead);
    const turn = ({ type }) => {
      this.#log.readyState = lead.readyState;
      this.#tell("state", { type, readyState: lead.readyState });
      this.#turned(type);
    };
    lead.onopen = turn;
    lead.onerror = turn;
    lead.addEventListener("tidewater.end", ({ detail }) => {
      this.#tell("end", { status: detail });
      this.#end(detail);
    });
    clearTimeout(this.#watch);
    this.#tell("lead", { previous, seq, names: [...covered.keys()] });
    if (previous) this.#turned("error");
    this.#settle();
  }

  #fromLead = ({ type, data, origin, lastEventId }) => {
    const event = { type, data, origin, lastEventId };
    this.#log.push(event);
    // The others first: what this page does with it is its own business, and may take long.
    this.#tell("event", { seq: this.#log.seq, event });
    this.#arrived(event);
  };

  /** Listens for more names. Whoever wants one gets what comes from here on. */
  #cover(names) {
    const fresh = names.filter(name => !this.#log.covered.has(name));
    if (!fresh.length) return;
    // What comes of these names before the next event may be lost on who has had them elsewhere.
    this.#log.cover(fresh, this.#log.seq + 1);
    for (const name of fresh) this.#lead.addEventListener(name, this.#fromLead);
    this.#tell("names", { names: fresh });
  }

  #retire() {
    this.#lead?.close();
    this.#lead = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  /** Somebody else leads, and took this one for dead. */
  #deposed() {
    if (!this.#lead) return;
    this.#retire();
    this.#forget();
    this.#queue();
    this.#ask();
  }

  // Following

  /** Asks for the leader's log. Whoever gets no answer connects by itself. */
  #ask() {
    this.#question();
    this.#hope();
    this.#listen();
  }

  #question() {
    this.#asked = this.#questions += 1;
    this.#tell("join", { names: [...this.#names], question: this.#asked });
  }

  /** For a moment; then it connects by itself. */
  #hope() {
    clearTimeout(this.#grace);
    this.#grace = setTimeout(() => this.#alone(), GRACE * (1 + Math.random()));
  }

  #forget() {
    this.#log = undefined;
    this.#follows = false;
    this.#own?.close();
    this.#own = undefined;
    clearTimeout(this.#grace);
  }

  /** A leader that says nothing for long may hang; then another takes the lead. */
  #listen() {
    clearTimeout(this.#watch);
    const doubt = () => {
      this.#question();
      this.#watch = setTimeout(() => this.#queue(true), DOUBT);
    };
    this.#watch = setTimeout(doubt, SILENCE * (1 + Math.random()));
  }

  #heard({ kind, from, to, term, ...said }) {
    if (kind === "join" || kind === "want") {
      if (!this.#lead) return;
      this.#cover(said.names);
      if (kind === "join") this.#tell("welcome", { to: from, question: said.question, log: { ...this.#log } });
      return;
    }
    if (kind === "lead") return this.#follow(term, said);
    if (this.#lead) return;
    if (kind === "welcome") {
      // One that led before, and hung, answers when another does already.
      if (to !== this.#me || said.question !== this.#asked) return;
      this.#asked = undefined;
      const { events, ...rest } = said.log;
      // What did not come to this tab may be in it.
      this.#follows &&= rest.term === this.#log.term && rest.seq === this.#log.seq;
      this.#log = new Log(events, rest);
      this.#listen();
      this.#settle();
      if (!this.#follows && !this.#own) this.#hope();
      return;
    }
    // Of a leader that is none any more, or not yet known.
    if (!this.#log || term !== this.#log.term) return;
    this.#listen();
    if (kind === "names") this.#log.cover(said.names, this.#log.seq + 1);
    if (kind === "end") this.#end(said.status);
    if (kind === "state") {
      this.#log.readyState = said.readyState;
      this.#turned(said.type);
    }
    if (kind === "event") {
      if (said.seq !== this.#log.seq + 1) return this.#lost();
      this.#log.push(said.event);
      this.#arrived(said.event);
    }
  }

  /** Another tab leads. It goes on where its replica ends; if this one's ends there, nothing has happened. */
  #follow(term, { previous, seq, names }) {
    // It is late: whoever takes a lead away takes the lock, which tells.
    if (this.#lead) return;
    this.#asked = undefined;
    const log = this.#log;
    const mine = [...this.#names];
    if (!log || log.term !== previous || log.seq !== seq || !log.covers(mine)) return this.#lost();
    // What this tab wanted may have been heard by the old leader and not by the new one.
    if (!mine.every(name => names.includes(name))) return this.#lost();
    log.term = term;
    log.readyState = CONNECTING;
    this.#listen();
    this.#turned("error");
  }

  /** The replica is none: a message did not come, or the new leader has another. */
  #lost() {
    this.#log = undefined;
    this.#follows = false;
    this.#ask();
  }

  #arrived(event) {
    if (this.#follows) this.#hand(event);
    else this.#settle();
  }

  #turned(type) {
    if (this.#follows) this.dispatchEvent(new Event(type));
  }

  #hand(event) {
    this.#at = event;
    deliver(this, event);
  }

  // On one's own

  /** Follows from here if what this page has is a place in the log; else connects, until it is. */
  #settle() {
    if (this.#follows || this.#closed || !this.#log) return;
    const isNew = !this.#at && !this.#own && !this.#hasStart;
    const missed = isNew ? this.#log.start() : this.#log.behind(this.#at, [...this.#names]);
    // The others may be a moment behind. Who begins elsewhere has nothing to wait for.
    if (!missed) return (this.#lead || !this.#at) && this.#alone();
    clearTimeout(this.#grace);
    this.#own?.close();
    this.#own = undefined;
    this.#follows = true;
    if (this.#log.readyState === OPEN) this.#turned("open");
    for (const event of missed) if (!this.#closed) this.#hand(event);
  }

  #alone() {
    if (this.#own || this.#follows || this.#closed) return;
    const own = (this.#own = source(this.#url, { ...this.#plain(), lastEventId: this.lastEventId }));
    for (const name of this.#names) own.addEventListener(name, this.#fromOwn);
    own.onopen = own.onerror = ({ type }) => this.dispatchEvent(new Event(type));
    own.addEventListener("tidewater.end", ({ detail }) => this.#end(detail));
  }

  #fromOwn = ({ type, data, origin, lastEventId }) => {
    this.#hand({ type, data, origin, lastEventId });
    this.#settle();
  };

  /** The options, without what is this object's to call. */
  #plain() {
    return { ...this.#options, onGap: undefined, onCursor: undefined, onEnd: undefined };
  }

  #end(status) {
    this.close();
    this.dispatchEvent(new CustomEvent("tidewater.end", { detail: status }));
  }
}
