// All channels: how fast, for how many, and what is wrong.

import { $, copy, element, say } from "./dom.js";
import { spark } from "./plot.js";
import { SECONDS } from "./channels.js";
import { channelUrl } from "./session.js";
import { compact, count, rate, size } from "./words.js";

/** Where a channel's page is. */
export const pageOf = name => `#/${encodeURIComponent(name)}`;

const rows = new Map();

export function showOverview(channels) {
  const all = channels.sorted;
  $("channels").classList.toggle("named", !channels.seesAll);
  for (const name of [...rows.keys()]) {
    if (!channels.get(name)) { rows.get(name).remove(); rows.delete(name); }
  }
  all.forEach((channel, index) => {
    const row = rows.get(channel.told.name) ?? made(channel.told.name);
    if ($("rows").children[index] !== row) $("rows").insertBefore(row, $("rows").children[index] ?? null);
    fill(row, channel);
  });
  tiles($("tiles"), channels.seesAll ? sums(all) : []);
  say($("sum"), all.length ? count(all.length, "channel") : "");
  none(channels, all);
  first(all);
}

/** Figures in a row: `[name, value, note, values for a line]`. */
export function tiles(where, figures) {
  where.hidden = figures.length === 0;
  while (where.children.length > figures.length) where.lastChild.remove();
  figures.forEach(([name, value, note, values], index) => {
    let tile = where.children[index];
    if (!tile) {
      tile = element("div", "tile", element("dt", ""), element("dd", "", element("strong", ""), element("span", "quiet")));
      where.append(tile);
    }
    const [term, detail] = tile.children;
    say(term, name);
    say(detail.children[0], value);
    say(detail.children[1], note ?? "");
    tile.querySelector("svg")?.remove();
    if (values?.length > 1) tile.append(spark(values, SECONDS));
  });
}

/** The figures of one channel, or of all together. */
export function sums(all) {
  const sum = of => all.reduce((sum, channel) => sum + (of(channel) ?? 0), 0);
  const seconds = Math.max(0, ...all.map(channel => channel.rates.length));
  const line = of => Array.from({ length: seconds }, (_, index) => sum(({ rates }) => rates.at(index - seconds)?.[of]));
  const known = seconds > 0;
  return [
    ["In", known ? rate(sum(channel => channel.rate?.in)) : "–", "events/s", line("in")],
    ["Out", known ? rate(sum(channel => channel.rate?.out)) : "–", "events/s", line("out")],
    ["Bytes out", known ? size(sum(channel => channel.rate?.bytes)) : "–", "a second", line("bytes")],
    ["Clients", compact(sum(({ told }) => told.clients)), "open streams"],
    ["Events in memory", compact(sum(({ told }) => told.log?.events)), size(sum(({ told }) => told.log?.bytes))],
  ];
}

/** Of its upstream, in a word. */
export function state(where, upstream) {
  where.dataset.state = upstream;
  say(where, upstream);
}

const CELLS = ["in", "out", "bytes", "clients", "lag", "log"];
const LABELS = { in: "In", out: "Out", bytes: "Bytes out", clients: "Clients", lag: "Behind", log: "In memory" };

function made(name) {
  const link = element("a", "name", name);
  link.href = pageOf(name);
  const head = element("th", "", link, element("span", "source"), element("span", "why"));
  head.scope = "row";
  const row = element("tr", "", head, element("td", "upstream", element("span", "state")));
  for (const cell of CELLS) {
    const made = element("td", `number ${cell}`, element("span", "line"), element("span", "value"));
    made.dataset.label = LABELS[cell];
    row.append(made);
  }
  rows.set(name, row);
  return row;
}

function fill(row, { told, rates, rate: now }) {
  const value = (cell, text) => say(row.querySelector(`.${cell} .value`), text);
  const draw = (cell, values) => row.querySelector(`.${cell} .line`).replaceChildren(...values.length > 1 ? [spark(values, SECONDS)] : []);
  say(row.querySelector(".source"), told.source ?? "");
  say(row.querySelector(".why"), told.error ?? "");
  state(row.querySelector(".state"), told.upstream);
  value("in", now ? `${rate(now.in)}/s` : "–");
  value("out", now ? `${rate(now.out)}/s` : "–");
  value("bytes", now ? `${size(now.bytes)}/s` : "–");
  value("clients", compact(told.clients ?? 0));
  value("lag", told.lag ? compact(told.lag.offsets) : "–");
  value("log", told.log ? `${compact(told.log.events)} · ${size(told.log.bytes)}` : "–");
  draw("in", rates.map(rate => rate.in));
  draw("out", rates.map(rate => rate.out));
}

function none(channels, all) {
  $("none").hidden = all.length > 0;
  $("channels").hidden = all.length === 0;
  const why = channels.refusal || channels.listed
    ? "There is no channel that you may read. Log in to the application that sets the gateway's cookie and reload this page, or give a token above."
    : "Asking the gateway for its channels…";
  say($("none"), why);
}

/** The first minute: a gateway with nothing in it. */
function first(all) {
  const open = all.find(({ told }) => told.publish);
  const isEmpty = all.every(({ told }) => told.log?.events === 0 && !told.in?.events);
  $("first").hidden = !open || !isEmpty;
  if (!open) return;
  const { name } = open.told;
  say($("first-channel"), name);
  $("first-channel").href = pageOf(name);
  say($("first-publish"), `curl -d '{"hello":"world"}' '${channelUrl(name)}'`);
  $("first-copy").onclick = () => copy($("first-publish").textContent, $("first-copy"), $("first-publish"));
}
