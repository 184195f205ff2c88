//! How far it is, for whoever looks: a line that is drawn again and again on a terminal, else a line in the log now and
//! then.

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    checkpoint::Counts,
    missing::Offsets,
    progress::{Progress, Seen},
};
use crate::log;

const REDRAW: Duration = Duration::from_millis(200);
const LOG: Duration = Duration::from_secs(10);
/// Over about how long the rate is taken.
const SMOOTH: f64 = 3.0;
/// The columns of a terminal that doesn't say.
const COLUMNS: usize = 80;

/// Shows it for ever.
pub(super) async fn show(progress: &Progress) -> Infallible {
    let on_terminal = io::stderr().is_terminal();
    let every = if on_terminal { REDRAW } else { LOG };
    let (mut rate, mut last, mut at) = (Rate::default(), 0, Instant::now());
    loop {
        sleep(every).await;
        let seen = progress.seen();
        let messages = seen.counts.messages;
        rate.add(messages - last, at.elapsed());
        (last, at) = (messages, Instant::now());
        let line = Line { seen: &seen, rate: rate.per_second };
        if on_terminal {
            // Whoever closed the terminal does not look.
            log::draw(&cut(&line.to_string(), columns().saturating_sub(1))).ok();
        } else {
            tracing::info!("{line}");
        }
    }
}

/// The last line, behind all others.
pub(super) fn summary(text: &impl fmt::Display) {
    if io::stderr().is_terminal() {
        log::undraw().and_then(|()| writeln!(io::stderr(), "{text}")).ok();
    } else {
        tracing::info!("{text}");
    }
}

/// What went through, in words.
pub(super) struct Through(pub(super) Counts);

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { messages, bytes, gaps, rejected } = self.0;
        let (word, size) = (if messages == 1 { "message" } else { "messages" }, Size(bytes));
        write!(f, "{} {word}, {size}", Grouped(messages))?;
        if gaps > 0 {
            write!(f, ", {} {}", Grouped(gaps), if gaps == 1 { "gap" } else { "gaps" })?;
        }
        if rejected > 0 {
            write!(f, ", {} rejected", Grouped(rejected))?;
        }
        Ok(())
    }
}

struct Line<'a> {
    seen: &'a Seen,
    rate: f64,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}/s", Through(self.seen.counts), Grouped(self.rate.round() as u64))?;
        if let Some(what) = self.seen.away {
            write!(f, ", the {what} is away")?;
        }
        if let Some(behind) = self.seen.behind() {
            write!(f, ", {} behind", Grouped(behind))?;
        }
        for topic in self.seen.bounds.iter().flat_map(|bounds| &bounds.topics) {
            if let Some(own) = self.seen.cursor.topic(topic.tag) {
                write!(f, "; {} {}", topic.name, Offsets(own))?;
            }
        }
        Ok(())
    }
}

/// Messages per second, smoothed.
#[derive(Default)]
struct Rate {
    per_second: f64,
    begun: bool,
}

impl Rate {
    fn add(&mut self, messages: u64, over: Duration) {
        let seconds = over.as_secs_f64().max(1e-3);
        let now = messages as f64 / seconds;
        let weight = if self.begun { 1.0 - (-seconds / SMOOTH).exp() } else { 1.0 };
        self.per_second += (now - self.per_second) * weight;
        self.begun = true;
    }
}

/// What fits into so many columns; control characters are shown, not obeyed.
fn cut(text: &str, columns: usize) -> String {
    let mut line = String::new();
    let mut width = 0;
    for c in text.chars() {
        let mut shown = String::new();
        match c {
            c if c.is_control() => write!(shown, "{}", c.escape_unicode()).unwrap_or_default(),
            c => shown.push(c),
        }
        // A character beyond Latin may take two.
        width += if c < '\u{300}' { shown.len().min(shown.chars().count()) } else { 2 };
        if width > columns {
            break;
        }
        line.push_str(&shown);
    }
    line
}

#[cfg(unix)]
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

#[cfg(not(unix))]
fn columns() -> usize {
    COLUMNS
}

/// `1,234,567`
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// `1.5 MiB`
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut size, mut unit) = (self.0 as f64, 0);
        while size >= 1024.0 && unit < 4 {
            size /= 1024.0;
            unit += 1;
        }
        let name = ["bytes", "KiB", "MiB", "GiB", "TiB"][unit];
        if unit == 0 { write!(f, "{size} {name}") } else { write!(f, "{size:.1} {name}") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewater::{Bounds, Epoch, TopicBounds, TopicTag};

    use super::*;

    #[test]
    fn a_line_tells_all_there_is() {
        let mut seen = Seen {
            counts: Counts { messages: 1_234_567, bytes: 3 << 20, gaps: 1, rejected: 2 },
            away: Some("sink"),
            ..Seen::default()
        };
        let (tag, epoch) = (TopicTag(1), Epoch(1));
        let topic = TopicBounds { name: "orders".into(), tag, epoch, partitions: vec![0..4_321, 3..17] };
        seen.bounds = Some(Arc::new(Bounds { topics: vec![topic] }));
        seen.cursor.raise(tag, epoch.tag(), 1, 17);
        assert_eq!(
            Line { seen: &seen, rate: 999.6 }.to_string(),
            "1,234,567 messages, 3.0 MiB, 1 gap, 2 rejected, 1,000/s, the sink is away, 4,321 behind; orders 0:0 1:17"
        );
        let nothing = Line { seen: &Seen::default(), rate: 0.0 }.to_string();
        assert_eq!(nothing, "0 messages, 0 bytes, 0/s");
    }

    #[test]
    fn a_line_fits_and_speaks_to_nobody() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("日本語", 5), "日本");
        assert_eq!(cut("a\u{1b}[2J\u{9b}", 80), "a\\u{1b}[2J\\u{9b}");
        assert_eq!(cut("a\u{1b}", 4), "a", "nor half of it");
        assert_eq!(cut("grün", 4), "grün");
    }

    #[test]
    fn the_rate_is_smooth() {
        let mut rate = Rate::default();
        let second = Duration::from_secs(1);
        rate.add(100, second);
        assert!((rate.per_second - 100.0).abs() < 1.0);
        rate.add(0, second);
        assert!((50.0..100.0).contains(&rate.per_second), "{}", rate.per_second);
        for _ in 0..20 {
            rate.add(10, second);
        }
        assert!((rate.per_second - 10.0).abs() < 1.0, "{}", rate.per_second);
    }
}
