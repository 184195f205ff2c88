//! A broker that events go to, and a bare consumer of it: what there is before any server of ours. Both are written to
//! by hand, because what comes between would be measured too; NATS is read by hand, Kafka by kcat.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::kafka;

/// Where the events go.
#[derive(Debug)]
pub(crate) struct Broker {
    place: Place,
    to: TcpStream,
}

#[derive(Debug)]
enum Place {
    Nats { address: String, subject: String },
    Kafka { address: String, topic: String },
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
        let to = match &place {
            Place::Nats { address, .. } => nats(address)?,
            Place::Kafka { address, .. } => connect(address)?,
        };
        Ok(Self { place, to })
    }

    /// Publishes one event.
    pub(crate) fn publish(&mut self, data: &[u8]) -> Result<()> {
        let request = match &self.place {
            Place::Nats { subject, .. } => {
                [format!("PUB {subject} {}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
            }
            Place::Kafka { topic, .. } => kafka::produce(topic, data),
        };
        Ok(self.to.write_all(&request)?)
    }

    /// Somebody who does nothing but read what comes from now on.
    pub(crate) fn consume(&self) -> Result<Consumer> {
        match &self.place {
            Place::Nats { address, subject } => {
                let mut socket = nats(address)?;
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
    let socket = TcpStream::connect(address).with_context(|| address.to_owned())?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn nats(address: &str) -> Result<TcpStream> {
    let mut socket = connect(address)?;
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
