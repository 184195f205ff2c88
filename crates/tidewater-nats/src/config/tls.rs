//! Whom we trust, and by what we are known, on a line that is encrypted.

use std::path::{Path, PathBuf};

use async_nats::{
    ConnectOptions,
    rustls::{
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tidewater_core::{Error, Result, Retry};

use super::login::read;
use crate::names::config;

/// What is set of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    /// Never unencrypted, whatever the server says.
    pub(crate) required: bool,
    /// The handshake comes before anything else.
    pub(crate) first: bool,
    /// Who signs servers' certificates; `None` is whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Options that do so. The client reads the files again by itself; they are read here to say what is wrong with
    /// which.
    pub(crate) async fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions> {
        if !self.required {
            return Ok(options);
        }
        if CryptoProvider::get_default().is_none() {
            // Where two providers are linked in, rustls panics when it should choose one. Fails only if somebody
            // else has just chosen.
            ring::default_provider().install_default().ok();
        }
        options = options.require_tls(true);
        if self.first {
            options = options.tls_first();
        }
        if let Some(path) = &self.ca {
            certificates("tls_ca", path).await?;
            options = options.add_root_certificates(path.clone());
        }
        if let Some((cert, key)) = &self.client {
            certificates("tls_cert", cert).await?;
            private_key("tls_key", key).await?;
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options)
    }

    pub(super) fn parts(&self) -> [Vec<u8>; 4] {
        let path = |path: Option<&PathBuf>| {
            // With something before it: an empty path is not the same as none.
            path.map(|path| [b"/", path.as_os_str().as_encoded_bytes()].concat()).unwrap_or_default()
        };
        let client = self.client.as_ref();
        [
            vec![self.required.into(), self.first.into()],
            path(self.ca.as_ref()),
            path(client.map(|(cert, _)| cert)),
            path(client.map(|(_, key)| key)),
        ]
    }
}

async fn certificates(setting: &str, path: &Path) -> Result<()> {
    let text = read(path).await.map_err(|error| told(setting, path, error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(()),
        _ => Err(told(setting, path, config("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"))),
    }
}

async fn private_key(setting: &str, path: &Path) -> Result<()> {
    let text = read(path).await.map_err(|error| told(setting, path, error))?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(told(
            setting,
            path,
            config("it holds no private key in PEM (-----BEGIN PRIVATE KEY-----, not encrypted)"),
        )),
    }
}

/// Whoever puts the file there need not start us again.
fn told(setting: &str, path: &Path, error: Error) -> Error {
    error.context(format!("{setting} {}", path.display())).with_retry(Retry::Later)
}
