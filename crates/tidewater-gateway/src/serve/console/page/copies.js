// What is shown, for a terminal or a program: the same channel, the same selection.

import { $, copy, say } from "./dom.js";
import { hasToken } from "./session.js";
import { streamUrl } from "./selection.js";

export class Copies {
  #form = "curl";
  #asked = { name: "", query: new URLSearchParams(), names: [] };

  constructor() {
    const buttons = [...$("copies").querySelectorAll("[data-form]")];
    for (const button of buttons) {
      button.onclick = () => {
        this.#form = button.dataset.form;
        buttons.forEach(other => other.setAttribute("aria-pressed", other === button));
        this.#draw();
      };
    }
    $("copy").onclick = () => this.copy();
  }

  /** `names` are the event names that were seen or selected. */
  show(name, query, names) {
    this.#asked = { name, query, names: [...names] };
    this.#draw();
  }

  copy() { copy($("copied").textContent, $("copy"), $("copied")); }

  #draw() {
    const { name, query, names } = this.#asked;
    say($("copied"), FORMS[this.#form](streamUrl(name, query).href, names));
  }
}

const FORMS = {
  curl(url) {
    const token = hasToken() ? ` -H "Authorization: Bearer $TOKEN"` : "";
    return `curl -N${token} '${url.replaceAll("'", "'\\''")}'`;
  },

  eventsource(url, names) {
    const own = [...new Set(["message", ...names])].filter(name => !name.startsWith("tidewater."));
    const note = hasToken() ? "// An EventSource sends cookies and no token: the gateway has to take it from a cookie.\n" : "";
    return `${note}const events = new EventSource(${JSON.stringify(url)});
for (const name of ${JSON.stringify(own)}) {
  events.addEventListener(name, event => console.log(name, event.data));
}
events.addEventListener("tidewater.gap", event => console.log("missing", event.data));`;
  },

  fetch(url) {
    const token = hasToken() ? ", authorization: `Bearer ${token}`" : "";
    return `const response = await fetch(${JSON.stringify(url)}, {
  headers: { accept: "text/event-stream"${token} },
});
if (!response.ok) throw new Error(await response.text());
const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
let rest = "", lastEventId = "";
for (;;) {
  const { value, done } = await text.read();
  if (done) break; // come back with the header last-event-id: lastEventId
  const blocks = (rest + value).split("\\n\\n");
  rest = blocks.pop();
  for (const block of blocks) {
    const event = { name: "message", data: [] };
    for (const line of block.split("\\n")) {
      const [, field, content] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "event") event.name = content;
      if (field === "data") event.data.push(content);
      if (field === "id") lastEventId = content;
    }
    const isEvent = event.data.length > 0 && event.name !== "tidewater.cursor";
    if (isEvent) console.log(event.name, event.data.join("\\n"));
  }
}`;
  },
};
