//! The gateway's console in browsers: what it shows, what can be done with it, what it says when something is wrong, and
//! to whom.
//!
//! | file | holds |
//! |---|---|
//! | `page` | the page under test, as the tests see it |
//! | `overview` | all channels |
//! | `live` | one channel: events, publishing |
//! | `copies` | what it offers to copy is run |
//! | `faults` | gateways and brokers that are gone |
//! | `viewers` | who sees what, where there is authorization |
//! | `prefix` | below a path of a proxy's |
//! | `hands` | without a mouse, and on a phone |
//! | `looks` | accessibility by axe-core in each view, and the screenshots of the documentation |

#![allow(clippy::unwrap_used, missing_docs)]

mod copies;
mod faults;
mod hands;
mod live;
mod looks;
mod overview;
mod page;
mod prefix;
mod viewers;
