//! TLS by rustls, with ring: certificates, and their reload.

use std::{
    error::Error as StdError,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::{
    Accept, TlsAcceptor,
    rustls::{
        self, ServerConfig,
        client::verify_server_name,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
        server::{ClientHello, ParsedCertificate, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

/// Certificates and their keys, for [`Listener::tls`](crate::Listener::tls): TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
///
/// Cloning shares them, so a clone is the handle to [reload](Self::reload) them by.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    from: From,
    now: RwLock<TlsAcceptor>,
}

enum From {
    Memory,
    Files(Vec<(PathBuf, PathBuf)>),
}

impl Tls {
    /// A chain of certificates, the server's own first, and its key, in PEM.
    ///
    /// # Errors
    /// There is no certificate, or no key that can be read, or the two don't belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, InvalidTls> {
        let key = certified(certificates, key)?;
        Ok(Self::new(From::Memory, acceptor(vec![key])?))
    }

    /// The same from files, which [`reload`](Self::reload) reads again; a pair of a file of certificates and a file of the
    /// key for each name. A client gets the first pair that is valid for the name it asks for (SNI), or else the first.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), a file that can't be read, or no pair at all.
    pub fn from_files(
        pairs: impl IntoIterator<Item = (impl Into<PathBuf>, impl Into<PathBuf>)>,
    ) -> Result<Self, InvalidTls> {
        let pairs: Vec<_> = pairs.into_iter().map(|(chain, key)| (chain.into(), key.into())).collect();
        let acceptor = read(&pairs)?;
        Ok(Self::new(From::Files(pairs), acceptor))
    }

    /// Reads the files again, for the connections that come from now on. Those that there are keep what they have. Blocks
    /// for as long as the files take.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files): what there was is kept. Nothing is read, and nothing is wrong, where the
    /// certificates came from no file.
    pub fn reload(&self) -> Result<(), InvalidTls> {
        let From::Files(pairs) = &self.0.from else { return Ok(()) };
        let acceptor = read(pairs)?;
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// The files that they came from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs: &[_] = match &self.0.from {
            From::Memory => &[],
            From::Files(pairs) => pairs,
        };
        pairs.iter().flat_map(|(chain, key)| [chain.as_path(), key.as_path()])
    }

    pub(crate) fn accept<S>(&self, stream: S) -> Accept<S>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).accept(stream)
    }

    fn new(from: From, acceptor: TlsAcceptor) -> Self {
        Self(Arc::new(Shared { from, now: RwLock::new(acceptor) }))
    }
}

/// Never a key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

/// Why certificates can't be used.
#[derive(Debug)]
pub struct InvalidTls {
    file: Option<PathBuf>,
    what: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl InvalidTls {
    fn new(what: &'static str) -> Self {
        Self { file: None, what, source: None }
    }

    fn caused_by(mut self, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(error.into());
        self
    }

    fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl fmt::Display for InvalidTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(self.what)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl StdError for InvalidTls {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn read(pairs: &[(PathBuf, PathBuf)]) -> Result<TlsAcceptor, InvalidTls> {
    let keys = pairs.iter().map(|(chain, key)| {
        let bytes = |file: &Path| {
            std::fs::read(file)
                .map_err(|error| InvalidTls::new("it can't be read").caused_by(error).in_file(file))
        };
        let (chain_pem, key_pem) = (bytes(chain)?, bytes(key)?);
        certified(&chain_pem, &key_pem).map_err(|error| match error.what {
            NO_CERTIFICATE | BROKEN_CERTIFICATE => error.in_file(chain),
            _ => error.in_file(key),
        })
    });
    acceptor(keys.collect::<Result<_, _>>()?)
}

const NO_CERTIFICATE: &str = "there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)";
const BROKEN_CERTIFICATE: &str = "its certificate can't be read";

/// A chain and its key, which belong together.
fn certified(certificates: &[u8], key: &[u8]) -> Result<CertifiedKey, InvalidTls> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| InvalidTls::new(BROKEN_CERTIFICATE).caused_by(error))?;
    let Some(own) = chain.first() else { return Err(InvalidTls::new(NO_CERTIFICATE)) };
    ParsedCertificate::try_from(own).map_err(|error| InvalidTls::new(BROKEN_CERTIFICATE).caused_by(error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return InvalidTls::new("its key is encrypted, and nobody is here to ask for the password: write it \
                                    without one (openssl pkey -in KEY -out PLAIN), readable for this process alone");
        }
        InvalidTls::new("there is no private key in it (PEM: -----BEGIN PRIVATE KEY-----)").caused_by(error)
    })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => InvalidTls::new("the key is not the certificate's"),
        error => InvalidTls::new("the key can't be used").caused_by(error),
    })
}

fn acceptor(keys: Vec<CertifiedKey>) -> Result<TlsAcceptor, InvalidTls> {
    if keys.is_empty() {
        return Err(InvalidTls::new("TLS needs a certificate and its key"));
    }
    let unusable = |error| InvalidTls::new("TLS can't be used").caused_by(error);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(keys.into_iter().map(Arc::new).collect())));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Pages that come back after a restart or a cut need no whole handshake; nothing is kept for each of them.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The first certificate that is valid for the name that a client asks for, or else the first of all.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |key: &&Arc<CertifiedKey>| {
            let own = key.end_entity_cert().ok().and_then(|own| ParsedCertificate::try_from(own).ok());
            own.zip(name.as_ref()).is_some_and(|(own, name)| verify_server_name(&own, name).is_ok())
        };
        self.0.iter().find(is_for).or(self.0.first()).cloned()
    }
}
