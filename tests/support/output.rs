//! What a process of ours writes, as it comes.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    task::JoinHandle,
    time::timeout,
};

use crate::PATIENCE;

/// All that it has written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output(Arc<Mutex<String>>);

impl Output {
    /// Reads it from both of its pipes.
    ///
    /// # Errors
    /// If it has none.
    pub(crate) fn of(&self, mut child: Child) -> Result<Running> {
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let readers = [self.read(stdout)?, self.read(stderr)?];
        Ok(Running { child, readers })
    }

    fn read(&self, from: impl AsyncRead + Send + Unpin + 'static) -> Result<JoinHandle<()>> {
        let text = self.0.clone();
        let mut kept = kept()?;
        Ok(tokio::spawn(async move {
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
                text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                if let Some(Err(error)) = kept.as_mut().map(|kept| kept.write_all(&line)) {
                    eprintln!("TIDEWATER_TEST_OUTPUT: {error}");
                }
                line.clear();
            }
        }))
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A process that runs, and what reads its output.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    readers: [JoinHandle<()>; 2],
}

impl Running {
    /// Until all that the process wrote has been read.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        for reader in &mut self.readers {
            timeout(PATIENCE, reader)
                .await
                .context("what the process started lives on and holds its output")??;
        }
        Ok(())
    }
}

/// A file for what it writes, in the folder `TIDEWATER_TEST_OUTPUT` if that names one: `cargo xtask test` looks
/// there for secrets.
fn kept() -> Result<Option<File>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Some(folder) = std::env::var_os("TIDEWATER_TEST_OUTPUT").filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(&folder).join(format!("gateway-{test}-{}-{count}", std::process::id()));
    File::create(&path).map(Some).with_context(|| path.display().to_string())
}
