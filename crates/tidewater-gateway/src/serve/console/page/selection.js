// What is asked of a channel: which of its events, and from where on. It stands in the page's address.

import { $, say } from "./dom.js";
import { channelUrl } from "./session.js";

const PARTS = ["topic", "key", "event"];
/** What the page asks a channel for, of what its address holds. */
const ASKED = [...PARTS, "since", "last_event_id"];

/** The channel and the query in the page's address; null on the overview. */
export function asked() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  if (!location.hash.startsWith("#/") || path === "") return null;
  const all = [...new URLSearchParams(query)];
  const known = new URLSearchParams(all.filter(([name, value]) => ASKED.includes(name) && value !== ""));
  try { return { name: decodeURIComponent(path), query: known }; } catch { return null; }
}

/** Goes to a channel, with this asked of it. */
export function ask(name, query = new URLSearchParams()) {
  const text = query.toString();
  location.hash = `#/${encodeURIComponent(name)}${text && "?"}${text}`;
}

/** Where the events come from. */
export function streamUrl(name, query) {
  const url = channelUrl(name);
  url.search = query.toString();
  return url;
}

/** The form shows what is asked, and asks for what is typed. */
export class Selection {
  #name = "";

  constructor() {
    const form = $("selection");
    form.onsubmit = submitted => {
      submitted.preventDefault();
      ask(this.#name, typed(form));
    };
    form.onreset = () => ask(this.#name);
    form.elements.start.onchange = () => showFrom(form);
  }

  show(name, query) {
    this.#name = name;
    const fields = $("selection").elements;
    for (const part of PARTS) fields[part].value = query.get(part) ?? "";
    const [since, id] = [query.get("since"), query.get("last_event_id")];
    fields.start.value = id ? "id" : since === "earliest" ? since : since ? "since" : "";
    fields.from.value = id ?? (since === "earliest" ? "" : since ?? "");
    showFrom($("selection"));
    say($("asked-words"), inWords(query));
  }
}

function typed(form) {
  const [query, fields] = [new URLSearchParams(), form.elements];
  for (const part of PARTS) if (fields[part].value) query.set(part, fields[part].value);
  const [start, from] = [fields.start.value, fields.from.value.trim()];
  if (start === "earliest") query.set("since", start);
  if (start === "since" && from) query.set("since", from);
  if (start === "id" && from) query.set("last_event_id", from);
  return query;
}

function showFrom(form) {
  const start = form.elements.start.value;
  $("from-label").hidden = start !== "since" && start !== "id";
  say($("from-words"), start === "id" ? "The id" : "Since");
  form.elements.from.placeholder = start === "id" ? "of the last event that you have" : "5m, 1h 30m, or 2026-01-31T12:00:00Z";
}

function inWords(query) {
  const which = PARTS.flatMap(part => query.getAll(part).map(value => `${part} ${value}`));
  const [since, id] = [query.get("since"), query.get("last_event_id")];
  const from = id ? `behind ${id.length > 16 ? `${id.slice(0, 16)}…` : id}`
    : since === "earliest" ? "from the earliest on" : since ? `since ${since}` : "from now on";
  return `${which.length ? which.join(", ") : "Everything"}, ${from}`;
}
