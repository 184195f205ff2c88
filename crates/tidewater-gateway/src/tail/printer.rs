//! Events on the terminal.

use std::fmt;

use tidewater::{payload::CURSOR_EVENT, sse::Event};

use super::Follow;
use crate::{commands::decode::Printed, failure::Failure, output::Output};

/// Prints events until there are enough.
pub(super) struct Printer {
    output: Output,
    follow: Follow,
    left: Option<u64>,
}

impl Printer {
    pub(super) fn new(follow: Follow) -> Self {
        Self { output: Output::new(), left: follow.count, follow }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    pub(super) fn print(&mut self, event: &Event) -> Result<(), Failure> {
        if self.is_done() || (event.event_type == CURSOR_EVENT && !self.follow.cursors) {
            return Ok(());
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        if self.follow.json {
            self.output.json(&Printed::from(event))
        } else {
            self.output.line(Plain(event))
        }
    }

    /// Shows what was printed, before more is waited for.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }
}

/// `TYPE: DATA`, further lines of data indented. Control characters are shown, not obeyed: a payload must not be able
/// to speak to the terminal.
struct Plain<'a>(&'a Event);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shown(f, &self.0.event_type)?;
        f.write_str(":")?;
        for (index, line) in self.0.data.split('\n').enumerate() {
            f.write_str(if index == 0 { " " } else { "\n    " })?;
            write_shown(f, line)?;
        }
        Ok(())
    }
}

fn write_shown(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\t' => f.write_str("\t")?,
            c if c.is_control() => write!(f, "{}", c.escape_unicode())?,
            c => fmt::Write::write_char(f, c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidewater::sse::Utf8Bytes;

    use super::*;

    #[test]
    fn plain_text_cannot_speak_to_the_terminal() {
        let event = Event {
            event_type: "a".into(),
            data: "x\n\u{1b}[2J\ty\u{9b}".into(),
            last_event_id: Utf8Bytes::new(),
        };
        assert_eq!(Plain(&event).to_string(), "a: x\n    \\u{1b}[2J\ty\\u{9b}");
    }
}
