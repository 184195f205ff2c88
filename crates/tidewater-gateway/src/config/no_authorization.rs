//! `[authorization]` where it is not built in: it is refused, so that nothing is ever served open that was meant to be closed.

use std::sync::Arc;

use tidewater::http::Authorizer;

use super::reader::Reader;

/// Nobody decides: everybody may.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorization;

impl Authorization {
    pub(super) fn read(table: &mut Reader<'_>, _: &[&str]) -> Self {
        if table.is_there() {
            table.refuse(
                "",
                "this binary was built without it; to have it, build tidewater-gateway with the feature \"authorization\"",
            );
            table.leave();
        }
        Self
    }

    pub(crate) fn authorizer(&self) -> Option<&Arc<dyn Authorizer>> {
        None
    }

    pub(crate) fn is_same(&self, _: &Self) -> bool {
        true
    }
}
