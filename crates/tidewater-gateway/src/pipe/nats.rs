//! What a pipe has to know of NATS: subjects, and headers that speak to the server.

use tidewater::{Headers, Message, SourceUrl};

/// What begins the names of headers by which a publisher speaks to the server, or the server to a reader.
const TO_THE_SERVER: &str = "Nats-";

/// Whether this is a place in NATS.
pub(super) fn is_nats(url: &SourceUrl) -> bool {
    matches!(url.scheme(), "nats" | "jetstream")
}

/// Takes off what speaks to a server: a copy that said the same would be dropped as a duplicate, or remove others.
pub(super) fn without_server_headers(message: &mut Message) {
    let speaks = |name: &str| name.starts_with(TO_THE_SERVER);
    if message.headers.iter().any(|header| speaks(&header.name)) {
        let own = message.headers.iter().filter(|header| !speaks(&header.name));
        message.headers = own.map(|header| (header.name.clone(), header.value.clone())).collect::<Headers>();
    }
}

/// Whether a subject is one of a pattern's: `*` is one token, `>` at the end one or more.
pub(super) fn is_of(subject: &str, pattern: &str) -> bool {
    let (mut tokens, mut wanted) = (subject.split('.'), pattern.split('.'));
    loop {
        match (wanted.next(), tokens.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_of_patterns() {
        for (subject, pattern, is) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.b.c", "a.*.c", true),
            ("a.b.c", "a.*", false),
            ("a.b.c", "a.>", true),
            ("a", "a.>", false),
            ("a", ">", true),
        ] {
            assert_eq!(is_of(subject, pattern), is, "{subject} {pattern}");
        }
    }

    #[test]
    fn what_speaks_to_the_server_is_taken_off() {
        let headers = [("x", "1"), ("Nats-Msg-Id", "7"), ("Nats-Rollup", "all"), ("x", "2")];
        let mut message = Message::new("a", "b").with_headers(headers.into_iter().collect());
        without_server_headers(&mut message);
        assert_eq!(message.headers, [("x", "1"), ("x", "2")].into_iter().collect());
    }
}
