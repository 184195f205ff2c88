// How many connections this browser's consoles hold. Over HTTP/1.1 it has six to one origin for all its tabs, and what
// comes then waits: also a request that would publish.

import { notice } from "./notices.js";

const MOST = 6;
const NEAR = 5;

export class Tabs {
  #others = new Map();
  #own = crypto.getRandomValues(new Uint32Array(2)).join("");
  #streams = 0;
  #channel = new BroadcastChannel("tidewater-console");

  constructor() {
    this.#channel.onmessage = ({ data: { from, streams, asks } }) => {
      if (streams === 0) this.#others.delete(from);
      else this.#others.set(from, streams);
      if (asks) this.#tell(false);
      this.#warn();
    };
    addEventListener("pagehide", () => this.count(0));
  }

  /** This page's streams. */
  count(streams) {
    if (streams === this.#streams) return;
    this.#streams = streams;
    this.#tell(true);
    this.#warn();
  }

  #tell(asks) { this.#channel.postMessage({ from: this.#own, streams: this.#streams, asks }); }

  #warn() {
    const [loaded] = performance.getEntriesByType("navigation");
    const all = [...this.#others.values()].reduce((sum, streams) => sum + streams, this.#streams);
    const isNear = loaded?.nextHopProtocol === "http/1.1" && all >= NEAR;
    notice("tabs", isNear
      ? `The consoles in this browser hold ${all} of the ${MOST} connections that it has to one address over HTTP/1.1: what comes then waits. Close some tabs, or serve HTTP/2 (TLS, or a proxy).`
      : undefined);
  }
}
