//! `tidewater-shared.js`: one stream for all tabs, which outlives the tab that holds it.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidewater_tests::{
    Broker, Feed, PATIENCE,
    browser::{Browser, BrowserBuilder},
    heavy,
};

use crate::tabs::{DOUBTING, IMPATIENT, MUTABLE, NO_CHANNELS, NO_LOCKS, RECORDED, Tabs};

/// Two more than a browser has connections to an origin over HTTP/1.1.
const TABS: usize = 8;

macro_rules! tabs {
    ($browser:ident: $($name:ident: $test:ident, $server:literal, $needs:literal;)*) => {
        mod $browser {$(
            #[tokio::test]
            #[ignore = $needs]
            async fn $name() -> anyhow::Result<()> {
                super::$test(super::Browser::$browser(), stringify!($browser), $server).await
            }
        )*}
    };
}

tabs! { chromium:
    i1_eight_tabs_at_direct: eight_tabs, "direct", "needs NATS and Chromium: run cargo xtask test";
    i1_eight_tabs_at_hyper: eight_tabs, "hyper", "needs NATS and Chromium: run cargo xtask test";
    without_it_the_seventh_waits: without, "hyper", "needs Chromium: run cargo xtask test";
    tabs_begin_where_they_say: starts, "direct", "needs Chromium: run cargo xtask test";
    names_are_listened_for_together: names, "direct", "needs Chromium: run cargo xtask test";
    whatever_the_last_words_reached: handovers, "direct", "needs Chromium: run cargo xtask test";
    what_did_not_come_is_noticed: missed, "direct", "needs Chromium: run cargo xtask test";
    a_leader_that_hangs_is_deposed: hangs, "direct", "needs Chromium: run cargo xtask test";
    a_log_that_has_moved_on_is_no_end: outrun, "direct", "needs Chromium: run cargo xtask test";
    late_words_count_for_nothing: late, "direct", "needs Chromium: run cargo xtask test";
    a_name_that_the_next_leader_missed: missed_name, "direct", "needs Chromium: run cargo xtask test";
    what_passed_the_next_leader_by: passed_by, "direct", "needs Chromium: run cargo xtask test";
    listeners_of_the_first_turn: first_turn, "direct", "needs Chromium: run cargo xtask test";
    each_user_has_a_stream: users, "direct", "needs Chromium: run cargo xtask test";
    without_locks_each_has_its_own: alone, "direct", "needs Chromium: run cargo xtask test";
}

tabs! { firefox:
    i1_eight_tabs_at_direct: eight_tabs, "direct", "needs NATS and Firefox: run cargo xtask test";
    i1_eight_tabs_at_hyper: eight_tabs, "hyper", "needs NATS and Firefox: run cargo xtask test";
    without_it_the_seventh_waits: without, "hyper", "needs Firefox: run cargo xtask test";
    tabs_begin_where_they_say: starts, "direct", "needs Firefox: run cargo xtask test";
    names_are_listened_for_together: names, "direct", "needs Firefox: run cargo xtask test";
    whatever_the_last_words_reached: handovers, "direct", "needs Firefox: run cargo xtask test";
    what_did_not_come_is_noticed: missed, "direct", "needs Firefox: run cargo xtask test";
    a_leader_that_hangs_is_deposed: hangs, "direct", "needs Firefox: run cargo xtask test";
    a_log_that_has_moved_on_is_no_end: outrun, "direct", "needs Firefox: run cargo xtask test";
    late_words_count_for_nothing: late, "direct", "needs Firefox: run cargo xtask test";
    a_name_that_the_next_leader_missed: missed_name, "direct", "needs Firefox: run cargo xtask test";
    what_passed_the_next_leader_by: passed_by, "direct", "needs Firefox: run cargo xtask test";
    listeners_of_the_first_turn: first_turn, "direct", "needs Firefox: run cargo xtask test";
    each_user_has_a_stream: users, "direct", "needs Firefox: run cargo xtask test";
    without_locks_each_has_its_own: alone, "direct", "needs Firefox: run cargo xtask test";
}

