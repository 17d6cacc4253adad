//! `sg-ctl update`.

use std::net::IpAddr;
use std::sync::Arc;

use super::context::Context;
use super::words;
use super::write::{Done, Edit, Verb};
use crate::policy::cidr;
use crate::policy::edit::{self, InterfaceChange};
use crate::policy::model::{Hook, Mode, Name, Side};
use crate::policy::text;

/// Change an attached interface, without a gap
///
/// What is not named stays. All changes act on the same packet: there is no moment at which the
/// interface has neither the old nor the new policy.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl update eth0 --mode enforce
  sg-ctl update eth0 --add-group db --remove-group web
  sg-ctl update eth0 --groups web,admin")]
pub(crate) struct Args {
    /// The interface
    #[arg(value_name = "IFACE", value_parser = text::interface_name)]
    interface: Arc<str>,

    #[command(flatten)]
    change: ChangeArgs,
}

// No comment on the struct: it would become the help of the command that it is part of.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = true)]
struct ChangeArgs {
    /// A group that comes; may be repeated
    #[arg(long = "add-group", value_name = "GROUP", value_delimiter = ',')]
    add_groups: Vec<Name>,

    /// A group that goes; may be repeated
    #[arg(long = "remove-group", value_name = "GROUP", value_delimiter = ',')]
    remove_groups: Vec<Name>,

    /// All groups, instead of those it has
    #[arg(
        long,
        value_name = "GROUP,…",
        value_delimiter = ',',
        conflicts_with_all = ["add_groups", "remove_groups", "no_groups"]
    )]
    groups: Option<Vec<Name>>,

    /// No group: only what networks need to work passes
    #[arg(long, conflicts_with_all = ["add_groups", "remove_groups"])]
    no_groups: bool,

    /// Drop what is denied, or only count it
    #[arg(long, value_parser = words::mode())]
    mode: Option<Mode>,

    /// Which end is protected
    #[arg(long, value_parser = words::side())]
    side: Option<Side>,

    /// Where arriving packets are judged
    #[arg(long, value_parser = words::hook())]
    hook: Option<Hook>,

    /// All addresses of the guest; may be repeated
    #[arg(
        long = "address",
        value_name = "ADDR",
        value_parser = cidr::address,
        value_delimiter = ',',
        conflicts_with = "no_addresses"
    )]
    addresses: Option<Vec<IpAddr>>,

    /// No addresses of the guest
    #[arg(long)]
    no_addresses: bool,

    /// Whether the guest may be a router or DHCP server
    #[arg(long, value_name = "true|false")]
    guest_servers: Option<bool>,

    /// Whether the interface may be absent
    #[arg(long, value_name = "true|false")]
    wait: Option<bool>,
}

impl Verb for Args {
    const NAME: &'static str = "update";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        let own = self.change.clone();
        let change = InterfaceChange {
            groups: own.groups.or(own.no_groups.then(Vec::new)),
            add_groups: own.add_groups,
            remove_groups: own.remove_groups,
            mode: own.mode,
            side: own.side,
            hook: own.hook,
            addresses: own.addresses.or(own.no_addresses.then(Vec::new)),
            guest_servers: own.guest_servers,
            wait: own.wait,
        };
        Ok(Box::new(move |policy| {
            edit::update_interface(policy, &self.interface, &change)?;
            let text = format!("{} updated", self.interface);
            Ok(Done::said(text).with("interface", &*self.interface))
        }))
    }
}
