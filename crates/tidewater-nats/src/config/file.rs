//! Settings in a file.

use std::{fs::File, io::Read as _, path::Path};

use tidewater_core::{Error, Result, plugin::expand};

use super::settings::Settings;
use crate::names::config;

/// No file of settings, no certificate and no credentials are larger.
pub(super) const LARGEST: u64 = 1 << 20;

/// Puts `name=value` lines into the settings.
pub(super) fn read(path: &Path, settings: &mut Settings) -> Result<()> {
    let shown = path.display();
    let text = text(path).map_err(|why| config(format!("config: {shown}: {why}")))?;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |error: Error| error.context(format!("{shown}, line {number}"));
        // Not shown: it may hold a secret.
        let (name, value) = line.split_once('=').ok_or_else(|| at(config("write NAME=VALUE, one a line")))?;
        let value = expand(value.trim()).map_err(at)?;
        settings.set(name.trim(), value).map_err(at)?;
    }
    Ok(())
}

/// What a small file holds, or what is wrong with it.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|about| !about.is_file()) {
        return Err("it is not a file".to_owned());
    }
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() as u64 > LARGEST => Err("it is larger than 1 MiB".to_owned()),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: impl AsRef<[u8]>) -> (std::path::PathBuf, Result<Settings>) {
        let path = std::env::temp_dir().join(format!("tidewater-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let mut settings = Settings::default();
        let read = read(&path, &mut settings).map(|()| settings);
        std::fs::remove_file(&path).unwrap();
        (path, read)
    }

    #[test]
    fn lines_are_settings() {
        let (_, read) =
            file("good", "# a comment\n\n user = me\r\npassword = a=b${NO}\n".replace("${NO}", ""));
        let settings = read.unwrap();
        assert!(
            settings.login().unwrap()
                == super::super::Login::User { name: "me".into(), password: "a=b".into() }
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_value() {
        for (text, what) in [
            ("user=x\nhunter2", "line 2"),
            ("\npasword=hunter2", "line 2"),
            ("token=hunter2\ntoken=hunter2", "twice"),
            ("token=hunter2${NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
        ] {
            let (path, read) = file("bad", text);
            let error = read.err().unwrap().to_string();
            assert!(error.contains(what) && error.contains(path.to_str().unwrap()), "{text:?}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let (_, large) = file("large", vec![b'#'; LARGEST as usize + 1]);
        assert!(large.err().unwrap().to_string().contains("1 MiB"));
        let nothing = Path::new("/nonexistent/settings");
        let error = read(nothing, &mut Settings::default()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/settings") && error.contains("config"), "{error}");
        let error = read(Path::new("/"), &mut Settings::default()).unwrap_err().to_string();
        assert!(error.contains("not a file"), "{error}");
    }
}
