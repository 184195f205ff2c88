//! Keys, each for one algorithm and no other (RFC 8725 §3.1).

use std::{fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    signature::{self, RsaPublicKeyComponents, UnparsedPublicKey},
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode as _, asn1::AnyRef},
};
use tidewater_core::{Error, ErrorKind, Result};

use super::jwk;
#[cfg(feature = "jwks")]
use super::remote::{JwksUrl, Remote};
use crate::auth::Refusal;

/// How a token may be signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256, by a secret that both sides have.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// As `alg` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key that tokens are checked with. Its `Debug` shows its id and its algorithm.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    verifier: Verifier,
}

#[derive(Clone)]
enum Verifier {
    Secret(hmac::Key),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// A point, or an RSA key in DER.
    Public(UnparsedPublicKey<Vec<u8>>),
}

/// What HS256 needs: as long as its hash (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;
/// 2,048 bits (RFC 7518 §3.3), and as many as ring takes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

impl Key {
    /// A secret for HS256, of 32 bytes at least.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a shorter one.
    pub fn secret(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < SHORTEST_SECRET {
            return Err(wrong(format!(
                "a secret of {} bytes is too short for HS256: 32 random bytes at least",
                bytes.len()
            )));
        }
        Ok(Self::new(Algorithm::Hs256, Verifier::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
    }

    /// [`secret`](Self::secret), from base64url without padding.
    ///
    /// # Errors
    /// As [`secret`](Self::secret), and for what is not base64url.
    pub fn secret_base64url(text: &str) -> Result<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim())
            .map_err(|_| wrong("the secret is not base64url without padding"))?;
        Self::secret(&bytes)
    }

    /// A public key in PEM (`-----BEGIN PUBLIC KEY-----`): RSA of 2,048 bits or more for RS256, P-256 for ES256, Ed25519 for EdDSA.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is none of these.
    pub fn pem(text: &[u8]) -> Result<Self> {
        let how =
            "give a public key that begins with -----BEGIN PUBLIC KEY----- (openssl pkey -pubout makes one)";
        let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(text)
            .map_err(|_| wrong(format!("no key in PEM is found: {how}")))?;
        match kind {
            SectionKind::PublicKey => Self::spki(&der),
            _ => Err(wrong(format!("it is a PEM of another kind than a public key: {how}"))),
        }
    }

    /// One JSON Web Key (RFC 7517): `RSA`, `EC` on P-256, `OKP` on Ed25519, or `oct`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is none of these, or not for signatures.
    pub fn jwk(json: &str) -> Result<Self> {
        jwk::one(json)
    }

    /// The same, for tokens whose `kid` is this.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its id, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this is the signature of a message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Verifier::Public(key) => key.verify(message, signature).is_ok(),
            Verifier::Rsa(key) => {
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }

    pub(super) fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self> {
        let modulus = modulus.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(modulus);
        if !RSA_BYTES.contains(&modulus.len()) {
            let bits = modulus.len() * 8;
            return Err(wrong(format!("an RSA key of {bits} bits is not taken: 2,048 to 8,192")));
        }
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        Ok(Self::new(Algorithm::Rs256, Verifier::Rsa(components)))
    }

    /// A point of P-256, uncompressed.
    pub(super) fn p256(point: Vec<u8>) -> Result<Self> {
        if point.len() != 65 || point[0] != 4 {
            return Err(wrong("a key of P-256 is two numbers of 32 bytes"));
        }
        let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
        Ok(Self::new(Algorithm::Es256, Verifier::Public(key)))
    }

    pub(super) fn ed25519(point: Vec<u8>) -> Result<Self> {
        if point.len() != 32 {
            return Err(wrong("a key of Ed25519 is 32 bytes"));
        }
        Ok(Self::new(Algorithm::EdDsa, Verifier::Public(UnparsedPublicKey::new(&signature::ED25519, point))))
    }

