//! Who may do what, through the real binary: tokens in headers and cookies, rules, an application that is asked.

#![cfg(all(unix, feature = "authorization"))]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    convert::Infallible,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use rustix::process::Signal;
use serde_json::Value;
use support::{
    Done,
    client::{Answer, Head, request},
    end,
    file::File,
    gateway::{Gateway, servers},
    run, text, tidewater,
};

/// A secret of this run.
fn secret() -> String {
    format!("{:064}", std::process::id())
}

/// Runs `tidewater token` with the secret in a variable.
fn token_command(secret: &str, args: &[&str]) -> Done {
    let mut command = tidewater();
    command.args(["token", "--secret-env", "JWT_SECRET"]).args(args).env("JWT_SECRET", secret);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (text(child.stdout.take().unwrap()), text(child.stderr.take().unwrap()));
    let code = end(&mut child);
    Done { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// A token with these claims, for the gateways of these tests.
fn token(claims: &[&str]) -> String {
    let claims: Vec<_> = claims.iter().flat_map(|claim| ["--claim", claim]).collect();
    let done =
        token_command(&secret(), &[&["--claim", "aud=tidewater"], claims.as_slice()].concat()).exits(0);
    done.stdout.trim().to_owned()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn ask(gateway: &Gateway, head: &str, authorization: Option<&str>, body: &str) -> (Head, String) {
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
    request(&gateway.address, head, &headers, body.as_bytes())
}

/// `orders` by key, `news` for everybody, `secrets` for the role `admin`.
fn config(extra: &str) -> String {
    let secret = secret();
    format!(
        "[authorization.jwt]\nsecret = '{secret}'\naudience = 'tidewater'\ncookie = 'token'\nleeway = 0\n\
         [[authorization.rules]]\nchannels = 'orders'\nkeys = 'user.{{sub}}'\n\
         [[authorization.rules]]\nchannels = ['*']\nrequire = {{ role = 'admin' }}\npublish = true\n{extra}\
         [channels.orders]\nsource = 'memory:'\npublish = true\nheartbeat = '200ms'\n\
         [channels.news]\nsource = 'memory:'\npublic = true\n[channels.secrets]\nsource = 'memory:'\n"
    )
}

#[test]
fn each_gets_what_is_granted_by_a_token_in_the_header_or_a_cookie() {
    let file = File::new("authorization.toml", &config(""));
    let (ada, admin) = (token(&["sub=ada"]), bearer(&token(&["sub=root", "role=admin"])));
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let ada_header = bearer(&ada);
        let cookie = format!("a=b; token={ada}");
        let headers: [&[(&str, &str)]; 2] = [&[("authorization", &ada_header)], &[("cookie", &cookie)]];
        let mut streams = headers.map(|headers| {
            let mut stream = Answer::open(&gateway.address, "GET /channels/orders", headers, b"");
            assert_eq!(stream.head.status, 200, "{server}");
            stream.until("event: tidewater.cursor");
            stream.until("\n\n");
            stream
        });
        for (head, asker, status) in [
            ("GET /channels/orders", None, 401),
            ("GET /channels/orders", Some("Bearer a.b.c"), 401),
            ("POST /channels/orders?key=user.ada", None, 401),
            ("POST /channels/orders?key=user.ada", Some(ada_header.as_str()), 403),
            ("POST /channels/orders?key=user.bob", Some(admin.as_str()), 202),
            ("POST /channels/orders?key=user.ada", Some(admin.as_str()), 202),
            ("GET /channels/secrets", Some(ada_header.as_str()), 403),
            ("HEAD /channels/secrets", Some(admin.as_str()), 200),
            ("POST /channels/secrets", Some(admin.as_str()), 403),
            ("HEAD /channels/news", None, 200),
            ("POST /channels/news", None, 403),
        ] {
            let (answer, text) = ask(&gateway, head, asker, "mine");
            assert_eq!(answer.status, status, "{server}: {head}: {text}");
            assert_eq!(
                answer.header("www-authenticate").is_some(),
                status == 401 || text.contains("granted"),
                "{text}"
            );
        }
        for stream in &mut streams {
            // Bob's is never seen: what comes first is ada's.
            let seen = stream.until("data: mine\n");
            assert!(
                !seen.contains("data: mine\ndata") && seen.matches("data: ").count() == 1,
                "{server}: {seen}"
            );
            let id = stream.until("\n\n");
            assert!(id.starts_with("id: "), "{server}: {id}");
        }
    }
}

#[test]
fn strangers_learn_no_names_and_no_counts() {
    let file = File::new("authorization-strangers.toml", &config(""));
    let (ada, admin) = (bearer(&token(&["sub=ada"])), bearer(&token(&["role=admin"])));
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--config", file.path()]);
        let names = |asker: Option<&str>| {
            let (answer, text) = ask(&gateway, "GET /channels", asker, "");
            assert_eq!(answer.status, 200, "{server}: {text}");
            assert!(!text.contains("memory") && !text.contains("clients"), "{server}: {text}");
            let told: Value = serde_json::from_str(&text).unwrap();
            let channels = told["channels"].as_array().unwrap();
            let name = |channel: &Value| {
                let publish = if channel["publish"] == true { "+" } else { "" };
                channel["name"].as_str().unwrap().to_owned() + publish
            };
            channels.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["news"], "{server}");
        assert_eq!(names(Some("Bearer nonsense")), ["news"], "{server}");
        assert_eq!(names(Some(&ada)), ["orders", "news"], "{server}");
        assert_eq!(names(Some(&admin)), ["orders+", "news", "secrets"], "{server}");
        let (_, ready) = ask(&gateway, "GET /health/ready", Some(&admin), "");
        assert_eq!(ready, "{\"status\":\"ready\"}", "{server}");
        assert_eq!(ask(&gateway, "GET /metrics", Some(&admin), "").0.status, 404, "{server}");
        // A channel that is not there looks like one that is not granted.
        for (asker, status) in [(None, 401), (Some(ada.as_str()), 403), (Some(admin.as_str()), 404)] {
            let (answer, text) = ask(&gateway, "GET /channels/nothing", asker, "");
            assert_eq!(answer.status, status, "{server}: {text}");
            if status != 404 {
                let (answer, other) = ask(&gateway, "GET /channels/secrets", asker, "");
                assert_eq!((answer.status, other), (status, text.replace("nothing", "secrets")), "{server}");
            }
            assert!(!text.contains("orders") && !text.contains("news"), "{server}: {text}");
        }
        let (_, text) = ask(&gateway, "GET /nothing", None, "");
        assert_eq!(text, "{\"error\":\"there is nothing at /nothing\"}", "{server}");
    }
    // Whoever reaches the administration sees all.
    let gateway = Gateway::start(&["--config", file.path(), "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(ask(&gateway, "GET /channels", Some(&admin), "").0.status, 404);
    assert_eq!(ask(&gateway, "GET /channels/nothing", None, "").0.status, 401);
}

/// The console's feed: of channels that one may read, names and states.
#[test]
fn the_feed_tells_each_what_the_listing_tells() {
    let closed = config("").replace("public = true\n", "");
    let (open, closed) =
        (File::new("authorization-feed.toml", &config("")), File::new("authorization-closed.toml", &closed));
    let (ada, nobody) = (bearer(&token(&["sub=ada"])), "Bearer nonsense".to_owned());
    let told = |gateway: &Gateway, asker: Option<&str>, count: usize| {
        let headers: Vec<_> = asker.iter().map(|value| ("authorization", *value)).collect();
        let mut stream = Answer::open(&gateway.address, "GET /console/status", &headers, b"");
        assert_eq!(stream.head.status, 200);
        stream.until("event: tidewater.cursor\n");
        let mut names = Vec::new();
        // One more than a round has: what comes then is the first again.
        for _ in 0..=count {
            stream.until("data: {");
            let line = format!("{{{}", stream.until("\n"));
            let told: Value = serde_json::from_str(&line).unwrap();
            let keys: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["at", "name", "upstream"], "{line}");
            names.push(told["name"].as_str().unwrap().to_owned());
        }
        names
    };
    for server in servers() {
        let gateway = Gateway::start(&["--server", server, "--config", open.path()]);
        assert_eq!(told(&gateway, None, 1), ["news", "news"], "{server}");
        assert_eq!(told(&gateway, Some(&nobody), 1), ["news", "news"], "{server}");
        assert_eq!(told(&gateway, Some(&ada), 2), ["news", "orders", "news"], "{server}");
    }
    let gateway = Gateway::start(&["--config", closed.path()]);
    for asker in [None, Some(nobody.as_str())] {
        assert_eq!(ask(&gateway, "GET /console/status", asker, "").0.status, 401, "{asker:?}");
    }
    assert_eq!(told(&gateway, Some(&ada), 1), ["orders", "orders"]);
    // The page itself holds no secret: who has no token yet can give it there.
    assert_eq!(ask(&gateway, "GET /", None, "").0.status, 200);
    // With an administration of its own the public has none of it.
    let gateway = Gateway::start(&["--config", closed.path(), "--admin-listen", "127.0.0.1:0"]);
    for path in ["/", "/console/main.js", "/console/status"] {
        assert_eq!(ask(&gateway, &format!("GET {path}"), Some(&ada), "").0.status, 404, "{path}");
    }
    let admin = gateway.stdout.next();
    let admin = admin.strip_prefix("Administration on http://").unwrap().trim_end_matches('/');
    let mut feed = Answer::open(admin, "GET /console/status", &[], b"");
    for name in ["news", "orders", "secrets"] {
        let line = feed.until(&format!("\"name\":\"{name}\""));
        assert!(line.contains("\"clients\":0"), "{line}");
    }
}

#[test]
fn a_stream_ends_with_its_token_and_goes_on_with_a_new_one_exactly() {
    let file = File::new("authorization-expiry.toml", &config(""));
    let gateway = Gateway::start(&["--config", file.path()]);
    let admin = bearer(&token(&["role=admin"]));
    let publish = |text: &str| {
        let (answer, why) = ask(&gateway, "POST /channels/orders?key=user.ada", Some(&admin), text);
        assert_eq!(answer.status, 202, "{why}");
    };
    let done =
        token_command(&secret(), &["--claim", "aud=tidewater", "--claim", "sub=ada", "--expires", "3s"]);
    let short = bearer(done.exits(0).stdout.trim());
    let mut stream =
        Answer::open(&gateway.address, "GET /channels/orders", &[("authorization", &short)], b"");
    assert_eq!(stream.head.status, 200);
    stream.until("\n\n");
    publish("first");
    stream.until("data: first\nid: ");
    let id = stream.until("\n\n").trim().to_owned();
    // I10: a time to come back, and the end.
    let rest = stream.rest();
    assert!(rest.contains("retry: ") && !rest.contains("data: second"), "{rest}");
    publish("second");
    let again = |token: &str| {
        Answer::open(
            &gateway.address,
            "GET /channels/orders",
            &[("authorization", token), ("last-event-id", &id)],
            b"",
        )
    };
    assert_eq!(again(&short).head.status, 401, "it has expired");
    let mut stream = again(&bearer(&token(&["sub=ada"])));
    let next = stream.until("data: second\n");
    assert!(!next.contains("data: first") && !next.contains("tidewater.gap"), "{next}");
    let mut other = again(&bearer(&token(&["sub=bob"])));
    publish("third");
    stream.until("data: third\n");
    other.until("\n\n");
    let (_, text) = ask(&gateway, "POST /channels/orders?key=user.bob", Some(&admin), "bob's");
    assert!(text.contains("offset"), "{text}");
    let seen = other.until("data: bob's\n");
    assert!(!seen.contains("third") && !seen.contains("second"), "an id grants nothing: {seen}");
}

#[test]
fn a_reload_changes_rules_and_keys_for_new_requests() {
    let file = File::new("authorization-reload.toml", &config(""));
    let gateway = Gateway::start(&["--config", file.path()]);
    let ada = bearer(&token(&["sub=ada"]));
    let status = |channel: &str| ask(&gateway, &format!("HEAD /channels/{channel}"), Some(&ada), "").0.status;
    assert_eq!((status("orders"), status("secrets")), (200, 403));
    file.write(&config("[[authorization.rules]]\nchannels = 'secrets'\nrequire = { sub = 'ada' }\n"));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: changed: authorization\n");
    assert_eq!((status("orders"), status("secrets")), (200, 200));
    file.write(&config("").replace(&secret(), &secret().replace('0', "1")));
    gateway.signal(Signal::HUP);
    gateway.logged("reloaded: changed: authorization\n");
    assert_eq!((status("orders"), status("news")), (401, 200));
    // One that is wrong changes nothing, and least of all does it open anything.
    file.write(&config("").replace("secret = '", "secret = 'x' #"));
    gateway.signal(Signal::HUP);
    let log = gateway.logged("not reloaded: everything is as it was");
    assert!(log.contains("authorization.jwt.secret: a secret of 1 bytes is too short"), "{log}");
    assert_eq!((status("orders"), status("news")), (401, 200));
}

#[test]
fn a_token_is_refused_where_its_secret_is_short_or_its_claims_are_none() {
    let short = token_command("short", &[]).exits(2).says(&["the secret has 5 bytes", "openssl rand"]);
    assert!(short.stdout.is_empty());
    run(&["token", "--secret-env", "NO_SUCH_VARIABLE_AS_THIS"], b"").exits(2).says(&["is not set"]);
    run(&["token"], b"").exits(2).says(&["--secret-env"]);
    token_command(&secret(), &["--claim", "sub"]).exits(2).says(&["it wants a name and a value: sub=ada"]);
    token_command(&secret(), &["--expires", "soon"]).exits(2).says(&["10s"]);
}

/// An application that knows a session, and answers with a status when it is told to.
async fn application(
    request: Request<Incoming>,
    status: Arc<AtomicU16>,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let session = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok()).map(str::to_owned);
    let asked: Value =
        serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let answer = match (session.as_deref(), asked["channel"].as_str()) {
        (Some("session=ada"), Some("orders")) => {
            "{\"read\":true,\"keys\":[\"ada\"],\"publish\":[\"ada\"],\"subject\":\"ada\"}"
        }
        (Some("session=ada"), _) => "{}",
        _ => {
            let mut response = Response::new(Full::from("who are you?"));
            *response.status_mut() = http::StatusCode::UNAUTHORIZED;
            return Ok(response);
        }
    };
    let mut response = Response::new(Full::from(answer));
    *response.status_mut() = http::StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap();
    Ok(response)
}

/// Serves it until the test ends.
fn serve_application(status: Arc<AtomicU16>) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let status = status.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| application(request, status.clone()));
                    let io = hyper_util::rt::TokioIo::new(stream);
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
                });
            }
        });
    });
    address
}

