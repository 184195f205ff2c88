//! A shard's socket.

use std::io::{self, IoSlice, Read, Write};

#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token, event::Source, net::TcpStream};

use super::patience;
use crate::listen;

/// As [`listen::Socket`], without a runtime.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            #[cfg(unix)]
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    /// The kernel ends it when nothing is acknowledged for so long. (On this machine everything is, at once.)
    pub(super) fn set_patience(&self, timeout: std::time::Duration) {
        if let Self::Tcp(stream) = self {
            patience::set(stream, timeout);
        }
    }

    /// The kernel waits as long as it does by itself.
    pub(super) fn unset_patience(&self) {
        if let Self::Tcp(stream) = self {
            patience::unset(stream);
        }
    }
}

impl TryFrom<listen::Socket> for Socket {
    type Error = io::Error;

    fn try_from(socket: listen::Socket) -> io::Result<Self> {
        Ok(match socket {
            listen::Socket::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)),
            #[cfg(unix)]
            listen::Socket::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)),
        })
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
