/** Opens a stream: `new Source(url, options)`, as a function to hand on. */
export function source(url: Url, options?: SourceOptions): Source;

/** A URL, or what makes one: it is called for each attempt, so that each can carry a token of its own. */
export type Url = string | URL | (() => string | URL | Promise<string | URL>);

export interface SourceOptions {
  /** Sends cookies to another origin. */
  withCredentials?: boolean;
  /** Where to begin: behind this id. A `since` in the URL then counts for nothing. */
  lastEventId?: string;
  /** The shortest wait, in ms, before an attempt of the helper's own: 1000, and never less than 100. */
  floor?: number;
  /** The longest, in ms: 30000. */
  ceiling?: number;
  /** Whether it asks by `HEAD` why a stream was refused: `true`. Without it neither `refresh` nor `onEnd` is called. */
  probe?: boolean;
  /**
   * Called for a refusal of 401 or 403. The URL that it answers takes the old one's place. Without it they are the end, unless a
   * function makes the URL.
   */
  refresh?(status: 401 | 403): string | URL | void | Promise<string | URL | void>;
  /** Something is missing. */
  onGap?(gap: Gap): void;
  /** The position has moved without an event. */
  onCursor?(id: string): void;
  /** It is over: 204, 404 or 410; or 401 or 403, where nothing could bring another token. */
  onEnd?(status: number): void;
}

/** The data of a `tidewater.gap`. */
export interface Gap {
  reason: "retention" | "epoch" | "ahead" | "unreadable" | "replay" | "lag" | "conflated" | "lost" | "map";
  topic?: string;
  partition?: number;
  from?: number;
  to?: number;
}

/** What has the interface of an `EventSource`; its `readyState` is `CLOSED` only when it is over. */
export abstract class Stream extends EventTarget implements EventSource {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  abstract readonly readyState: 0 | 1 | 2;
  /** That of the newest attempt; empty before the first one if a function makes it. */
  readonly url: string;
  readonly withCredentials: boolean;
  /** The id of the newest event that came: what another attempt begins behind. */
  readonly lastEventId: string;
  onopen: ((this: EventSource, event: Event) => any) | null;
  onmessage: ((this: EventSource, event: MessageEvent) => any) | null;
  onerror: ((this: EventSource, event: Event) => any) | null;
  addEventListener<K extends keyof StreamEventMap>(
    type: K,
    listener: (this: EventSource, event: StreamEventMap[K]) => any,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: (this: EventSource, event: MessageEvent) => any,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof StreamEventMap>(
    type: K,
    listener: (this: EventSource, event: StreamEventMap[K]) => any,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: (this: EventSource, event: MessageEvent) => any,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  abstract close(): void;
}

/** A stream of this page's own. */
export class Source extends Stream {
  constructor(url: Url, options?: SourceOptions);
  readonly readyState: 0 | 1 | 2;
  close(): void;
}

export interface StreamEventMap extends EventSourceEventMap {
  "tidewater.gap": MessageEvent<string>;
  "tidewater.cursor": MessageEvent<string>;
  /** It is over; `detail` is the status. */
  "tidewater.end": CustomEvent<number>;
}
