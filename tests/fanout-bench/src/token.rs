//! What clients show to a server with authorization.

/// What tokens are signed with (HS256).
pub const SECRET: &[u8] = b"a secret of the benchmark, known to all who read";

/// A token by it: `{"alg":"HS256","typ":"JWT"}`, `{"sub":"load","exp":4102444800}`.
pub const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                         eyJzdWIiOiJsb2FkIiwiZXhwIjo0MTAyNDQ0ODAwfQ.\
                         T7pCHf5fMhpJS66dwjFjYJMMRE48IhZCWPPDqiOGPQw";
