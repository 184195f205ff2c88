//! A NATS producer by hand: the client protocol over a socket, and nothing of any client library.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::PATIENCE;

/// How many messages are on their way before the acknowledgements are read.
const IN_FLIGHT: usize = 100;

/// One connection.
#[derive(Debug)]
pub struct Producer {
    stream: BufReader<TcpStream>,
    inbox: String,
}

/// What the server said.
enum Said {
    Pong,
    Message(Vec<u8>),
}

impl Producer {
    /// Connects to `nats://host:port`.
    ///
    /// # Errors
    /// If there is no server.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_as(url, |_| Ok(String::new())).await
    }

    /// The same as somebody: `login` makes of the server's nonce what is added to what the client says of itself,
    /// `"jwt":"…","sig":"…",`.
    ///
    /// # Errors
    /// If there is no server, or it doesn't let us in.
    pub async fn connect_as(url: &str, login: impl FnOnce(&str) -> Result<String>) -> Result<Self> {
        let address = url.strip_prefix("nats://").with_context(|| format!("{url:?} is no nats:// URL"))?;
        let mut stream = BufReader::new(TcpStream::connect(address).await.with_context(|| url.to_owned())?);
        let mut info = String::new();
        timeout(PATIENCE, stream.read_line(&mut info)).await??;
        ensure!(info.starts_with("INFO "), "no NATS server: {info:?}");
        let told: Value = serde_json::from_str(&info["INFO ".len()..])?;
        let login = login(told["nonce"].as_str().unwrap_or_default())?;
        let inbox = format!("_INBOX.{:016x}", fastrand::u64(..));
        let hello = format!(
            "CONNECT {{{login}\"verbose\":false,\"pedantic\":true,\"headers\":true,\"lang\":\"by-hand\",\
             \"version\":\"0\",\"name\":\"producer\"}}\r\nSUB {inbox} 1\r\n"
        );
        stream.write_all(hello.as_bytes()).await?;
        let mut producer = Self { stream, inbox };
        producer.flush().await?;
        Ok(producer)
    }

    /// Publishes to a subject, at most once. [`flush`](Self::flush) to know that the server has it.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn publish(
        &mut self,
        subject: &str,
        headers: &[(String, String)],
        payload: &[u8],
    ) -> Result<()> {
        self.write(subject, None, headers, payload).await
    }

    /// Returns when the server has handled all that was published.
    ///
    /// # Errors
    /// If the connection is lost, or the server refused something.
    pub async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(b"PING\r\n").await?;
        while !matches!(self.said().await?, Said::Pong) {}
        Ok(())
    }

    /// Publishes to a stream's subject; returns the sequences at which JetStream has stored the messages.
    ///
    /// # Errors
    /// If the connection is lost, or JetStream refuses.
    pub async fn store(
        &mut self,
        subject: &str,
        headers: &[(String, String)],
        payloads: &[impl AsRef<[u8]>],
    ) -> Result<Vec<u64>> {
        let mut sequences = Vec::with_capacity(payloads.len());
        let inbox = self.inbox.clone();
        for window in payloads.chunks(IN_FLIGHT) {
            for payload in window {
                self.write(subject, Some(&inbox), headers, payload.as_ref()).await?;
            }
            for _ in window {
                sequences.push(self.stored(subject).await?);
            }
        }
        Ok(sequences)
    }

    /// The same with headers as they are: whatever a publisher may write there, the server stores it.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub async fn store_raw(&mut self, subject: &str, head: &[u8], payload: &[u8]) -> Result<u64> {
        let (inbox, length) = (self.inbox.clone(), head.len());
        let line = format!("HPUB {subject} {inbox} {length} {}\r\n", length + payload.len());
        self.stream.write_all(&[line.as_bytes(), head, payload, b"\r\n"].concat()).await?;
        self.stored(subject).await
    }

    /// Asks JetStream's API, all at once; the answers come in any order.
    ///
    /// # Errors
    /// If the connection is lost, or an answer is no JSON.
    pub async fn ask(&mut self, subject: &str, questions: &[String]) -> Result<Vec<Value>> {
        let inbox = self.inbox.clone();
        for question in questions {
            self.write(subject, Some(&inbox), &[], question.as_bytes()).await?;
        }
        let mut answers = Vec::with_capacity(questions.len());
        while answers.len() < questions.len() {
            if let Said::Message(answer) = self.said().await? {
                answers.push(serde_json::from_slice(&answer)?);
            }
        }
        Ok(answers)
    }

    /// Where JetStream has put the next message that it acknowledges.
    async fn stored(&mut self, subject: &str) -> Result<u64> {
        let ack = loop {
            if let Said::Message(ack) = self.said().await? {
                break String::from_utf8(ack)?;
            }
        };
        let seq = ack.find('{').and_then(|at| serde_json::from_str::<Value>(&ack[at..]).ok());
        let seq = seq.and_then(|ack| ack["seq"].as_u64());
        seq.with_context(|| format!("{subject}: JetStream answers {ack:?}"))
    }

    async fn write(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(String, String)],
        payload: &[u8],
    ) -> Result<()> {
        let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
        let mut head = String::new();
        if !headers.is_empty() {
            head.push_str("NATS/1.0\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
        }
        let line = match head.len() {
            0 => format!("PUB {subject}{reply} {}\r\n", payload.len()),
            length => format!("HPUB {subject}{reply} {length} {}\r\n", length + payload.len()),
        };
        let bytes = [line.as_bytes(), head.as_bytes(), payload, b"\r\n"].concat();
        Ok(self.stream.write_all(&bytes).await?)
    }

    async fn said(&mut self) -> Result<Said> {
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await;
            ensure!(read.context("the server says nothing")?? > 0, "the server has closed the connection");
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let size = match words[..] {
                ["PING"] => {
                    self.stream.write_all(b"PONG\r\n").await?;
                    continue;
                }
                ["PONG"] => return Ok(Said::Pong),
                ["MSG" | "HMSG", .., size] => size.parse::<usize>()?,
                ["INFO", ..] => continue,
                _ => bail!("the server says {line:?}"),
            };
            let mut payload = vec![0; size + 2];
            self.stream.read_exact(&mut payload).await?;
            payload.truncate(size);
            return Ok(Said::Message(payload));
        }
    }
}
