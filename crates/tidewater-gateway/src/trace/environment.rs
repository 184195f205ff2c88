//! What the environment says of traces, in the names of OpenTelemetry's specification. Pure.
//!
//! What the SDK reads by itself (headers, the resource's attributes) is not here. It passes over in silence what it
//! can't read, so that is looked for here as well.

#[cfg(feature = "otel")]
use std::{ops::RangeInclusive, time::Duration};

#[cfg(feature = "otel")]
use http::Uri;

/// Variables that name a collector, the more special one first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What is wanted.
#[cfg(feature = "otel")]
#[derive(Debug)]
pub(super) struct Wanted {
    /// The collector, without a path.
    pub(super) endpoint: Uri,
    /// How long a request may take.
    pub(super) timeout: Duration,
    /// Spans that may wait, and spans in a batch.
    pub(super) queue: usize,
    pub(super) batch: usize,
    /// How long spans wait for others.
    pub(super) delay: Duration,
    /// What is passed over.
    pub(super) wrong: Vec<String>,
}

/// The variable that names a collector, and what it holds: none where traces are not wanted.
pub(super) fn endpoint(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    let is = |name: &str, word: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    ENDPOINTS.into_iter().find_map(|name| Some((name, variable(name)?)))
}

/// What is wanted, if traces are.
///
/// # Errors
/// Why that can't be, with nothing of the endpoint's login or query in it.
#[cfg(feature = "otel")]
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Wanted>, String> {
    let Some((name, endpoint)) = endpoint(&variable) else { return Ok(None) };
    let first = |of: &str| {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{of}"), format!("OTEL_EXPORTER_OTLP_{of}")];
        names.into_iter().find_map(|name| Some((variable(&name)?, name)))
    };
    if let Some(exporter) = variable("OTEL_TRACES_EXPORTER").filter(|exporter| exporter != "otlp") {
        return Err(format!("OTEL_TRACES_EXPORTER={exporter:?} is not built in (there are: otlp, none)"));
    }
    if let Some((protocol, name)) = first("PROTOCOL").filter(|(protocol, _)| protocol != "http/protobuf") {
        return Err(format!(
            "{name}={protocol:?} is not built in (there is: http/protobuf, for which collectors listen on port 4318)"
        ));
    }
    let uri: Uri = endpoint.parse().map_err(|error| {
        format!("{name} is no URL: {error}. Write the collector's, such as http://localhost:4318")
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
        return Err(format!(
            "{name} is neither an http:// nor an https:// URL: write http://localhost:4318, say"
        ));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(format!(
            "{name} has a login in it, which would not be sent: write it in OTEL_EXPORTER_OTLP_HEADERS, as \
             authorization=Basic%20…"
        ));
    }
    if name == ENDPOINTS[1] && endpoint.contains(['?', '#']) {
        return Err(format!(
            "{name} has a query or a fragment, behind which no /v1/traces can be put: write the whole URL in {}, or a \
             key in OTEL_EXPORTER_OTLP_HEADERS",
            ENDPOINTS[0]
        ));
    }
    let mut wrong: Vec<_> = sampler(&variable).err().into_iter().collect();
    let mut number = |name: &str, default: u64, bounds: RangeInclusive<u64>| {
        let Some(text) = variable(name) else { return default };
        if let Some(number) = text.parse().ok().filter(|number| bounds.contains(number)) {
            return number;
        }
        wrong.push(format!(
            "{name}={text:?} is passed over, and is {default}: write a number from {} to {}",
            bounds.start(),
            bounds.end()
        ));
        default
    };
    // Each place of the queue is there from the beginning, and a thread that waits for nothing never rests.
    let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1..=65_536);
    let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1..=65_536);
    let delay = Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1..=3_600_000));
    let timeout = match first("TIMEOUT") {
        None => DEFAULT_TIMEOUT,
        Some((text, name)) => text.parse().map_or_else(
            |_| {
                wrong.push(format!("{name}={text:?} is passed over: write milliseconds, such as 10000"));
                DEFAULT_TIMEOUT
            },
            Duration::from_millis,
        ),
    };
    if let Some((compression, name)) = first("COMPRESSION").filter(|(compression, _)| compression != "none") {
        wrong.push(format!("{name}={compression:?} is passed over: traces are not compressed"));
    }
    let [queue, batch] = [queue, batch.min(queue)].map(|spans| usize::try_from(spans).unwrap_or(usize::MAX));
    wrong.extend(passed_over(&variable));
    if let Some((headers, name)) = first("HEADERS") {
        wrong.extend(no_headers(&name, &headers));
    }
    Ok(Some(Wanted { endpoint: uri, timeout, queue, batch, delay, wrong }))
}

