//! Writing each message of a source once.

use async_trait::async_trait;
use tidewater_core::{Cursor, Error, ErrorKind, ExactlyOnce, Result, Transfer};

use crate::{
    EmbeddedLog,
    log::at_once,
    requests::{Request, WriterCursor},
};

/// A writer whose cursor stands in the log, written in one batch with its messages.
#[derive(Debug)]
pub(crate) struct Writer {
    log: EmbeddedLog,
    id: String,
    /// What the log knows it by, once it has resumed.
    number: Option<u64>,
}

impl Writer {
    pub(crate) fn new(log: EmbeddedLog, id: &str) -> Self {
        Self { log, id: id.to_owned(), number: None }
    }
}

#[async_trait]
impl ExactlyOnce for Writer {
    async fn resume(&mut self) -> Result<Option<Cursor>> {
        let (cursor, number) = self.log.ask(|answer| Request::TakeOver(self.id.clone(), answer)).await?;
        self.number = Some(number);
        let unreadable = |error| {
            let message = format!("{}: the cursor of the writer {:?} can't be read", self.log, self.id);
            Error::new(ErrorKind::Internal, message).with_source(error)
        };
        cursor.map(|cursor| cursor.parse().map_err(unreadable)).transpose()
    }

    async fn write(&mut self, mut batch: Vec<Transfer>, next: &Cursor) -> Result<()> {
        let Some(number) = self.number else {
            let message = format!("{}: the writer {:?} has to resume before it writes", self.log, self.id);
            return Err(Error::new(ErrorKind::Config, message));
        };
        loop {
            let rest = batch.split_off(at_once(&batch, |transfer| transfer.message.size()));
            // What is left belongs to a batch of its own, which begins behind these.
            let reached = batch.last().filter(|_| !rest.is_empty()).map_or(next, |last| &last.next);
            let writer = WriterCursor { id: self.id.clone(), number, cursor: reached.to_string() };
            let messages = batch.into_iter().map(|transfer| transfer.message).collect();
            self.log.append(messages, Some(writer)).await?;
            if rest.is_empty() {
                return Ok(());
            }
            batch = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use tempfile::TempDir;
    use tidewater_core::{Message, Sink, Source};
    use tidewater_testkit::exactly_once::{self, Failure, Harness, Target};

    use super::*;
    use crate::{Retain, Settings};

    struct Folders(TempDir, AtomicU64);

    #[async_trait]
    impl Harness for Folders {
        async fn target(&self) -> Result<Box<dyn Target>, Failure> {
            let path = self.0.path().join(self.1.fetch_add(1, Ordering::Relaxed).to_string());
            Ok(Box::new(EmbeddedLog::open(path, Settings::default())?))
        }
    }

    #[async_trait]
    impl Target for EmbeddedLog {
        fn sink(&self) -> Result<Arc<dyn Sink>, Failure> {
            Ok(Arc::new(EmbeddedLog::sink(self)))
        }

        fn source(&self) -> Result<Arc<dyn Source>, Failure> {
            Ok(Arc::new(EmbeddedLog::source(self)))
        }

        async fn spoil(&self, id: &str) -> Result<(), Failure> {
            let (_, number) = self.ask(|answer| Request::TakeOver(id.to_owned(), answer)).await?;
            let writer = WriterCursor { id: id.to_owned(), number, cursor: "no cursor!".to_owned() };
            self.append(Vec::new(), Some(writer)).await?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn writers_keep_the_contract() {
        exactly_once::run(&Folders(tempfile::tempdir().unwrap(), AtomicU64::new(0))).await;
    }

    /// So one that was taken over from is never taken for who took over, in whatever thread that writes.
    #[tokio::test]
    async fn numbers_are_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut numbers = std::collections::HashSet::new();
        for _ in 0..3 {
            let log = EmbeddedLog::open(folder.path().join("x"), Settings::default()).unwrap();
            for _ in 0..2 {
                let (_, number) = log.ask(|answer| Request::TakeOver("w".to_owned(), answer)).await.unwrap();
                assert!(numbers.insert(number), "{number} is given twice");
            }
        }
    }

    /// The cursor goes with the newest part of the log, and stays when what it was written with is long gone.
    #[tokio::test]
    async fn a_position_outlives_its_messages_and_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let retain = Retain { bytes: Some(16 << 20), ..Retain::default() };
        let settings = Settings { retain, ..Settings::default() };
        let open = || EmbeddedLog::open(folder.path().join("x"), settings.clone()).unwrap();
        let cursor = |offset: u64| {
            let mut cursor = Cursor::default();
            cursor.raise(tidewater_core::TopicTag(7), tidewater_core::Epoch(8).tag(), 3, offset);
            cursor
        };
        let log = open();
        let mut writer = Writer::new(log.clone(), "w");
        assert_eq!(writer.write(Vec::new(), &cursor(1)).await.unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(writer.resume().await.unwrap(), None);
        let transfer = Transfer { message: Message::new("", "x"), next: cursor(1) };
        writer.write(vec![transfer], &cursor(5)).await.unwrap();
        let large = (0..160).map(|_| Message::new("", vec![0; 256 << 10])).collect();
        Sink::send_all(&log.sink(), large).await.unwrap();
        let end = loop {
            let range = Source::bounds(&log.source()).await.unwrap().topics[0].partitions[0].clone();
            if (range.end - range.start) << 18 <= 16 << 20 {
                break range;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert!(end.start > 90, "the message is gone: {end:?}");
        drop((writer, log));
        let log = open();
        let mut writer = Writer::new(log.clone(), "w");
        assert_eq!(writer.resume().await.unwrap(), Some(cursor(5)));
        assert_eq!(Source::bounds(&log.source()).await.unwrap().topics[0].partitions[0], end);
        // A log that was made anew knows nothing of it.
        std::fs::remove_dir_all(folder.path().join("x")).unwrap();
        let error = writer.write(Vec::new(), &cursor(6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(writer.resume().await.unwrap(), None);
        writer.write(Vec::new(), &cursor(6)).await.unwrap();
    }
}
