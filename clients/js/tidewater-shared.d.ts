import type { SourceOptions, Stream, Url } from "./tidewater.js";

/**
 * Opens a stream that the tabs of this origin share: those with the same URL (whatever it says of where to begin), the same
 * `withCredentials` and the same `user`. A URL that a function makes needs a `name`, which counts instead; a `since` in it counts
 * for nothing.
 */
export function shared(url: string | URL, options?: SharedOptions): Stream;
export function shared(url: Url, options: SharedOptions & { name: string }): Stream;

export interface SharedOptions extends SourceOptions {
  /** Tabs with this name share one stream: that of whoever leads, with its token. */
  name?: string;
  /** Who reads. Where cookies say that, it has to be given, and `close()` called at log-out: tabs of another user keep apart. */
  user?: string;
}