/// Variables that nobody looks at, and what is done instead.
#[cfg(feature = "otel")]
fn passed_over(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for of in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"] {
        for name in [format!("OTEL_EXPORTER_OTLP_TRACES_{of}"), format!("OTEL_EXPORTER_OTLP_{of}")] {
            if variable(&name).is_some() {
                wrong.push(format!(
                    "{name} is passed over: who is trusted is named in SSL_CERT_FILE, and the gateway has no certificate \
                     of its own there"
                ));
            }
        }
    }
    if let Some(propagators) = variable("OTEL_PROPAGATORS") {
        let are_known = |name: &str| matches!(name.trim(), "tracecontext" | "baggage");
        let is_ours = propagators.split(',').any(|name| name.trim() == "tracecontext");
        if !is_ours || !propagators.split(',').all(are_known) {
            wrong.push(format!("OTEL_PROPAGATORS={propagators:?} is passed over: it is tracecontext"));
        }
    }
    wrong
}

/// What the SDK leaves out of a list of headers: told by its place, because anything in it may be a secret.
#[cfg(feature = "otel")]
fn no_headers(name: &str, list: &str) -> Vec<String> {
    let is_header = |pair: &str| {
        pair.split_once('=').is_some_and(|(name, value)| {
            http::HeaderName::try_from(name.trim()).is_ok()
                && http::HeaderValue::try_from(value.trim()).is_ok()
        })
    };
    let pairs = list.split_terminator(',').enumerate();
    let wrong = pairs.filter(|(_, pair)| !is_header(pair));
    wrong
        .map(|(index, _)| {
            format!(
                "header {} in {name} is left out: write name=value,… with the values percent-encoded, such as \
                 authorization=Bearer%20…",
                index + 1
            )
        })
        .collect()
}

/// What is said where a binary has no traces, and somebody waits for them.
#[cfg(any(not(feature = "otel"), test))]
pub(super) fn not_built_in(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (name, _) = endpoint(variable)?;
    Some(format!(
        "no traces: {name} is set, and this binary was built without them; build tidewater-gateway with the feature \
         \"otel\""
    ))
}

/// The specification's.
#[cfg(feature = "otel")]
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the SDK will do as the sampler's variables say, and what is wrong if not.
#[cfg(feature = "otel")]
fn sampler(variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    const NAMES: [&str; 6] = [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];
    let Some(sampler) = variable("OTEL_TRACES_SAMPLER") else { return Ok(()) };
    if !NAMES.contains(&sampler.as_str()) {
        return Err(format!(
            "OTEL_TRACES_SAMPLER={sampler:?} is passed over: all is sampled that its parent doesn't leave out (there are: {})",
            NAMES.join(", ")
        ));
    }
    let share = variable("OTEL_TRACES_SAMPLER_ARG").map(|share| share.parse::<f64>());
    // The SDK takes what is below or beyond for what is nearest.
    let instead = match share {
        Some(Ok(share)) if (0.0..=1.0).contains(&share) => return Ok(()),
        Some(Ok(share)) if share < 0.0 => "nothing",
        _ => "all",
    };
    if sampler.ends_with("traceidratio") {
        return Err(format!(
            "OTEL_TRACES_SAMPLER={sampler} wants a share from 0 to 1 in OTEL_TRACES_SAMPLER_ARG, such as 0.1: {instead} is \
             sampled"
        ));
    }
    Ok(())
}

