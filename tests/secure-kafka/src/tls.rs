//! An authority of a test's own, and the certificates that it signs.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tidewater_testkit::secret;
use time::{Duration, OffsetDateTime};

/// Signs certificates; nobody trusts it but who is told to.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS #8.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(name, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its own certificate: what others trust it by.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server that has these names (DNS names or addresses).
    ///
    /// # Errors
    /// If one of them can't be.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.sign(params("a server", names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same with a certificate that was over yesterday.
    ///
    /// # Errors
    /// As [`server`](Self::server).
    pub fn expired_server(&self, names: &[&str]) -> Result<Identity> {
        let mut params = params("a server", names.iter().map(|&name| name.to_owned()).collect())?;
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client of this common name.
    ///
    /// # Errors
    /// If it can't be.
    pub fn client(&self, name: &str) -> Result<Identity> {
        self.sign(params(name, Vec::new())?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Result<Identity> {
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let key = key.serialize_pem();
        secret::record(&key);
        Ok(Identity { certificate, key })
    }
}

fn params(name: &str, names: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).context("a certificate's names")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::days(30), now + Duration::days(30));
    Ok(params)
}