#[test]
fn an_application_is_asked_who_may_do_what() {
    let status = Arc::new(AtomicU16::new(200));
    let application = serve_application(status.clone());
    let file = File::new(
        "authorization-url.toml",
        &format!(
            "[authorization.url]\nurl = 'http://{application}/authorize'\ncache = 0\n[channels.orders]\nsource = 'memory:'\n\
             publish = true\n[channels.other]\nsource = 'memory:'\n"
        ),
    );
    let gateway = Gateway::start(&["--config", file.path()]);
    let ada = [("cookie", "session=ada")];
    let mut stream = Answer::open(&gateway.address, "GET /channels/orders", &ada, b"");
    assert_eq!(stream.head.status, 200);
    stream.until("\n\n");
    for (head, headers, expected) in [
        ("POST /channels/orders?key=bob", &ada[..], 403),
        ("POST /channels/orders?key=ada", &ada, 202),
        ("GET /channels/other", &ada, 403),
        ("GET /channels/orders", &[], 401),
        ("GET /channels/orders", &[("cookie", "session=eve")], 401),
    ] {
        let (answer, text) = request(&gateway.address, head, headers, b"x");
        assert_eq!(answer.status, expected, "{head}: {text}");
    }
    assert!(stream.until("\n\n").starts_with("data: x\n"));
    let (_, listing) = request(&gateway.address, "GET /channels", &ada, b"");
    assert!(
        listing.contains("orders") && listing.contains("\"publish\":true") && !listing.contains("other"),
        "{listing}"
    );

    // I10: an application that is down is no verdict.
    status.store(500, Ordering::Relaxed);
    let (answer, text) = request(&gateway.address, "GET /channels/orders", &ada, b"");
    assert!(answer.status == 200 && text.starts_with("retry: "), "{text}");
    assert_eq!(request(&gateway.address, "POST /channels/orders?key=ada", &ada, b"x").0.status, 503);
    let (answer, listing) = request(&gateway.address, "GET /channels", &ada, b"");
    assert_eq!((answer.status, listing.as_str()), (200, "{\"channels\":[]}"));
}

#[test]
fn what_is_exposed_is_told_as_it_is() {
    let file = File::new("authorization-exposed.toml", &config(""));
    let gateway = Gateway::start(&["--config", file.path(), "--listen", "0.0.0.0:0"]);
    let log = gateway.logged("unless a proxy before it has TLS.\n");
    // Its channels come up meanwhile, and say so.
    let told = log.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(told.contains("anyone who can reach it can read news, and write nothing"), "{told}");
    assert!(!told.contains("orders") && !told.contains("secrets"), "{told}");
}
