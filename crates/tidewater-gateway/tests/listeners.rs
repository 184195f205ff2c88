//! Where the gateway listens: several places, Unix sockets, administration apart, proxies; and how many may connect.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use rustix::process::Signal;
use support::{
    client::{Answer, request},
    gateway::{Gateway, PATIENCE},
    run,
};

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tidewater-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// All that comes back on a Unix socket, until this is in it.
fn over_unix(path: &PathBuf, request: &str, end: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut all, mut buffer) = (String::new(), [0; 4096]);
    while !all.contains(end) {
        let length = stream.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "it ended before {end:?}: {all}");
        all.push_str(str::from_utf8(&buffer[..length]).unwrap());
    }
    all
}

#[test]
fn it_listens_in_several_places_and_leaves_no_file() {
    let folder = Folder::new("several");
    let path = folder.0.join("socket");
    let unix = format!("unix:{}", path.display());
    for server in ["direct", "hyper"] {
        let args = ["--server", server, "--listen", "127.0.0.1:0", "--listen", &unix, "--listen", "[::1]:0"];
        let gateway = Gateway::start(&args);
        assert_eq!(gateway.stdout.next(), format!("Serving on {unix}"));
        let line = gateway.stdout.next();
        let other = line.strip_prefix("Serving on http://").unwrap().trim_end_matches('/').to_owned();
        let (answer, _) = request(&gateway.address, "POST /channels/demo", &[], b"hello");
        assert_eq!(answer.status, 202, "{server}");
        let get = "GET /channels/demo?since=earliest HTTP/1.1\r\nHost: x\r\n\r\n";
        over_unix(&path, get, "data: hello\n");
        let mut stream = Answer::open(&other, "GET /channels/demo?since=earliest", &[], b"");
        stream.until("data: hello\n");
        gateway.signal(Signal::TERM);
        let (code, stderr) = gateway.end();
        assert_eq!(code, Some(0), "{server}: {stderr}");
        assert!(!path.exists(), "{server}: its socket is left");
    }
}

#[test]
fn administration_is_elsewhere() {
    for server in ["direct", "hyper"] {
        let args = ["--server", server, "--admin-listen", "127.0.0.1:0", "--max-connections", "1"];
        let gateway = Gateway::start(&args);
        let line = gateway.stdout.next();
        let admin = line.strip_prefix("Administration on http://").unwrap().trim_end_matches('/').to_owned();
        for (head, public, inside) in [
            ("GET /", 404, 200),
            ("GET /channels", 404, 200),
            ("GET /health/live", 404, 200),
            ("GET /health/ready", 404, 200),
            ("GET /metrics", 404, 200),
            ("GET /channels/nope", 404, 404),
            ("GET /tidewater.js", 200, 200),
            ("POST /channels/demo", 202, 202),
            ("HEAD /channels/demo", 200, 200),
            ("PUT /channels/demo", 405, 405),
        ] {
            // There is one place, which the last connection may still have.
            let until = std::time::Instant::now() + PATIENCE;
            let (answer, text) = loop {
                let (answer, text) = request(&gateway.address, head, &[], b"");
                if answer.status != 503 || std::time::Instant::now() > until {
                    break (answer, text);
                }
            };
            assert_eq!(answer.status, public, "{server}: {head}: {text}");
            assert!(!(public == 404 && text.contains("demo")), "{server}: it tells what there is: {text}");
            let (answer, text) = request(&admin, head, &[], b"");
            assert_eq!(answer.status, inside, "{server}: {head}: {text}");
        }
        // It answers when there is no room for clients any more.
        let until = std::time::Instant::now() + PATIENCE;
        let mut stream = loop {
            let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
            if stream.until("\n").starts_with("retry: 2000") || std::time::Instant::now() > until {
                break stream;
            }
        };
        stream.until("tidewater.cursor");
        let (answer, text) = request(&gateway.address, "GET /channels/demo", &[], b"");
        assert!(answer.status == 200 && text.starts_with("retry: ") && !text.contains("cursor"), "{text}");
        let (answer, text) = request(&admin, "GET /health/ready", &[], b"");
        assert!(answer.status == 200 && text.contains("\"clients\":1"), "{server}: {text}");
    }
}

#[test]
fn a_proxy_says_for_whom_it_speaks_and_nobody_else_connects() {
    let admin = ["--admin-listen", "127.0.0.1:0"];
    let proxies = ["--proxy-protocol-from", "127.0.0.1", "--proxy-protocol-from", "10.0.0.0/8"];
    let gateway = Gateway::start(&[&admin[..], &proxies].concat());
    let line = gateway.stdout.next();
    let admin = line.strip_prefix("Administration on http://").unwrap().trim_end_matches('/').to_owned();
    assert_eq!(request(&admin, "GET /health/live", &[], b"").0.status, 200, "it needs no header there");
    let get = "GET /channels/demo HTTP/1.1\r\nHost: x\r\n\r\n";
    for (header, answered) in [
        (&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x30\x39\x01\xbb"[..], true),
        (b"", false),
    ] {
        let mut stream = TcpStream::connect(&gateway.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[header, get.as_bytes()].concat()).unwrap();
        let mut start = [0; 15];
        let read = stream.read_exact(&mut start).is_ok();
        assert_eq!(read && &start == b"HTTP/1.1 200 OK", answered);
    }
}

#[test]
fn what_cannot_be_listened_on_is_told_with_what_to_do() {
    let folder = Folder::new("refused");
    let file = folder.0.join("file");
    std::fs::write(&file, "precious").unwrap();
    let unix = format!("unix:{}", file.display());
    run(&["serve", "--listen", &unix], b"").exits(3).says(&[&unix, "no socket"]);
    for (args, parts) in [
        (&["--listen", "https://127.0.0.1:0"][..], &["tls_certificate", "tls_key"][..]),
        (&["--listen", "unix:"], &["--listen unix:", "names no file"]),
        (&["--server", "rocket", "--listen", &unix], &["rocket", "unix:"]),
        (&["--server", "rocket", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"], &["one address"]),
        (&["--server", "rocket", "--admin-listen", "127.0.0.1:0"], &["admin_listen"]),
        (&["--proxy-protocol-from", "example.org"], &["\"example.org\"", "10.0.0.0/8"]),
        (&["--max-connections", "many"], &["--max-connections many"]),
    ] {
        if args.contains(&"rocket") && cfg!(not(feature = "rocket"))
            || args[1].starts_with("https") && cfg!(not(feature = "tls"))
        {
            continue;
        }
        run(&[&["serve"][..], args].concat(), b"").exits(2).says(parts);
    }
}

/// How many connections there may be follows from how many files may be open.
#[test]
fn the_limit_of_open_files_is_raised_and_told() {
    let gateway = Gateway::start(&["--log", "info", "--max-connections", "100000000"]);
    gateway.signal(Signal::TERM);
    let (_, stderr) = gateway.end();
    assert!(stderr.contains("how many files may be open") && stderr.contains("may be too many"), "{stderr}");
}
