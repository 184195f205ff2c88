//! nginx and HAProxy, by the files of docs/proxies: only addresses and paths, and what a test edits, are others.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{env, eventually, free_port, http};

/// How the files name the gateway.
const GATEWAY: &str = "127.0.0.1:8080";

/// Whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// nginx, with `docs/proxies/nginx.conf`.
    Nginx,
    /// HAProxy, with `docs/proxies/haproxy.cfg`.
    HaProxy,
}

/// A proxy that is to be started, made by [`Proxy::to`].
#[derive(Debug)]
pub struct ProxyBuilder {
    make: Make,
    edits: Vec<(String, String)>,
}

impl ProxyBuilder {
    /// Writes something else wherever the file says `from`.
    #[must_use]
    pub fn edit(mut self, from: &str, to: &str) -> Self {
        self.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Starts it, and waits until it answers. What it stands in front of needn't be there yet.
    ///
    /// # Errors
    /// If it does not answer, or the file does not say what is to be edited.
    pub async fn start(self) -> Result<Proxy> {
        let (folder, ports) = (tempfile::tempdir()?, [free_port()?, free_port()?]);
        write_certificate(folder.path())?;
        let mut text = self.make.file()?;
        for (from, to) in self.edits.iter().cloned().chain(self.make.places(folder.path(), ports)) {
            ensure!(text.contains(&from), "{:?}'s file in docs/proxies does not say {from:?}", self.make);
            text = text.replace(&from, &to);
        }
        let file = folder.path().join("configuration");
        fs::write(&file, text)?;
        let output = File::create(folder.path().join("output"))?;
        let mut command = self.make.command(folder.path(), &file)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", self.make))?;
        let mut proxy = Proxy { child, ports, folder };
        proxy.wait_until_up().await.with_context(|| format!("it wrote:\n{}", proxy.output()))?;
        Ok(proxy)
    }
}

/// A proxy in front of one gateway; dropping it kills it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// Plain, and with TLS.
    ports: [u16; 2],
    folder: TempDir,
}

impl Proxy {
    /// One in front of what listens here.
    pub fn to(make: Make, upstream: impl ToString) -> ProxyBuilder {
        ProxyBuilder { make, edits: vec![(GATEWAY.to_owned(), upstream.to_string())] }
    }

    /// Where it listens, without TLS.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    /// Its origin, without TLS.
    pub fn http(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its origin with TLS, by a certificate that nobody vouches for.
    pub fn https(&self) -> String {
        format!("https://{}:{}", Ipv4Addr::LOCALHOST, self.ports[1])
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    async fn wait_until_up(&mut self) -> Result<()> {
        let address = self.address();
        // Whatever it answers: the gateway may not be there.
        let up = eventually("the proxy's answer", || http::get(address, "/"));
        tokio::select! {
            biased;
            status = self.child.wait() => bail!("the proxy ended before it answered ({})", status?),
            up = up => up.map(drop),
        }
    }
}

impl Make {
    fn file(self) -> Result<String> {
        let name = match self {
            Self::Nginx => "nginx.conf",
            Self::HaProxy => "haproxy.cfg",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/proxies").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// What has to be another here than on a machine of its own.
    fn places(self, folder: &Path, [plain, tls]: [u16; 2]) -> Vec<(String, String)> {
        let folder = folder.display();
        let edits: &[(&str, String)] = match self {
            Self::Nginx => &[
                ("listen 80;", format!("listen 127.0.0.1:{plain};")),
                ("listen 443 ", format!("listen 127.0.0.1:{tls} ")),
                ("/etc/ssl/tidewater/", format!("{folder}/")),
                // Every account may run it then, with files wherever it is.
                ("http {\n", format!("http {{\n{NGINX_FILES}\n")),
                ("worker_rlimit_nofile 131072;", String::new()),
                ("worker_connections 65536;", "worker_connections 1024;".to_owned()),
            ],
            Self::HaProxy => &[
                ("bind :80\n", format!("bind 127.0.0.1:{plain}\n")),
                ("bind :443 ", format!("bind 127.0.0.1:{tls} ")),
                ("/etc/haproxy/tidewater.pem", format!("{folder}/both.pem")),
                ("maxconn 50000", "maxconn 1000".to_owned()),
            ],
        };
        edits.iter().map(|(from, to)| ((*from).to_owned(), to.clone())).collect()
    }

    /// One process in the foreground, which leaves none behind when it is killed.
    fn command(self, folder: &Path, file: &Path) -> Result<Command> {
        let mut command;
        match self {
            Self::Nginx => {
                command = Command::new(env::nginx()?);
                command.args(["-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"]);
                command.arg("-p").arg(folder).arg("-c").arg(file);
            }
            Self::HaProxy => {
                command = Command::new(env::haproxy()?);
                command.arg("-db").arg("-f").arg(file);
            }
        }
        Ok(command)
    }
}

/// Where nginx is told to write, in its own folder.
const NGINX_FILES: &str = "access_log off; client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;";

/// For 127.0.0.1, the chain and the key in a file each, as nginx takes them, and in one, as HAProxy does.
fn write_certificate(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()])?.self_signed(&key)?.pem();
    let key = key.serialize_pem();
    fs::write(folder.join("chain.pem"), &certificate)?;
    fs::write(folder.join("key.pem"), &key)?;
    fs::write(folder.join("both.pem"), certificate + &key)?;
    Ok(())
}
