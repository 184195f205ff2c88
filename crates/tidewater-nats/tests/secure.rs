//! The source suite as a user with a `.creds` file and no more permissions than a source needs.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use async_nats::{Client, jetstream};
use async_trait::async_trait;
use tempfile::NamedTempFile;
use tidewater_core::{Source, plugin};
use tidewater_secure_nats::{Account, Operator, Permissions};
use tidewater_testkit::{
    broker::NatsServer,
    source::{self, Failure, Harness, Record, Topic},
};

use crate::common::TestStream;

/// A server that lets nobody in but users of one account, with TLS.
struct Secured {
    server: NatsServer,
    account: Account,
    admin: Client,
    ca: NamedTempFile,
    _files: [NamedTempFile; 2],
}

impl Secured {
    async fn new() -> Self {
        let operator = Operator::new().unwrap();
        let account = operator.account("orders").unwrap();
        let authority = tidewater_secure_nats::Authority::new("tidewater's tests").unwrap();
        let identity = authority.server(&["127.0.0.1"]).unwrap();
        let [ca, cert, key] = [authority.pem(), identity.certificate, identity.key]
            .map(|text| tidewater_secure_nats::file(&text).unwrap());
        let tls = format!("tls {{ cert_file: {:?}, key_file: {:?} }}\n", cert.path(), key.path());
        let config = operator.config(&[&account]).unwrap() + &tls;
        let server = NatsServer::with_config(&config).unwrap();
        let creds = account.user("admin", &Permissions::all()).unwrap().creds().unwrap();
        let admin = async_nats::ConnectOptions::with_credentials(&creds).unwrap();
        let admin = admin.add_root_certificates(ca.path().to_owned()).require_tls(true);
        let admin = admin.connect(server.url()).await.unwrap();
        // It stays: with an account's last stream the server removes the folder of them all, and another that is made in that
        // moment fails.
        let keeper = jetstream::stream::Config { name: "keeper".into(), ..Default::default() };
        jetstream::new(admin.clone()).create_stream(keeper).await.unwrap();
        Self { server, account, admin, ca, _files: [cert, key] }
    }

    /// Somebody who may do this: the file, and what stands behind `?`.
    fn user(&self, permissions: &Permissions) -> (NamedTempFile, String) {
        let creds = self.account.user("restricted", permissions).unwrap().creds_file().unwrap();
        let params = format!("?creds={}&tls_ca={}", creds.path().display(), self.ca.path().display());
        (creds, params)
    }
}

/// A topic, and the file that it is read by.
struct Kept<T>(T, #[expect(dead_code, reason = "it is there to be dropped")] NamedTempFile);

struct JetStream {
    secured: Secured,
    filtered: bool,
}

#[async_trait]
impl Harness for JetStream {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let Secured { server, admin, .. } = &self.secured;
        let mut stream = TestStream::with_client(admin.clone(), &server.url(), |_| {}).await;
        if self.filtered {
            stream = stream.filtered();
        }
        let needed = Permissions::stream_source(&stream.name, stream.filter.as_deref());
        let (creds, params) = self.secured.user(&needed);
        stream.params = params;
        Ok(Box::new(Kept(stream, creds)))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let text = ("8d", "headers of NATS, where the key stands too, are text");
        let live = ("1e", "without a filter a reader at the end sees every message before it can be deleted");
        if self.filtered { vec![text] } else { vec![text, live] }
    }
}

#[async_trait]
impl Topic for Kept<TestStream> {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        self.0.source()
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        self.0.publish(records).await
    }

    fn published_to(&self) -> Option<String> {
        self.0.published_to()
    }

    async fn remove_before(&self, partition: u32, offset: u64) -> Result<(), Failure> {
        self.0.remove_before(partition, offset).await
    }

    async fn recreate(&self) -> Result<(), Failure> {
        Topic::recreate(&self.0).await
    }

    async fn hide(&self) -> Result<(), Failure> {
        self.0.hide().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_stream_keeps_the_contract_for_a_restricted_user() {
    source::run(&JetStream { secured: Secured::new().await, filtered: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_filtered_stream_keeps_the_contract_for_a_restricted_user() {
    source::run(&JetStream { secured: Secured::new().await, filtered: true }).await;
}

struct Core(Secured);

/// A subject, who publishes to it, and what the source's URL has behind `?`.
struct Subject(String, Client, String);

#[async_trait]
impl Harness for Core {
    async fn topic(&self) -> Result<Box<dyn Topic>, Failure> {
        let name = common::unique("core");
        let (creds, params) = self.0.user(&Permissions::source(&format!("{name}.>")));
        let url = format!("nats://127.0.0.1:{}/{name}.>{params}", self.0.server.port());
        Ok(Box::new(Kept(Subject(name, self.0.admin.clone(), url), creds)))
    }

    fn not_applicable(&self) -> Vec<(&'static str, &'static str)> {
        let replay = ["1b", "1c", "1d", "1e", "1f", "2c", "2d", "2e", "3c", "3d", "3f"];
        let mut all: Vec<_> = replay.map(|name| (name, "core NATS keeps no messages")).into();
        all.extend(["6a", "6b"].map(|name| (name, "a subject is not made, so it can't be made again")));
        all.push(("8d", "headers of NATS, where the key stands too, are text"));
        all
    }
}

#[async_trait]
impl Topic for Kept<Subject> {
    fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        Ok(plugin::open_source(&self.0.2)?)
    }

    async fn publish(&self, records: Vec<Record>) -> Result<(), Failure> {
        let Subject(_, client, _) = &self.0;
        for record in records {
            let headers = common::headers(&record);
            client.publish_with_headers(self.published_to().unwrap(), headers, record.payload).await?;
        }
        Ok(client.flush().await?)
    }

    fn published_to(&self) -> Option<String> {
        Some(format!("{}.x.y", self.0.0))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a NATS of its own: run cargo xtask test"]
async fn a_subject_keeps_the_contract_for_a_restricted_user() {
    source::run(&Core(Secured::new().await)).await;
}
