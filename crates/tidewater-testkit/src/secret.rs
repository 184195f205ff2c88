//! Secrets of tests that are found again wherever they leak.
//!
//! ```
//! use tidewater_testkit::secret;
//!
//! let password = secret::secret("orders-password");
//! let told = format!("SCRAM failed for orders, is sasl.password right?");
//! secret::assert_hidden(&told);
//! assert!(secret::leak(&format!("sasl.password={password}")).is_some());
//! ```
//!
//! Every secret of [`secret`] holds [`MARKER`], so one search finds them all. One that can't hold it (a private key,
//! an nkey's seed) is [`record`]ed. Where the environment variable `TIDEWATER_TEST_SECRETS` names a file, what to search
//! for is appended to it, one a line; `cargo xtask test` sets it, searches all that its tests printed and all that
//! the gateways of the tests wrote, and fails the run if it finds one.

use std::{
    collections::BTreeSet,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::Write as _,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};

/// What every secret of [`secret`] begins with. Letters, digits and hyphens, so that it stands as it is in a URL, in
/// properties, in JSON and in a shell.
pub const MARKER: &str = "tw5ecret-";

/// The shortest text that is searched for: what is shorter is found in what is no secret.
const SHORTEST: usize = 8;

/// A secret of this name: the same in one process, another in each. At most `name` and 26 characters, each a letter, a
/// digit, or a hyphen if `name` is of those.
pub fn secret(name: &str) -> String {
    static RANDOM: OnceLock<RandomState> = OnceLock::new();
    // The marker is searched for from now on.
    drop(needles());
    format!("{MARKER}{name}-{:016x}", RANDOM.get_or_init(RandomState::new).hash_one(name))
}

/// Makes a secret of another make one that is searched for: as it is and in base64; of several lines (PEM), each one
/// that says something.
///
/// # Panics
/// If nothing of it can be searched for, being shorter than eight characters.
pub fn record(secret: &str) {
    let lines = secret.lines().map(str::trim);
    // PEM's headings and the first bytes of every key of a kind are no secret.
    let lines: Vec<_> = lines.filter(|line| line.len() >= SHORTEST && !line.starts_with('-')).collect();
    assert!(!lines.is_empty(), "a secret of less than {SHORTEST} characters can't be searched for");
    let telling = if lines.len() > 1 { &lines[1..] } else { &lines[..] };
    let mut needles = needles();
    telling.iter().for_each(|line| add(&mut needles, line));
}

/// The first line of `text` that holds a secret, with the secret itself made unreadable; `None` if there is none.
pub fn leak(text: &str) -> Option<String> {
    let needles = needles();
    let line = text.lines().find(|line| needles.iter().any(|needle| line.contains(needle.as_str())))?;
    let mut shown = line.to_owned();
    for needle in needles.iter() {
        while let Some(at) = shown.find(needle.as_str()) {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+/=".contains(&byte);
            let rest = shown.as_bytes()[at + needle.len()..].iter().take_while(|byte| word(**byte)).count();
            shown.replace_range(at..at + needle.len() + rest, "<a secret>");
        }
    }
    Some(shown)
}

/// Fails the test that calls it if the text holds a secret.
///
/// # Panics
/// Then, with the line that holds it, where the secret can't be read.
pub fn assert_hidden(text: &str) {
    if let Some(line) = leak(text) {
        panic!("a secret is shown: {line}");
    }
}

/// What is searched for, by this process.
fn needles() -> MutexGuard<'static, BTreeSet<String>> {
    static NEEDLES: OnceLock<Mutex<BTreeSet<String>>> = OnceLock::new();
    let marked = || {
        let mut needles = BTreeSet::new();
        add(&mut needles, MARKER);
        Mutex::new(needles)
    };
    NEEDLES.get_or_init(marked).lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(needles: &mut BTreeSet<String>, secret: &str) {
    for needle in std::iter::once(secret.to_owned()).chain(in_base64(secret)) {
        if !needles.contains(&needle) {
            publish(&needle);
            needles.insert(needle);
        }
    }
}

/// What of a text stands in any base64 of something that holds it: its place there decides between three forms, of
/// which the characters at the ends depend on what stands beside it.
fn in_base64(secret: &str) -> impl Iterator<Item = String> {
    (0..3).filter_map(move |before| {
        let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
        let text = BASE64_STANDARD_NO_PAD.encode(&bytes);
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        text.get(first..end).filter(|text| text.len() >= SHORTEST).map(str::to_owned)
    })
}

fn publish(needle: &str) {
    let Some(file) = std::env::var_os("TIDEWATER_TEST_SECRETS").filter(|file| !file.is_empty()) else {
        return;
    };
    let written = File::options().create(true).append(true).open(&file).and_then(|mut file| {
        // In one write: other test programs append at the same time.
        file.write_all(format!("{needle}\n").as_bytes())
    });
    if let Err(error) = written {
        panic!("TIDEWATER_TEST_SECRETS={}: {error}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_for_its_name_and_no_other() {
        assert_eq!(secret("a"), secret("a"));
        assert_ne!(secret("a"), secret("b"));
        assert!(secret("a").len() <= 1 + 26, "{}", secret("a").len());
    }

    #[test]
    fn a_secret_is_found_as_it_is_and_in_base64_wherever_it_stands() {
        let password = secret("found");
        for before in ["", "u", "us", "\0user\0"] {
            let encoded = BASE64_STANDARD_NO_PAD.encode(format!("{before}{password}!"));
            assert!(leak(&encoded).is_some(), "behind {before:?}");
        }
        let told = leak(&format!("fine\nthe password {password}, they say\nfine")).unwrap();
        assert_eq!(told, "the password <a secret>, they say");
        assert_eq!(leak("nothing of the kind"), None);
    }

    #[test]
    fn a_recorded_key_is_found_by_each_of_its_lines() {
        record(
            "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\nq7dRVwkXb0QPl2Zk\ncY1tOe5s\n-----END PRIVATE KEY-----\n",
        );
        assert!(leak("it is q7dRVwkXb0QPl2Zk").is_some());
        assert!(leak("it is cY1tOe5s").is_some());
        assert_eq!(leak("-----BEGIN PRIVATE KEY-----"), None);
        assert_eq!(leak("MIGHAgEAMBMG"), None, "every key of a kind begins so");
    }

    #[test]
    #[should_panic(expected = "a secret is shown: password=<a secret>")]
    fn a_text_that_shows_one_fails_the_test() {
        assert_hidden(&format!("password={}", secret("shown")));
    }
}
