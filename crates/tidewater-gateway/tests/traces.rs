//! Traces, from the real binary through every web server to a collector.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

#[cfg(feature = "otel")]
#[path = "support/collector.rs"]
mod collector;
mod support;

#[cfg(feature = "otel")]
mod with {
    use std::{
        net::TcpListener,
        time::{Duration, Instant},
    };

    use rustix::process::Signal;
    use serde_json::Value;

    use super::collector::{Collector, Collects};
    use super::support::{
        client::{Answer, request},
        file::File,
        gateway::{Gateway, servers},
    };

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn traceparent(flags: &str) -> String {
        format!("00-{TRACE}-{PARENT}-{flags}")
    }

    /// What a collector wants, soon after it happens.
    fn variables(collector: &Collector) -> Vec<(&'static str, String)> {
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned())]
    }

    #[test]
    fn a_stream_and_its_end_are_in_the_trace_of_who_asks() {
        for server in servers() {
            let collector = Collector::start(Collects::All);
            let gateway = Gateway::start_with(&["--server", server, "--log", "off"], &variables(&collector));
            let headers = [("traceparent", traceparent("01")), ("user-agent", "curl/8".to_owned())];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let mut stream = Answer::open(&gateway.address, "GET /channels/demo?key=k", &headers, b"");
            stream.until("\n\n");

            let asked = collector.named(TRACE, "GET /channels/{channel}");
            assert_eq!((asked.parent.as_str(), asked.kind, asked.is_error), (PARENT, 2, false), "{asked:?}");
            let told = |name: &str| asked.attributes.get(name).map(String::as_str);
            for (name, value) in [
                ("http.request.method", "GET"),
                ("http.route", "/channels/{channel}"),
                ("http.response.status_code", "200"),
                ("tidewater.channel", "demo"),
            ] {
                assert_eq!(told(name), Some(value), "{server}: {name} of {asked:?}");
            }
            assert_eq!(asked.attributes.len(), 4, "{server}: {asked:?}");
            let opened = collector.named(TRACE, "open");
            assert_eq!(
                (&opened.parent, opened.attributes["tidewater.begins"].as_str()),
                (&asked.id, "latest")
            );

            assert_eq!(request(&gateway.address, "POST /channels/demo?key=k", &[], b"x").0.status, 202);
            stream.until("data: x\n");
            gateway.signal(Signal::TERM);
            stream.rest();
            assert_eq!(gateway.end().0, Some(0), "{server}");
            let ended = collector.named(TRACE, "stream ended");
            let told = |name: &str| ended.attributes[name].as_str();
            assert_eq!((&ended.parent, told("tidewater.ended")), (&asked.id, "drained"), "{server}");
            assert_eq!((told("tidewater.events"), told("tidewater.channel")), ("1", "demo"), "{server}");
            // No span is as long as a stream, and no line of the log is in one.
            for span in collector.spans() {
                assert!(span.took < Duration::from_secs(5) && span.events == 0, "{server}: {span:?}");
            }
            // The other request begins a trace of its own; its message has told of it.
            let other = collector.span(|span| span.name == "POST /channels/{channel}");
            assert!(other.trace != TRACE && other.parent.is_empty(), "{server}: {other:?}");
            collector.named(&other.trace, "publish");
        }
    }

    #[test]
    fn who_sends_and_the_upstream_are_told() {
        let collector = Collector::start(Collects::All);
        let mut variables = variables(&collector);
        let gateway = Gateway::start_with(&[], &variables);
        let logged = gateway.logged("as the service \"tidewater\"");
        assert!(logged.contains(&format!("traces go to {},", collector.url())), "{logged}");
        let subscribed = collector
            .span(|span| span.name == "subscribe" && span.attributes["tidewater.channels"] == "demo");
        assert_eq!((subscribed.parent.as_str(), subscribed.kind), ("", 3), "{subscribed:?}");
        assert_eq!(subscribed.attributes["tidewater.subscriptions_before"], "0");
        assert!(subscribed.attributes["tidewater.source"].starts_with("memory"), "{subscribed:?}");
        let resource = collector.resource();
        assert_eq!(resource["service.name"], "tidewater");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        drop(gateway);

        let collector = Collector::start(Collects::All);
        variables[0].1 = collector.url() + "/prefix/";
        variables.extend([
            ("OTEL_SERVICE_NAME", "edge".to_owned()),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test".to_owned()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=the-key".to_owned()),
        ]);
        let gateway = Gateway::start_with(&[], &variables);
        collector.span(|span| span.name == "subscribe");
        let resource = collector.resource();
        assert_eq!(
            (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
            ("edge", "test")
        );
        let first = collector.requests().remove(0);
        assert_eq!(
            (first.path.as_str(), &first.headers["x-key"]),
            ("/prefix/v1/traces", &http::HeaderValue::from_static("the-key"))
        );
        assert_eq!(first.headers["content-type"], "application/x-protobuf");
        gateway.signal(Signal::TERM);
        let (code, log) = gateway.end();
        assert_eq!(code, Some(0));
        assert!(!log.contains("the-key"), "{log}");
    }

    /// A channel whose events tell the headers of their messages.
    fn envelopes(name: &str) -> File {
        File::new(name, "[channels.demo]\nsource = 'memory:'\npublish = true\npayload = 'envelope'\n")
    }

    /// Publishes, and gives the headers of the message that comes.
    fn headers_of(stream: &mut Answer, gateway: &Gateway, headers: &[(&str, &str)]) -> Value {
        assert_eq!(request(&gateway.address, "POST /channels/demo?event=e", headers, b"x").0.status, 202);
        stream.until("data: ");
        let message: Value = serde_json::from_str(&stream.until("\n")).unwrap();
        message["headers"].clone()
    }

    /// A header's value in an envelope.
    fn header(headers: &Value, name: &str) -> Option<String> {
        let all = headers.as_array().unwrap();
        let found = all.iter().find(|header| header["name"] == name)?;
        Some(found["value"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_message_carries_the_trace_of_who_published_it() {
        let file = envelopes("traces-envelope.toml");
        for server in servers() {
            let collector = Collector::start(Collects::All);
            let gateway =
                Gateway::start_with(&["--server", server, "--config", file.path()], &variables(&collector));
            let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
            stream.until("\n\n");
            let given = traceparent("01");
            let of = [
                ("traceparent", given.as_str()),
                ("tracestate", "vendor=value"),
                ("tracestate", "other=value"),
            ];
            let headers = headers_of(&mut stream, &gateway, &of);
            let published = collector.named(TRACE, "publish");
            let asked = collector.named(TRACE, "POST /channels/{channel}");
            assert_eq!(
                (&published.parent, asked.parent.as_str(), published.kind),
                (&asked.id, PARENT, 4),
                "{server}"
            );
            assert_eq!(
                header(&headers, "traceparent"),
                Some(format!("00-{TRACE}-{}-01", published.id)),
                "{server}"
            );
            assert_eq!(
                header(&headers, "tracestate").as_deref(),
                Some("vendor=value,other=value"),
                "{server}"
            );
            assert_eq!(header(&headers, "tidewater-event").as_deref(), Some("e"), "{server}: {headers}");
            assert_eq!(published.attributes["messaging.destination.name"], "demo", "{published:?}");

            // What is no parent begins a trace.
            let long = format!("{given}-{}", "a".repeat(1000));
            for wrong in
                ["", "00-x", "00-1-1-1", &long, "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
            {
                let headers = headers_of(&mut stream, &gateway, &[("traceparent", wrong)]);
                let context = header(&headers, "traceparent").unwrap();
                assert!(context.ends_with("-01") && !context.contains(TRACE), "{server}: {wrong}: {context}");
            }
            // One that nobody samples is passed on, and not exported.
            let other = TRACE.replace("0af7", "0bf7");
            let quiet = traceparent("00").replace(TRACE, &other);
            let headers = headers_of(&mut stream, &gateway, &[("traceparent", &quiet)]);
            let context = header(&headers, "traceparent").unwrap();
            assert!(context.contains(&other) && context.ends_with("-00"), "{server}: {context}");
            gateway.signal(Signal::TERM);
            assert_eq!(gateway.end().0, Some(0));
            assert!(collector.spans().iter().all(|span| span.trace != other), "{server}");
        }
    }

    #[test]
    fn without_an_endpoint_messages_stay_as_they_are() {
        let file = envelopes("traces-off.toml");
        let collector = Collector::start(Collects::All);
        let off = [variables(&collector), vec![("OTEL_SDK_DISABLED", "true".to_owned())]].concat();
        for variables in [vec![], off] {
            let gateway = Gateway::start_with(&["--config", file.path()], &variables);
            let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
            stream.until("\n\n");
            let headers = headers_of(&mut stream, &gateway, &[("traceparent", &traceparent("01"))]);
            assert_eq!(header(&headers, "traceparent"), None, "{headers}");
            gateway.signal(Signal::TERM);
            let (code, log) = gateway.end();
            assert!(code == Some(0) && !log.contains("traces"), "{log}");
        }
        assert!(collector.requests().is_empty());
    }

    #[test]
    fn what_can_not_be_exported_is_told_and_all_else_goes_on() {
        for (variables, says) in [
            (
                vec![
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ],
                "no traces: ",
            ),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")], "no traces: "),
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_TRACES_SAMPLER", "most")],
                "OTEL_TRACES_SAMPLER=\"most\"",
            ),
            #[cfg(not(feature = "otel-tls"))]
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a.example")], "the feature \"otel-tls\""),
        ] {
            let variables: Vec<_> =
                variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            let gateway = Gateway::start_with(&[], &variables);
            gateway.logged(says);
            assert_eq!(request(&gateway.address, "HEAD /channels/demo", &[], b"").0.status, 200);
        }
    }

    #[test]
    fn a_reload_is_a_span() {
        let config = |more: &str| format!("[channels.demo]\nsource = 'memory:'\n{more}");
        let file = File::new("traces-reload.toml", &config(""));
        let collector = Collector::start(Collects::All);
        let gateway = Gateway::start_with(&["--config", file.path()], &variables(&collector));
        for (more, reloaded) in [("publish = true\n", "true"), ("publish = 3\n", "false")] {
            file.write(&config(more));
            gateway.signal(Signal::HUP);
            let span = collector
                .span(|span| span.name == "reload" && span.attributes["tidewater.reloaded"] == reloaded);
            assert_eq!(span.is_error, reloaded == "false", "{span:?}");
        }
    }

    /// Asks more often than there is room for, and ends it: neither takes notice of the collector.
    fn answers_and_ends(endpoint: String, log: &str) {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16".to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500".to_owned()),
        ];
        let gateway = Gateway::start_with(&[], &variables);
        let mut stream = Answer::open(&gateway.address, "GET /channels/demo", &[], b"");
        stream.until("\n\n");
        for _ in 0..200 {
            let began = Instant::now();
            assert_eq!(request(&gateway.address, "HEAD /channels/demo", &[], b"").0.status, 200);
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        gateway.logged(log);
        let began = Instant::now();
        gateway.signal(Signal::TERM);
        stream.rest();
        let (code, rest) = gateway.end();
        assert_eq!(code, Some(0));
        // Two seconds for the last traces, one for what still runs.
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        assert!(!rest.contains("traces are lost until"), "it is said once: {rest}");
    }

    /// A batch that was taken is not sent again, whatever stands in the answer.
    #[test]
    fn an_answer_without_an_end_is_one() {
        let collector = Collector::start(Collects::TellsTooMuch);
        let gateway = Gateway::start_with(&[], &variables(&collector));
        collector.span(|span| span.name == "subscribe");
        // The SDK would try again after a second at most.
        std::thread::sleep(Duration::from_secs(2));
        let spans = collector.spans();
        let mut ids: Vec<_> = spans.iter().map(|span| &span.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), spans.len(), "{spans:#?}");
        gateway.signal(Signal::TERM);
        let (code, log) = gateway.end();
        assert!(code == Some(0) && !log.contains("lost"), "{log}");
    }

    #[test]
    fn a_collector_that_refuses_is_told_once_and_so_is_that_it_takes_them_again() {
        let collector = Collector::start(Collects::RefusesFirst);
        let gateway = Gateway::start_with(&[], &variables(&collector));
        gateway.logged("takes them: it answers 400 Bad Request");
        assert_eq!(request(&gateway.address, "HEAD /channels/demo", &[], b"").0.status, 200);
        gateway.logged("takes traces again");
    }

    #[test]
    fn nobody_waits_for_a_collector_that_is_down() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        answers_and_ends(format!("http://{nobody}"), "takes them: Connection refused");
    }

    #[test]
    fn nobody_waits_for_a_collector_that_hangs() {
        let collector = Collector::start(Collects::Hangs);
        answers_and_ends(collector.url(), "takes them: no answer within 500ms");
        // The default is longer than the end may take.
        let gateway = Gateway::start_with(&[], &variables(&collector));
        collector.span(|span| span.name == "subscribe");
        let began = Instant::now();
        gateway.signal(Signal::TERM);
        let (code, log) = gateway.end();
        assert!(code == Some(0) && began.elapsed() < Duration::from_secs(6), "{:?} {log}", began.elapsed());
        assert!(log.contains("the last traces are lost"), "{log}");
    }

    /// A server that refuses what it is asked for, and says it again: its address.
    #[cfg(feature = "authorization")]
    fn echo() -> std::net::SocketAddr {
        use std::io::{Read as _, Write as _};

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap_or(0);
                let answer =
                    format!("HTTP/1.1 422 No\r\ncontent-length: {read}\r\nconnection: close\r\n\r\n");
                stream.write_all(&[answer.as_bytes(), &head[..read]].concat()).ok();
            }
        });
        address
    }

    /// Whatever a request brings as a secret, and what it publishes, is in nothing that leaves the gateway.
    #[cfg(feature = "authorization")]
    #[test]
    fn no_secret_is_exported() {
        let secret = format!("{:064}", std::process::id());
        let file = File::new(
            "traces-secrets.toml",
            &format!(
                "[authorization.jwt]\nsecret = '{secret}'\naudience = 'tidewater'\ncookie = 'session'\nquery = 'ticket'\n\
                 [[authorization.rules]]\nchannels = '*'\nrequire = {{ sub = 'the-subject' }}\npublish = true\n\
                 [channels.orders]\nsource = 'memory:'\npublish = true\n\
                 [channels.far]\nsource = 'sse+http://the-user:the-password@{}/a?access_token=the-key'\n",
                echo()
            ),
        );
        let token = super::support::token(&secret, "the-subject");
        let signature = token.rsplit('.').next().unwrap();
        let secrets = [
            secret.as_str(),
            &token,
            signature,
            "the-payload",
            "the-message-key",
            "another-cookie",
            "bad-token",
            "the-id",
            "the-subject",
            "the-user",
            "the-password",
            "the-key",
            "203.0.113.9",
            "the-agent",
        ];
        for server in servers() {
            let collector = Collector::start(Collects::All);
            let gateway = Gateway::start_with(
                &["--server", server, "--config", file.path(), "--log", "debug"],
                &variables(&collector),
            );
            let traceparent = traceparent("01");
            let headers = [
                ("cookie", "a=another-cookie"),
                ("user-agent", "the-agent"),
                ("x-forwarded-for", "203.0.113.9"),
                ("traceparent", traceparent.as_str()),
            ];
            let ask = format!(
                "GET /channels/orders?ticket={token}&{signature}&other={signature}&access_token={signature}&last_event_id=the-id"
            );
            let mut stream = Answer::open(&gateway.address, &ask, &headers, b"");
            assert_eq!(stream.head.status, 200, "{server}");
            stream.until("event: tidewater.cursor");
            let bearer = format!("Bearer {token}");
            for (authorization, status) in [(bearer.as_str(), 202), ("Bearer bad-token", 401)] {
                let headers = [("authorization", authorization), ("traceparent", traceparent.as_str())];
                let ask = "POST /channels/orders?key=the-message-key";
                assert_eq!(
                    request(&gateway.address, ask, &headers, b"the-payload").0.status,
                    status,
                    "{server}"
                );
            }
            stream.until("data: the-payload\n");
            let refused = collector.span(|span| span.attributes.contains_key("tidewater.refused"));
            assert_eq!(
                (refused.name.as_str(), refused.attributes["tidewater.refused"].as_str()),
                ("authorize", "401")
            );
            assert!(!refused.is_error, "a verdict is no error: {refused:?}");
            // A source that can't be reached is told with the kind of its error, and nothing of what it has said.
            let far = collector
                .span(|span| span.name == "subscribe" && span.attributes["tidewater.channels"] == "far");
            assert!(far.is_error && far.attributes["error.type"] == "unavailable", "{far:?}");
            gateway.signal(Signal::TERM);
            stream.rest();
            assert_eq!(gateway.end().0, Some(0), "{server}");
            collector.named(TRACE, "stream ended");
            for export in collector.requests() {
                let text = String::from_utf8_lossy(&export.body);
                for secret in secrets {
                    assert!(!text.contains(secret), "{server}: {secret} is in {text}");
                }
            }
        }
    }
}

/// Spans are for traces: no line has them, whatever the log shows, and a request without traces pays for none.
#[test]
fn no_line_of_the_log_has_a_span() {
    use support::{client::request, gateway::Gateway};

    let gateway = Gateway::start_with(&["--log", "info,tidewater_hub=debug,tidewater_http=trace"], &[]);
    assert_eq!(request(&gateway.address, "POST /channels/demo", &[], b"x").0.status, 202);
    gateway.signal(rustix::process::Signal::TERM);
    let (code, log) = gateway.end();
    assert!(code == Some(0) && log.contains("INFO"), "{log}");
    for scope in ["subscribe{", "request{", "publish{", "otel.kind"] {
        assert!(!log.contains(scope), "{log}");
    }
}

/// A build without them says so, rather than nothing.
#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_so() {
    use support::gateway::Gateway;

    let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1".to_owned())];
    let gateway = Gateway::start_with(&[], &variables);
    let logged = gateway.logged("the feature \"otel\"");
    assert!(logged.contains("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set"), "{logged}");
}
