//! What the environment says of traces, in the names of OpenTelemetry's specification. Pure.
//!
//! What the SDK reads by itself (headers, the resource's attributes, the queue's bounds) is not here. It passes over in silence what it
//! can't read, so that is looked for here as well.

#[cfg(feature = "otel")]
use std::time::Duration;

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
    let mut wrong: Vec<_> = sampler(&variable).err().into_iter().collect();
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
    Ok(Some(Wanted { endpoint: uri, timeout, wrong }))
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
    let share = variable("OTEL_TRACES_SAMPLER_ARG");
    let is_share = |text: &String| text.parse().is_ok_and(|share: f64| (0.0..=1.0).contains(&share));
    if sampler.ends_with("traceidratio") && !share.as_ref().is_some_and(is_share) {
        return Err(format!(
            "OTEL_TRACES_SAMPLER={sampler} wants a share from 0 to 1 in OTEL_TRACES_SAMPLER_ARG, such as 0.1: all is sampled"
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
                Some("from 0 to 1"),
            ),
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
}
