//! A gateway as it stands on the internet, by its sample configuration: TLS, tokens in a cookie, Kafka and JetStream behind
//! it. A page logs in, sees what is its user's, and goes on over a restart and over a token that is renewed.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{convert::Infallible, path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{body::Incoming, service::service_fn};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater_direct::{Direct, Listener, Routes, Tls};
use tidewater_testkit::secret;
use tidewater_tests::{
    Gateway,
    browser::{Browser, BrowserBuilder, Tab},
    env, free_port, heavy, kafka, nats, repeat,
};
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

/// How long a page may take: it waits for seconds before it reconnects.
const PAGE: Duration = Duration::from_secs(45);
/// Longer than a test takes.
const LONG: u64 = 3600;
/// Longer than a page takes to read what there is, shorter than anybody waits.
const SHORT: u64 = 10;
const USERS: [&str; 2] = ["ada", "bob"];

#[tokio::test]
#[ignore = "needs Kafka, NATS and Chromium: run cargo xtask test"]
async fn in_chromium() -> Result<()> {
    rounds(Browser::chromium()).await
}

#[tokio::test]
#[ignore = "needs Kafka, NATS and Firefox: run cargo xtask test"]
async fn in_firefox() -> Result<()> {
    rounds(Browser::firefox()).await
}

async fn rounds(browser: BrowserBuilder) -> Result<()> {
    let _alone = heavy().await;
    let browser = browser.accept_insecure_certs().start().await?;
    for round in 1..=repeat() {
        let mut site = Site::start().await?;
        let done = a_user(&browser, &mut site).await;
        done.with_context(|| format!("round {round}; the gateway wrote:\n{}", site.gateway.output()))?;
        secret::assert_hidden(&site.gateway.output());
    }
    Ok(())
}

/// What a user's page goes through.
async fn a_user(browser: &Browser, site: &mut Site) -> Result<()> {
    let page = browser.tab();
    // Nobody yet: what is for everybody is open, the rest refuses, and the page does not come back.
    page.open(&site.origin()).await?;
    page.run("window.stranger = ['orders', 'news'].map((name) => new EventSource('/channels/' + name))")
        .await?;
    page.wait_until("stranger[0].readyState === EventSource.CLOSED", PAGE).await.context("a stranger")?;
    page.wait_until("stranger[1].readyState === EventSource.OPEN", PAGE).await.context("a reader of news")?;

    let came_to = site.log_in(&page, "ada", LONG).await?;
    ensure!(came_to == format!("{}/", site.origin()), "the login leads to {came_to}");
    follow(&page, "").await?;
    site.produce(1, 40).await?;
    got(&page, "ada", 40).await.context("before the restart")?;

    site.gateway.kill().await?;
    site.produce(41, 80).await?;
    page.wait_until("feeds.every(({ source }) => source.readyState !== EventSource.OPEN)", PAGE).await?;
    site.gateway.restart().await?;
    site.produce(81, 100).await?;
    got(&page, "ada", 100).await.context("over the restart")?;

    // The token is renewed in another tab, as a session is, before it is over.
    site.log_in(&page, "ada", SHORT).await?;
    follow(&page, "?since=earliest").await?;
    got(&page, "ada", 100).await.context("from the beginning")?;
    let other = browser.open_tab().await?;
    site.log_in(&other, "ada", LONG).await?;
    page.wait_until("feeds[0].opened >= 2", PAGE).await.context("the token is over")?;
    site.produce(101, 120).await?;
    got(&page, "ada", 120).await.context("over a token")?;

    // Nobody renews this one; and who asks for what is another's gets nothing of it.
    site.log_in(&page, "bob", SHORT).await?;
    follow(&page, "?since=earliest&key=user.ada&key=user.bob").await?;
    let all: Vec<_> = (1..=120).map(|n| format!("bob {n}")).collect();
    page.wait_until("feeds[0].data.length >= 120", PAGE).await?;
    page.wait_until("feeds[0].source.readyState === EventSource.CLOSED", PAGE)
        .await
        .context("a token is over")?;
    let [orders, _] = told(&page).await?;
    ensure!(orders["data"] == json!(all), "bob sees {orders}");
    Ok(())
}

/// Follows both channels from here on.
async fn follow(page: &Tab<'_>, query: &str) -> Result<()> {
    let script = format!(
        "for (const {{ source }} of window.feeds ?? []) source.close();
         window.feeds = ['orders', 'news'].map((channel) => {{
             const feed = {{ data: [], gaps: [], opened: 0 }};
             feed.source = new EventSource('/channels/' + channel + '{query}');
             feed.source.onopen = () => feed.opened++;
             feed.source.onmessage = (event) => feed.data.push(event.data);
             feed.source.addEventListener('tidewater.gap', (event) => feed.gaps.push(event.data));
             return feed;
         }});"
    );
    page.run(&script).await?;
    page.wait_until("feeds.every(({ opened }) => opened >= 1)", PAGE).await.context("no stream is open")
}

/// What has come of each feed so far.
async fn told(page: &Tab<'_>) -> Result<[Value; 2]> {
    let told = page.run("return feeds.map(({ data, gaps, opened }) => ({ data, gaps, opened }))").await?;
    serde_json::from_value(told).context("not two feeds")
}

