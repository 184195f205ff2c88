//! As much of an EventSource as a check needs: reads a stream line by line and tells its events.

use std::io::{BufRead, Result};

/// One event of an application.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The last id at that point.
    pub(crate) id: String,
    pub(crate) data: String,
}

/// Reads events until `take` says that it has enough (false) or the stream ends.
///
/// Tidewater's own blocks (`tidewater.cursor` and the like, with or without an id) are passed over.
pub(crate) fn read(stream: impl BufRead, mut take: impl FnMut(Event) -> bool) -> Result<()> {
    let (mut kind, mut data, mut id) = (String::new(), None::<String>, String::new());
    for line in stream.lines() {
        let line = line?;
        if line.is_empty() {
            if let Some(data) = data.take()
                && !kind.starts_with("tidewater.")
                && !take(Event { id: id.clone(), data })
            {
                return Ok(());
            }
            kind.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut kind),
            "id" => value.clone_into(&mut id),
            "data" => {
                data = Some(match data {
                    Some(before) => before + "\n" + value,
                    None => value.to_owned(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Event> {
        let mut events = Vec::new();
        read(text.as_bytes(), |event| {
            events.push(event);
            true
        })
        .unwrap();
        events
    }

    #[test]
    fn tells_events_from_cursors_and_comments() {
        let events =
            all(": hello\nretry: 3000\nevent: tidewater.cursor\nid: a\ndata:\n\nid: b\nevent: load\n\
                          data: 1\ndata:  2\n\ndata: 3\n\nid: lost\ndata: 4");
        assert_eq!(
            events,
            [Event { id: "b".into(), data: "1\n 2".into() }, Event { id: "b".into(), data: "3".into() }]
        );
    }

    #[test]
    fn ends_when_it_has_enough() {
        let mut count = 0;
        read("data: 1\n\ndata: 2\n\n".as_bytes(), |_| {
            count += 1;
            false
        })
        .unwrap();
        assert_eq!(count, 1);
    }
}
