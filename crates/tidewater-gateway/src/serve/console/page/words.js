// Numbers, times and faults, as people read them.

const REASONS = {
  retention: "the broker no longer has them",
  epoch: "the topic, or the server's log of it, was made anew",
  ahead: "the position is past the broker's end",
  unreadable: "the id could not be read",
  replay: "they are older than the channel lets anybody go back",
  lag: "this page fell too far behind",
  conflated: "newer events of the same keys stand for them",
  lost: "the broker did not deliver them",
  map: "the application could not turn it into an event",
};

/** What a `tidewater.gap` says. */
export function gapInWords(data) {
  let gap = {};
  try { gap = JSON.parse(data) ?? {}; } catch { /* shown as it came */ }
  const partition = gap.partition === undefined ? "" : `, partition ${gap.partition}`;
  const where = gap.topic === undefined ? "" : ` in ${gap.topic}${partition}`;
  const known = gap.from !== undefined && gap.to !== undefined;
  const range = !known ? "" : gap.to - gap.from === 1 ? `, offset ${gap.from}` : `, offsets ${gap.from} to ${gap.to - 1}`;
  return `Events are missing${where}${range}: ${REASONS[gap.reason] ?? gap.reason ?? data}.`;
}

/** What a refusal means, and what to do about it. */
export function refusalInWords({ status, said }) {
  const what = {
    400: "The gateway can't take it as it is.",
    401: "The gateway does not know who asks. Log in to the application that sets its cookie, or give a token.",
    403: "This is not granted to who asks. Log in as somebody who may, or give another token.",
    404: "The gateway has no channel of this name any more.",
    408: "The body took too long to arrive.",
    413: "The payload is larger than the gateway takes (limits.max_body).",
    422: "The broker refuses this message for good.",
    429: "That is more often than one client may publish (limits.publish).",
    501: "The channel has nowhere to publish to.",
    503: "The broker is away: it may have the message, or not.",
  }[status] ?? `The gateway answers ${status}.`;
  return said ? `${what} It says: ${said}` : what;
}

export const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

/** A rate for a second: exact where it is small. */
export function rate(number) {
  if (number === undefined || number === null) return "–";
  if (number === 0) return "0";
  return number < 10 ? number.toFixed(1) : compact(Math.round(number));
}

export function compact(number) {
  return number < 10_000
    ? number.toLocaleString("en")
    : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);
}

export function size(bytes) {
  if (bytes === undefined || bytes === null) return "–";
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let unit = -1;
  do { bytes /= 1000; unit += 1; } while (bytes >= 999.5 && unit < units.length - 1);
  return `${bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

export const clock = date => date.toLocaleTimeString("en-GB", { hour12: false });
export const exactClock = date => `${clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;

/** How long ago. */
export function since(date, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - date) / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
