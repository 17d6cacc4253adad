//! This filter, as an operator gets it: the program `sg-ctl` applies a policy with native XDP.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use sg_ctl::bench::generate::group;
use sg_ctl::policy::export::export;
use sg_ctl::policy::file::source::Format;
use sg_ctl::policy::model::{Hook, Interface};
use sg_tests::sg::Sg as Host;

use super::{Loaded, Peer};
use crate::lane::{DEVICE, Lane, Way};
use crate::ruleset::Ruleset;
use crate::sender::Sender;

/// This filter.
struct Sg {
    name: &'static str,
    about: &'static str,
    hook: Hook,
    way: Way,
}

/// Name of this filter.
pub const NAME: &str = "sg";
/// Its name at the hook that it chooses by itself, up to sockets.
pub const AUTO: &str = "sg-auto";

/// It as all packets of a comparison of packets meet it.
pub(super) fn packets() -> Box<dyn Peer> {
    Box::new(Sg {
        name: NAME,
        about: "this filter, complete: parse, classify, count for the rule and the reason",
        hook: Hook::Xdp,
        way: Way::Xdp,
    })
}

/// It in front of sockets, at each hook.
pub(super) fn hosts() -> [Box<dyn Peer>; 2] {
    let one = |name, about, hook| Box::new(Sg { name, about, hook, way: Way::Host }) as Box<_>;
    [
        one(AUTO, "this filter with hook = \"auto\", which on a veth is TC", Hook::Auto),
        one("sg-xdp", "this filter with hook = \"xdp\": in the driver of the veth", Hook::Xdp),
    ]
}

impl Peer for Sg {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn way(&self) -> Way {
        self.way
    }

    fn load(&self, _: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        Ok(Loaded::Yes(Box::new(apply(lane, set, self.hook)?)))
    }
}

/// Attaches the filter with a policy.
///
/// # Errors
/// Where it refuses.
pub fn apply(lane: &Lane, set: &Ruleset, hook: Hook) -> Result<Host> {
    let mut policy = set.policy.clone();
    let interface = Interface { groups: vec![group()], hook, ..Interface::default() };
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

/// Whether a pin of this name is a link: `NUMBER_in` or `NUMBER_out`.
#[must_use]
pub fn is_link(name: &str) -> bool {
    name.split_once('_').is_some_and(|(number, hook)| {
        number.parse::<u32>().is_ok() && ["in", "out"].contains(&hook)
    })
}
