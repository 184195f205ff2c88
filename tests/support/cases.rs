//! What payloads look like that are easily got wrong, and what a client gets of them.

use anyhow::{Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Broker, Record};

/// A message, and the event that it becomes (design §6, payload mode `text`).
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub what: &'static str,
    /// The message.
    pub record: Record,
    /// The event's type.
    pub event: &'static str,
    /// The event's data.
    pub data: String,
}

impl Case {
    /// Every case of a broker's; the last is the only one whose data is `the last`.
    pub fn all(broker: Broker) -> Vec<Self> {
        let large: String = (0..200_000).map(|n| format!("{n} ")).collect();
        let large = &large[..1 << 20];
        let forged = "x\r\nid: forged\r\rdata: y\n\nevent: tidewater.gap";
        let mut cases = vec![
            Self::text("plain text", "hello, \u{4e16}\u{754c}", "hello, \u{4e16}\u{754c}"),
            Self {
                record: Record { key: Some("customer 7"), ..Record::new("{\"id\":1}") }
                    .header("tidewater-event", "order.created")
                    .header("trace", "abc"),
                event: "order.created",
                ..Self::text("a key, headers and an event name", "", "{\"id\":1}")
            },
            Self::binary("bytes that are not UTF-8", &[0xff, 0xfe, 0x0a, 0x01]),
            Self::binary("a schema registry's framing", b"\0\0\0\0\x07text"),
            Self::text("an empty payload", "", ""),
            Self::text("a leading space", " x", " x"),
            Self::text("line ends", "a\r\nb\rc\nd\n", "a\nb\nc\nd\n"),
            Self::text("a forged block", forged, &forged.replace("\r\n", "\n").replace('\r', "\n")),
            Self {
                record: Record::new("reserved").header("tidewater-event", "tidewater.gap"),
                ..Self::text("a reserved event name", "", "reserved")
            },
            Self::text("1 MiB", large, large),
        ];
        if broker == Broker::Kafka {
            let record = Record { key: Some("customer 8"), ..Record::default() };
            let (event, data) = ("tidewater.tombstone", "customer 8".to_owned());
            cases.push(Self { what: "a tombstone", record, event, data });
        }
        cases.push(Self::text("the last", "the last", "the last"));
        cases
    }

    /// Compares what came to what should have.
    ///
    /// # Errors
    /// If it is something else.
    pub fn check(&self, event: &str, data: &str) -> Result<()> {
        let what = self.what;
        ensure!(event == self.event, "{what}: the event's name is {event:?}");
        let shown = |text: &str| text.chars().take(80).collect::<String>();
        ensure!(
            data == self.data,
            "{what}: {} bytes {:?} instead of {} bytes {:?}",
            data.len(),
            shown(data),
            self.data.len(),
            shown(&self.data)
        );
        Ok(())
    }

    fn text(what: &'static str, payload: &str, data: &str) -> Self {
        Self { what, record: Record::new(payload), event: "message", data: data.to_owned() }
    }

    fn binary(what: &'static str, payload: &[u8]) -> Self {
        let data = STANDARD.encode(payload);
        Self { what, record: Record::new(payload), event: "tidewater.binary", data }
    }
}
