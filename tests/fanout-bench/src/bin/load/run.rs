//! The run: connect, warm up, measure, and let those who stopped reading catch up.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};
use tidewater_fanout_bench::{machine, payload, token};

use crate::{
    args::Args,
    broker::Broker,
    client::Client,
    publisher::Publisher,
    report::{Latency, Report, Stalled},
    server::Server,
    tally::Tally,
};

/// How many clients may wait for their answers at once: below the shortest queue that a listener here has.
const CONNECTING: usize = 64;
/// What stands for the connection that events go to the server on.
const PUBLISHER: u64 = u64::MAX;
/// How many sockets are looked at between two looks at the clock.
const TURN: usize = 256;
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a bare consumer may take until it stands at the topic's end.
const ATTACH: Duration = Duration::from_secs(3);
const BUFFER: usize = 256 << 10;

struct Run<'a> {
    args: &'a Args,
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    publisher: Option<Publisher>,
    broker: Option<Broker>,
    tally: Tally,
    /// How many events have gone to the server, and how many of each key.
    sent: u64,
    keys: Vec<u64>,
    /// How many clients have each event, from `whole` on; those before it all have.
    arrived: Vec<usize>,
    whole: u64,
    /// The clients that are read.
    reading: usize,
    ended: usize,
}

/// Runs all of it.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let server = Server::new(args.pid);
    let own = Server::new(Some(std::process::id()));
    ensure!(
        !args.select || args.clients.is_multiple_of(args.keys.max(1) as usize),
        "as many clients for each key"
    );
    let mut run = Run::new(args)?;
    let mut report = Report { clients: args.clients, ..Report::default() };
    run.connect(&server, &mut report)?;
    if args.events == 0 {
        return Ok(report);
    }
    run.measure(args.warmup, Pace::Window(1), |_| Ok(())).context("while it warms up")?;
    let warm = args.warmup * run.reading as u64 / run.each_wants();
    ensure!(
        run.tally.deliveries == warm,
        "of {warm} deliveries while it warms up {} came",
        run.tally.deliveries
    );
    run.tally.clear();
    run.stall()?;

    let (began, busy, own_busy) = (machine::now(), server.busy()?, own.busy()?);
    let pace = match args.rate {
        Some(rate) => Pace::Rate(rate),
        None => Pace::Window(args.window),
    };
    let (mut midway, mut sent) = (0, 0);
    let (to, from) = (args.warmup + args.events, args.warmup + args.events * 6 / 10);
    run.measure(args.events, pace, |run| {
        if args.stalled > 0 && run.sent >= from && midway == 0 {
            midway = server.memory()?;
        }
        if args.stalled > 0 && run.sent >= to && sent == 0 {
            sent = server.memory()?;
        }
        Ok(())
    })?;
    report.cpu_seconds = server.busy()? - busy;
    report.load_cpu_seconds = own.busy()? - own_busy;
    report.seconds = run.tally.last.saturating_sub(began) as f64 / 1e9;
    (report.memory_midway, report.memory_sent) = (midway, sent);
    let wanted = args.events * run.reading as u64 / run.each_wants();
    let tally = &run.tally;
    report.events = args.events;
    report.deliveries = tally.deliveries;
    // What never came is lost as what was left out is.
    report.lost = tally.lost + wanted.saturating_sub(tally.deliveries + tally.lost + tally.told);
    (report.repeated, report.told, report.strange) = (tally.repeated, tally.told, tally.strange);
    report.bytes = tally.bytes;
    report.ended = run.ended;
    report.latency = Latency::of(&tally.latency);
    if args.stalled > 0 {
        report.stalled = Some(run.resume()?);
    }
    report.memory_end = server.memory()?;
    Ok(report)
}

/// When the next event goes.
#[derive(Clone, Copy)]
enum Pace {
    /// When all clients have all but so many.
    Window(u64),
    /// So many a second.
    Rate(u64),
}