    fn new(algorithm: Algorithm, verifier: Verifier) -> Self {
        Self { id: None, algorithm, verifier }
    }

    /// A public key as X.509 has it (RFC 5280 §4.1.2.7).
    fn spki(der: &[u8]) -> Result<Self> {
        const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
        const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
        const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
        let unreadable = || wrong("the public key can't be read");
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| unreadable())?;
        let key = info.subject_public_key.as_bytes().ok_or_else(unreadable)?.to_vec();
        let curve =
            info.algorithm.parameters.and_then(|any: AnyRef<'_>| any.decode_as::<ObjectIdentifier>().ok());
        match info.algorithm.oid {
            // Its numbers in DER are a few bytes longer than the modulus.
            RSA if key.len() <= *RSA_BYTES.start() => {
                Err(wrong("an RSA key of less than 2,048 bits is not taken"))
            }
            RSA => {
                let key = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key);
                Ok(Self::new(Algorithm::Rs256, Verifier::Public(key)))
            }
            EC if curve == Some(P256) => Self::p256(key),
            ED25519 => Self::ed25519(key),
            _ => Err(wrong("the public key is of another kind: RSA, P-256 and Ed25519 are taken")),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The keys that tokens may be signed with. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Keys(Origin);

#[derive(Clone, Debug)]
enum Origin {
    Fixed(Arc<[Key]>),
    #[cfg(feature = "jwks")]
    Url(Arc<Remote>),
}

/// More keys than any issuer has at a time; a token without a `kid` is tried with each.
pub(super) const MOST_KEYS: usize = 64;

impl Keys {
    /// These.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for none, for more than 64, and for secrets beside public keys: who may check a token by a secret may
    /// also sign one.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self> {
        Ok(Self(Origin::Fixed(checked(keys.into_iter().collect())?)))
    }

    /// Those of a JSON Web Key Set (RFC 7517 §5), as a file has it. Keys of other kinds or uses are left out.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for what is no such set.
    pub fn jwks(json: &str) -> Result<Self> {
        Self::new(jwk::set(json)?)
    }

    /// Those that an issuer answers at a URL. They are asked for when the first token comes; until they have been answered nobody is
    /// let in or refused, but told to come back. Then they count, whether or not the issuer answers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL that can't be asked.
    #[cfg(feature = "jwks")]
    pub fn url(settings: &JwksUrl) -> Result<Self> {
        Ok(Self(Origin::Url(Arc::new(Remote::new(settings)?))))
    }

    /// The keys as they are known.
    pub(super) async fn current(&self) -> std::result::Result<Arc<[Key]>, Refusal> {
        match &self.0 {
            Origin::Fixed(keys) => Ok(keys.clone()),
            #[cfg(feature = "jwks")]
            Origin::Url(remote) => remote.current().await,
        }
    }

    /// The keys, if they are others by now.
    pub(super) async fn newer(&self, known: &Arc<[Key]>) -> std::result::Result<Option<Arc<[Key]>>, Refusal> {
        match &self.0 {
            Origin::Fixed(keys) => Ok(Some(keys.clone()).filter(|keys| !Arc::ptr_eq(keys, known))),
            #[cfg(feature = "jwks")]
            Origin::Url(remote) => remote.newer(known).await,
        }
    }
}

/// Keys that can stand together.
pub(super) fn checked(keys: Vec<Key>) -> Result<Arc<[Key]>> {
    let secrets = keys.iter().filter(|key| key.algorithm == Algorithm::Hs256).count();
    match keys.len() {
        0 => Err(wrong("there is no key that tokens could be checked with")),
        count if count > MOST_KEYS => Err(wrong(format!("{count} keys are too many: {MOST_KEYS} at most"))),
        count if secrets > 0 && secrets < count => {
            Err(wrong("secrets (HS256) and public keys can't stand together: use one kind"))
        }
        _ => Ok(keys.into()),
    }
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, what.into())
}
