//! `tidewater health`: whether a gateway is well, for who has no curl.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

use crate::{failure::Failure, output::Output};

/// Ask a gateway's health check, and say so by the exit code.
///
/// For checks of containers, which hold this binary and nothing else: no shell, and no curl.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater health http://127.0.0.1:9090/health/ready
  tidewater health http://127.0.0.1:9090/health/live --timeout 1s

Exit codes: 0 it answers 200, 1 it answers something else or not at all, 2 wrong command line.")]
pub(crate) struct Args {
    /// An http:// URL, of /health/ready or /health/live.
    #[arg(value_name = "URL", value_parser = url)]
    url: Uri,
    /// How long the answer may take.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = crate::config::duration)]
    timeout: Duration,
}

/// The most bytes of an answer that are shown: one that names hundreds of channels is longer.
const MOST: usize = 4 << 10;

/// Runs `tidewater health`.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(format_args!("no thread can be started: {error}")))?;
    let url = &args.url;
    let (status, body) = runtime
        .block_on(async { timeout(args.timeout, ask(url.clone())).await })
        .map_err(|_| Failure::runtime(format_args!("{url} does not answer within {:?}", args.timeout)))?
        .map_err(|why| Failure::runtime(format_args!("{url}: {why}")))?;
    if status != StatusCode::OK {
        return Err(Failure::runtime(format_args!("{url} answers {status}: {body}")));
    }
    let mut output = Output::new();
    output.line(&body)?;
    output.flush()
}

/// The status, and the beginning of the body.
async fn ask(url: Uri) -> Result<(StatusCode, String), String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(url).await.map_err(|error| in_words(&error))?;
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while bytes.len() < MOST
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| in_words(&error))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    bytes.truncate(MOST);
    Ok((head.status, String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// The innermost cause: the others say that there is one.
fn in_words(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The checks' own listener speaks HTTP.
fn url(text: &str) -> Result<Uri, String> {
    let url: Uri =
        text.parse().map_err(|error| format!("{error}: write http://127.0.0.1:9090/health/ready"))?;
    match (url.scheme_str(), url.authority()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err("it is no http:// URL: write http://127.0.0.1:9090/health/ready".to_owned()),
    }
}
