//! Where to listen.

use std::{fmt, net::SocketAddr, path::PathBuf};

use super::{
    given::{Given, Wrong},
    setting::{Setting, quoted},
};

/// An address or a name and a port, with or without TLS; or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp { address: String, tls: bool },
    Unix(PathBuf),
}

impl Listen {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                _ if cfg!(not(unix)) => Err("there are no Unix sockets on this system".to_owned()),
                "" => Err("it names no file: write unix:/run/tidewater.sock, or the like".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let (tls, address) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(_), _) if cfg!(not(feature = "tls")) => {
                return Err(
                    "this binary was built without TLS: build tidewater-gateway with the feature \"tls\""
                        .to_owned(),
                );
            }
            (Some(address), _) => (true, address),
            (None, address) => (false, address.unwrap_or(text)),
        };
        let is_named = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([':', '/', ' ']) && port.parse::<u16>().is_ok()
        });
        if is_named || address.parse::<SocketAddr>().is_ok() {
            return Ok(Self::Tcp { address: address.to_owned(), tls });
        }
        Err("it is no address: write an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080, with \
             https:// before it for TLS; or unix:/PATH"
            .to_owned())
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp { address: "127.0.0.1:8080".to_owned(), tls: false }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, tls: false } => f.write_str(address),
            Self::Tcp { address, tls: true } => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Setting for Listen {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        Ok(given.parsed("an address and a port, such as \"127.0.0.1:8080\"", Self::parse)?)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_sockets_are_read() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("localhost:0", "localhost:0"),
            #[cfg(feature = "tls")]
            ("https://0.0.0.0:8443", "https://0.0.0.0:8443"),
            #[cfg(unix)]
            ("unix:/run/tidewater.sock", "unix:/run/tidewater.sock"),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_tls()), (shown, text.starts_with("https")));
        }
        for wrong in ["", "8080", "localhost", "http://x", "https://x:1/", "ftp://x:1", "unix:", "::1:80:90"]
        {
            assert!(Listen::parse(wrong).is_err(), "{wrong}");
        }
    }
}
