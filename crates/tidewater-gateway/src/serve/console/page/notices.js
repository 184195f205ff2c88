// What is wrong, and what to do about it: one line for each thing, as long as it is so.

import { $, element, say } from "./dom.js";

const shown = new Map();

/**
 * Tells that something is wrong, or that it no longer is (`text` is undefined). `level` is `bad` or `warn`; an
 * `action` is `{ label, run }`.
 */
export function notice(key, text, { level = "warn", action } = {}) {
  const own = shown.get(key);
  if (text === undefined) {
    own?.remove();
    shown.delete(key);
    return;
  }
  if (own) {
    own.dataset.level = level;
    say(own.firstChild, text);
    return;
  }
  const made = element("li", "", element("span", "", text));
  made.dataset.level = level;
  made.dataset.key = key;
  if (action) {
    const button = element("button", "plain", action.label);
    button.type = "button";
    button.onclick = action.run;
    made.append(button);
  }
  shown.set(key, made);
  $("notices").append(made);
}
