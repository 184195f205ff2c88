//! One subscription: a place in the file, moved along line by line.

use std::{
    fs::Metadata,
    io::{self, SeekFrom},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use tidewater::{
    Delivery, Epoch, Error, ErrorKind, Gap, GapReason, Message, NewEpoch, Position, Result, Retry,
};
use tokio::{
    fs::{self, File},
    io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader},
    time::sleep,
};

use crate::Lines;

/// How often a file that has nothing new is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// A longer line is left out, behind a gap: what a stranger writes into a file must not fill the memory.
const LONGEST: u64 = 1 << 20;
/// How much is read at once.
const CHUNK: u64 = 64 << 10;

/// The file as it was when it was opened, whatever stands under its path later.
pub(crate) struct Opened {
    file: File,
    pub(crate) epoch: Epoch,
}

impl Opened {
    /// # Errors
    /// `NotFound` while there is no such file: it may come, so trying again can help.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let open = async {
            let file = File::open(path).await?;
            let epoch = epoch(&file.metadata().await?);
            Ok::<_, io::Error>(Self { file, epoch })
        };
        open.await.map_err(|error| failed(path, error))
    }

    /// Where the next line will begin: after the last line break.
    pub(crate) async fn end(&mut self) -> Result<u64> {
        let mut to = self.file.metadata().await.map_err(unreadable)?.len();
        let mut chunk = Vec::new();
        while to > 0 {
            let from = to.saturating_sub(CHUNK);
            chunk.clear();
            self.file.seek(SeekFrom::Start(from)).await.map_err(unreadable)?;
            (&mut self.file).take(to - from).read_to_end(&mut chunk).await.map_err(unreadable)?;
            if let Some(index) = chunk.iter().rposition(|byte| *byte == b'\n') {
                return Ok(from + index as u64 + 1);
            }
            to = from;
        }
        Ok(0)
    }

    /// The line that begins at `wanted`; else, as an id may say anything, the next one.
    pub(crate) async fn line_at(&mut self, wanted: u64) -> Result<u64> {
        let end = self.end().await?;
        if wanted == 0 || wanted >= end {
            return Ok(wanted.min(end));
        }
        self.file.seek(SeekFrom::Start(wanted - 1)).await.map_err(unreadable)?;
        let mut rest = Vec::new();
        let skipped =
            BufReader::new(&mut self.file).read_until(b'\n', &mut rest).await.map_err(unreadable)?;
        Ok(wanted - 1 + skipped as u64)
    }
}

/// A place in the file.
pub(crate) struct Reader {
    lines: Lines,
    file: BufReader<File>,
    epoch: Epoch,
    /// Where the line begins that is read now.
    next: u64,
    /// What has come of it, up to [`LONGEST`].
    line: Vec<u8>,
    /// How long it is so far.
    length: u64,
}

impl Reader {
    pub(crate) async fn new(lines: Lines, opened: Opened, next: u64) -> Result<Self> {
        let Opened { mut file, epoch } = opened;
        file.seek(SeekFrom::Start(next)).await.map_err(unreadable)?;
        let file = BufReader::with_capacity(CHUNK as usize, file);
        Ok(Self { lines, file, epoch, next, line: Vec::new(), length: 0 })
    }

    /// The next thing to tell, as soon as there is one.
    pub(crate) async fn next(&mut self) -> Result<Delivery> {
        loop {
            // Looked at before the file is read: what was written before it was replaced comes first.
            let replaced = if self.file.buffer().is_empty() { self.replacement().await? } else { None };
            if let Some(delivery) = self.read().await.map_err(unreadable)? {
                return Ok(delivery);
            }
            match replaced {
                Some(opened) => {
                    *self = Self::new(self.lines.clone(), opened, 0).await?;
                    let (topic, tag) = (self.lines.topic.clone(), self.lines.tag());
                    return Ok(Delivery::Epoch(NewEpoch { topic, tag, epoch: self.epoch, start: vec![0] }));
                }
                None => sleep(EVERY).await,
            }
        }
    }

    /// The file that stands under the path, if it is another one.
    async fn replacement(&self) -> Result<Option<Opened>> {
        match fs::metadata(&self.lines.path).await {
            Ok(metadata) if epoch(&metadata) == self.epoch => {
                let read = self.next + self.length;
                if metadata.len() >= read {
                    return Ok(None);
                }
                let why = "it was cut short in place; rotate it by renaming, so that nothing is read twice";
                Err(Error::new(ErrorKind::Unavailable, format!("{}: {why}", self.lines)))
            }
            Ok(_) => Opened::open(&self.lines.path).await.map(Some),
            // In the middle of a rotation there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.lines.path, error)),
        }
    }

    /// The next whole line, if there is one.
    async fn read(&mut self) -> io::Result<Option<Delivery>> {
        loop {
            let bytes = self.file.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let line_break = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..line_break.unwrap_or(bytes.len())];
            self.length += part.len() as u64;
            if self.length <= LONGEST {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(line_break.is_some());
            self.file.consume(used);
            if line_break.is_some() {
                return Ok(Some(self.finish()));
            }
        }
    }

    /// What a line that has ended becomes.
    fn finish(&mut self) -> Delivery {
        let (topic, tag) = (self.lines.topic.clone(), self.lines.tag());
        let (start, end) = (self.next, self.next + self.length);
        let (line, length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        self.next = end + 1;
        if length > LONGEST {
            let (missing, reason) = (Some(start..self.next), GapReason::Lost);
            return Delivery::Gap(Gap { topic, tag, partition: 0, missing, reason });
        }
        Delivery::Message(Message { tag, position: Position::Offset(end), ..Message::new(topic, line) })
    }
}

/// What tells this file from another of the same name. An inode can be used again, a time be the same: not both.
pub(crate) fn epoch(metadata: &Metadata) -> Epoch {
    let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Epoch(created.map_or(0, |time| time.as_nanos()) << 64 | u128::from(inode(metadata)))
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

pub(crate) fn failed(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    let what = format!("the file {}", path.display());
    Error::new(kind, what).with_retry(Retry::Later).with_source(error)
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the file can't be read").with_source(error)
}
