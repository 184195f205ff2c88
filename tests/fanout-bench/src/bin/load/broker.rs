//! A broker that events go to, and a bare consumer of it: what there is before any server of ours. NATS is spoken to by
//! hand, Kafka by kcat.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Where the events go.
#[derive(Debug)]
pub(crate) struct Broker {
    place: Place,
    to: To,
    _program: Option<Running>,
}

#[derive(Debug)]
enum Place {
    Nats { address: String, subject: String },
    Kafka { address: String, topic: String },
}

#[derive(Debug)]
enum To {
    Nats(TcpStream),
    Kafka(ChildStdin),
}

/// A program that ends with us.
#[derive(Debug)]
struct Running(Child);

/// What a bare consumer reads.
#[derive(Debug)]
pub(crate) struct Consumer {
    from: From,
    _program: Option<Running>,
}

#[derive(Debug)]
enum From {
    Nats(TcpStream),
    Kafka(ChildStdout),
}

impl Broker {
    /// Connects.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let place = Place::parse(url).with_context(|| format!("{url} is no broker's URL"))?;
        let (to, _program) = match &place {
            Place::Nats { address, .. } => (To::Nats(connect(address)?), None),
            Place::Kafka { address, topic } => {
                let mut kcat = kcat(address);
                // Each line at once.
                kcat.args(["-P", "-t", topic, "-X", "linger.ms=0"]).stdin(Stdio::piped());
                let mut child = kcat.spawn().context("kcat")?;
                let stdin = child.stdin.take().context("kcat")?;
                (To::Kafka(stdin), Some(Running(child)))
            }
        };
        Ok(Self { place, to, _program })
    }

    /// Publishes one event.
    pub(crate) fn publish(&mut self, data: &[u8]) -> Result<()> {
        match (&mut self.to, &self.place) {
            (To::Nats(socket), Place::Nats { subject, .. }) => {
                let head = format!("PUB {subject} {}\r\n", data.len());
                Ok(socket.write_all(&[head.as_bytes(), data, b"\r\n"].concat())?)
            }
            (To::Kafka(stdin), _) => Ok(stdin.write_all(&[data, b"\n"].concat())?),
            (To::Nats(_), Place::Kafka { .. }) => bail!("no subject"),
        }
    }

    /// Somebody who does nothing but read what comes from now on.
    pub(crate) fn consume(&self) -> Result<Consumer> {
        match &self.place {
            Place::Nats { address, subject } => {
                let mut socket = connect(address)?;
                let (stream, _) = subject.split_once('.').unwrap_or((subject, ""));
                let deliver = format!("_bench.{}", std::process::id());
                let create = format!(
                    "{{\"stream_name\":\"{stream}\",\"config\":{{\"deliver_subject\":\"{deliver}\",\
                     \"deliver_policy\":\"new\",\"ack_policy\":\"none\",\"mem_storage\":true}}}}"
                );
                let text = format!(
                    "SUB {deliver} 1\r\nPUB $JS.API.CONSUMER.CREATE.{stream} {deliver}.made {}\r\n{create}\r\n",
                    create.len()
                );
                socket.write_all(text.as_bytes())?;
                socket.set_nonblocking(true)?;
                Ok(Consumer { from: From::Nats(socket), _program: None })
            }
            Place::Kafka { address, topic } => {
                let mut kcat = kcat(address);
                kcat.args(["-C", "-q", "-u", "-t", topic, "-o", "end", "-f", "%s\n"]);
                let mut child = kcat.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("kcat")?;
                let stdout = child.stdout.take().context("kcat")?;
                Ok(Consumer { from: From::Kafka(stdout), _program: Some(Running(child)) })
            }
        }
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).with_context(|| address.to_owned())?;
    socket.set_nodelay(true)?;
    socket.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    Ok(socket)
}

fn kcat(address: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", address]);
    kcat
}

impl Place {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (address, name) = rest.split_once('/')?;
        let (address, name) = (address.to_owned(), name.to_owned());
        match scheme {
            "nats" => Some(Self::Nats { address, subject: name }),
            "kafka" => Some(Self::Kafka { address, topic: name }),
            _ => None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Read for Consumer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.from {
            From::Nats(socket) => socket.read(buffer),
            From::Kafka(stdout) => stdout.read(buffer),
        }
    }
}

impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.from {
            From::Nats(socket) => socket.as_fd(),
            From::Kafka(stdout) => stdout.as_fd(),
        }
    }
}
