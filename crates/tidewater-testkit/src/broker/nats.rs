//! A nats-server with JetStream.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A nats-server with JetStream on a free port of loopback, with a folder of its own. Killed when dropped.
///
/// The program is the one that the environment variable `TIDEWATER_NATS` names (`cargo xtask test` sets it), else
/// `nats-server` on PATH.
///
/// ```no_run
/// use tidewater_testkit::broker::NatsServer;
///
/// let mut server = NatsServer::start()?;
/// let url = server.url();
/// server.kill()?; // as by kill -9
/// server.restart()?; // on the same port, with the same data
/// assert_eq!(server.url(), url);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    home: PathBuf,
    extra: String,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When there is no program, or it doesn't come up; the error shows what it logged.
    pub fn start() -> io::Result<Self> {
        Self::with_config("")
    }

    /// The same with more lines in its configuration: `max_payload: 1MB`, `authorization { token: x }`. `{data}` in
    /// them is the folder of its data, for a `jetstream` section of your own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_config(extra: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidewater-nats-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let home = std::env::temp_dir().join(name);
        fs::create_dir_all(home.join("data"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = Self { port, home, extra: extra.to_owned(), process: None };
        server.restart()?;
        Ok(server)
    }

    /// Gives it another configuration while it runs: its clients stay, as far as they are still let in.
    ///
    /// # Errors
    /// When it doesn't take the configuration; the error shows what it logged.
    pub fn reload(&mut self, extra: &str) -> io::Result<()> {
        self.extra = extra.to_owned();
        let (config, log) = (self.configure()?, self.home.join("nats-server.log"));
        let logged = || fs::read_to_string(&log).unwrap_or_default();
        let reloads = |log: &str| log.matches("Reloaded server configuration").count();
        let before = reloads(&logged());
        let process = self.process.as_ref().ok_or_else(|| io::Error::other("it doesn't run"))?;
        let signal = format!("reload={}", process.id());
        let told = Command::new(program()).arg("-c").arg(config).arg("--signal").arg(signal).output()?;
        let deadline = Instant::now() + PATIENCE;
        while reloads(&logged()) == before {
            if !told.status.success() || Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "nats-server did not take the configuration:\n{}",
                    logged()
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("nats-server.log")).unwrap_or_default()
    }

    /// Where it listens, also while it doesn't: `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When the system doesn't let us.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it again on the same port with the same data, killing it first if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        let config = self.configure()?;
        let log = self.home.join("nats-server.log");
        let program = program();
        let process = Command::new(&program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|error| {
                let advice = "name a nats-server by TIDEWATER_NATS, or run the tests by `cargo xtask test`";
                io::Error::new(error.kind(), format!("{}: {error}; {advice}", program.display()))
            })?;
        self.process = Some(process);
        self.wait(&log)
    }

    fn configure(&self) -> io::Result<PathBuf> {
        let (config, data) = (self.home.join("nats-server.conf"), self.home.join("data"));
        let extra = self.extra.replace("{data}", &data.display().to_string());
        let text =
            format!("listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: {data:?} }}\n{extra}\n", self.port);
        fs::write(&config, text)?;
        Ok(config)
    }

    /// Waits until the server says that it is ready: by then JetStream has recovered its streams.
    fn wait(&mut self, log: &Path) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logged = fs::read_to_string(log).unwrap_or_default();
            if logged.contains("Server is ready")
                && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            {
                return Ok(());
            }
            let ended = match &mut self.process {
                Some(process) => process.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > deadline {
                return Err(io::Error::other(format!("nats-server did not come up:\n{logged}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // A test's folder that stays behind is a nuisance, not a failure.
        self.kill().ok();
        fs::remove_dir_all(&self.home).ok();
    }
}

fn program() -> PathBuf {
    match std::env::var_os("TIDEWATER_NATS").filter(|named| !named.is_empty()) {
        Some(named) => named.into(),
        None => "nats-server".into(),
    }
}
