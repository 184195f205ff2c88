//! `tidewater plugins`: what this binary can read, write and serve with.

use serde::Serialize;
use tidewater::{Plugin, inventory, plugin, plugin::SchemeHint};

use crate::{failure::Failure, output::Output, serve::ServerKind};

/// List the schemes that channels can read and write, and the web servers that are built in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater plugins
  tidewater plugins --json | jq '.plugins[].schemes'")]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs `tidewater plugins`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plugins = plugin::plugins()?;
    let mut output = Output::new();
    if args.json {
        output.json(&Listing::new(&plugins))?;
    } else {
        print(&plugins, &mut output)?;
    }
    output.flush()
}

fn print(plugins: &[&Plugin], output: &mut Output) -> Result<(), Failure> {
    output.line("Sources and sinks:")?;
    for plugin in plugins {
        output.line(format_args!("\n  {}  {}", plugin.schemes.join(", "), plugin.about))?;
        output.line(format_args!("      {}: {}", directions(plugin).join(" and "), plugin.capabilities))?;
        output.line(format_args!("      --channel '{}={}'", plugin.name, plugin.example))?;
    }
    for hint in missing(plugins) {
        output.line(format_args!("\n  {}  not in this binary: to have it, {}", hint.scheme, hint.advice))?;
    }
    output.line("\nWeb servers:\n")?;
    for kind in ServerKind::ALL {
        let note = match (kind.is_built_in(), kind == ServerKind::default()) {
            (true, true) => "built in, the default".to_owned(),
            (true, false) => "built in".to_owned(),
            (false, _) => {
                format!("not in this binary: to have it, enable the feature \"{}\"", ServerKind::FEATURE)
            }
        };
        output.line(format_args!("  {:<8}{note}", kind.name()))?;
    }
    Ok(())
}

/// Schemes that a feature would add.
fn missing(plugins: &[&Plugin]) -> Vec<&'static SchemeHint> {
    let linked = |hint: &&SchemeHint| plugins.iter().any(|plugin| plugin.schemes.contains(&hint.scheme));
    let mut hints: Vec<_> = inventory::iter::<SchemeHint>.into_iter().filter(|hint| !linked(hint)).collect();
    hints.sort_by_key(|hint| hint.scheme);
    hints
}

fn directions(plugin: &Plugin) -> Vec<&'static str> {
    let all = [(plugin.source.is_some(), "read"), (plugin.sink.is_some(), "write")];
    all.iter().filter(|(can, _)| *can).map(|(_, name)| *name).collect()
}

#[derive(Serialize)]
struct Listing {
    plugins: Vec<ListedPlugin>,
    servers: Vec<&'static str>,
}

#[derive(Serialize)]
struct ListedPlugin {
    name: &'static str,
    schemes: &'static [&'static str],
    about: &'static str,
    example: &'static str,
    read: bool,
    write: bool,
    replay: bool,
    from_time: bool,
    partitioned: bool,
    mergeable: bool,
}

impl Listing {
    fn new(plugins: &[&'static Plugin]) -> Self {
        let listed = |plugin: &&'static Plugin| ListedPlugin {
            name: plugin.name,
            schemes: plugin.schemes,
            about: plugin.about,
            example: plugin.example,
            read: plugin.source.is_some(),
            write: plugin.sink.is_some(),
            replay: plugin.capabilities.replay,
            from_time: plugin.capabilities.from_time,
            partitioned: plugin.capabilities.partitioned,
            mergeable: plugin.capabilities.mergeable,
        };
        Self {
            plugins: plugins.iter().map(listed).collect(),
            servers: ServerKind::ALL
                .into_iter()
                .filter(|kind| kind.is_built_in())
                .map(ServerKind::name)
                .collect(),
        }
    }
}
