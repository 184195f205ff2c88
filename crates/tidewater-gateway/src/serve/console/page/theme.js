// Light, dark, or what the system has. Not a module: it runs before the page is drawn.
"use strict";

(() => {
  const CHOICES = ["system", "light", "dark"];
  const kept = () => { try { return localStorage.getItem("tidewater-theme"); } catch { return null; } };
  const keep = name => { try { localStorage.setItem("tidewater-theme", name); } catch { /* for this page then */ } };
  let now = CHOICES.includes(kept()) ? kept() : "system";
  const show = () => { document.documentElement.dataset.theme = now; };
  show();

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = { system: "System", light: "Light", dark: "Dark" }[now];
      button.setAttribute("aria-label", `Theme: ${button.textContent}`);
    };
    label();
    button.onclick = () => {
      now = CHOICES[(CHOICES.indexOf(now) + 1) % CHOICES.length];
      keep(now);
      show();
      label();
    };
  });
})();
