//! `cargo xtask bench ids`: how many bytes an id adds to each event.

use std::{
    io::BufReader,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{build, gateway::Gateway, heading};
use crate::{
    examples::events,
    group::Group,
    process,
    services::{self, Name},
    workspace,
};

/// Partitions of the real topic, and messages written to each, about.
const PARTITIONS: u16 = 64;
const EACH: usize = 200;

/// Measures, and answers the report.
pub(super) fn run(release: bool) -> Result<String> {
    let binary = build(release)?;
    // The codec itself writes these: offsets are varints, so an id grows with them.
    let mut example = workspace::cargo();
    example.args(["build", "--package", "tidewater-core", "--example", "id_bytes"]);
    ensure!(Group::spawn(example.stdin(Stdio::null()))?.wait()?.success(), "the example does not build");
    let table = process::output(&mut Command::new(workspace::target().join("debug/examples/id_bytes")))?;

    let up = services::up(&[Name::Kafka])?;
    let seen = real(&binary, &up.state);
    services::stop(&up.started)?;
    let (events, shortest, longest, all) = seen?;
    let version = up.state.kafka.map(|kafka| format!("Kafka {}", kafka.version));
    let mut report = heading("ids", release, version.as_slice());
    report += &format!(
        "\nCharacters of an id for one topic, with all partitions at the offset; an event carries 5 more (`id: ` and a \
         line break).\n\n{table}\n\
         A real topic of {PARTITIONS} partitions, {events} events with keys spread over them, as its stream wrote them: ids \
         of {shortest} to {longest} characters, {:.0} bytes of `id` line for each event.\n",
        all as f64 / events as f64 + 5.0
    );
    Ok(report)
}

/// Events, the shortest and the longest id, and the sum of all ids of a real topic's stream.
fn real(binary: &std::path::Path, state: &services::State) -> Result<(usize, usize, usize, usize)> {
    let kafka = state.kafka.as_ref().context("no Kafka")?;
    let topic = format!("bench-ids-{}", std::process::id());
    services::create_topic(state, &topic, PARTITIONS)?;
    let url = format!("kafka://127.0.0.1:{}/{topic}", kafka.port);
    let gateway = Gateway::start(binary, "ids", &[("ids".into(), url)], true)?;
    let events = EACH * usize::from(PARTITIONS);
    let url = gateway.url("ids");
    let reader = thread::spawn(move || -> Result<Vec<usize>> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(300))).build().into();
        let response =
            agent.get(format!("{url}?since=earliest")).header("accept", "text/event-stream").call()?;
        let mut ids = Vec::new();
        events::read(BufReader::new(response.into_body().into_reader()), |event| {
            ids.push(event.id.len());
            ids.len() < events
        })?;
        Ok(ids)
    });
    thread::scope(|scope| {
        let one = |first: usize| -> Result<()> {
            (first..events).step_by(4).try_for_each(|n| gateway.publish("ids", &format!("key-{n}"), b"x"))
        };
        let threads: Vec<_> = (0..4).map(|first| scope.spawn(move || one(first))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("publishing panicked")))
    })?;
    let ids = reader.join().unwrap_or_else(|_| bail!("reading panicked"))?;
    ensure!(ids.len() == events, "{} events instead of {events}", ids.len());
    let (shortest, longest) = (ids.iter().min().copied(), ids.iter().max().copied());
    Ok((events, shortest.unwrap_or(0), longest.unwrap_or(0), ids.iter().sum()))
}
