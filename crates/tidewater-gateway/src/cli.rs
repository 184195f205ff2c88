//! The command line.

use clap::{Parser, Subcommand};

use crate::{
    commands::{check, cursor, decode, encode, health, pipe, plugins, serve, tail},
    version::LONG,
};

/// Broker topics to browsers, as Server-Sent Events.
///
/// Each channel reads one source (Kafka topics, NATS subjects, a JetStream stream, or memory) and gives it to any
/// number of browsers, which resume where they were after every reconnect.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, long_version = LONG.as_str(), disable_help_subcommand = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to log to standard error: a level, or levels by module such as `info,tidewater_hub=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Tail(tail::Args),
    Pipe(pipe::Args),
    Cursor(cursor::Args),
    Decode(decode::Args),
    Encode(encode::Args),
    Health(health::Args),
    Plugins(plugins::Args),
    #[cfg(feature = "authorization")]
    Token(crate::commands::token::Args),
}

const EXAMPLES: &str = "\
Examples:
  tidewater serve
      a channel in memory, and a console to watch it, on http://127.0.0.1:8080/
  tidewater serve --channel orders=kafka://localhost:9092/orders
      a Kafka topic as http://127.0.0.1:8080/channels/orders
  tidewater serve --config tidewater.toml
      what a file says; `tidewater check` says what is wrong with it
  tidewater tail http://127.0.0.1:8080/channels/orders
      its events on the terminal
  tidewater pipe embedded:./data kafka://localhost:9092/orders
      everything that is in one, into the other, and what comes
  tidewater COMMAND --help
      what a command takes, with examples

Exit codes:
  0  done
  1  it failed: the error says why
  2  the command line or the configuration is wrong: the error says what to write
  3  the address can't be listened on";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
