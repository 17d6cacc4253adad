//! `sg-ctl attach`.

use std::net::IpAddr;
use std::sync::Arc;

use super::context::Context;
use super::words;
use super::write::{Done, Edit, Verb};
use crate::policy::cidr;
use crate::policy::edit;
use crate::policy::model::{Hook, Interface, Mode, Name, Side};
use crate::policy::text;

/// Attach the filter to an interface
///
/// Connections that are open go on: those of the host's sockets are known to the kernel, and others
/// are learned while they send. An interface without a group passes only what networks need to
/// work (ARP, neighbour discovery, DHCP and the like). On a host that you reach through the
/// interface, start with --mode monitor.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl attach eth0 --group web --group admin --mode monitor
  sg-ctl attach tap7 --group guests --side guest --address 10.0.0.7 --address 2001:db8::7")]
pub(crate) struct Args {
    /// The interface
    #[arg(value_name = "IFACE", value_parser = text::interface_name)]
    interface: Arc<str>,

    /// A group of the interface; may be repeated
    #[arg(short, long = "group", value_name = "GROUP")]
    groups: Vec<Name>,

    /// Drop what is denied, or only count it
    #[arg(long, value_parser = words::mode(), default_value = "enforce")]
    mode: Mode,

    /// Which end is protected: this host, or the guest at the other end of a tap or veth
    #[arg(long, value_parser = words::side(), default_value = "host")]
    side: Side,

    /// Where arriving packets are judged; `auto` takes what suits the device
    #[arg(long, value_parser = words::hook(), default_value = "auto")]
    hook: Hook,

    /// An address of the guest, for rules that name its groups as peers; may be repeated
    #[arg(long = "address", value_name = "ADDR", value_parser = cidr::address)]
    addresses: Vec<IpAddr>,

    /// The guest may be a router or DHCP server, if its rules allow that
    #[arg(long)]
    guest_servers: bool,

    /// The interface need not exist yet: attach it when it comes
    #[arg(long)]
    wait: bool,
}

impl Verb for Args {
    const NAME: &'static str = "attach";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            let interface = Interface {
                groups: self.groups.clone(),
                mode: self.mode,
                side: self.side,
                hook: self.hook,
                addresses: self.addresses.clone(),
                guest_servers: self.guest_servers,
                wait: self.wait,
            };
            edit::attach(policy, &self.interface, interface)?;
            let text = format!("{} attached in mode {}", self.interface, self.mode);
            Ok(Done::said(text).with("interface", &*self.interface))
        }))
    }
}
