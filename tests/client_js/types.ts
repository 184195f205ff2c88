// What the helper's types have to allow, and what they have to refuse. Nobody runs it.

import { Source, source, type Gap } from "tidewater-sse";
import { shared } from "tidewater-sse/shared";

const events: Source = source("/events", {
  withCredentials: true,
  lastEventId: "1",
  floor: 500,
  ceiling: 10_000,
  probe: true,
  refresh: async status => (status === 401 ? "/events?token=new" : undefined),
  onGap: (gap: Gap) => console.log(gap.reason, gap.from),
  onCursor: id => console.log(id.length),
  onEnd: status => console.log(status.toFixed()),
});
events.onmessage = event => console.log(event.data, event.lastEventId);
events.onerror = () => console.log(events.readyState === Source.CLOSED, events.readyState === events.OPEN);
events.addEventListener("order.paid", event => console.log(event.data));
events.addEventListener("tidewater.end", event => console.log(event.detail.toFixed()), { once: true });
events.close();

// Wherever an EventSource is wanted, as by htmx.
const plain: EventSource = source(new URL("https://app.example/events"));
const htmx: { createEventSource: (url: string) => EventSource } = { createEventSource: source };

source(() => "/events");
source(async () => new URL("https://app.example/events"), { refresh: () => {} });
shared("/events").onmessage = event => console.log(event.data);
shared(async () => "/events", { name: "events", user: "ada" }).close();

// @ts-expect-error: the tabs could not know that it is the same
shared(() => "/events");
// @ts-expect-error: misspelled
source("/events", { onGaps: () => {} });
// @ts-expect-error: it is the helper's to move
events.lastEventId = "2";
// @ts-expect-error: it is made by `shared`
import { Shared } from "tidewater-sse/shared";

export { plain, htmx };