#[cfg(all(test, feature = "otel"))]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        read(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");

    #[test]
    fn an_endpoint_turns_them_on() {
        assert!(of(&[]).unwrap().is_none());
        let wanted = of(&[GENERAL]).unwrap().unwrap();
        assert_eq!(
            (wanted.endpoint.to_string().as_str(), wanted.timeout),
            ("http://localhost:4318/", DEFAULT_TIMEOUT)
        );
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://a.example/traces");
        let more =
            [GENERAL, own, ("OTEL_EXPORTER_OTLP_TIMEOUT", "5"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7")];
        let wanted = of(&more).unwrap().unwrap();
        assert_eq!((wanted.endpoint.host(), wanted.timeout), (Some("a.example"), Duration::from_millis(7)));
        assert!(wanted.wrong.is_empty(), "{wanted:?}");
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(of(&[GENERAL, off]).unwrap().is_none(), "{off:?}");
        }
        assert!(
            of(&[GENERAL, ("OTEL_SDK_DISABLED", "no"), ("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().is_some()
        );
    }

    #[test]
    fn what_can_not_be_is_told() {
        let secret = tidewater_secret();
        for (variables, says) in [
            (vec![GENERAL, ("OTEL_TRACES_EXPORTER", "zipkin")], "zipkin"),
            (vec![GENERAL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "4318"),
            (vec![GENERAL, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")], "http/protobuf"),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", secret.as_str())], "http://localhost:4318"),
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:word@a.example")],
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a.example/?key=word")],
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            ),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")], "http://"),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://a.example")], "https://"),
        ] {
            let error = of(&variables).unwrap_err();
            assert!(error.contains(says) && !error.contains("pass:word"), "{variables:?}: {error}");
        }
    }

    fn tidewater_secret() -> String {
        "http://user:pass:word@ a.example".to_owned()
    }

    #[test]
    fn what_is_passed_over_is_told() {
        for (variables, says) in [
            (vec![("OTEL_TRACES_SAMPLER", "sometimes")], Some("parentbased_traceidratio")),
            (vec![("OTEL_TRACES_SAMPLER", "traceidratio")], Some("OTEL_TRACES_SAMPLER_ARG")),
            (
                vec![("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")],
                Some("from 0 to 1 in OTEL_TRACES_SAMPLER_ARG, such as 0.1: all"),
            ),
            (
                vec![("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "-1")],
                Some("nothing is sampled"),
            ),
            (vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", "/a.pem")], Some("SSL_CERT_FILE")),
            (vec![("OTEL_PROPAGATORS", "none")], Some("it is tracecontext")),
            (vec![("OTEL_PROPAGATORS", "tracecontext,baggage")], None),
            (vec![("OTEL_EXPORTER_OTLP_HEADERS", "a=b,Authorization: Bearer x")], Some("header 2 in OTEL")),
            (vec![("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")], Some("header 1 in OTEL")),
            (vec![("OTEL_EXPORTER_OTLP_HEADERS", "a=b, c=d%20e,")], None),
            (vec![("OTEL_BSP_SCHEDULE_DELAY", "0")], Some("is 5000: write a number from 1 to 3600000")),
            (vec![("OTEL_BSP_SCHEDULE_DELAY", "5s")], Some("\"5s\" is passed over")),
            (vec![("OTEL_BSP_MAX_QUEUE_SIZE", "0")], Some("from 1 to 65536")),
            (vec![("OTEL_BSP_MAX_QUEUE_SIZE", "10000000")], Some("and is 2048")),
            (vec![("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0")], Some("and is 512")),
            (vec![("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")], None),
            (vec![("OTEL_TRACES_SAMPLER", "always_off")], None),
            (vec![("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], Some("milliseconds")),
            (vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")], Some("not compressed")),
        ] {
            let wanted = of(&[vec![GENERAL], variables.clone()].concat()).unwrap().unwrap();
            assert_eq!(wanted.wrong.len(), usize::from(says.is_some()), "{variables:?}: {wanted:?}");
            assert!(wanted.wrong.iter().all(|wrong| wrong.contains(says.unwrap_or_default())), "{wanted:?}");
        }
    }

    #[test]
    fn a_build_without_them_says_so() {
        let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let said =
            not_built_in(|name| (name == own).then(|| "http://user:word@a.example".to_owned())).unwrap();
        assert!(
            said.contains(own) && said.contains("the feature \"otel\"") && !said.contains("word"),
            "{said}"
        );
        assert_eq!(not_built_in(|_| None), None);
    }

    #[test]
    fn a_queue_has_bounds_and_a_batch_is_no_longer_than_it() {
        let wanted = of(&[GENERAL]).unwrap().unwrap();
        assert_eq!((wanted.queue, wanted.batch, wanted.delay), (2_048, 512, Duration::from_secs(5)));
        let more = [
            GENERAL,
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ];
        let wanted = of(&more).unwrap().unwrap();
        assert_eq!((wanted.queue, wanted.batch, wanted.delay), (16, 16, Duration::from_millis(1)));
        assert!(wanted.wrong.is_empty(), "{wanted:?}");
    }
}
