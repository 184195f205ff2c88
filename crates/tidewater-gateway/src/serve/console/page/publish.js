// The box that publishes, where the viewer may.

import { $, copy, element, say } from "./dom.js";
import { channelUrl, request } from "./session.js";
import { told } from "./stream.js";
import { refusalInWords } from "./words.js";

export class Publish {
  #name = "";
  #isSending = false;

  constructor() {
    $("publish").onsubmit = submitted => {
      submitted.preventDefault();
      this.#send();
    };
    $("payload").oninput = check;
    $("payload").onkeydown = pressed => {
      if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) $("publish").requestSubmit();
    };
  }

  show(name, allowed) {
    $("publish").hidden = !allowed;
    if (name === this.#name) return;
    this.#name = name;
    $("said").replaceChildren();
    check();
  }

  async #send() {
    const url = channelUrl(this.#name);
    for (const part of ["event", "key"]) if ($(part).value) url.searchParams.set(part, $(part).value);
    // Not disabled: the keyboard would lose its place.
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      const headers = { "content-type": "text/plain;charset=utf-8" };
      const response = await request(url, { method: "POST", body: $("payload").value, headers });
      if (response.ok) published(await response.json());
      else refused(refusalInWords({ status: response.status, said: await told(response) }));
    } catch (error) {
      refused(`It may not have been published: the gateway does not answer (${error.message}).`);
    }
    this.#isSending = false;
  }
}

function published({ topic, partition, offset, id }) {
  const where = offset === null ? `to ${topic}; the broker does not say where` : `to ${topic}, partition ${partition}, offset ${offset}`;
  const said = [`Published ${where}.`];
  if (id) {
    const button = element("button", "plain", "Copy its id");
    button.type = "button";
    button.onclick = () => copy(id, button, $("said"));
    said.push(" ", button);
  }
  $("said").classList.remove("bad");
  $("said").replaceChildren(...said);
}

function refused(why) {
  $("said").classList.add("bad");
  $("said").replaceChildren(why);
}

/** What looks like JSON and is none is most likely a mistake; it may be published all the same. */
function check() {
  const text = $("payload").value.trim();
  const looksLikeJson = /^[[{]/.test(text);
  let words = text === "" ? "" : "text";
  if (looksLikeJson) {
    try { JSON.parse(text); words = "JSON"; } catch (error) { words = `no JSON: ${error.message}`; }
  }
  $("json").classList.toggle("bad", words.startsWith("no JSON"));
  say($("json"), words);
}
