//! What is wrong is told: where it is, and what to do.

use super::*;

const CHANNEL: &str = "[channels.a]\nsource = 'memory:'\n";

/// What is wrong with who may do what.
#[cfg(feature = "authorization")]
#[test]
fn wrong_authorization_is_told_by_line_and_key_with_what_to_do() {
    const RULE: &str = "[[authorization.rules]]\nchannels = ['a']\n";
    let secret = format!("secret = '{}'\naudience = 'x'\n", tidewater_secret());
    for (file, told) in [
        (
            "[authorization]\n".to_owned(),
            &["f.toml:3:2: authorization: it says nothing of who may do what: write [authorization.jwt] or \
               [authorization.url]"][..],
        ),
        (
            format!("[authorization.jwt]\naudience = 'x'\n{RULE}"),
            &["f.toml:3:16: authorization.jwt: tokens need a key to be checked with: write secret = \
               \"${JWT_SECRET}\", secret_file, keys (a file) or jwks_url"],
        ),
        (
            format!("[authorization.jwt]\nsecret = 'short'\naudience = 'x'\ncookies = 'c'\n{RULE}"),
            &[
                "f.toml:4:10: authorization.jwt.secret: a secret of 5 bytes is too short for HS256: 32 random bytes at least",
                "f.toml:6:1: authorization.jwt.cookies: there is no such key; did you mean \"cookie\"?",
            ],
        ),
        (
            format!(
                "[authorization.jwt]\njwks_url = 'http://id.example/keys'\nsecret = '{}'\n{RULE}",
                tidewater_secret()
            ),
            &[
                "f.toml:4:12: authorization.jwt.jwks_url: there are several keys (secret, jwks_url): have one of them",
            ],
        ),
        (
            format!("[authorization.jwt]\njwks_url = 'http://id.example/keys'\n{RULE}"),
            &[
                "f.toml:4:12: authorization.jwt.jwks_url: over http:// anybody on the way could answer, so it is for this \
               machine only: give a URL such as https://id.example/path",
            ],
        ),
        (
            format!("[authorization.jwt]\nkeys = '/no/such/file'\n{RULE}"),
            &[
                "f.toml:4:8: authorization.jwt.keys: the file can't be read: No such file or directory (os error 2)",
            ],
        ),
        (
            format!("[authorization.jwt]\n{secret}leeway = '5m'\n{RULE}"),
            &["f.toml:6:10: authorization.jwt.leeway: a leeway of 300s for tokens is too long: 60 s at most"],
        ),
        (
            format!("[authorization.jwt]\n{secret}issuer = [true]\n{RULE}"),
            &["f.toml:6:11: authorization.jwt.issuer: it is true or false: write a text"],
        ),
        (
            format!("[authorization.jwt]\nsecret = '{}'\naudience = ['a', true]\n{RULE}", tidewater_secret()),
            &["f.toml:5:18: authorization.jwt.audience: it is true or false: write a text"],
        ),
        (
            format!("[authorization.jwt]\n{secret}cookie = 'a b'\n{RULE}"),
            &["f.toml:6:10: authorization.jwt.cookie: \"a b\" is no name of a cookie"],
        ),
        (
            format!("[authorization.jwt]\n{secret}"),
            &[
                "f.toml:3:1: authorization.jwt: nobody is granted anything: write [[authorization.rules]], with channels = \
               [\"*\"] or the like",
            ],
        ),
        (
            RULE.to_owned(),
            &[
                "f.toml:3:1: authorization.rules: rules are for the claims of tokens, and no token is read: write \
               [authorization.jwt]",
            ],
        ),
        (
            format!(
                "[authorization.jwt]\n{secret}[[authorization.rules]]\nchannels = ['b', 'orders-*']\n\
                 [[authorization.rules]]\nchannels = 'a'\nkeys = ['{{a}}{{b}}']\nrequire = 'x'\n[[authorization.rules]]\n\
                 channels = '*'\nread = false\n[[authorization.rules]]\nchannels = '*'\npublish = true\ntags = ['x']\nkey = 'x'\n"
            ),
            &[
                "f.toml:7:12: authorization.rules[0].channels: there is no channel \"b\"; did you mean \"a\"?",
                "f.toml:10:8: authorization.rules[1].keys: ",
                "f.toml:11:11: authorization.rules[1].require: it is a text: write a table of claims and their values, such as \
                 { role = [\"admin\"] }",
                "f.toml:12:1: authorization.rules[2]: it grants neither reading nor publishing",
                "f.toml:15:1: authorization.rules[3]: publishing can't be limited by topics or tags",
                "f.toml:19:1: authorization.rules[3].key: there is no such key; did you mean \"keys\"?",
            ],
        ),
        (
            "[authorization.url]\nurl = 'http://app.example/'\ntimeout = '2m'\ncache = 'x'\n".to_owned(),
            &[
                "f.toml:4:7: authorization.url.url: over http:// anybody on the way could answer, so it is for this machine \
                 only: give a URL such as https://id.example/path",
                "f.toml:5:11: authorization.url.timeout: it has to be at most 1m",
                "f.toml:6:9: authorization.url.cache: \"x\": it is not a duration: write seconds, or a number with a unit such \
                 as 500ms, 10s, 1m",
            ],
        ),
        (
            "[authorization.url]\ncache = 1\n".to_owned(),
            &["f.toml:3:16: authorization.url: it needs the URL of the application: write url = \
               \"http://127.0.0.1:3000/authorize\""],
        ),
        (
            format!("[authorization.url]\nurl = 'http://127.0.0.1/'\n[authorization.jwt]\n{secret}{RULE}"),
            &[
                "f.toml:3:1: authorization.url: tokens are checked already: have [authorization.jwt] or [authorization.url]",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:'\npublic = false\n".to_owned(),
            &[
                "f.toml:5:10: channels.b.public: without [authorization] everybody who reaches the gateway can read it: say \
               there who may",
            ],
        ),
    ] {
        let all = load(&format!("{CHANNEL}{file}"), &[], &[]).unwrap_err();
        assert_eq!(all.len(), told.len(), "{file}: {all:#?}");
        for (one, told) in all.iter().zip(told) {
            assert!(one.starts_with(told), "{file}: {one}\nis not\n{told}");
        }
    }
}

#[cfg(feature = "authorization")]
#[test]
fn what_may_be_meant_otherwise_is_told_and_secrets_are_not() {
    let file = format!(
        "[authorization.jwt]\nsecret = '{}'\nquery = 'access_token'\n[[authorization.rules]]\nchannels = '*'\n{CHANNEL}",
        tidewater_secret()
    );
    let loaded = load(&file, &[], &[]).unwrap();
    let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("f.toml:1:16: authorization.jwt.audience: none is named"), "{told:?}");
    assert!(told[1].starts_with("f.toml:3:9: authorization.jwt.query: tokens in URLs"), "{told:?}");
    let shown = show(&loaded.shown);
    assert!(shown.contains("[[authorization.rules]]\nchannels = \"*\""), "{shown}");
    let all = format!("{loaded:?}{shown}{told:?}");
    assert!(!all.contains(&tidewater_secret()), "{all}");
    // With authorization nothing is open unless it is said.
    assert!(loaded.config.channels.iter().all(|channel| !channel.public && !channel.publish));
}

