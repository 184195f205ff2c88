//! `[authorization.jwt]`: tokens, their keys and where they are.

use std::{sync::Arc, time::Duration};

use tidewater::http::{
    Authorizer, Rules,
    jwt::{JwksUrl, Jwt, Key, Keys},
};

use super::{
    super::reader::Reader,
    secret::{Secret, file},
};

/// How tokens are checked, as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JwtConfig {
    keys: Option<KeysConfig>,
    issuer: Vec<String>,
    audience: Vec<String>,
    leeway: Duration,
    cookie: Option<String>,
    query: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeysConfig {
    Secret(Secret),
    /// What a file holds.
    Keys(Secret),
    Url(String),
}

/// What was read, and what can be made of it.
pub(super) struct Read {
    pub(super) config: JwtConfig,
    keys: Option<Keys>,
}

impl JwtConfig {
    pub(super) fn read(table: &mut Reader<'_>) -> Option<Read> {
        let secret: Option<Secret> = table.find("secret");
        let secret_file = file(table, "secret_file");
        let keys_file = file(table, "keys");
        let jwks_url: Option<String> = table.find("jwks_url");
        let config = Self {
            keys: None,
            issuer: table.get("issuer", Vec::new()),
            audience: table.get("audience", Vec::new()),
            leeway: table.get("leeway", Duration::from_secs(5)),
            cookie: table.find("cookie"),
            query: table.find("query"),
        };
        let said: Vec<_> =
            ["secret", "secret_file", "keys", "jwks_url"].into_iter().filter(|key| table.has(key)).collect();
        match said.as_slice() {
            [] => table.refuse(
                "",
                "tokens need a key to be checked with: write secret = \"${JWT_SECRET}\", secret_file, keys (a file) or jwks_url",
            ),
            [_] => {}
            [_, other, ..] => table.refuse(
                other,
                format_args!("there are several keys ({}): have one of them", said.join(", ")),
            ),
        }
        if config.audience.is_empty() {
            table.warn(
                "audience",
                "none is named, so a token that the same key has signed for another application is taken here, too, if it \
                 names no audience: write audience = \"tidewater\", and have it in aud",
            );
        }
        if table.has("query") {
            table.warn(
                "query",
                "tokens in URLs get into logs, histories and referrers on their way: a cookie does not",
            );
        }
        let found = secret
            .map(|secret| ("secret", KeysConfig::Secret(secret)))
            // A line break at the end is an editor's.
            .or_else(|| {
                let text = secret_file?.0;
                Some((
                    "secret_file",
                    KeysConfig::Secret(Secret(text.trim_end_matches(['\r', '\n']).to_owned())),
                ))
            })
            .or_else(|| Some(("keys", KeysConfig::Keys(keys_file?))))
            .or_else(|| Some(("jwks_url", KeysConfig::Url(jwks_url?))));
        let keys =
            found.as_ref().and_then(|(key, keys)| keys.open().map_err(|error| table.refuse(key, error)).ok());
        // With any key: that those are wrong has been said.
        let any = Key::secret(&[0; 32]).and_then(|key| Keys::new([key]));
        if let Err((key, error)) =
            any.map_err(|error| ("", error)).and_then(|any| config.jwt(any, Rules::default()))
        {
            table.refuse_text(key, error);
        }
        Some(Read { config: Self { keys: found.map(|(_, keys)| keys), ..config }, keys })
    }
}

impl KeysConfig {
    fn open(&self) -> tidewater::Result<Keys> {
        match self {
            Self::Secret(secret) => Keys::new([Key::secret(secret.0.as_bytes())?]),
            Self::Keys(text) => keys(&text.0),
            Self::Url(url) => Keys::url(&JwksUrl::new(url)),
        }
    }
}

/// The keys of a file: JWKs, or public keys in PEM.
fn keys(text: &str) -> tidewater::Result<Keys> {
    const END: &str = "-----END PUBLIC KEY-----";
    let text = text.trim();
    if text.starts_with('{') {
        return Keys::jwks(text).or_else(|wrong| Keys::new([Key::jwk(text).map_err(|_| wrong)?]));
    }
    let ends = text.match_indices(END).map(|(at, end)| at + end.len());
    let mut from = 0;
    let keys: Vec<_> = ends.map(|to| &text[std::mem::replace(&mut from, to)..to]).collect();
    match keys.as_slice() {
        // Its error says what is wanted.
        [] => Keys::new([Key::pem(text.as_bytes())?]),
        keys => Keys::new(keys.iter().map(|key| Key::pem(key.as_bytes())).collect::<Result<Vec<_>, _>>()?),
    }
}

impl JwtConfig {
    /// What checks tokens; or the key that is wrong.
    fn jwt(&self, keys: Keys, rules: Rules) -> Result<Jwt, (&'static str, tidewater::Error)> {
        let jwt =
            Jwt::new(keys, rules).issuer(self.issuer.iter().cloned()).audience(self.audience.iter().cloned());
        let jwt = jwt.leeway(self.leeway).map_err(|error| ("leeway", error))?;
        let jwt = match &self.cookie {
            Some(name) => jwt.cookie(name).map_err(|error| ("cookie", error))?,
            None => jwt,
        };
        match &self.query {
            Some(name) => jwt.query(name).map_err(|error| ("query", error)),
            None => Ok(jwt),
        }
    }
}

impl Read {
    /// What checks tokens, if nothing is wrong with it.
    pub(super) fn authorizer(&self, rules: Rules) -> Option<Arc<dyn Authorizer>> {
        Some(Arc::new(self.config.jwt(self.keys.clone()?, rules).ok()?))
    }
}
