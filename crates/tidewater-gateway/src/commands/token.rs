//! `tidewater token`: a token for trying things out, and for scripts.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value, json};

use crate::{failure::Failure, output::Output};

/// Make a JSON Web Token (HS256) with the secret of `[authorization.jwt]`, and print it.
///
/// For trying things out and for scripts: an application makes its users' tokens itself, when they log in.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The environment variable that holds the secret: 32 bytes at least.
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "secret_file",
        conflicts_with = "secret_file"
    )]
    secret_env: Option<String>,
    /// The file that holds the secret. A line break at its end is none of it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A claim: a text, or anything in JSON (sub=ada, groups='["a","b"]', admin=true). Repeat it for more. A text that
    /// looks like JSON is one in quotes: id='"7"'.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// For how long it counts: seconds, or with a unit (10m, 1h).
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = crate::config::duration)]
    expires: Duration,
}

const EXAMPLES: &str = "\
Examples:
  export JWT_SECRET=\"$(openssl rand -base64 32)\"
  token=\"$(tidewater token --secret-env JWT_SECRET --claim sub=ada --claim groups='[\"blue\"]')\"
  curl -N -H \"Authorization: Bearer $token\" http://localhost:8080/channels/orders
      what ada may read
  curl -N -H \"Cookie: __Host-session=$token\" https://localhost:8443/channels/orders
      the same as a browser would ask, with cookie = \"__Host-session\" in [authorization.jwt]
  tidewater token --secret-file /run/secrets/jwt --claim sub=cron --claim aud=tidewater --expires 10m

Exit codes: 0 done, 2 wrong command line, or a secret that is too short.";

/// What HS256 needs (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// Runs `tidewater token`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let secret = secret(args)?;
    if secret.len() < SHORTEST_SECRET {
        return Err(Failure::usage(format_args!(
            "the secret has {} bytes, which is too short for HS256: {SHORTEST_SECRET} at least (openssl rand -base64 32 makes one)",
            secret.len()
        )));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let token = sign(&args.claims, now, now.saturating_add(args.expires), secret.as_bytes());
    let mut output = Output::new();
    output.line(token)?;
    output.flush()
}

fn secret(args: &Args) -> Result<String, Failure> {
    if let Some(path) = &args.secret_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format_args!("{}: it can't be read: {error}", path.display())))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let name = args.secret_env.as_deref().unwrap_or_default();
    std::env::var(name).map_err(|_| {
        Failure::usage(format_args!(
            "the environment variable {name:?} is not set, or is no text: it holds the secret"
        ))
    })
}

fn sign(claims: &[(String, Value)], now: Duration, expires: Duration, secret: &[u8]) -> String {
    let mut all = Map::from_iter([
        ("iat".to_owned(), now.as_secs().into()),
        ("exp".to_owned(), expires.as_secs().into()),
    ]);
    all.extend(claims.iter().cloned());
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&Value::Object(all)));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn claim(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((name.to_owned(), value))
        }
        _ => Err("it wants a name and a value: sub=ada".to_owned()),
    }
}
