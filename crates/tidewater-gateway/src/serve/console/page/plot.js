// Rates, drawn: a line beside a number, and bars of the last minute. Each stands beside the same in words.

import { drawn } from "./dom.js";

/** A line through these values, the newest at the right. */
export function spark(values, length) {
  const most = Math.max(1, ...values);
  const step = 100 / (length - 1);
  const points = values.map((value, index) => {
    const [x, y] = [(length - values.length + index) * step, 23 - value / most * 20];
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return drawn("svg", { viewBox: "0 0 100 24", class: "spark", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }));
}

/** Counts of events as they come, by second. */
export class Plot {
  #bars = new Array(60).fill(0);
  #second = Math.floor(Date.now() / 1000);

  count(events) {
    this.#turn();
    this.#bars[this.#bars.length - 1] += events;
  }

  draw(where, words) {
    this.#turn();
    const most = Math.max(1, ...this.#bars);
    const bars = this.#bars.map((count, index) => {
      const height = count === 0 ? 1 : 4 + count / most * 40;
      return drawn("rect", { x: index * 10 + 1, y: 46 - height, width: 8, height, rx: 1, class: count ? "some" : "none" });
    });
    where.replaceChildren(drawn("svg", { viewBox: "0 0 600 46", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars));
    const all = this.#bars.reduce((sum, count) => sum + count, 0);
    // The second that has just begun would always look like a slump.
    const last = this.#bars.at(-2);
    words.textContent = all === 0
      ? "No events in the last minute"
      : `Last minute: ${all.toLocaleString("en")} events, ${last} in the last second, at most ${Math.max(...this.#bars)}`;
  }

  #turn() {
    const now = Math.floor(Date.now() / 1000);
    const passed = Math.min(this.#bars.length, Math.max(0, now - this.#second));
    this.#bars = [...this.#bars.slice(passed), ...new Array(passed).fill(0)];
    this.#second = now;
  }
}