/// Every tab has every event once, in order, while the leader goes again and again, and the gateway once.
async fn eight_tabs(browser: BrowserBuilder, kind: &str, server: &str) -> Result<()> {
    let _alone = heavy().await;
    let browser = browser.start().await?;
    let feed = Feed::create(Broker::JetStream, "tabs").await?;
    let mut tabs = Tabs::new(&browser, server, &feed.url()).await?;
    let numbers = |from: u32, to: u32| feed.produce((from..=to).map(|number| number.to_string()));
    let done = async {
        for _ in 0..TABS {
            tabs.open("", "{}", "").await?;
        }
        tabs.until("cursors.length > 0 && events.readyState === EventSource.OPEN").await?;
        tabs.until_streams(1).await?;
        numbers(1, 50).await?;
        for round in 1..=4 {
            let first = round * 100;
            let leader = tabs.take_leader().await?;
            let produced = async {
                for from in (first - 49..first + 50).step_by(10) {
                    numbers(from, from + 9).await?;
                }
                Ok(())
            };
            let gone = async {
                leader.wait_until(&format!("kept.length > {}", first - 45), PATIENCE).await?;
                // What is killed says nothing to anybody.
                if kind == "chromium" && round == 2 { leader.crash().await } else { leader.close().await }
            };
            tokio::try_join!(produced, gone)?;
            tabs.are_exact(1, first + 50).await?;
            tabs.until_streams(1).await?;
        }
        tabs.gateway.kill().await?;
        tabs.until("events.readyState === EventSource.CONNECTING").await?;
        numbers(451, 500).await?;
        tabs.gateway.restart().await?;
        tabs.are_exact(1, 500).await?;
        // What would come twice would come before this.
        numbers(501, 501).await?;
        tabs.are_exact(1, 501).await?;
        tabs.until_streams(1).await
    };
    let done: Result<()> = done.await;
    done.with_context(|| format!("the gateway wrote:\n{}", tabs.gateway.output()))?;
    let gaps = tabs.told("gaps").await?;
    ensure!(gaps.iter().all(|gaps| *gaps == json!([])), "gaps: {gaps:?}");
    Ok(())
}

/// Six connections, for all tabs together: the seventh gets its turn when one of them is closed.
async fn without(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let _alone = heavy().await;
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..6 {
        tabs.open_plain().await?;
    }
    tabs.until("events.readyState === EventSource.OPEN").await?;
    tabs.open_plain().await?;
    tabs.until_streams(6).await?;
    let states = tabs.told("events.readyState").await?;
    ensure!(states == [1, 1, 1, 1, 1, 1, 0].map(|state| json!(state)), "{states:?}");
    tabs.all.remove(0).close().await?;
    tabs.until("events.readyState === EventSource.OPEN").await?;
    tabs.until_streams(6).await
}

/// One from now, one from the beginning, one behind an id, whoever leads; then there is one stream.
async fn starts(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    tabs.publish(1..=10).await?;
    // It leads, and has history to read all the same.
    tabs.open("?since=earliest", "{}", "").await?;
    tabs.are_exact(1, 10).await?;
    let id = tabs.told("events.lastEventId").await?.remove(0);
    tabs.open("", "{}", "").await?;
    tabs.until("cursors.length > 0").await?;
    tabs.publish(11..=20).await?;
    tabs.until("kept.at(-1) === '20'").await?;
    tabs.open("?since=earliest", "{}", "").await?;
    tabs.open("", &format!("{{ lastEventId: {id} }}"), "").await?;
    tabs.until("kept.at(-1) === '20'").await?;
    tabs.until_streams(1).await?;
    tabs.take_leader().await?.close().await?;
    tabs.publish(21..=30).await?;
    tabs.until("kept.at(-1) === '30'").await?;
    tabs.until_streams(1).await?;
    let kept = tabs.told("kept.map(Number)").await?;
    let from = |first: u32| json!((first..=30).collect::<Vec<_>>());
    ensure!(kept == [from(11), from(1), from(11)], "{kept:?}");
    Ok(())
}

/// A name that one tab listens for is listened for by whoever leads.
async fn names(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..3 {
        tabs.open("", "{}", "").await?;
        tabs.until("cursors.length > 0").await?;
    }
    // The one that leads last.
    let listen = "events.addEventListener('other', event => kept.push('other ' + event.data))";
    tabs.all[2].run(listen).await?;
    // When another has been answered, the leader has heard of it.
    tabs.open("", "{}", "").await?;
    tabs.until("cursors.length > 0").await?;
    tabs.publish(1..=1).await?;
    tabs.publish_as("other", 2).await?;
    tabs.publish(3..=3).await?;
    tabs.until("kept.at(-1) === '3'").await?;
    tabs.take_leader().await?.close().await?;
    tabs.publish_as("other", 4).await?;
    tabs.publish(5..=5).await?;
    tabs.until("kept.at(-1) === '5'").await?;
    let kept = tabs.told("kept").await?;
    let plain = json!(["1", "3", "5"]);
    ensure!(kept == [plain.clone(), json!(["1", "other 2", "3", "other 4", "5"]), plain], "{kept:?}");
    Ok(())
}

