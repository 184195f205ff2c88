//! `[cors]`: what holds for every channel, and what a channel may have otherwise in a table of the same name.

use tidewater::http::Cors;

use super::{
    given::{Given, Wrong},
    reader::Reader,
    setting::{Setting, quoted},
};

/// Whose pages may use the channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CorsConfig {
    origins: Vec<PageOrigin>,
}

impl CorsConfig {
    /// Reads it; what is not said is as `default` has it.
    pub(super) fn read(table: &mut Reader<'_>, default: &Self) -> Self {
        Self { origins: table.get("origins", default.origins.clone()) }
    }

    /// As the library has it. Each origin was checked when it was read.
    pub(crate) fn cors(&self) -> tidewater::Result<Cors> {
        Cors::origins(self.origins.iter().map(|origin| &origin.0))
    }
}

/// The origin of a page, as a browser writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PageOrigin(String);

impl Setting for PageOrigin {
    fn read(given: &Given) -> Result<Self, Vec<Wrong>> {
        let text = given.expanded("the origin of a page, such as \"https://app.example\"")?;
        Cors::origins([&text]).map_err(|error| match given.with_variables() {
            // What a variable held may be a secret.
            Some(written) => given.wrong(format_args!(
                "{written}: with its variables put in this is no origin, such as https://app.example"
            )),
            None => given.wrong(error),
        })?;
        Ok(Self(text))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}
