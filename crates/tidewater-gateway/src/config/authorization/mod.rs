//! `[authorization]`: who may read and publish what.
//!
//! | file | holds |
//! |---|---|
//! | `jwt` | `[authorization.jwt]`: tokens, their keys and where they are |
//! | `url` | `[authorization.url]`: an application that is asked |
//! | `rules` | `[[authorization.rules]]`: what the claims of a token grant |
//! | `secret` | what is never shown, and files that hold such |

mod jwt;
mod rules;
mod secret;
mod url;

use std::sync::Arc;

use tidewater::http::Authorizer;

use self::{jwt::JwtConfig, rules::RulesConfig, url::UrlConfig};
use super::reader::Reader;

/// Who decides what a request may do. By default nobody does: everybody may.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorization {
    jwt: Option<JwtConfig>,
    url: Option<UrlConfig>,
    rules: RulesConfig,
    authorizer: Option<Arc<dyn Authorizer>>,
}

impl Authorization {
    /// Reads it; `channels` are the names that there are.
    pub(super) fn read(table: &mut Reader<'_>, channels: &[&str]) -> Self {
        let (has_jwt, has_url) = (table.has("jwt"), table.has("url"));
        let jwt = table.table_if("jwt", JwtConfig::read);
        let url = table.table_if("url", UrlConfig::read);
        let rules = RulesConfig::read(table, channels);
        match (has_jwt, has_url) {
            (true, true) => {
                table.refuse("url", "tokens are checked already: have [authorization.jwt] or [authorization.url]");
            }
            (true, false) if rules.is_empty() && !table.has("rules") => table.refuse(
                "jwt",
                "nobody is granted anything: write [[authorization.rules]], with channels = [\"*\"] or the like",
            ),
            (false, _) if table.has("rules") => table.refuse(
                "rules",
                "rules are for the claims of tokens, and no token is read: write [authorization.jwt]",
            ),
            (false, false) if table.is_there() => table.refuse(
                "",
                "it says nothing of who may do what: write [authorization.jwt] or [authorization.url]",
            ),
            _ => {}
        }
        let jwt_authorizer = jwt.as_ref().and_then(|jwt| jwt.authorizer(rules.rules()));
        let authorizer = jwt_authorizer.or_else(|| url.as_ref()?.authorizer());
        Self { jwt: jwt.map(|jwt| jwt.config), url, rules, authorizer }
    }

    /// Who decides, if anybody does.
    pub(crate) fn authorizer(&self) -> Option<&Arc<dyn Authorizer>> {
        self.authorizer.as_ref()
    }

    /// Whether it says the same. What has been found out for one holds for the other then.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.jwt, &self.url, &self.rules) == (&other.jwt, &other.url, &other.rules)
    }
}