/// What a leader said last may have reached some and not the others, or nobody.
async fn handovers(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..5 {
        tabs.open("", "{}", MUTABLE).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=10).await?;
    tabs.until("kept.at(-1) === '10'").await?;
    // The next leader is behind the others.
    tabs.all[1].run("window.deaf = true").await?;
    tabs.publish(11..=15).await?;
    tabs.all[4].wait_until("kept.at(-1) === '15'", PATIENCE).await?;
    tabs.all[1].run("window.deaf = false").await?;
    tabs.all.remove(0).close().await?;
    tabs.are_exact(1, 15).await?;
    // It is before one of them.
    tabs.all[3].run("window.deaf = true").await?;
    tabs.publish(16..=20).await?;
    tabs.all[1].wait_until("kept.at(-1) === '20'", PATIENCE).await?;
    tabs.all[3].run("window.deaf = false").await?;
    tabs.all.remove(0).close().await?;
    tabs.are_exact(1, 20).await?;
    // Nobody has what the old one had.
    tabs.all[0].run("window.mute = true").await?;
    tabs.publish(21..=25).await?;
    tabs.all[0].wait_until("kept.at(-1) === '25'", PATIENCE).await?;
    tabs.all.remove(0).close().await?;
    tabs.are_exact(1, 25).await?;
    tabs.publish(26..=30).await?;
    tabs.are_exact(1, 30).await?;
    tabs.until_streams(1).await
}

/// Messages of the leader's that are lost on the way are asked for again.
async fn missed(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..3 {
        tabs.open("", "{}", MUTABLE).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=10).await?;
    tabs.until("kept.at(-1) === '10'").await?;
    tabs.all[0].run("window.mute = true").await?;
    tabs.publish(11..=20).await?;
    tabs.all[0].wait_until("kept.at(-1) === '20'", PATIENCE).await?;
    tabs.all[0].run("window.mute = false").await?;
    let kept = tabs.told("kept.at(-1)").await?;
    ensure!(kept == ["20", "10", "10"], "it was not mute: {kept:?}");
    tabs.publish(21..=30).await?;
    tabs.are_exact(1, 30).await?;
    // More than the others keep: they take the way by a stream of their own.
    tabs.all[0].run("window.mute = true").await?;
    tabs.publish(31..=330).await?;
    tabs.all[0].wait_until("kept.at(-1) === '330'", PATIENCE).await?;
    tabs.all[0].run("window.mute = false").await?;
    tabs.publish(331..=331).await?;
    tabs.are_exact(1, 331).await?;
    tabs.until_streams(1).await
}

/// One that says nothing any more loses the lead, and takes no harm.
async fn hangs(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..3 {
        tabs.open("", "{}", &format!("{MUTABLE} {IMPATIENT}")).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=10).await?;
    tabs.until("kept.at(-1) === '10'").await?;
    tabs.all[0].run("window.mute = true").await?;
    tabs.publish(11..=20).await?;
    tabs.are_exact(1, 20).await?;
    tabs.all[0].run("window.mute = false").await?;
    tabs.publish(21..=30).await?;
    tabs.are_exact(1, 30).await?;
    tabs.until_streams(1).await
}

/// What a tab had last may be in nobody's log when it asks whether the leader is there.
async fn outrun(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..2 {
        tabs.open("", "{}", &format!("{MUTABLE} {DOUBTING}")).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=10).await?;
    tabs.until("kept.at(-1) === '10'").await?;
    tabs.all[1].run("window.deaf = true").await?;
    tabs.publish(11..=300).await?;
    tabs.all[0].wait_until("kept.at(-1) === '300'", PATIENCE).await?;
    tabs.all[1].run("window.deaf = false; doubt()").await?;
    tabs.are_exact(1, 300).await?;
    tabs.publish(301..=301).await?;
    tabs.are_exact(1, 301).await?;
    tabs.until_streams(1).await
}

/// Of one that led before: its welcome for a question that was answered, and its word that it leads.
async fn late(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for _ in 0..3 {
        tabs.open("", "{}", RECORDED).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=10).await?;
    tabs.until("kept.at(-1) === '10'").await?;
    tabs.all[0].run("again('welcome')").await?;
    tabs.publish(11..=20).await?;
    tabs.are_exact(1, 20).await?;
    let joins = tabs.told("sent.filter(({ kind }) => kind === 'join').length").await?;
    ensure!(joins == [1, 1, 1], "somebody had to ask again: {joins:?}");
    // It goes to the end of the queue.
    let turn = |kind: &str| {
        format!("window.dispatchEvent(new PageTransitionEvent('{kind}', {{ persisted: true }}))")
    };
    tabs.all[0].run(&turn("pagehide")).await?;
    tabs.all[1].wait_until("connected() && events.readyState === EventSource.OPEN", PATIENCE).await?;
    tabs.all[0].run(&turn("pageshow")).await?;
    tabs.all[0].wait_until("events.readyState === EventSource.OPEN", PATIENCE).await?;
    tabs.all[0].run("again('lead')").await?;
    tabs.publish(21..=30).await?;
    tabs.are_exact(1, 30).await?;
    tabs.until_streams(1).await?;
    let leads = tabs.told("connected()").await?;
    ensure!(leads == [false, true, false], "who leads: {leads:?}");
    Ok(())
}