#[cfg(not(feature = "authorization"))]
#[test]
fn authorization_that_is_not_built_in_is_refused() {
    let told = load(&format!("{CHANNEL}[authorization.jwt]\nsecret = 'x'\n"), &[], &[]).unwrap_err();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("f.toml:3:2: authorization: this binary was built without it"), "{told:?}");
}

/// Made, so that no secret stands in the source.
#[cfg(feature = "authorization")]
fn tidewater_secret() -> String {
    "0123456789abcdef".repeat(2)
}

/// Each with all that is told of it, as it is told.
#[test]
fn a_wrong_file_is_told_by_line_and_key_with_what_to_do() {
    for (file, told) in [
        ("[servr]\n", &["f.toml:3:2: servr: there is no such key; did you mean \"server\"?"][..]),
        (
            "[colours]\n",
            &[
                "f.toml:3:2: colours: there is no such key; there are: server, cors, limits, proxies, authorization, channels",
            ],
        ),
        (
            "[server]\nlisen = 'x'\nbind = 1\n",
            &[
                "f.toml:4:1: server.lisen: there is no such key; did you mean \"listen\"?",
                "f.toml:5:1: server.bind: there is no such key; there are: listen, admin_listen, server, tls_certificate, \
                 tls_key, proxy_protocol_from, max_connections, head_timeout, idle_timeout, write_timeout, drain_timeout, \
                 console, access_log, metrics",
            ],
        ),
        (
            "[server]\nlisten = 8080\n",
            &["f.toml:4:10: server.listen: 8080: it is no address: write an address and a port, such as \
               127.0.0.1:8080, [::1]:8080 or localhost:8080, with https:// before it for TLS; or unix:/PATH"],
        ),
        (
            "[server]\nlisten = []\n",
            &["f.toml:4:10: server.listen: it listens nowhere: write one HOST:PORT at least"],
        ),
        (
            "[server]\ntls_certificate = 'a'\n",
            &[
                "f.toml:4:19: server.tls_certificate: certificates have 1 files, and keys 0: each certificate \
               needs its key, in the same order",
            ],
        ),
        (
            "[server]\ntls_certificate = 'a'\ntls_key = 'b'\n",
            &[
                "f.toml:4:19: server.tls_certificate: no listener uses it: write listen = \"https://0.0.0.0:8443\", or the like",
            ],
        ),
        (
            "[server]\nproxy_protocol_from = ['10.0.0.0/8', 'x']\n",
            &["f.toml:4:23: server.proxy_protocol_from: \"x\" is no proxy to trust: write a network \
               (10.0.0.0/8, 2001:db8::/32), an address, or unix for peers on a Unix socket"],
        ),
        (
            "[server]\nmax_connections = 0\n",
            &["f.toml:4:19: server.max_connections: 0: it has to be 1 at least"],
        ),
        ("[server]\nconsole = 'yes'\n", &["f.toml:4:11: server.console: it is a text: write true or false"]),
        (
            "[server]\ndrain_timeout = 'soon'\n",
            &[
                "f.toml:4:17: server.drain_timeout: \"soon\": it is not a duration: write seconds, or a number with a \
               unit such as 500ms, 10s, 1m",
            ],
        ),
        (
            "[server]\ndrain_timeout = 1.5\n",
            &[
                "f.toml:4:17: server.drain_timeout: it is a number with a fraction: write a duration, such as \"10s\"",
            ],
        ),
        ("server = 5\n", &["f.toml:1:10: server: it is a number: write a table: [server]"]),
        (
            "[limits]\nmax_body = '1MB'\n",
            &[
                "f.toml:4:12: limits.max_body: \"1MB\": it is not a size: write a number of bytes from 1 on, or one with \
               a unit such as 64KiB, 1MiB, 2GiB",
            ],
        ),
        (
            "[limits]\nstreams = 0\nstreams_per_address = 'many'\npublish = '10/d'\nstreams_per_subjects = 5\nbody_timeout = 0\n",
            &[
                "f.toml:4:11: limits.streams: 0: it has to be 1 at least; or \"off\"",
                "f.toml:5:23: limits.streams_per_address: it is a text: write a whole number, without quotes; or \"off\"",
                "f.toml:6:11: limits.publish: \"10/d\": it is no rate: write how often in a second, a minute or an hour \
                 (10/s, 600/m, 1000/h), or off",
                "f.toml:7:1: limits.streams_per_subjects: there is no such key; did you mean \"streams_per_subject\"?",
                "f.toml:8:16: limits.body_timeout: it has to be at least 1s",
            ],
        ),
        (
            "[proxies]\ntrusted = ['10.0.0.0/8', '10.0.0.0/33']\nheader = 'x-real-ip'\n",
            &[
                "f.toml:4:26: proxies.trusted: \"10.0.0.0/33\": it is no proxy to trust: write a network (10.0.0.0/8, \
                 2001:db8::/32), an address, or unix for peers on a Unix socket",
                "f.toml:5:10: proxies.header: \"x-real-ip\": it is no forwarding header that is read (there are: \
                 x-forwarded-for, forwarded)",
            ],
        ),
        (
            "[server]\nidle_timeout = '10ms'\n",
            &["f.toml:4:16: server.idle_timeout: it has to be at least 1s"],
        ),
        (
            "[limits]\nconnections_per_address = 0\n",
            &["f.toml:4:27: limits.connections_per_address: 0: it has to be 1 at least; or \"off\""],
        ),
        (
            "[server]\nhead_timeout = '10ms'\nwrite_timeout = 'x'\n",
            &[
                "f.toml:4:16: server.head_timeout: it has to be at least 1s",
                "f.toml:5:17: server.write_timeout: \"x\": it is not a duration: write seconds, or a number with a unit \
                 such as 500ms, 10s, 1m",
            ],
        ),
        (
            "[cors]\norigins = [\n  'https://a.example',\n  'https://b.example/',\n]\n",
            &[
                "f.toml:6:3: cors.origins: \"https://b.example/\" is not an origin: it has no path, not even a slash at \
               the end; write it as the browser sends it, such as https://app.example or http://localhost:3000",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:'\nretry = '0s'\nlinger = '2m'\nlag = ['skip', 'slow']\n",
            &[
                "f.toml:5:9: channels.b.retry: it has to be at least 500ms",
                "f.toml:6:10: channels.b.linger: it has to be at most 1m",
                "f.toml:7:16: channels.b.lag: \"slow\": there is no such lag policy (there are: backfill, disconnect, \
                 skip, conflate)",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:'\nevent = 'fixed:error'\nselect = ['topic', 'keys']\n",
            &[
                "f.toml:5:9: channels.b.event: \"fixed:error\": the event name \"error\" is reserved (so are \
                 tidewater.*, error and open): choose another",
                "f.toml:6:20: channels.b.select: \"keys\": nobody can select by that (there are: topic, key, tag, event)",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:'\npayload = 'json'\nstart = 'now'\nbackfill_readers = 0\n",
            &[
                "f.toml:5:11: channels.b.payload: \"json\": there is no such payload mode (there are: text, base64, envelope)",
                "f.toml:6:9: channels.b.start: \"now\": there is no such start (there are: latest, earliest)",
                "f.toml:7:20: channels.b.backfill_readers: 0: it has to be 1 at least",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:'\nlog = { event = 5, bytes = '0' }\nprewarm = { age = 'x' }\n",
            &[
                "f.toml:5:9: channels.b.log.event: there is no such key; did you mean \"events\"?",
                "f.toml:5:28: channels.b.log.bytes: \"0\": it is not a size: write a number of bytes from 1 on, or one \
                 with a unit such as 64KiB, 1MiB, 2GiB",
                "f.toml:6:19: channels.b.prewarm.age: \"x\": it is not a duration: write seconds, or a number with a \
                 unit such as 500ms, 10s, 1m",
            ],
        ),
        (
            "[channels.b]\nsorce = 'memory:'\n",
            &[
                "f.toml:3:11: channels.b.source: a channel needs one: write source = \
                 \"kafka://localhost:9092/orders\", or the like",
                "f.toml:4:1: channels.b.sorce: there is no such key; did you mean \"source\"?",
            ],
        ),
        (
            "[channels.b]\nsource = ['memory:x', 'memory:y', 'memory:x']\n",
            &["f.toml:4:10: channels.b.source: memory:x is given twice: each source once"],
        ),
        (
            "[channels.b]\nsource = ['memory:x', 'memory:y']\npublish = true\n",
            &[
                "f.toml:5:11: channels.b.publish: it has several sources. The channel can be read, not written to: leave \
               publishing off, or name one place to write to as its sink",
            ],
        ),
        (
            "[channels.b]\nsource = 'orders'\n",
            &[
                "f.toml:4:10: channels.b.source: \"orders\" is not the URL of a source or sink: it has no scheme \
               (examples: memory:demo, kafka://localhost:9092/orders)",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:x?size=3'\n",
            &[
                "f.toml:4:10: channels.b.source: source memory:x: there is no parameter \"size\" (there are: events, bytes)",
            ],
        ),
        (
            "[channels.'b/c']\nsource = 'memory:'\n",
            &[
                "f.toml:3:11: channels.\"b/c\": channel \"b/c\": its name can't be used: 1 to 128 letters, digits, \"-\", \
               \"_\", \".\" and \"~\", and not only dots",
            ],
        ),
        (
            "[channels.b]\nsource = 'memory:${NO_SUCH_VARIABLE_AS_THIS}'\n",
            &["f.toml:4:10: channels.b.source: the environment variable NO_SUCH_VARIABLE_AS_THIS is not set"],
        ),
        ("[server]\nlisten = 5\nlisten = 6\n", &["f.toml:5:1: this is not TOML: duplicate key"]),
    ] {
        let whole =
            if file.starts_with('[') { format!("{CHANNEL}{file}") } else { format!("{file}{CHANNEL}") };
        assert_eq!(load(&whole, &[], &[]).unwrap_err(), told, "{file}");
    }
}

#[test]
fn wrong_variables_and_flags_are_told_by_their_names() {
    for (variables, args, told) in [
        (
            &[("TIDEWATER_SERVER__LISEN", "x")][..],
            &[][..],
            "TIDEWATER_SERVER__LISEN: there is no such key; did you mean \"listen\"?",
        ),
        (
            &[("TIDEWATER_SERVER__CONSOLE", "yes")],
            &[],
            "TIDEWATER_SERVER__CONSOLE: \"yes\": it is neither true nor false",
        ),
        (
            &[("TIDEWATER_SERVER_LISTEN", "x")],
            &[],
            "TIDEWATER_SERVER_LISTEN: this sets nothing: two underscores stand between a table and its key. Did you \
             mean TIDEWATER_SERVER__LISTEN?",
        ),
        (
            &[("TIDEWATER_CHANNELS__B__LINGER", "5ms")],
            &[],
            "TIDEWATER_CHANNELS__B__LINGER: there is no channel of that name (there are: a)",
        ),
        (&[], &["--lag", "c=skip"], "--lag c: there is no channel of that name (there are: a)"),
        (
            &[],
            &["--allow-publish", "c"],
            "--allow-publish c: there is no channel of that name (there are: a)",
        ),
        (
            &[],
            &["--linger", "a=1s", "--linger", "a=2s"],
            "--linger a: --linger is given twice for the channel \"a\"",
        ),
        (
            &[],
            &["--channel", "b=memory:", "--channel", "b=memory:x"],
            "--channel b: the channel \"b\" is given twice: each needs a name of its own",
        ),
        (
            &[],
            &["--replay", "a=soon"],
            "--replay a: \"soon\": it is no limit: write all, log, or a time such as 30m or 24h",
        ),
    ] {
        assert_eq!(load(CHANNEL, variables, args).unwrap_err(), [told]);
    }
}
