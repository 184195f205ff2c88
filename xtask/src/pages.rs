//! Figures in pages of `docs/`: they stand between two marks, so that the words around them stay and the figures are
//! always a program's.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use sysinfo::System;

use crate::{process, workspace};

/// `<!-- WHAT NAME -->` and `<!-- end NAME -->`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks<'a> {
    pub(crate) what: &'a str,
    pub(crate) name: &'a str,
}

/// Replaces what stands between the marks in a page, whose path is relative to the workspace.
pub(crate) fn write(page: &Path, marks: &Marks<'_>, report: &str) -> Result<()> {
    let file = workspace::root().join(page);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let text = replace(&text, marks, report)
        .with_context(|| format!("{} has no marks <!-- {} {} -->", file.display(), marks.what, marks.name))?;
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    eprintln!("Written to {}", file.display());
    Ok(())
}

fn replace(text: &str, Marks { what, name }: &Marks<'_>, report: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {what} {name} -->\n"), format!("<!-- end {name} -->\n"));
    let (before, rest) = text.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n{}\n\n{close}{after}", report.trim()))
}

/// What was run (`cargo xtask COMMAND`), on what, when.
pub(crate) fn heading(command: &str, release: bool, versions: &[String]) -> String {
    let mut system = System::new();
    let memory = system.as_mut().map_or(0, |system| {
        system.refresh_memory();
        system.total_memory() >> 30
    });
    let (cores, profile) =
        (thread::available_parallelism().map_or(0, usize::from), if release { "release" } else { "debug" });
    let rustc = process::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    format!(
        "`cargo xtask {command}`, {profile} build, {}, {cores} cores, {memory} GiB, {} {}; {}; {}.\n",
        today(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        rustc.trim(),
        versions.join("; "),
    )
}

/// The day, in UTC.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() / 86_400);
    // Days to a date of the Gregorian calendar, in eras of 400 years that begin in March.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{}-{month:02}-{day:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = "a\n<!-- bench ids -->\nold\n<!-- end ids -->\nb\n";
        let marks = |what, name| Marks { what, name };
        let new = replace(text, &marks("bench", "ids"), "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench ids -->\n\nnew\n\n<!-- end ids -->\nb\n");
        assert_eq!(replace(&new, &marks("bench", "ids"), "new").unwrap(), new);
        assert_eq!(replace(text, &marks("bench", "channels"), "new"), None);
        assert_eq!(replace(text, &marks("faults", "ids"), "new"), None);
    }

    #[test]
    fn a_day_is_a_date() {
        let today = today();
        assert!(today.len() == 10 && today.starts_with("20"), "{today}");
    }
}
