// All that there is to know of one event.

import { $, copy, element, say } from "./dom.js";
import { tagOf } from "./cursor.js";
import { exactClock, size } from "./words.js";
import { ask, asked } from "./selection.js";
import { sources } from "./sources.js";

/** Longer payloads are shown as far as this: a page is no place for 16 MiB in one element. */
const MOST = 256 << 10;

export class Detail {
  #from;

  show(event, from) {
    this.#from = from;
    say($("detail-title"), event.isGap ? "Gap" : event.isCursor ? "Cursor" : "Event");
    $("detail-body").replaceChildren(...parts(event));
    $("detail").hidden = false;
    $("detail").scrollIntoView({ block: matchMedia("(max-width: 62rem)").matches ? "start" : "nearest" });
    $("detail-title").focus({ preventScroll: true });
  }

  close() {
    if ($("detail").hidden) return;
    $("detail").hidden = true;
    this.#from?.removeAttribute("aria-current");
    if (this.#from?.isConnected) this.#from.focus();
    this.#from = undefined;
  }
}

function parts(event) {
  const bytes = new TextEncoder().encode(event.data).length;
  const facts = element("dl", "facts");
  const fact = (name, ...values) => facts.append(element("div", "", element("dt", "", name), element("dd", "", ...values)));
  fact("Name", element("code", "", event.type));
  fact("Arrived", exactClock(event.at));
  if (!event.isCursor) fact("Size", `${size(bytes)}${bytes >= 1000 ? `, ${bytes.toLocaleString("en")} bytes` : ""}`);
  const made = [facts];
  if (event.isGap) made.push(element("p", "said bad", event.inWords));
  if (event.isCursor) made.push(element("p", "quiet", "It moves the id of a client that has nothing to receive, and keeps the connection open. Pages that do not listen for it see nothing."));
  const json = parsed(event.data);
  const envelope = isEnvelope(json) ? json : undefined;
  if (envelope) {
    for (const name of ["topic", "partition", "offset", "key", "key_base64", "timestamp"]) {
      if (envelope[name] !== undefined && envelope[name] !== null) {
        fact(name, name === "timestamp" ? time(envelope[name]) : `${envelope[name]}`);
      }
    }
    if (envelope.headers.length) made.push(headers(envelope.headers));
  }
  if (!event.isCursor) made.push(...payload(event, json, envelope));
  made.push(...id(event));
  return made;
}

/** As `docs/http.md` has it. */
function isEnvelope(json) {
  return typeof json === "object" && json !== null && "topic" in json && "partition" in json && "offset" in json
    && Array.isArray(json.headers) && json.headers.every(header => typeof header === "object" && header !== null)
    && ("payload" in json || "payload_base64" in json);
}

/** Milliseconds since 1970; or what else there is, for whoever published may have written anything. */
function time(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? `${value}` : date.toISOString();
}

function headers(all) {
  const rows = all.map(header => element("tr", "", element("th", "", header.name), element("td", "", header.value ?? `${header.value_base64} (base64)`)));
  rows.forEach(row => { row.firstChild.scope = "row"; });
  return element("table", "headers", element("caption", "", "Headers"), element("tbody", "", ...rows));
}

function payload(event, json, envelope) {
  const named = envelope ? parsed(envelope.payload) : undefined;
  // What an envelope holds is a text: if that is JSON itself, it is read as such.
  const shape = named === undefined ? json : { ...envelope, payload: named };
  // Numbers beyond 2^53, `1.0`, a name that comes twice: what would look other than it is stays as it came.
  const isSame = json !== undefined && isExact(event.data, json) && (named === undefined || isExact(envelope.payload, named));
  const text = isSame ? JSON.stringify(shape, null, 2) : event.data;
  const shown = element("pre", "payload", text.length > MOST ? `${text.slice(0, MOST)}…` : text || "empty");
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", "Data");
  const button = element("button", "", "Copy the data");
  button.type = "button";
  button.onclick = () => copy(event.data, button, shown);
  const note = text.length > MOST ? `Shown as far as ${size(MOST)}; copying copies all.`
    : event.type === "tidewater.binary" ? "No text: in base64." : json === undefined ? "Text" : isSame ? "JSON" : "JSON, as it came";
  return [element("div", "row", element("span", "quiet", note), element("span", "gap"), button), shown];
}

/** Whether JSON says the same when it is written again, whatever its blanks and escapes. */
function isExact(text, json) {
  return bare(text) === bare(JSON.stringify(json));
}

/** Its tokens that are no text, and how many of those there are. */
function bare(json) {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, '""').replace(/\s+/g, "");
}

function parsed(text) {
  if (typeof text !== "string" || !/^\s*[[{]/.test(text) || text.length > 4 * MOST) return undefined;
  try { return JSON.parse(text); } catch { return undefined; }
}

function id(event) {
  if (!event.id) return [element("p", "quiet", "It came without an id.")];
  const text = element("code", "id", event.id);
  const button = element("button", "", "Copy the id");
  button.type = "button";
  button.onclick = () => copy(event.id, button, text);
  const from = element("button", "", "Read on from here");
  from.type = "button";
  from.onclick = () => {
    const { name, query } = asked();
    query.delete("since");
    query.set("last_event_id", event.id);
    ask(name, query);
  };
  return [element("h4", "", "Id"), text, element("div", "row", button, from), cursor(event)];
}

function cursor({ cursor: topics, places }) {
  if (!topics) return element("p", "quiet", "No cursor of Tidewater's: a channel would start afresh behind a gap.");
  const names = new Map(sources().map(([kind, topic]) => [tagOf(kind, topic), `${kind}:${topic}`]));
  const made = element("div", "");
  for (const topic of topics) {
    const rows = (topic.next ?? []).map((next, partition) => {
      const isOwn = places.some(place => place.topic === topic && place.partition === partition);
      const row = element("tr", isOwn ? "own" : "", element("th", "", `${partition}`), element("td", "number", `${next}`),
        element("td", "", next === 0n ? "nothing yet" : `all up to ${next - 1n}`));
      row.firstChild.scope = "row";
      return row;
    });
    const caption = element("caption", "", names.get(topic.tag) ?? "Topic ", names.has(topic.tag) ? "" : element("code", "", topic.tag), ", epoch ", element("code", "", topic.epoch));
    const head = element("tr", "", ...["Partition", "Next offset", "Delivered"].map(name => element("th", "", name)));
    for (const cell of head.children) cell.scope = "col";
    if (rows.length) made.append(element("table", "cursor", caption, element("thead", "", head), element("tbody", "", ...rows)));
    else made.append(element("p", "quiet", ...caption.childNodes, topic.after === undefined ? ": from offset 0" : `: after the id “${topic.after}”`));
  }
  return made;
}
