// An EventSource that goes on where the browser's own gives up. README.md, beside this file, says what it does and why.
// SPDX-License-Identifier: MIT OR Apache-2.0

const CONNECTING = 0, OPEN = 1, CLOSED = 2;
/** Don't come back; there is nothing; there will be nothing. */
const FOR_GOOD = [204, 404, 410];
/** Says nothing of the stream: the server has no HEAD. */
const NO_HEAD = [405, 501];
/** What a URL may say of where to begin. */
const STARTS = ["since", "last_event_id", "lastEventId"];
/** What a stream says of itself, and no server. */
export const OWN = ["open", "error", "tidewater.end"];
/** How long a stream has to last, in ms, before the next failure counts as the first. */
const HELD = 5000;

/** Opens a stream. Takes what `Source` takes; made to be handed on: `htmx.createEventSource = source`. */
export function source(url, options) {
  return new Source(url, options);
}

/** The interface of an EventSource, without what fills it. */
export class Stream extends EventTarget {
  static CONNECTING = CONNECTING;
  static OPEN = OPEN;
  static CLOSED = CLOSED;
  CONNECTING = CONNECTING;
  OPEN = OPEN;
  CLOSED = CLOSED;
  onopen = null;
  onmessage = null;
  onerror = null;

  constructor({ withCredentials = false, lastEventId = "", onGap, onCursor, onEnd }) {
    super();
    this.url = "";
    this.withCredentials = withCredentials;
    this.lastEventId = lastEventId;
    const on = (type, then) => super.addEventListener(type, then);
    for (const type of ["open", "message", "error"]) on(type, event => this["on" + type]?.(event));
    on("tidewater.gap", event => onGap?.(JSON.parse(event.data)));
    on("tidewater.cursor", event => onCursor?.(event.lastEventId));
    on("tidewater.end", event => onEnd?.(event.detail));
  }
}

/** Hands an event over. Ids move before anybody hears of it; one that is empty was never said. */
export function deliver(stream, { type, data, origin, lastEventId }) {
  stream.lastEventId = lastEventId || stream.lastEventId;
  stream.dispatchEvent(new MessageEvent(type, { data, origin, lastEventId: stream.lastEventId }));
}

export class Source extends Stream {
  #options;
  #makeUrl;
  #isMade;
  #native;
  /** What is listened for. These always: they move the id. */
  #names = new Set(["message", "tidewater.gap", "tidewater.cursor"]);
  #closed = false;
  #openedAt;
  #failures = 0;
  #timer;
  /** Counts attempts: what an older one still waits for comes to nothing. */
  #turn = 0;
  #page = new AbortController();

  constructor(url, options = {}) {
    super(options);
    this.#options = options;
    this.#isMade = typeof url === "function";
    this.#makeUrl = this.#isMade ? url : () => url;
    // What can't be a URL is told at once.
    if (!this.#isMade) this.url = resolve(url);
    this.#follow("online", () => this.#hurry());
    this.#follow("visibilitychange", () => document.hidden || this.#hurry());
    // A page in the cache of pages needs no connection, and may lose it without a word.
    this.#follow("pagehide", () => this.#leave());
    this.#follow("pageshow", event => event.persisted && this.#attempt());
    this.#attempt();
  }

  /** `CLOSED` only when it is for good; while it waits for its next attempt it is `CONNECTING`. */
  get readyState() {
    if (this.#closed) return CLOSED;
    return this.#native?.readyState === OPEN ? OPEN : CONNECTING;
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (OWN.includes(type) || this.#names.has(type)) return;
    this.#names.add(type);
    this.#native?.addEventListener(type, this.#forward);
  }

  close() {
    this.#closed = true;
    this.#leave();
    this.#page.abort();
  }

  #follow(type, then) {
    globalThis.addEventListener(type, then, { signal: this.#page.signal });
  }

  /** Ends what is under way: connection, timer, attempt. */
  #leave() {
    this.#turn += 1;
    this.#native?.close();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** One attempt; after a refusal that no page sees the reason of, it asks for the reason first. */
  async #attempt(ask = false) {
    this.#leave();
    const turn = this.#turn;
    try {
      let url = resolve(await this.#makeUrl(), this.lastEventId || undefined);
      const status = ask && turn === this.#turn ? await this.#status(url) : 200;
      if (turn !== this.#turn) return;
      if (FOR_GOOD.includes(status)) return this.#end(status);
      if (status === 401 || status === 403) {
        if (!this.#options.refresh) {
          // Only a function may bring another token the next time.
          if (this.#isMade) throw status;
          return this.#end(status);
        }
        const fresh = await this.#options.refresh(status);
        if (fresh) this.#makeUrl = () => fresh;
        url = resolve(await this.#makeUrl(), this.lastEventId || undefined);
      } else if (status >= 400 && !NO_HEAD.includes(status)) {
        throw status;
      }
      if (turn === this.#turn) this.#open(url);
    } catch (error) {
      if (turn !== this.#turn) return;
      // Of a function of the page's own, which nobody else would tell.
      if (typeof error !== "number") console.error(error);
      this.#later();
    }
  }

  /** What the server says to such a request; 0 if it can't be asked. */
  async #status(url) {
    if (this.#options.probe === false) return 0;
    const credentials = this.withCredentials ? "include" : "same-origin";
    const signal = AbortSignal.timeout(10_000);
    const asked = fetch(url, { method: "HEAD", cache: "no-store", credentials, signal });
    return asked.then(answer => answer.status, () => 0);
  }

  #open(url) {
    const native = new EventSource(url, { withCredentials: this.withCredentials });
    this.#native = native;
    this.url = url;
    native.onopen = () => {
      this.#openedAt = performance.now();
      this.dispatchEvent(new Event("open"));
    };
    native.onerror = () => {
      if (performance.now() - this.#openedAt > HELD) this.#failures = 0;
      this.#openedAt = undefined;
      // Else the browser comes back by itself, after the time that `retry:` says, with its own id.
      if (native.readyState === CLOSED) this.#later();
      else this.dispatchEvent(new Event("error"));
    };
    for (const name of this.#names) native.addEventListener(name, this.#forward);
  }

  #forward = event => deliver(this, event);

  #later() {
    this.#wait();
    this.dispatchEvent(new Event("error"));
  }

  /** Full jitter above the floor. */
  #wait() {
    const { floor = 1000, ceiling = 30_000 } = this.#options;
    const least = delay(floor);
    const most = Math.max(least, Math.min(delay(ceiling), least * 2 ** (this.#failures += 1)));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(true), least + Math.random() * (most - least));
  }

  /** Something says that it may go better now. Once: many such signs don't make many attempts. */
  #hurry() {
    if (this.#timer === undefined || this.#failures < 2) return;
    this.#failures = 0;
    this.#wait();
  }

  #end(status) {
    this.close();
    this.dispatchEvent(new CustomEvent("tidewater.end", { detail: status }));
  }
}

/** Whatever is asked for: 100 ms at least, and an hour at most (a timer of more than 24 days goes off at once). */
function delay(ms) {
  return Math.min(Math.max(Number(ms) || 0, 100), 3_600_000);
}

/** The whole URL; with an id, it says to begin behind that, and with an empty one it doesn't say where. */
export function resolve(url, id) {
  const whole = new URL(url, globalThis.document?.baseURI ?? location.href);
  const query = whole.searchParams;
  // Only what is there: to change a query is to write it anew.
  if (id !== undefined) for (const name of STARTS) if (query.has(name)) query.delete(name);
  if (id) query.set("last_event_id", id);
  return whole.href;
}
