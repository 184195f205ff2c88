//! The two requests of Kafka's protocol that xtask needs, by hand: a client library would compile C.
//!
//! Both in versions from before the flexible encoding (KIP-482); Kafka 4 still takes them (KIP-896).

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::net;

const METADATA: (i16, i16) = (3, 1);
const CREATE_TOPICS: (i16, i16) = (19, 4);
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Asks for metadata of no topics and expects a broker in the answer.
///
/// An open port is not enough: KRaft's broker listens before it has joined its cluster.
pub(super) fn ask(port: u16) -> Result<()> {
    let answer = request(port, METADATA, &0_i32.to_be_bytes())?;
    let brokers = Reader(&answer).int32()?;
    ensure!(brokers > 0, "it has not joined its cluster yet");
    Ok(())
}

/// Creates a topic; one that exists is left as it is.
pub(super) fn create_topic(port: u16, name: &str, partitions: u16) -> Result<()> {
    let mut body = Vec::new();
    body.extend(1_i32.to_be_bytes());
    body.extend(string(name));
    body.extend(i32::from(partitions).to_be_bytes());
    // One replica, no assignments, no settings, 10 s, for real.
    body.extend(1_i16.to_be_bytes());
    body.extend([0_i32.to_be_bytes(), 0_i32.to_be_bytes(), 10_000_i32.to_be_bytes()].concat());
    body.push(0);
    let answer = request(port, CREATE_TOPICS, &body)?;
    let mut answer = Reader(&answer);
    answer.int32()?; // How long the broker throttled us.
    ensure!(answer.int32()? == 1, "the answer to one topic holds another number of topics");
    answer.string()?;
    let code = answer.int16()?;
    if code != 0 && code != TOPIC_ALREADY_EXISTS {
        bail!("cannot create topic {name}: {} (code {code})", answer.string()?);
    }
    Ok(())
}

/// Sends one request and returns the answer's body.
fn request(port: u16, (key, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
    const CORRELATION: i32 = 7;
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(CORRELATION.to_be_bytes());
    frame.extend(string("xtask"));
    frame.extend(body);
    let mut stream = TcpStream::connect_timeout(&net::loopback(port), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(12)))?;
    stream.write_all(&u32::try_from(frame.len())?.to_be_bytes())?;
    stream.write_all(&frame)?;

    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let mut head = Reader(&head);
    let (length, correlation) = (head.int32()?, head.int32()?);
    ensure!(correlation == CORRELATION && (4..1 << 20).contains(&length), "the answer is not Kafka's");
    let mut answer = vec![0; usize::try_from(length)? - 4];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn string(text: &str) -> Vec<u8> {
    // Names of ours, far below 32 KiB.
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Reads Kafka's primitive types.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn int16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// A string; null is empty.
    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        let (text, rest) = self.0.split_at_checked(length).context("Kafka's answer is too short")?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().context("Kafka's answer is too short")?;
        self.0 = rest;
        Ok(*bytes)
    }
}
