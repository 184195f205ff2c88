// An event stream's text, decoded as WHATWG HTML 9.2.6 has it.

/** Takes text in pieces, as they come, and hands over each event. */
export class Decoder {
  #rest = "";
  #event = "";
  #data = [];
  #id;

  /** `on.event({ type, data, id })`, `on.id(id)` after each block, and `on.retry(milliseconds)`. */
  constructor(id, on) {
    this.#id = id;
    this.on = on;
  }

  take(text) {
    const all = this.#rest + text;
    // A CR at the very end may be half of a CRLF.
    const upto = all.endsWith("\r") ? all.length - 1 : all.length;
    let from = 0;
    for (const end of all.slice(0, upto).matchAll(/\r\n|\n|\r/g)) {
      this.#line(all.slice(from, end.index));
      from = end.index + end[0].length;
    }
    this.#rest = all.slice(from);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.on.retry(Number(value));
  }

  #dispatch() {
    this.on.id(this.#id);
    const [type, data, id] = [this.#event || "message", this.#data, this.#id];
    this.#event = "";
    this.#data = [];
    if (data.length) this.on.event({ type, data: data.join("\n"), id });
  }
}
