//! A Kafka with TLS, SASL and ACLs, and whatever can be wrong with it: each is told by `ready` with the setting to look
//! at and never with a secret, the channel goes on trying, and is live as soon as the broker lets it (I10).

#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::Deref;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidewater_testkit::secret;
use tidewater_tests::{
    Gateway, PATIENCE, SseClient, eventually, http,
    kafka::Topic,
    secure_kafka::{Access, Authority, Listener, Operation, Resource, Scram, SecureKafka, User, hidden},
};

use tokio::time::timeout;

const PATH: &str = "/channels/feed";

/// A topic, and a user who may read it.
async fn reader(name: &str, scram: Scram) -> Result<(&'static SecureKafka, Topic, User)> {
    let kafka = SecureKafka::shared()?;
    let topic = Topic::create_at(kafka.admin(), name, 1).await?;
    let user = kafka.user(name, scram)?;
    kafka.allow(name, Operation::Read, Resource::Topic(topic.name()))?;
    Ok((kafka, topic, user))
}

/// A gateway, and the files that it reads whenever it makes a client.
struct Served {
    gateway: Gateway,
    _access: Access,
}

impl Deref for Served {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

async fn serve(access: Access, topic: &Topic) -> Result<Served> {
    let gateway = Gateway::new("hyper")
        .channel("feed", &access.url(topic.name()))
        .envs(access.environment())
        .start()
        .await?;
    Ok(Served { gateway, _access: access })
}

/// The channel is told as degraded with all these words, and a client that comes is told to come back, as there is
/// nothing yet to begin with; nothing of it shows a secret.
async fn refused(gateway: &Gateway, words: &[&str]) -> Result<()> {
    told(gateway, words).await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    ensure!(client.status() == 200, "status {}", client.status());
    let events = timeout(PATIENCE, client.expect_end()).await.context("the stream goes on")??;
    ensure!(events.is_empty() && client.retry().is_some(), "{events:?}");
    Ok(())
}

/// The channel is told as degraded with all these words; nothing of it shows a secret.
async fn told(gateway: &Gateway, words: &[&str]) -> Result<()> {
    let telling = eventually("the error", || async {
        let (status, told) = gateway.ready().await?;
        ensure!(status == 200 && told["status"] == "degraded", "{status}: {told}");
        let error = told["channels"]["feed"]["error"].as_str().context("no error")?;
        ensure!(words.iter().all(|word| error.contains(word)), "not all of {words:?} are in {error:?}");
        Ok(())
    });
    telling.await.with_context(|| format!("the gateway wrote:\n{}", gateway.output()))?;
    nothing_is_shown(gateway).await
}

async fn nothing_is_shown(gateway: &Gateway) -> Result<()> {
    hidden("the log", &gateway.output())?;
    for path in ["/", "/channels", "/health/ready", PATH] {
        let page = if path == PATH {
            http::request(gateway.address(), "HEAD", path, &[], b"").await?
        } else {
            http::get(gateway.address(), path).await?
        };
        hidden(path, &format!("{:?} {}", page.headers, String::from_utf8_lossy(&page.body)))?;
    }
    Ok(())
}

/// What is published comes.
async fn works(gateway: &Gateway, topic: &Topic) -> Result<()> {
    gateway.until_live().await?;
    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    topic.produce(0, ["hello"]).await?;
    let event = timeout(PATIENCE, client.expect_shown()).await.with_context(|| gateway.output())??;
    ensure!((&*event.event_type, &*event.data) == ("message", "hello"), "{event:?}");
    nothing_is_shown(gateway).await
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn each_mechanism_comes_in_with_the_right_read_alone() -> Result<()> {
    let kafka = SecureKafka::shared()?;
    for (name, user) in [
        ("sha-256", Some(kafka.user("sha-256", Scram::Sha256)?)),
        ("sha-512", Some(kafka.user("sha-512", Scram::Sha512)?)),
        ("plain", Some(kafka.plain_user())),
        ("certificate", None),
    ] {
        let topic = Topic::create_at(kafka.admin(), name, 1).await?;
        let principal = user.as_ref().map_or(name, |user| &user.name);
        kafka.allow(principal, Operation::Read, Resource::Topic(topic.name()))?;
        let access = match &user {
            Some(user) => Access::sasl(kafka, user)?,
            None => Access::tls(kafka, Listener::Mtls)?.identity(&kafka.authority().client(name)?)?,
        };
        let gateway = serve(access, &topic).await?;
        works(&gateway, &topic).await.context(name)?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_wrong_password_is_told_and_set_right_at_the_broker() -> Result<()> {
    let (kafka, topic, user) = reader("wrong-password", Scram::Sha512).await?;
    let given = secret::secret("wrong-password-given");
    let gateway = serve(Access::sasl(kafka, &user)?.password(&given), &topic).await?;
    refused(&gateway, &["sasl.password", "sasl.username"]).await?;
    kafka.set_password(&user.name, Scram::Sha512, &given)?;
    works(&gateway, &topic).await
}

/// librdkafka's own words, its properties among them, show no secret either.
#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn the_debug_log_shows_no_secret() -> Result<()> {
    let (kafka, topic, user) = reader("debug-log", Scram::Sha256).await?;
    let wrong = secret::secret("debug-log-given");
    let stranger = Authority::new("of another house")?.client("debug-log")?;
    let mut refused = Access::sasl(kafka, &user)?.password(&wrong);
    let mut works = Access::sasl(kafka, &user)?;
    let mut certificate = Access::tls(kafka, Listener::Mtls)?.identity(&stranger)?;
    let mut gateways = Vec::new();
    for access in [&mut refused, &mut works, &mut certificate] {
        access.set("debug", "conf,security,broker")?;
        // In the file as it is, too.
        access.set("ssl.key.password", "${TIDEWATER_TEST_KEY_PASSWORD}")?;
        let key_password = secret::secret("debug-log-key");
        let envs = access.environment().chain([("TIDEWATER_TEST_KEY_PASSWORD".to_owned(), key_password)]);
        let builder = Gateway::new("hyper").channel("feed", &access.url(topic.name())).envs(envs);
        gateways.push(builder.args(["--log".to_owned(), "debug,rdkafka=info".to_owned()]).start().await?);
    }
    told(&gateways[0], &["sasl.password"]).await?;
    gateways[1].until_live().await?;
    told(&gateways[2], &["ssl."]).await?;
    for gateway in &gateways {
        nothing_is_shown(gateway).await?;
        let wrote = gateway.output();
        ensure!(
            wrote.contains("sasl.password") || wrote.contains("ssl.key.password"),
            "no properties in:\n{wrote}"
        );
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_user_or_a_mechanism_that_the_broker_does_not_know_is_told() -> Result<()> {
    let (kafka, topic, user) = reader("unknown", Scram::Sha256).await?;
    let wrong = secret::secret("wrong-plain-password");
    let denied = serve(Access::sasl(kafka, &kafka.plain_user())?.password(&wrong), &topic).await?;
    // Known by another mechanism only.
    let other = User { mechanism: "SCRAM-SHA-512", ..user.clone() };
    let other = serve(Access::sasl(kafka, &other)?, &topic).await?;
    refused(&denied, &["sasl.password"]).await?;
    refused(&other, &["sasl.mechanism"]).await
}

/// Of all these the broker's certificate is not accepted; the error names what decides about it.
#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn a_certificate_that_is_over_unknown_or_of_another_host_is_told() -> Result<()> {
    let (kafka, topic, user) = reader("certificates", Scram::Sha256).await?;
    let expired = serve(Access::tls(kafka, Listener::Expired)?, &topic).await?;
    let other_host = serve(Access::tls(kafka, Listener::OtherHost)?, &topic).await?;
    let mut unknown = Access::sasl(kafka, &user)?;
    unknown.set_file("ssl.ca.location", "ca.pem", &Authority::new("nobody knows it")?.pem())?;
    let unknown = serve(unknown, &topic).await?;
    refused(&expired, &["expired", "ssl.ca.location"]).await?;
    refused(&other_host, &["ssl.endpoint.identification.algorithm"]).await?;
    refused(&unknown, &["ssl.ca.location"]).await?;
    // It was the host's name alone.
    let mut any_host = Access::tls(kafka, Listener::OtherHost)?;
    any_host.set("ssl.endpoint.identification.algorithm", "none")?;
    let any_host = serve(any_host, &topic).await?;
    works(&any_host, &topic).await
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn no_client_certificate_or_one_of_a_stranger_is_told() -> Result<()> {
    let (kafka, topic, _) = reader("strangers", Scram::Sha256).await?;
    let none = serve(Access::tls(kafka, Listener::Mtls)?, &topic).await?;
    let stranger = Authority::new("of another house")?.client("strangers")?;
    let stranger = serve(Access::tls(kafka, Listener::Mtls)?.identity(&stranger)?, &topic).await?;
    refused(&none, &["ssl.certificate.location"]).await?;
    refused(&stranger, &["ssl.certificate.location"]).await
}

#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn tls_to_a_plain_port_and_the_reverse_are_told() -> Result<()> {
    let (kafka, topic, user) = reader("protocols", Scram::Sha256).await?;
    let tls = Access::new(kafka.admin(), &[("security.protocol", "ssl")])?;
    let plain = Access::new(kafka.address(Listener::Sasl), &[("security.protocol", "plaintext")])?;
    // SASL without TLS, to TLS with SASL; and TLS without SASL.
    let mut bare = Access::sasl(kafka, &user)?;
    bare.set("security.protocol", "sasl_plaintext")?;
    let no_sasl = Access::tls(kafka, Listener::Sasl)?;
    let mut gateways = Vec::new();
    for access in [tls, plain, bare, no_sasl] {
        gateways.push(serve(access, &topic).await?);
    }
    for (gateway, what) in gateways.iter().zip(["TLS to plain", "plain to TLS", "SASL to TLS", "TLS to SASL"])
    {
        refused(gateway, &["security.protocol"]).await.context(what)?;
    }
    Ok(())
}

/// Neither to be seen, nor to be read: each is told, each right that is given helps at once, and one that is taken away
/// while it reads is told, too, and costs no message.
#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn rights_that_are_missing_are_told_and_work_once_they_are_given() -> Result<()> {
    let kafka = SecureKafka::shared()?;
    let topic = Topic::create_at(kafka.admin(), "rights", 1).await?;
    let user = kafka.user("rights", Scram::Sha256)?;
    let (may, on) = (&user.name, Resource::Topic(topic.name()));
    let gateway = serve(Access::sasl(kafka, &user)?, &topic).await?;
    refused(&gateway, &[topic.name(), "right"]).await?;
    kafka.allow(may, Operation::Describe, on)?;
    // It knows where it would begin, so streams stay open.
    told(&gateway, &["reading", "Read"]).await?;
    kafka.allow(may, Operation::Read, on)?;
    works(&gateway, &topic).await?;

    let mut client = SseClient::connect(gateway.address(), PATH, None).await?;
    client.expect_start().await?;
    kafka.deny(may, Operation::Read, on)?;
    topic.produce(0, ["while it may not"]).await?;
    told(&gateway, &["Read"]).await?;
    kafka.allow(may, Operation::Read, on)?;
    gateway.until_live().await?;
    // Heartbeats come, so an event has to be waited for with a deadline of its own.
    let event = timeout(PATIENCE, client.expect_shown()).await.with_context(|| gateway.output())??;
    ensure!((&*event.event_type, &*event.data) == ("message", "while it may not"), "{event:?}");
    nothing_is_shown(&gateway).await
}

/// No right on any group was given in all these tests. It is said once at most, and not as an error.
#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn no_right_on_the_group_does_no_harm() -> Result<()> {
    let (kafka, topic, user) = reader("groups", Scram::Sha256).await?;
    let mut access = Access::sasl(kafka, &user)?;
    access.set("group.id", "of-somebody-else")?;
    let gateway = serve(access, &topic).await?;
    works(&gateway, &topic).await?;
    let (_, told) = gateway.ready().await?;
    ensure!(told["channels"]["feed"]["error"] == Value::Null, "{told}");
    let wrote = gateway.output();
    let said = wrote.lines().filter(|line| line.contains("Group authorization failed")).count();
    ensure!(said <= 1 && !wrote.contains("ERROR"), "{said} times in:\n{wrote}");
    Ok(())
}

/// Such a gateway does not start: the file is read once.
#[tokio::test]
#[ignore = "needs a Kafka of its own: run cargo xtask test"]
async fn properties_that_cannot_be_read_are_refused_by_file_line_and_name() -> Result<()> {
    let (kafka, topic, user) = reader("properties", Scram::Sha256).await?;
    for (change, words) in [
        (Change::NoFile, &["client.properties", "No such file"][..]),
        (Change::Folder, &["client.properties"]),
        (Change::Bytes(&[0xff, 0xfe, 0x00]), &["client.properties", "UTF-8"]),
        (
            Change::Line("sasl.pasword", "${TIDEWATER_TEST_PASSWORD}"),
            &["client.properties", "sasl.pasword", "8"],
        ),
        (Change::Line("enable.auto.commit", "true"), &["enable.auto.commit", "committed"]),
        (
            Change::Line("sasl.jaas.config", "${TIDEWATER_TEST_PASSWORD}"),
            &["sasl.jaas.config", "sasl.username"],
        ),
        (Change::Line("fetch.min.bytes", "${TIDEWATER_TEST_PASSWORD}"), &["fetch.min.bytes"]),
        (Change::Line("ssl.key.password", "${NO_SUCH_VARIABLE}"), &["NO_SUCH_VARIABLE"]),
    ] {
        let mut access = Access::sasl(kafka, &user)?;
        let file = access.file();
        match change {
            Change::NoFile => std::fs::remove_file(&file)?,
            Change::Folder => {
                std::fs::remove_file(&file)?;
                std::fs::create_dir(&file)?;
            }
            Change::Bytes(bytes) => std::fs::write(&file, bytes)?,
            Change::Line(name, value) => access.set(name, value)?,
        }
        let mut gateway = Gateway::new("hyper")
            .channel("feed", &access.url(topic.name()))
            .envs(access.environment())
            .spawn()?;
        let (status, wrote) = (gateway.wait().await?, gateway.output());
        hidden("the error", &wrote)?;
        ensure!(matches!(status.code(), Some(1 | 2)), "{status}, and it wrote:\n{wrote}");
        ensure!(words.iter().all(|word| wrote.contains(word)), "not all of {words:?} are in:\n{wrote}");
    }
    Ok(())
}

/// What is done to a file of properties.
enum Change {
    NoFile,
    Folder,
    Bytes(&'static [u8]),
    Line(&'static str, &'static str),
}
