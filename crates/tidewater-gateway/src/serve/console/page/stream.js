// A stream that is followed over cuts, by the rules of an EventSource.
//
// An EventSource hands over only the event names that it was told of, sends no token, and does not say why it was
// refused. The console shows whatever comes, so it reads the stream itself.

import { Decoder } from "./sse.js";
import { request } from "./session.js";

const LEAST_RETRY = 500;
const LONGEST_RETRY = 30_000;
/** Longer than a heartbeat takes: by default 15 s, and below a minute wherever there are proxies. */
const SILENCE = 120_000;

export class Stream {
  #url;
  #on;
  #id = "";
  #retry = 3000;
  #abort = new AbortController();
  #wake = () => {};

  /**
   * `on.event({ type, data, id })`; `on.state(name, why)` with the states `connecting`, `open`, `waiting` (it comes back
   * by itself), and `refused` (it does not: `why` has the status and what was said).
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    this.#run();
  }

  stop() {
    this.#abort.abort();
    this.#wake();
  }

  /** Does not wait any longer for the next attempt. */
  hurry() {
    this.#wake();
  }

  async #run() {
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      this.#on.state("connecting");
      try {
        if (await this.#connect(() => failures = 0) === "refused") return;
      } catch {
        failures += 1;
      }
      if (this.#abort.signal.aborted) return;
      this.#on.state("waiting");
      await this.#pause(failures);
    }
  }

  #pause(failures) {
    const wait = Math.min(this.#retry * 2 ** Math.min(failures, 4), LONGEST_RETRY) * (0.75 + Math.random() / 2);
    return new Promise(wake => {
      const timer = setTimeout(wake, Math.max(LEAST_RETRY, wait));
      this.#wake = () => { clearTimeout(timer); wake(); };
    });
  }

  async #connect(opened) {
    const silent = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, silent.signal]);
    const headers = { accept: "text/event-stream" };
    if (this.#id) headers["last-event-id"] = this.#id;
    const response = await request(this.#url, { headers, signal });
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !type.startsWith("text/event-stream")) {
      // A 5xx is a proxy's word for "not now".
      if (response.status >= 500) throw new Error(`status ${response.status}`);
      this.#on.state("refused", { status: response.status, said: await told(response) });
      return "refused";
    }
    opened();
    this.#on.state("open");
    const decoder = new Decoder(this.#id, {
      event: event => this.#on.event(event),
      id: id => this.#id = id,
      retry: retry => this.#retry = Math.max(LEAST_RETRY, retry),
    });
    const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
    // A connection that is lost without a word (a laptop that slept) would look like a quiet channel.
    let timer;
    const heard = () => { clearTimeout(timer); timer = setTimeout(() => silent.abort(), SILENCE); };
    try {
      for (;;) {
        heard();
        const { value, done } = await text.read();
        if (done) return "ended";
        decoder.take(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What an answer says is wrong. */
export async function told(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error ?? text.slice(0, 300);
  } catch {
    return text.slice(0, 300);
  }
}