impl<'a> Run<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let publisher = match args.control.or(args.post.as_ref().map(|_| args.address)) {
            Some(address) => Some(Publisher::open(address, args.post.as_deref())?),
            None => None,
        };
        if let Some(publisher) = &publisher {
            epoll::add(&epoll, &publisher.socket, token(PUBLISHER), epoll::EventFlags::IN)?;
        }
        let broker = args.broker.as_deref().map(Broker::open).transpose()?;
        Ok(Self {
            args,
            epoll,
            ready: Vec::with_capacity(TURN),
            buffer: vec![0; BUFFER],
            clients: Vec::with_capacity(args.clients),
            publisher,
            broker,
            tally: Tally::new()?,
            sent: 0,
            keys: vec![0; args.keys as usize],
            arrived: Vec::new(),
            whole: 0,
            reading: if args.bare { 1 } else { args.clients },
            ended: 0,
        })
    }

    /// In how many clients one wants an event.
    fn each_wants(&self) -> u64 {
        if self.args.select { u64::from(self.args.keys.max(1)) } else { 1 }
    }

    /// Opens all clients, the first one alone.
    fn connect(&mut self, server: &Server, report: &mut Report) -> Result<()> {
        if let Some(broker) = self.broker.as_ref().filter(|_| self.args.bare) {
            let client = Client::bare(broker.consume()?);
            epoll::add(&self.epoll, &client.source, token(0), epoll::EventFlags::IN)?;
            self.clients.push(client);
            return self.idle(ATTACH);
        }
        let limit = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.open() {
            ensure!(Instant::now() < limit, "{error:#}");
            thread::sleep(Duration::from_millis(50));
        }
        self.until_begun(1)?;
        thread::sleep(SETTLE);
        report.memory_before = server.memory()?;
        let (began, busy) = (Instant::now(), server.busy()?);
        while self.clients.len() < self.args.clients {
            self.open()?;
            let most = self.clients.len().saturating_sub(CONNECTING);
            self.until_begun(most)?;
        }
        self.until_begun(self.args.clients)?;
        report.connect_seconds = began.elapsed().as_secs_f64();
        report.connect_cpu_seconds = server.busy()? - busy;
        // Whoever answers with a head first, and only then takes the client in, has time for that.
        self.idle(SETTLE)?;
        report.memory_connected = server.memory()?;
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let index = self.clients.len();
        let mut path = self.args.path.clone();
        if self.args.select {
            path += &format!("?key={}", index % self.args.keys as usize);
        }
        let client = Client::open(self.args.address, &path, self.args.tokens.then_some(token::TOKEN))?;
        epoll::add(&self.epoll, &client.source, token(index as u64), epoll::EventFlags::IN)?;
        self.clients.push(client);
        Ok(())
    }

    /// Until the first so many clients have their answers.
    fn until_begun(&mut self, count: usize) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(20);
        while !self.clients[..count].iter().rev().take(CONNECTING * 2).all(Client::has_begun) {
            ensure!(Instant::now() < limit, "no answer within 20 s");
            self.turn(Duration::from_millis(100))?;
        }
        Ok(())
    }

    fn idle(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Some clients stop reading.
    fn stall(&mut self) -> Result<()> {
        self.reading -= self.args.stalled;
        for client in &self.clients[self.reading..] {
            epoll::delete(&self.epoll, &client.source)?;
        }
        Ok(())
    }

    /// Sends so many events and waits for them at all clients that are read.
    fn measure(&mut self, events: u64, pace: Pace, mut watch: impl FnMut(&Self) -> Result<()>) -> Result<()> {
        let (began, limit) = (machine::now(), Instant::now() + self.args.limit());
        let (first, end) = (self.sent, self.sent + events);
        let wanted = events * self.reading as u64 / self.each_wants();
        let (before, patience) = (self.progress(), self.args.patience());
        let (mut moved, mut seen) = (Instant::now(), before);
        self.arrived.resize(end as usize + 1, 0);
        self.whole = first;
        while self.progress() - before < wanted {
            let mut timeout = Duration::from_millis(100);
            while self.sent < end {
                let now = machine::now();
                let due = match pace {
                    Pace::Window(window) if self.sent < self.whole(first, before) + window => now,
                    Pace::Window(_) => break,
                    Pace::Rate(rate) => began + (self.sent - first) * 1_000_000_000 / rate,
                };
                if due > now {
                    timeout = timeout.min(Duration::from_nanos(due - now));
                    break;
                }
                self.publish(due)?;
            }
            self.flush()?;
            self.turn(timeout)?;
            watch(self)?;
            if self.progress() != seen || self.sent < end && matches!(pace, Pace::Rate(_)) {
                (moved, seen) = (Instant::now(), self.progress());
            }
            if moved.elapsed() > patience || Instant::now() > limit {
                break;
            }
        }
        Ok(())
    }

    fn publish(&mut self, due: u64) -> Result<()> {
        let (mut key, mut number) = (payload::NO_KEY, self.sent);
        if self.args.keys > 0 {
            key = (self.sent % u64::from(self.args.keys)) as u32;
            let of_key = &mut self.keys[key as usize];
            if self.args.select {
                number = *of_key;
            }
            *of_key += 1;
        }
        let data = payload::data(number, due, self.args.bytes);
        if let Some(publisher) = &mut self.publisher {
            publisher.publish(key, &data);
        }
        if let Some(broker) = &mut self.broker {
            broker.publish(&data)?;
        }
        self.sent += 1;
        Ok(())
    }

    /// The number of the first event that not everybody has who wants it.
    fn whole(&self, first: u64, progress: u64) -> u64 {
        if self.args.select {
            // Each client counts for itself; they get them one after the other.
            first + (self.progress() - progress) * self.each_wants() / self.reading as u64
        } else {
            self.whole
        }
    }

    /// Hands the server what it takes; what it doesn't goes when it does.
    fn flush(&mut self) -> Result<()> {
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        let wanted = if publisher.flush()? {
            epoll::EventFlags::IN
        } else {
            epoll::EventFlags::IN | epoll::EventFlags::OUT
        };
        if wanted != publisher.wanted {
            publisher.wanted = wanted;
            epoll::modify(&self.epoll, &publisher.socket, token(PUBLISHER), wanted)?;
        }
        Ok(())
    }

    /// Waits for sockets and reads each that is ready once.
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        self.ready.clear();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        for event in std::mem::take(&mut self.ready) {
            let (of, flags) = (event.data.u64(), event.flags);
            match of {
                PUBLISHER => {
                    if let Some(publisher) = &mut self.publisher
                        && flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP)
                    {
                        publisher.read(&mut self.buffer)?;
                    }
                }
                index => self.read(index as usize)?,
            }
        }
        self.ready.reserve(TURN);
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients.get_mut(index) else { bail!("no such client") };
        let (all, select) = (self.reading, self.args.select);
        let (arrived, whole) = (&mut self.arrived, &mut self.whole);
        client.read(&mut self.buffer, machine::now, &mut self.tally, |number| {
            if let Some(count) = arrived.get_mut(number as usize).filter(|_| !select) {
                *count += 1;
            }
            while arrived.get(*whole as usize).is_some_and(|count| *count >= all) {
                *whole += 1;
            }
        })?;
        if client.is_over {
            epoll::delete(&self.epoll, &client.source)?;
            self.ended += 1;
        }
        Ok(())
    }

    /// What clients have, or know that they will not get.
    fn progress(&self) -> u64 {
        self.tally.deliveries + self.tally.lost + self.tally.told
    }

    /// Those who stopped reading go on; what they get is told apart from the others'.
    fn resume(&mut self) -> Result<Stalled> {
        self.tally.clear();
        self.ended = 0;
        let behind = self.reading..self.clients.len();
        let missing: u64 = self.clients[behind.clone()].iter().map(|client| self.sent - client.next).sum();
        for index in behind.clone() {
            self.clients[index].timed = false;
            epoll::add(&self.epoll, &self.clients[index].source, token(index as u64), epoll::EventFlags::IN)?;
        }
        let (mut moved, mut seen, limit) = (Instant::now(), 0, Instant::now() + self.args.limit());
        while self.progress() < missing && moved.elapsed() < self.args.patience() && Instant::now() < limit {
            self.turn(Duration::from_millis(100))?;
            if self.progress() != seen {
                (moved, seen) = (Instant::now(), self.progress());
            }
        }
        let tally = &self.tally;
        Ok(Stalled {
            clients: behind.len(),
            deliveries: tally.deliveries,
            told: tally.told,
            lost: tally.lost + missing.saturating_sub(self.progress()),
            repeated: tally.repeated,
            strange: tally.strange,
            ended: self.ended,
        })
    }
}

fn token(of: u64) -> epoll::EventData {
    epoll::EventData::new_u64(of)
}
