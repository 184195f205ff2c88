//! A TCP proxy that cuts connections, or leaves one end of them dead.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What is done to the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// Each is cut after a time out of this range, in milliseconds.
    Cut(Range<u64>),
    /// The client is cut off; towards the gateway the connection stays, and nobody reads or writes it. New ones pass.
    Forget,
}

/// Between clients and a gateway. Dropping it cuts everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    forgotten: Arc<Mutex<Vec<TcpStream>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of this address.
    ///
    /// # Errors
    /// If it can't listen.
    pub(crate) async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let forgotten = Arc::default();
        let task = tokio::spawn(listen(listener, to, modes, Arc::clone(&forgotten)));
        Ok(Self { address, mode, forgotten, task })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this from now on, to open connections too.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many connections have a dead end.
    pub(crate) fn forgotten(&self) -> usize {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Closes the ends that nobody reads.
    pub(crate) fn bury(&self) {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    to: SocketAddr,
    modes: watch::Receiver<Mode>,
    forgotten: Arc<Mutex<Vec<TcpStream>>>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                open.spawn(forward(client, to, modes.clone(), Arc::clone(&forgotten)));
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn forward(
    mut client: TcpStream,
    to: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    forgotten: Arc<Mutex<Vec<TcpStream>>>,
) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    modes.mark_unchanged();
    let forget = loop {
        let mode = modes.borrow_and_update().clone();
        let cut = async {
            match mode {
                Mode::Cut(range) => sleep(Duration::from_millis(fastrand::u64(range))).await,
                Mode::Pass | Mode::Forget => std::future::pending().await,
            }
        };
        tokio::select! {
            // One end has gone: the other is cut by it.
            _ = copy_bidirectional(&mut client, &mut server) => break false,
            () = cut => break false,
            changed = modes.changed() => match changed {
                Ok(()) if *modes.borrow() == Mode::Forget => break true,
                Ok(()) => {}
                Err(_) => break false,
            },
        }
    };
    if forget {
        forgotten.lock().unwrap_or_else(PoisonError::into_inner).push(server);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::{Instant, timeout},
    };

    use super::*;

    #[tokio::test]
    async fn it_passes_cuts_and_forgets() -> Result<()> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let proxy = Proxy::start(server.local_addr()?).await?;
        let patience = Duration::from_secs(20);
        let pair = async || {
            let (client, accepted) = tokio::join!(TcpStream::connect(proxy.address()), server.accept());
            anyhow::Ok((client?, accepted?.0))
        };
        let mut byte = [0];
        let (mut client, mut end) = pair().await?;
        client.write_all(b"a").await?;
        end.read_exact(&mut byte).await?;
        end.write_all(b"b").await?;
        client.read_exact(&mut byte).await?;
        assert_eq!(&byte, b"b");

        proxy.set(Mode::Forget);
        assert!(matches!(timeout(patience, client.read(&mut byte)).await?, Ok(0) | Err(_)), "cut off");
        timeout(Duration::from_millis(100), end.read(&mut byte)).await.unwrap_err();
        assert_eq!(proxy.forgotten(), 1);
        proxy.bury();
        assert!(matches!(timeout(patience, end.read(&mut byte)).await?, Ok(0) | Err(_)), "closed");

        proxy.set(Mode::Cut(50..100));
        let began = Instant::now();
        let (mut client, mut end) = pair().await?;
        for end in [&mut client, &mut end] {
            assert!(matches!(timeout(patience, end.read(&mut byte)).await?, Ok(0) | Err(_)), "cut");
        }
        assert!(began.elapsed() >= Duration::from_millis(50));
        Ok(())
    }
}
