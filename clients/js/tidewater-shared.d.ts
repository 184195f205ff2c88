import type { SourceOptions, Stream, Url } from "./tidewater.js";

/**
 * Opens a stream that the tabs of this origin share: those with the same URL (whatever it says of where to begin) and the same
 * `withCredentials`. A URL that a function makes needs a `name`, which says the same.
 */
export function shared(url: string | URL, options?: SharedOptions): Stream;
export function shared(url: Url, options: SharedOptions & { name: string }): Stream;

export interface SharedOptions extends SourceOptions {
  /** Tabs with this name share one stream: that of whoever leads, with its token. */
  name?: string;
}
