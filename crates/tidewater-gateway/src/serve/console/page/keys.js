// The keyboard: everything can be reached by Tab, and these keys are shorter.

import { $, element } from "./dom.js";

const KEPT = "tidewater-keys";

/** `actions` are `[key, words, run]`; keys of one character can be turned off, because programs that dictate type them. */
export function listen(actions) {
  let on = true;
  try { on = localStorage.getItem(KEPT) !== "off"; } catch { /* then they are on */ }
  const rows = actions.map(([key, words]) => element("div", "", element("dt", "", element("kbd", "", key)), element("dd", "", words)));
  const box = element("input", "");
  box.type = "checkbox";
  box.id = "keys-on";
  box.checked = on;
  box.onchange = () => {
    on = box.checked;
    try { localStorage.setItem(KEPT, on ? "on" : "off"); } catch { /* for this page then */ }
  };
  $("shortcuts").replaceChildren(...rows);
  $("shortcuts").after(element("label", "check", box, " Keys of one character do this"));

  addEventListener("keydown", pressed => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || $("help").open) return;
    const types = pressed.target.closest("input, textarea, select");
    if (types && pressed.key !== "Escape") return;
    if (!on && pressed.key.length === 1) return;
    const action = actions.find(([key]) => key.split(" ").includes(pressed.key));
    // A button knows what Enter does.
    if (!action?.[2]) return;
    pressed.preventDefault();
    if (types) types.blur();
    action[2](pressed.key);
  });
}
