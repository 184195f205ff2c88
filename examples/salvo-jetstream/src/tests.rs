//! A user sees only what is for them, whatever they ask for. Over a memory log: no broker is needed for that.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use salvo::conn::Acceptor as _;
use tidewater::{Message, Start};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::*;

/// The application on a port of its own, with notices for ada and bob.
struct Site {
    address: String,
    notices: Channel,
    sessions: Arc<Sessions>,
}

impl Site {
    async fn start(log: &str) -> Self {
        let (url, sessions) = (format!("memory:{log}"), Arc::new(Sessions::default()));
        let channel = Hub::new().channel("notices").source(url.as_str()).sink(url.as_str());
        let notices = channel.start(Start::Earliest).open().unwrap();
        for (number, user) in ["ada", "bob", "ada", "bob", "ada"].iter().enumerate() {
            notices.publish(Message::new("", format!("{user} {number}")).with_key(*user)).await.unwrap();
        }
        let listener = TcpListener::new("127.0.0.1:0").try_bind().await.unwrap();
        let address = listener.holdings()[0].local_addr.to_string();
        tokio::spawn(Server::new(listener).serve(routes(notices.clone(), sessions.clone())));
        Self { address: address.trim_start_matches("socket://").to_owned(), notices, sessions }
    }

    /// Reads the answer until this text has come, or to its end.
    async fn get(&self, path: &str, header: &str, last: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut bytes, mut text) = (Vec::new(), String::new());
        while !text.contains(last) {
            let read = timeout(Duration::from_secs(20), stream.read_buf(&mut bytes));
            if read.await.expect("nothing more comes").unwrap() == 0 {
                break;
            }
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text
    }
}

const ADA: &str = "Authorization: Bearer ada-reads-notices";

#[tokio::test]
async fn a_user_sees_only_what_is_for_them() {
    let site = Site::start("own").await;
    for path in ["/events", "/events?key=ada", "/events?key=ada&key=bob"] {
        let text = site.get(path, ADA, "data: ada 4").await;
        assert!(text.contains("data: ada 0") && text.contains("data: ada 2"), "{path}: {text}");
        assert!(text.contains("data: ada 4") && !text.contains("bob"), "{path}: {text}");
    }
}

#[tokio::test]
async fn asking_for_another_gives_nothing() {
    let site = Site::start("other").await;
    let first = site.get("/events?key=bob", ADA, "tidewater.cursor").await;
    assert!(first.contains("200 OK"), "{first}");
    // The streams are ended from this side, so that what has come by then is all that there was.
    let hub = site.notices.hub().clone();
    let drained = async {
        while site.notices.status().opened < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        hub.drain(Duration::from_secs(20)).await;
    };
    let (text, ()) = tokio::join!(site.get("/events?key=bob", ADA, "no such text"), drained);
    assert!(text.contains("tidewater.cursor") && !text.contains("data: "), "{text}");
}

#[tokio::test]
async fn nobody_gets_nothing() {
    let site = Site::start("nobody").await;
    for header in ["X: y", "Authorization: Bearer eve", "Cookie: session=ada"] {
        let text = site.get("/events", header, "no such text").await;
        assert!(text.starts_with("HTTP/1.1 401 ") && !text.contains("data:"), "{header}: {text}");
    }
}

#[tokio::test]
async fn a_cookie_is_a_user() {
    let site = Site::start("cookie").await;
    assert!(site.sessions.log_in("ada", "wrong").is_none());
    let cookie = format!("Cookie: a=b; session={}", site.sessions.log_in("ada", "lovelace").unwrap());
    let text = site.get("/events", &cookie, "data: ada 4").await;
    assert!(text.contains("data: ada 4") && !text.contains("bob"), "{text}");
}
