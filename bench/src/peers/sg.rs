//! This filter, as an operator gets it: the program `sg-ctl` applies a policy with native XDP.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use sg_ctl::bench::generate::group;
use sg_ctl::policy::export::export;
use sg_ctl::policy::file::source::Format;
use sg_ctl::policy::model::{Hook, Interface};
use sg_tests::sg::Sg as Host;

use super::{Loaded, Peer};
use crate::lane::{DEVICE, Lane};
use crate::ruleset::Ruleset;
use crate::sender::Sender;

/// This filter.
pub(super) struct Sg;

/// Name of this filter.
pub const NAME: &str = "sg";

impl Peer for Sg {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "this filter, complete: parse, classify, count for the rule and the reason"
    }

    fn load(&self, _: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        Ok(Loaded::Yes(Box::new(apply(lane, set)?)))
    }
}

/// Attaches the filter with a policy.
pub(super) fn apply(lane: &Lane, set: &Ruleset) -> Result<Host> {
    let mut policy = set.policy.clone();
    let interface = Interface { groups: vec![group()], hook: Hook::Xdp, ..Interface::default() };
    policy.interfaces.insert(DEVICE.into(), interface);
    let host = Host::new(lane.namespace.name());
    let answer = host.run_with("apply --prune -f -", &export(&policy, Format::Toml));
    if answer.code != Some(0) {
        bail!("{}: {}", answer.command, answer.stderr);
    }
    Ok(host)
}

/// Where the filter's maps are pinned.
pub(super) fn pins(host: &Host) -> PathBuf {
    let control = sg_common::tables::pin::CONTROL;
    host.pins()
        .into_iter()
        .find(|path| path.ends_with(control))
        .and_then(|path| path.parent().map(Into::into))
        .unwrap_or_else(|| host.bpffs().to_owned())
}

/// The number of the only endpoint: links are pinned as `NUMBER_in`.
pub(super) fn endpoint(host: &Host) -> Result<u32> {
    host.pins()
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_suffix("_in")?.parse().ok())
        .next()
        .context("no link of the filter is pinned")
}
