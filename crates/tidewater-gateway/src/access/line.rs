//! A line of the access log. Pure.
//!
//! Whatever a client sends, its line stays one, and no field of it passes for another: a text that is more than a word is
//! quoted, and what is not plain ASCII in it is escaped, in text and in JSON. (Programs disagree about what ends a
//! line: U+0085, U+2028.)

use std::time::SystemTime;

use serde_json::Value;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `name=value`, behind the time: for people, and for what reads logfmt.
    Text,
    /// An object to a line.
    Json,
}

impl Format {
    /// A part of a line.
    pub(super) fn fields(self, fields: &[(&'static str, Value)]) -> String {
        let mut out = String::new();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            self.field(&mut out, name, value);
        }
        out
    }

    /// A whole line: when, what, and its parts.
    pub(super) fn line(self, now: SystemTime, what: &'static str, parts: &[&str]) -> String {
        let mut line = String::new();
        let time = humantime::format_rfc3339_millis(now);
        self.field(&mut line, "time", &time.to_string().into());
        self.field(&mut line, "what", &what.into());
        line.extend(parts.iter().copied());
        match self {
            // Each begins with what separates it from the one before.
            Self::Text => format!("{}\n", &line[1..]),
            Self::Json => format!("{{{}}}\n", &line[1..]),
        }
    }

    fn field(self, out: &mut String, name: &str, value: &Value) {
        out.push_str(&match (self, value) {
            (Self::Text, Value::String(text)) if is_word(text) => format!(" {name}={text}"),
            (Self::Text, value) => format!(" {name}={}", ascii(&value.to_string())),
            (Self::Json, value) => format!(",\"{name}\":{}", ascii(&value.to_string())),
        });
    }
}

/// Whether it needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\=".contains(&byte))
}

/// JSON in plain ASCII. What is not stands in strings, where it can be escaped.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if matches!(letter, ' '..='~') {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    fn line(format: Format, value: &str) -> String {
        let fields = format.fields(&[("agent", json!(value)), ("none", Value::Null), ("status", json!(200))]);
        format.line(UNIX_EPOCH, "answered", &[&fields])
    }

    #[test]
    fn a_line_is_text_or_json() {
        assert_eq!(
            line(Format::Text, "curl/8.1"),
            "time=1970-01-01T00:00:00.000Z what=answered agent=curl/8.1 status=200\n"
        );
        assert_eq!(
            line(Format::Json, "curl/8.1"),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"what\":\"answered\",\"agent\":\"curl/8.1\",\"status\":200}\n"
        );
    }

    #[test]
    fn no_text_makes_another_line_or_field() {
        for (text, shown) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("x status=500", r#""x status=500""#),
            ("a=b", r#""a=b""#),
            ("\" status=500 x=\"", r#""\" status=500 x=\"""#),
            ("a\\", r#""a\\""#),
            ("a\r\ntime=1970", r#""a\r\ntime=1970""#),
            ("a\0\u{1b}[31m\u{7f}", r#""a\u0000\u001b[31m\u007f""#),
            ("é\u{85}\u{2028}\u{202e}\u{1f30a}", r#""\u00e9\u0085\u2028\u202e\ud83c\udf0a""#),
        ] {
            let written = line(Format::Text, text);
            assert_eq!(
                written,
                format!("time=1970-01-01T00:00:00.000Z what=answered agent={shown} status=200\n")
            );
            let json = line(Format::Json, text);
            assert!(json.is_ascii() && json.lines().count() == 1, "{json}");
            let read: Value = serde_json::from_str(&json).unwrap();
            assert_eq!((&read["agent"], &read["status"]), (&json!(text), &json!(200)));
        }
    }
}
