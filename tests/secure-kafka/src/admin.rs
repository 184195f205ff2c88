//! The requests of Kafka's protocol that say who there is and who may what, by hand: no client library for Rust has
//! them all, and Kafka's own tools take seconds and show a password to everybody on their command line.

use std::{
    io::{Read, Write},
    net::TcpStream,
    num::NonZeroU32,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ring::pbkdf2;

const CREATE_ACLS: (i16, i16) = (30, 1);
const DELETE_ACLS: (i16, i16) = (31, 1);
const ALTER_USER_SCRAM_CREDENTIALS: (i16, i16) = (51, 0);
/// From which version on a request is in the flexible encoding of KIP-482, of those here.
const FLEXIBLE: (i16, i16) = ALTER_USER_SCRAM_CREDENTIALS;

/// The fewest that Kafka takes.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `Read`.
    Read = 3,
    /// `Write`.
    Write = 4,
    /// `Create`.
    Create = 5,
    /// `Describe`.
    Describe = 8,
    /// `IdempotentWrite`, on the cluster.
    IdempotentWrite = 12,
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// One topic.
    Topic(&'a str),
    /// All topics whose names begin so.
    TopicsFrom(&'a str),
    /// One consumer group.
    Group(&'a str),
    /// All transactional ids that begin so.
    TransactionalIdsFrom(&'a str),
    /// The cluster.
    Cluster,
}

impl<'a> Resource<'a> {
    /// The type, the name, and the pattern's type, as Kafka numbers them.
    fn parts(self) -> (u8, &'a str, u8) {
        const LITERAL: u8 = 3;
        const PREFIXED: u8 = 4;
        match self {
            Self::Topic(name) => (2, name, LITERAL),
            Self::TopicsFrom(name) => (2, name, PREFIXED),
            Self::Group(name) => (3, name, LITERAL),
            Self::TransactionalIdsFrom(name) => (5, name, PREFIXED),
            Self::Cluster => (4, "kafka-cluster", LITERAL),
        }
    }
}

/// How a user proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scram {
    /// SCRAM-SHA-256.
    Sha256 = 1,
    /// SCRAM-SHA-512.
    Sha512 = 2,
}

impl Scram {
    /// What `sasl.mechanism` calls it.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// Lets a user do something.
pub(crate) fn allow(at: &str, user: &str, operation: Operation, resource: Resource<'_>) -> Result<()> {
    let (kind, name, pattern) = resource.parts();
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.push(kind);
    body.extend(string(name)?);
    body.push(pattern);
    body.extend(who(user, operation)?);
    let answer = request(at, CREATE_ACLS, &body)?;
    told(&answer, "creating an ACL")
}

/// Takes it back.
pub(crate) fn deny(at: &str, user: &str, operation: Operation, resource: Resource<'_>) -> Result<()> {
    let (kind, name, pattern) = resource.parts();
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.push(kind);
    body.extend(string(name)?);
    body.push(pattern);
    body.extend(who(user, operation)?);
    let answer = request(at, DELETE_ACLS, &body)?;
    told(&answer, "deleting an ACL")
}

/// Makes a user, or gives one another password.
pub(crate) fn set_password(at: &str, user: &str, scram: Scram, password: &str) -> Result<()> {
    let (algorithm, length) = match scram {
        Scram::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        Scram::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
    };
    let salt = b"the salt of a test";
    let mut salted = vec![0; length];
    pbkdf2::derive(algorithm, ITERATIONS, salt, password.as_bytes(), &mut salted);
    // No deletions, one upsertion.
    let mut body = vec![1, 2];
    body.extend(compact(user.as_bytes())?);
    body.push(scram as u8);
    body.extend(ITERATIONS.get().to_be_bytes());
    body.extend(compact(salt)?);
    body.extend(compact(&salted)?);
    // No tagged fields, neither of the upsertion nor of the request.
    body.extend([0, 0]);
    let answer = request(at, ALTER_USER_SCRAM_CREDENTIALS, &body)?;
    // Throttle time, then one result: the user's name and the error code.
    let code = answer.get(5..).and_then(|rest| rest.get(usize::from(*rest.first()?)..)?.first_chunk::<2>());
    let code = code.map(|code| i16::from_be_bytes(*code)).context("Kafka's answer is too short")?;
    ensure!(code == 0, "setting the password of {user}: code {code}");
    Ok(())
}

/// The end of an ACL: a user from anywhere, what, and that it may.
fn who(user: &str, operation: Operation) -> Result<Vec<u8>> {
    const ALLOW: u8 = 3;
    let mut out = string(&format!("User:{user}"))?;
    out.extend(string("*")?);
    out.extend([operation as u8, ALLOW]);
    Ok(out)
}

/// The one result in an answer of these: throttle time, count, error code.
fn told(answer: &[u8], what: &str) -> Result<()> {
    let code = answer.get(8..).and_then(|rest| rest.first_chunk::<2>());
    let code = code.map(|code| i16::from_be_bytes(*code)).context("Kafka's answer is too short")?;
    ensure!(code == 0, "{what}: code {code}");
    Ok(())
}

/// Sends one request and gives the answer's body.
fn request(at: &str, (key, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
    const CORRELATION: i32 = 7;
    let flexible = (key, version) == FLEXIBLE;
    let mut frame = [key.to_be_bytes(), version.to_be_bytes()].concat();
    frame.extend(CORRELATION.to_be_bytes());
    frame.extend(string("tests")?);
    if flexible {
        frame.push(0);
    }
    frame.extend(body);
    let mut stream = TcpStream::connect(at).with_context(|| at.to_owned())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(&u32::try_from(frame.len())?.to_be_bytes())?;
    stream.write_all(&frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("Kafka closes the connection: it does not know the request")?;
    let length =
        usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| (4..1 << 20).contains(length));
    let mut answer = vec![0; length.context("the answer is not Kafka's")?];
    stream.read_exact(&mut answer)?;
    ensure!(answer.starts_with(&CORRELATION.to_be_bytes()), "the answer is to another request");
    answer.drain(..if flexible { 5 } else { 4 });
    Ok(answer)
}

fn string(text: &str) -> Result<Vec<u8>> {
    Ok([&i16::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}

/// A compact string or compact bytes, of less than 127.
fn compact(bytes: &[u8]) -> Result<Vec<u8>> {
    ensure!(bytes.len() < 127, "its length would take two bytes");
    Ok([&[u8::try_from(bytes.len() + 1)?], bytes].concat())
}
