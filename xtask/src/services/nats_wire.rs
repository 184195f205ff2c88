//! Requests to JetStream over NATS' plain text protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::net;

/// JetStream's code for a stream of the same name with other settings.
const NAME_IN_USE: u64 = 10_058;

/// Asks JetStream for its account and returns the server's version.
pub(super) fn ask(port: u16) -> Result<String> {
    let (version, answer) = request(port, "$JS.API.INFO", "")?;
    ensure!(answer["error"].is_null(), "JetStream answers with an error: {}", answer["error"]);
    Ok(version)
}

/// Creates a stream; one that exists is left as it is.
pub(super) fn create_stream(port: u16, name: &str, subjects: &[&str]) -> Result<()> {
    let settings = json!({"name": name, "subjects": subjects, "storage": "file", "num_replicas": 1});
    let (_, answer) = request(port, &format!("$JS.API.STREAM.CREATE.{name}"), &settings.to_string())?;
    let error = &answer["error"];
    if !error.is_null() && error["err_code"].as_u64() != Some(NAME_IN_USE) {
        bail!("cannot create stream {name}: {}", error["description"].as_str().unwrap_or("no reason given"));
    }
    Ok(())
}

/// Sends one request; returns the server's version and the answer.
fn request(port: u16, subject: &str, payload: &str) -> Result<(String, Value)> {
    const INBOX: &str = "_INBOX.xtask";
    let stream = TcpStream::connect_timeout(&net::loopback(port), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let info: Value =
        serde_json::from_str(line.trim_start_matches("INFO ")).context("its greeting is not NATS")?;
    let version = info["version"].as_str().unwrap_or("of unknown version").to_owned();
    // An inbox of its own for each request: several may run at the same time.
    let inbox = format!("{INBOX}.{}.{}", std::process::id(), stream.local_addr()?.port());
    (&stream).write_all(
        format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {inbox} 1\r\nPUB {subject} {inbox} {}\r\n{payload}\r\n",
            payload.len()
        )
        .as_bytes(),
    )?;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.starts_with("-ERR") {
            bail!("NATS does not answer {subject}: {}", line.trim());
        }
        if line.starts_with("MSG ") {
            break;
        }
    }
    let length: usize = line.split_whitespace().last().unwrap_or_default().parse().context("MSG line")?;
    ensure!(length < 1 << 20, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    let answer = serde_json::from_slice(&answer).with_context(|| format!("the answer to {subject}"))?;
    Ok((version, answer))
}
