//! TLS by rustls, with ring.
//!
//! Trusted is whom the system trusts (`rustls-native-certs`, which `tidewater-nats` has too): a company's own authority
//! is installed there, and a release of this crate is not needed when an authority falls. `webpki-roots` would know
//! neither; `rustls-platform-verifier` would be a dozen crates more, for the same on Linux.
//!
//! HTTP/1.1 alone: an event stream keeps its connection to itself, so HTTP/2 would have nothing to share.

use std::{io, sync::Arc};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::OnceCell, task::spawn_blocking};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    connect::Io,
    error::{Error, ErrorKind},
    target::Target,
};

/// Whom the system trusts: read once, because it is a file of some hundred kilobytes, and on macOS a database.
static SYSTEM: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();

/// Whom one event source trusts.
pub(crate) struct Tls {
    more: Vec<CertificateDer<'static>>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    /// Reads the certificates that are trusted besides the system's.
    pub(crate) fn new(pems: &[Bytes]) -> Result<Self, Error> {
        let mut more = Vec::new();
        // Only for a check: later it could not be told.
        let mut checked = RootCertStore::empty();
        for pem in pems {
            let before = more.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| no_certificate().caused_by(error))?;
                checked.add(certificate.clone()).map_err(|error| no_certificate().caused_by(error))?;
                more.push(certificate);
            }
            if more.len() == before {
                return Err(no_certificate());
            }
        }
        Ok(Self { more, connector: OnceCell::new() })
    }

    /// TLS over a connection to this target.
    pub(crate) async fn secure(&self, target: &Target, stream: TcpStream) -> Result<Box<dyn Io>, Error> {
        let connector = self.connector.get_or_try_init(|| self.connector(target)).await?;
        let name = ServerName::try_from(target.host().to_owned()).map_err(|error| {
            Error::new(ErrorKind::Config, format!("{target}: no certificate has such a name"))
                .caused_by(error)
        })?;
        let stream = connector.connect(name, stream).await.map_err(|error| {
            Error::new(ErrorKind::Tls, format!("{target} can't be spoken to over TLS")).caused_by(error)
        })?;
        Ok(Box::new(TokioIo::new(stream)))
    }

    async fn connector(&self, target: &Target) -> Result<TlsConnector, Error> {
        let system = SYSTEM.get_or_init(|| async {
            let roots = spawn_blocking(system_roots).await;
            Arc::new(roots.unwrap_or_else(|_| RootCertStore::empty()))
        });
        let mut roots = RootCertStore::clone(system.await);
        roots.add_parsable_certificates(self.more.iter().cloned());
        if roots.is_empty() {
            let what = "this system trusts no certificates: install its package of them (ca-certificates), or name one";
            return Err(Error::new(ErrorKind::Config, format!("{target}: {what}")));
        }
        // Named, because rustls panics where two providers are linked in and it should choose one.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)
            .map_err(|error| Error::new(ErrorKind::Config, format!("{target}: no TLS")).caused_by(error))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config).into())
    }
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificates can't be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

fn no_certificate() -> Error {
    Error::new(ErrorKind::Config, "there is no certificate in PEM (-----BEGIN CERTIFICATE-----) to trust")
}
