// The console: which view is shown, and what each of its parts is told.

import { Channels } from "./channels.js";
import { Copies } from "./copies.js";
import { $, say } from "./dom.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import { notice } from "./notices.js";
import { showOverview, state, sums, tiles } from "./overview.js";
import { Publish } from "./publish.js";
import { ask, asked, Selection } from "./selection.js";
import { setToken } from "./session.js";
import { setSource } from "./sources.js";
import { Tabs } from "./tabs.js";
import { clock, compact, refusalInWords } from "./words.js";

/** How long a stream may be away before anybody is told. */
const MOMENT = 2500;

const channels = new Channels();
const live = new Live(() => identify(true));
const [selection, publish, copies, tabs] = [new Selection(), new Publish(), new Copies(), new Tabs()];
/** The channel whose stream is open. */
let shown = null;

function route() {
  const wanted = asked();
  $("overview").hidden = wanted !== null;
  $("channel").hidden = wanted === null;
  shown = wanted;
  if (wanted) {
    say($("title"), wanted.name);
    selection.show(wanted.name, wanted.query);
    live.open(wanted.name, wanted.query);
    copies.show(wanted.name, wanted.query, live.names);
  } else {
    live.stop();
  }
  document.title = wanted ? `${wanted.name} · Tidewater` : "Tidewater";
  draw();
}

function draw() {
  if (shown) drawChannel(channels.get(shown.name));
  else showOverview(channels);
  drawFeed();
  drawFaults(shown && channels.get(shown.name));
  // The feed's own, and the channel's.
  tabs.count(Number(!document.hidden && channels.state !== "refused") + Number(live.isOpen));
}

function drawChannel(channel) {
  const told = channel?.told ?? {};
  state($("upstream"), told.upstream ?? "unknown");
  say($("source"), told.source ?? "");
  setSource(told.source);
  const lag = told.lag ? [["Behind broker", compact(told.lag.offsets), "offsets"]] : [];
  tiles($("figures"), channel && channels.seesAll ? [...sums([channel]), ...lag] : []);
  publish.show(shown.name, told.publish === true);
  const names = channels.sorted.map(channel => channel.told.name);
  const options = [...$("switch").options].map(option => option.value);
  $("switching").hidden = names.length < 2;
  if (names.join(" ") !== options.join(" ")) $("switch").replaceChildren(...names.map(name => new Option(name)));
  $("switch").value = shown.name;
}

function drawFeed() {
  $("feed").dataset.state = channels.state;
  say($("feed"), { connecting: "connecting", open: "connected", waiting: "reconnecting", refused: "refused" }[channels.state]);
  const { lostAt, refusal } = channels;
  // A moment is no news: streams that are drained come back by then.
  const isLost = lostAt && Date.now() - lostAt > MOMENT;
  const lost = `The gateway does not answer since ${clock(new Date(lostAt))}. What is shown is from then; this page comes back by itself.`;
  notice("feed", isLost ? lost : undefined, { level: "bad", action: { label: "Try now", run: hurry } });
  const offer = { action: { label: "Give a token", run: () => identify(true) } };
  notice("refusal", refusal && refusalInWords(refusal), offer);
  // Where all is told nobody has asked for one yet.
  $("identify").hidden = channels.seesAll && $("stream").dataset.state !== "refused";
}

/** What is wrong with the channel that is shown, and what to do. The overview tells it row by row. */
function drawFaults(channel) {
  const { name, upstream, error, lag } = channel?.told ?? {};
  const isLost = upstream === "degraded" || (upstream === "starting" && error);
  notice("upstream", isLost ? `The broker of ${name} is not reached. The gateway tries again by itself, and clients stay connected; see whether the broker runs, and whether the gateway's machine reaches it.${error ? ` It says: ${error}` : ""}` : undefined, { level: "bad" });
  notice("lag", channel?.fallsBehind ? `${name} falls behind its broker: by ${compact(lag.offsets)} offsets now, and more each time. Messages come faster than this node reads them: look at its processor and network, or spread the topics over more channels.` : undefined);
}

function hurry() {
  channels.hurry();
  live.hurry();
}

function identify(open) {
  $("identity").hidden = !open;
  $("identify").setAttribute("aria-expanded", open);
  if (open) $("token").focus();
}

function withToken(token) {
  setToken(token);
  $("token").value = "";
  identify(false);
  channels.follow();
  route();
}

/** To the channel before this one, or behind it. */
function neighbour(step) {
  const names = channels.sorted.map(channel => channel.told.name);
  const at = names.indexOf(shown?.name);
  const next = names[at < 0 ? 0 : (at + step + names.length) % names.length];
  if (next !== undefined) ask(next);
}

$("skip").onclick = () => $("main").focus();
$("switch").onchange = () => ask($("switch").value);
$("identify").onclick = () => identify($("identity").hidden);
$("identity").onsubmit = submitted => { submitted.preventDefault(); withToken($("token").value); };
$("forget").onclick = () => withToken("");
$("keys").onclick = () => $("help").showModal();
live.onname = () => copies.show(shown.name, shown.query, live.names);

const onChannel = run => (...given) => shown && run(...given);
listen([
  ["?", "shows this", () => $("help").showModal()],
  ["o", "all channels", () => { location.hash = "#/"; }],
  ["[ ]", "the channel before, the next one", key => neighbour(key === "]" ? 1 : -1)],
  ["j k", "the next event, the one before", onChannel(key => live.step(key === "j" ? 1 : -1))],
  ["Enter", "shows the event that has the keyboard"],
  ["Escape", "closes what is open", () => { identify(false); live.close(); }],
  ["p", "pauses, and resumes", onChannel(() => live.pause())],
  ["c", "clears the list", onChannel(() => live.clear())],
  ["/", "filters", onChannel(() => $("filter").focus())],
  ["n", "publishes: to the payload", onChannel(() => $("payload").focus())],
  ["y", "copies what reads it elsewhere", onChannel(() => copies.copy())],
]);

channels.addEventListener("change", draw);
addEventListener("hashchange", () => {
  route();
  // Who goes to another view by the keyboard, or hears the page, is there.
  (shown ? $("title") : $("main")).focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("online", hurry);
// Nobody looks: then nothing needs to be told. Events of a channel go on coming.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) channels.rest();
  else channels.follow();
  draw();
});
// A moment passes without an event.
setInterval(() => channels.lostAt && drawFeed(), 1000);
if (!document.hidden) channels.follow();
route();