/// I1: orders up to this number, of this user alone, and all news; once each and in order.
async fn got(page: &Tab<'_>, user: &str, to: u32) -> Result<()> {
    let done = page.wait_until(&format!("feeds.every(({{ data }}) => data.length >= {to})"), PAGE).await;
    let told = told(page).await?;
    done.with_context(|| format!("{told:?}"))?;
    for (feed, name) in told.iter().zip([user, "news"]) {
        let all: Vec<_> = (1..=to).map(|n| format!("{name} {n}")).collect();
        ensure!(feed["data"] == json!(all), "not {name} 1 to {to}: {feed}");
        ensure!(feed["gaps"] == json!([]), "a gap: {feed}");
    }
    Ok(())
}

/// The gateway, what it reads, and the application that its users log in at.
struct Site {
    gateway: Gateway,
    port: u16,
    login: Login,
    orders: kafka::Topic,
    news: nats::Stream,
    _folder: TempDir,
}

impl Site {
    async fn start() -> Result<Self> {
        const FILE: &str =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/tidewater-gateway/examples/secure.toml");
        let folder = tempfile::tempdir()?;
        let tls = certificate(folder.path())?;
        let orders = kafka::Topic::create("orders", 3).await?;
        let news = nats::Stream::create("news").await?;
        let (port, admin, secret) = (free_port()?, free_port()?, secret::secret("tokens"));
        let login = Login::start(tls, secret.clone(), format!("https://localhost:{port}/")).await?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let environment = [
            ("TLS_CERTIFICATE", file("chain.pem")),
            ("TLS_KEY", file("key.pem")),
            ("JWT_SECRET", secret),
            ("LISTEN", format!("localhost:{port}")),
            ("ADMIN", format!("127.0.0.1:{admin}")),
            ("KAFKA", orders.broker().to_owned()),
            ("NATS", env::nats()?.replacen("nats://", "", 1)),
            // Tests share their brokers, so what is in them has names of its own.
            ("TIDEWATER_CHANNELS__ORDERS__SOURCE", orders.url()),
            ("TIDEWATER_CHANNELS__NEWS__SOURCE", news.url()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let gateway = Gateway::by_file(FILE, admin).envs(environment).start().await?;
        gateway.until_live().await?;
        Ok(Self { gateway, port, login, orders, news, _folder: folder })
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// What the page comes to that logs in.
    async fn log_in(&self, page: &Tab<'_>, user: &str, seconds: u64) -> Result<String> {
        page.open(&format!("https://localhost:{}/login?user={user}&seconds={seconds}", self.login.port))
            .await?;
        let at = page.run("return location.href").await?;
        at.as_str().map(str::to_owned).context("no address")
    }

    /// Orders of these numbers for each user, in turns, and as many pieces of news.
    async fn produce(&self, from: u32, to: u32) -> Result<()> {
        let orders =
            (from..=to).flat_map(|n| USERS.map(|user| (format!("user.{user}"), format!("{user} {n}"))));
        self.orders.produce_keyed(1, orders).await?;
        let news: Vec<_> = (from..=to).map(|n| format!("news {n}")).collect();
        self.news.producer().await?.store(&self.news.subject(), &[], &news).await.map(drop)
    }
}

/// Writes a certificate for localhost and its key, and takes them.
fn certificate(folder: &Path) -> Result<Tls> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    let (chain, secret) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, certificate.pem())?;
    std::fs::write(&secret, key.serialize_pem())?;
    Ok(Tls::from_files([(chain, secret)])?)
}

/// The application with the sessions: a server of its own, at another port of the same host.
struct Login {
    port: u16,
    server: JoinHandle<std::io::Result<()>>,
}

impl Login {
    /// `/login?user=…&seconds=…` sets the cookie, and sends the page to the gateway.
    async fn start(tls: Tls, secret: String, to: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", free_port()?)).await?;
        let port = listener.local_addr()?.port();
        let told = Arc::new((secret, to));
        let answer = move |_| {
            let told = told.clone();
            service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move { Ok::<_, Infallible>(login(&request, &told.0, &told.1).await.unwrap_or_else(failed)) }
            })
        };
        let direct = Direct::new(Routes::new()).fallback_hyper(answer);
        let server = direct.serve_all([Listener::from(listener).tls(tls)], std::future::pending());
        Ok(Self { port, server: tokio::spawn(server) })
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn login(request: &Request<Incoming>, secret: &str, to: &str) -> Result<Response<Empty<Bytes>>> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let (user, seconds) = (value("user").context("no user")?, value("seconds").context("no seconds")?);
    let token = token(secret, user, seconds).await?;
    let cookie = format!("__Host-session={token}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let answer = Response::builder().status(StatusCode::SEE_OTHER);
    Ok(answer.header(header::SET_COOKIE, cookie).header(header::LOCATION, to).body(Empty::new())?)
}

fn failed(error: anyhow::Error) -> Response<Empty<Bytes>> {
    eprintln!("the login failed: {error:#}");
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// A token, as the gateway's page of documentation makes one.
async fn token(secret: &str, user: &str, seconds: &str) -> Result<String> {
    let mut command = Command::new(env::gateway()?);
    command.args(["token", "--secret-env", "JWT_SECRET", "--expires", &format!("{seconds}s")]);
    command.args(["--claim", "aud=tidewater", "--claim", &format!("sub={user}")]).env("JWT_SECRET", secret);
    let output = command.stdin(Stdio::null()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = String::from_utf8(output.stdout)?.trim().to_owned();
    secret::record(&token);
    Ok(token)
}
