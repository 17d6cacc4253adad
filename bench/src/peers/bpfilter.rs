//! bpfilter: rules compiled to a BPF program each time they change.

use anyhow::Result;

use super::{Loaded, Peer};
use crate::command::exists;
use crate::lane::Lane;
use crate::ruleset::Ruleset;
use crate::sender::Sender;

/// bpfilter, where the distribution has it.
pub(super) struct Bpfilter;

impl Peer for Bpfilter {
    fn name(&self) -> &'static str {
        "bpfilter"
    }

    fn about(&self) -> &'static str {
        "bpfilter, where Debian's configured suites have a package of it"
    }

    fn load(&self, _: &mut Sender, _: &Lane, _: &Ruleset) -> Result<Loaded> {
        let reason = if exists("bfcli") {
            "it is installed, but this comparison does not know yet how to drive it"
        } else {
            "not installed: Debian's configured suites have no package of it"
        };
        Ok(Loaded::No(reason.to_owned()))
    }
}
