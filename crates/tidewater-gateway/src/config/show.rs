//! The configuration as it is in force, with where each value comes from and without its secrets.

use super::Shown;

/// As TOML: it could be read again, but for its secrets.
pub(crate) fn show(all: &[Shown]) -> String {
    let mut tables: Vec<&str> = Vec::new();
    for shown in all {
        if !tables.contains(&shown.table.as_str()) {
            tables.push(&shown.table);
        }
    }
    let mut text = String::new();
    for table in tables {
        if !text.is_empty() {
            text.push('\n');
        }
        // One of a list.
        let head = match table.rsplit_once('[') {
            Some((list, _)) => format!("[[{list}]]\n"),
            None => format!("[{table}]\n"),
        };
        text.push_str(&head);
        for shown in all.iter().filter(|shown| shown.table == table) {
            let line = match &shown.value {
                Some(value) => format!("{} = {value}", shown.key),
                None => format!("# {} is not set", shown.key),
            };
            let at = shown.value.as_ref().map(|_| format!("# {}", shown.at)).unwrap_or_default();
            text.push_str(format!("{line:<48}{at}").trim_end());
            text.push('\n');
        }
    }
    text
}