/// A new leader doesn't know all names that the old one did.
async fn missed_name(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = forgetful(&browser, server).await?;
    tabs.all.remove(0).close().await?;
    tabs.publish_as("other", 2).await?;
    tabs.publish(3..=3).await?;
    keeps_the_other(&tabs).await
}

/// Nor has the one who wants it heard who leads; and what came of that name meanwhile nobody saw.
async fn passed_by(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = forgetful(&browser, server).await?;
    tabs.all[2].run("window.deaf = true").await?;
    tabs.all.remove(0).close().await?;
    tabs.all[0].wait_until("connected() && events.readyState === EventSource.OPEN", PATIENCE).await?;
    let passes = "streams.at(-1).addEventListener('other', () => { window.passed = true; })";
    tabs.all[0].run(passes).await?;
    tabs.publish_as("other", 2).await?;
    tabs.all[0].wait_until("window.passed", PATIENCE).await?;
    tabs.all[1].run("window.deaf = false; doubt()").await?;
    tabs.all[1].wait_until("events.readyState === EventSource.OPEN", PATIENCE).await?;
    tabs.publish(3..=3).await?;
    keeps_the_other(&tabs).await?;
    tabs.until_streams(1).await
}

/// Four tabs: one that leads, the next one, which doesn't know of `other`, one that listens for it, and another.
async fn forgetful<'a>(browser: &'a Browser, server: &str) -> Result<Tabs<'a>> {
    let mut tabs = Tabs::new(browser, server, "memory:").await?;
    for _ in 0..3 {
        tabs.open("", "{}", &format!("{MUTABLE} {RECORDED} {DOUBTING}")).await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=1).await?;
    tabs.until("kept.at(-1) === '1'").await?;
    tabs.all[1].run("window.deaf = true").await?;
    let listen = "events.addEventListener('other', event => kept.push('other ' + event.data))";
    tabs.all[2].run(listen).await?;
    tabs.all[0].wait_until("sent.some(({ kind }) => kind === 'names')", PATIENCE).await?;
    // When it has been answered, the others have heard that.
    tabs.open("", "{}", "").await?;
    tabs.until("cursors.length > 0").await?;
    tabs.all[1].run("window.deaf = false").await?;
    Ok(tabs)
}

async fn keeps_the_other(tabs: &Tabs<'_>) -> Result<()> {
    tabs.until("kept.at(-1) === '3'").await?;
    let kept = tabs.told("kept").await?;
    ensure!(kept == [json!(["1", "3"]), json!(["1", "other 2", "3"]), json!(["3"])], "{kept:?}");
    Ok(())
}

/// Names that are listened for at once are asked for at once.
async fn first_turn(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    const OPEN: &str = r"
        shared(events.url, { name: 'another' }).addEventListener('other', () => {});
        const asked = () => sent.findLast(({ kind }) => kind === 'join').names;
        return new Promise(done => setTimeout(() => done(asked().includes('other'))));
    ";
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    tabs.open("", "{}", RECORDED).await?;
    ensure!(tabs.all[0].run(OPEN).await? == true, "it was not among those that the first question named");
    Ok(())
}

/// Cookies are not in the URL.
async fn users(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for user in ["ada", "ada", "bob"] {
        tabs.open("", &format!("{{ user: '{user}' }}"), "").await?;
        tabs.until("cursors.length > 0").await?;
    }
    tabs.publish(1..=3).await?;
    tabs.are_exact(1, 3).await?;
    let leads = tabs.told("connected()").await?;
    ensure!(leads == [true, false, true], "who leads: {leads:?}");
    tabs.until_streams(2).await
}

async fn alone(browser: BrowserBuilder, _: &str, server: &str) -> Result<()> {
    let browser = browser.start().await?;
    let mut tabs = Tabs::new(&browser, server, "memory:").await?;
    for before in [NO_LOCKS, NO_CHANNELS] {
        tabs.open("", "{}", before).await?;
    }
    tabs.until("cursors.length > 0").await?;
    tabs.publish(1..=3).await?;
    tabs.are_exact(1, 3).await?;
    tabs.until_streams(2).await
}
