//! `cargo xtask examples --check`: each example runs on a port of its own and must bring events.

use std::{
    fs::{self, File},
    io::BufReader,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Surroundings, build,
    events::{self, Event},
    manifest::{Check, Example},
};
use crate::{
    group::{self, Group},
    net, workspace,
};

/// So many events must come, each with an id.
const ENOUGH: usize = 3;
/// For starting, and again for the events.
const LIMIT: Duration = Duration::from_secs(60);

/// Checks the examples and prints a line each.
pub(super) fn run(examples: &[Example]) -> Result<ExitCode> {
    ensure!(!examples.is_empty(), "no examples in examples/");
    group::catch_interrupts()?;
    let examples: Vec<&Example> = examples.iter().collect();
    let binaries = build(&examples)?;
    let surroundings = Surroundings::provide(&examples)?;
    let mut failed = 0;
    for (example, binary) in examples.iter().zip(&binaries) {
        let start = Instant::now();
        match check(example, binary, &surroundings) {
            Ok(said) => {
                println!("ok    {:<18} {said} in {:.1} s", example.name, start.elapsed().as_secs_f32())
            }
            Err(error) => {
                group::check_interrupted()?;
                failed += 1;
                println!("FAIL  {:<18} {error:#}", example.name);
                print_tail(&log(example));
            }
        }
    }
    println!("{} examples passed, {failed} failed", examples.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(example: &Example, binary: &PathBuf, surroundings: &Surroundings) -> Result<String> {
    let check = &example.check;
    let [listen, gateway] = net::free_ports(&workspace::root().join(&example.name))?.map(net::loopback);
    let output = File::create(log(example))?;
    let quiet = |mut command: Command| -> Result<Group> {
        Group::spawn(command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?))
    };
    let args = check.args.as_ref().unwrap_or(&example.args);
    let mut running = vec![quiet(surroundings.command(binary, args, &listen.to_string()))?];
    // An example that serves nothing itself is seen through a gateway on the topics that it moves.
    let served = if check.gateway.is_empty() {
        listen
    } else {
        running.push(quiet(gateway_command(check, surroundings, gateway.to_string()))?);
        gateway
    };
    let mut alive = || running.iter_mut().all(Group::is_running);
    net::wait_for(&example.name, LIMIT, &mut alive, || {
        TcpStream::connect_timeout(&served, Duration::from_secs(1)).map(drop).map_err(Into::into)
    })?;
    see_events(check, &format!("http://{served}"), alive)
}

fn gateway_command(check: &Check, surroundings: &Surroundings, listen: String) -> Command {
    let mut args = vec!["serve".to_owned(), "--listen".to_owned(), listen.clone()];
    for channel in &check.gateway {
        args.extend(["--channel".to_owned(), channel.clone()]);
        let name = channel.split('=').next().unwrap_or_default();
        args.extend(["--allow-publish".to_owned(), name.to_owned()]);
    }
    let binary = workspace::target().join("xtask").join("examples").join("tidewater");
    surroundings.command(&binary.with_extension(std::env::consts::EXE_EXTENSION), &args, &listen)
}

/// Opens the event stream, publishes where the example wants it, and counts.
fn see_events(check: &Check, base: &str, mut alive: impl FnMut() -> bool) -> Result<String> {
    let (sender, received) = mpsc::channel();
    let (url, headers) = (format!("{base}{}", check.path), check.headers.clone());
    // Ends by itself: with the example, or when nobody listens any more.
    thread::spawn(move || {
        let result = listen(&url, headers.into_iter().collect(), &sender);
        drop(sender.send(result.and_then(|()| bail!("{url} ended its stream"))));
    });
    let start = Instant::now();
    let mut seen: Vec<Event> = Vec::new();
    let mut refused = None;
    let mut publish_next = Instant::now();
    loop {
        group::check_interrupted()?;
        if let Some(path) = &check.publish
            && Instant::now() >= publish_next
        {
            // May be refused until the example has reached its broker.
            refused = publish(&format!("{base}{path}"), check).err();
            publish_next = Instant::now() + Duration::from_millis(300);
        }
        match received.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => seen.push(event?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("reading the events ended"),
        }
        let lacking = check.expect.iter().find(|text| !seen.iter().any(|event| event.data.contains(*text)));
        let ids = seen.iter().filter(|event| !event.id.is_empty()).count();
        if ids >= ENOUGH && lacking.is_none() {
            return Ok(format!("{ids} events"));
        }
        ensure!(alive(), "it ended after {} events", seen.len());
        if start.elapsed() > LIMIT {
            let refused = refused.map(|error| format!("; publishing: {error:#}")).unwrap_or_default();
            let lacking = lacking.map(|text| format!("; none holds {text}")).unwrap_or_default();
            bail!("{} events ({ids} with an id) in {} s{lacking}{refused}", seen.len(), LIMIT.as_secs());
        }
    }
}

fn listen(url: &str, headers: Vec<(String, String)>, sender: &Sender<Result<Event>>) -> Result<()> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(LIMIT + Duration::from_secs(30))).build().into();
    // A stream that ends before an event (its source was not up yet) says `retry:`: so do we.
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let mut request = agent.get(url).header("Accept", "text/event-stream");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let response = request.call().with_context(|| url.to_owned())?;
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        ensure!(
            kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            "{url} is no event stream: {}",
            kind.unwrap_or("no content-type")
        );
        let mut wanted = true;
        events::read(BufReader::new(response.into_body().into_reader()), |event| {
            wanted = sender.send(Ok(event)).is_ok();
            wanted
        })?;
        if !wanted {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn publish(url: &str, check: &Check) -> Result<()> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let mut request = agent.post(url).header("content-type", "application/json");
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    request.send(check.body.as_str()).map(drop).with_context(|| url.to_owned())
}

fn log(example: &Example) -> PathBuf {
    workspace::target().join("xtask").join("examples").join(format!("{}.log", example.name))
}

fn print_tail(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(20)..] {
        println!("      | {line}");
    }
}
