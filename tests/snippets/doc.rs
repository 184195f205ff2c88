//! The blocks of code in `docs/browser.md`.

use anyhow::{Context, Result, ensure};

const PAGE: &str = include_str!("../../docs/browser.md");

/// A block, by the name that `<!-- snippet: NAME -->` gives it on the line before.
pub(crate) fn snippet(name: &str) -> Result<&'static str> {
    let found = blocks()?.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, code)| code).with_context(|| format!("docs/browser.md has no snippet {name}"))
}

/// All of them, with their names.
pub(crate) fn blocks() -> Result<Vec<(&'static str, &'static str)>> {
    let mut blocks: Vec<(&str, &str)> = Vec::new();
    let mut parts = PAGE.split("\n```");
    while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
        let line = prose.lines().last().unwrap_or_default();
        let name = line.strip_prefix("<!-- snippet: ").and_then(|rest| rest.strip_suffix(" -->"));
        let name =
            name.with_context(|| format!("a block without a name in docs/browser.md, behind {line:?}"))?;
        let (_language, code) = block.split_once('\n').with_context(|| format!("{name} is empty"))?;
        ensure!(blocks.iter().all(|(known, _)| *known != name), "two snippets are called {name}");
        blocks.push((name, code));
    }
    Ok(blocks)
}
