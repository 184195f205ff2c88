//! The console at `/`: a page that shows the channels and their events, and publishes.
//!
//! | file | holds |
//! |---|---|
//! | `files` | the page's files, as they are answered |
//! | `feed` | what the page follows: how the channels are, once a second |
//! | `page/` | the page itself: HTML, a style sheet, ES modules of one thing each; no build step |
//!
//! What the page shows it has from the gateway's own routes, so it can do nothing that its viewer may not do without it.

mod feed;
mod files;

pub(super) use feed::Feed;
pub(super) use files::file;

/// Where the feed is.
pub(super) const STATUS: &str = "/console/status";
