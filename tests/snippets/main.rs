//! The blocks of `docs/browser.md`, as they stand there, in real browsers: each reads a channel over a gateway that is
//! killed, has every event once and in order, and leaves nothing open when it ends.

#![allow(clippy::unwrap_used, missing_docs)]

mod bundle;
mod doc;
mod frameworks;
mod other_origin;
mod plain;
mod reading;
mod site;
mod stage;
mod topics;

use anyhow::Result;
use tidewater_tests::{browser::Browser, heavy};

/// For one browser: a name for the test, what it does, and what it needs.
macro_rules! snippets {
    ($browser:ident: $($name:ident: $test:path, $needs:literal;)*) => {
        mod $browser {
            use super::*;

            $(
                #[tokio::test]
                #[ignore = $needs]
                async fn $name() -> Result<()> {
                    let _alone = heavy().await;
                    $test(&Browser::$browser().start().await?).await
                }
            )*
        }
    };
}

snippets! { chromium:
    event_source: plain::event_source, "needs NATS and Chromium: run cargo xtask test";
    a_reload: plain::a_reload, "needs NATS and Chromium: run cargo xtask test";
    fetch_with_a_token: reading::with_a_token, "needs NATS and Chromium: run cargo xtask test";
    fetch_parses_the_vectors: reading::vectors, "needs Chromium: run cargo xtask test";
    fetch_stopped: reading::stopped, "needs Chromium: run cargo xtask test";
    fetch_refused: reading::refused, "needs NATS and Chromium: run cargo xtask test";
    topics_by_name: topics::by_name, "needs NATS and Chromium: run cargo xtask test";
    topics_in_envelopes: topics::in_envelopes, "needs NATS and Chromium: run cargo xtask test";
    publishing_to_another_origin: other_origin::publishes, "needs NATS and Chromium: run cargo xtask test";
    the_helper: frameworks::helper, "needs NATS and Chromium: run cargo xtask test";
    the_shared_helper: frameworks::shared, "needs NATS and Chromium: run cargo xtask test";
    htmx: frameworks::htmx, "needs npm, NATS and Chromium: run cargo xtask test";
    react: frameworks::react, "needs npm, NATS and Chromium: run cargo xtask test";
    vue: frameworks::vue, "needs npm, NATS and Chromium: run cargo xtask test";
}

snippets! { firefox:
    event_source: plain::event_source, "needs NATS and Firefox: run cargo xtask test";
    a_reload: plain::a_reload, "needs NATS and Firefox: run cargo xtask test";
    fetch_with_a_token: reading::with_a_token, "needs NATS and Firefox: run cargo xtask test";
    fetch_parses_the_vectors: reading::vectors, "needs Firefox: run cargo xtask test";
    fetch_stopped: reading::stopped, "needs Firefox: run cargo xtask test";
    fetch_refused: reading::refused, "needs NATS and Firefox: run cargo xtask test";
    topics_by_name: topics::by_name, "needs NATS and Firefox: run cargo xtask test";
    topics_in_envelopes: topics::in_envelopes, "needs NATS and Firefox: run cargo xtask test";
    publishing_to_another_origin: other_origin::publishes, "needs NATS and Firefox: run cargo xtask test";
    the_helper: frameworks::helper, "needs NATS and Firefox: run cargo xtask test";
    the_shared_helper: frameworks::shared, "needs NATS and Firefox: run cargo xtask test";
    htmx: frameworks::htmx, "needs npm, NATS and Firefox: run cargo xtask test";
    react: frameworks::react, "needs npm, NATS and Firefox: run cargo xtask test";
    vue: frameworks::vue, "needs npm, NATS and Firefox: run cargo xtask test";
}

/// A block that no test takes by its name would be nobody's.
#[test]
fn every_snippet_is_run() {
    let tests = [
        include_str!("plain.rs"),
        include_str!("frameworks.rs"),
        include_str!("reading.rs"),
        include_str!("topics.rs"),
        include_str!("other_origin.rs"),
    ];
    let blocks = doc::blocks().unwrap();
    assert_eq!(blocks.len(), 16);
    for (name, _) in blocks {
        let name_in_tests = format!("\"{name}\"");
        assert!(
            tests.iter().any(|test| test.contains(&name_in_tests)),
            "no test runs {name} of docs/browser.md"
        );
    }
}
