//! The other way round: each message becomes a line at the end of the file.

use std::{fmt, io};

use tidewater::{Error, ErrorKind, Message, Place, Position, Receipt, Result, Sink};
use tokio::{
    fs::OpenOptions,
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
};

use crate::{Lines, reader};

/// Appends lines to a file, which is made if it is missing. It has no keys and no headers: those are left out.
#[derive(Clone, Debug)]
pub struct LinesSink(Lines);

impl LinesSink {
    /// Appends to the file of these lines.
    pub fn new(lines: Lines) -> Self {
        Self(lines)
    }

    async fn append(&self, line: &[u8]) -> io::Result<Place> {
        // Opened anew each time, because log rotation may have put another file in its place.
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0.path).await?;
        file.write_all(line).await?;
        file.flush().await?;
        let end = file.stream_position().await?;
        let epoch = Some(reader::epoch(&file.metadata().await?));
        Ok(Place { tag: self.0.tag(), epoch, partition: 0, position: Position::Offset(end - 1) })
    }
}

#[async_trait::async_trait]
impl Sink for LinesSink {
    async fn send(&self, message: Message) -> Result<Receipt> {
        let mut line = message.payload.unwrap_or_default().to_vec();
        if line.contains(&b'\n') {
            // This message will never fit; another may. `Unavailable` would mean: try this one again later.
            return Err(Error::new(ErrorKind::Rejected, format!("{self}: a line can't hold a line break")));
        }
        line.push(b'\n');
        // In one write, so that a line is never torn by another writer's.
        let place = self.append(&line).await.map_err(|error| reader::failed(&self.0.path, error))?;
        Ok(Receipt { topic: self.0.topic.clone(), place: Some(place) })
    }

    async fn flush(&self) -> Result<()> {
        // `send` waits for its line: nothing is ever on its way.
        Ok(())
    }
}

impl fmt::Display for LinesSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
