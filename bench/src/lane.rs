//! Where filters sit: each in a network namespace of its own, behind a veth pair of its own. So all
//! of them are loaded at once and take turns without anything being loaded between.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result};
use aya::util::nr_cpus;
use serde_json::Value;
use sg_tests::namespace::{Namespace, run};

/// Name of the filtered device in the namespace of a lane.
pub const DEVICE: &str = "nic0";

/// Hardware address that all frames of the trace are sent to.
pub const ADDRESSED: [u8; 6] = [2, 0, 0, 0, 0x53, 0x47];

/// Which hook a filter has, which decides how a packet that it lets pass is got rid of, early and
/// cheaply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// XDP. The frames are addressed to nobody here (`PACKET_OTHERHOST`), so the stack drops them
    /// first thing.
    Xdp,
    /// nftables' ingress hook of a device. A chain behind the filter drops them.
    Netdev,
    /// Before routing. The stack only comes there with frames that are addressed to the device; a
    /// chain behind the filter drops them.
    Inet,
    /// Up to sockets, in both directions: both ends have an address, and nothing is got rid of.
    Host,
}

/// A place for one filter.
#[derive(Debug)]
pub struct Lane {
    /// Its namespace.
    pub namespace: Namespace,
    /// How packets leave it.
    pub way: Way,
    /// Index of its device.
    pub device: u32,
    /// Index of the other end, in the namespace of the sender.
    pub entrance: u32,
    /// Address of its device; of the ways only [`Way::Host`] has one.
    pub address: Ipv4Addr,
}

impl Lane {
    /// Makes a lane whose far end lies in the namespace of the sender, under a name with `number`.
    ///
    /// # Errors
    /// Where the chain that ends the way cannot be made.
    pub fn new(sender: &Namespace, number: usize, way: Way) -> Result<Self> {
        let namespace = Namespace::create();
        let far = format!("lane{number}");
        for end in [sender, &namespace] {
            // No packets but those that are sent.
            end.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        }
        let mut address = ADDRESSED;
        if way != Way::Inet {
            address[5] ^= 1;
        }
        let address = address.map(|byte| format!("{byte:02x}")).join(":");
        // As a NIC has: what a CPU sends goes through a queue of its own and is received there.
        let cpus = nr_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))?;
        let queues = format!("numtxqueues {cpus} numrxqueues {cpus}");
        namespace.ip(&format!(
            "link add {DEVICE} address {address} {queues} type veth peer name {far} {queues} netns {}",
            sender.name()
        ));
        let third = u8::try_from(number).context("there are more lanes than addresses for them")?;
        let [near_end, far_end] = [2, 1].map(|last| Ipv4Addr::new(10, 77, third, last));
        let mut arp = "off";
        if way == Way::Host {
            namespace.ip(&format!("address add {near_end}/24 dev {DEVICE}"));
            sender.ip(&format!("address add {far_end}/24 dev {far}"));
            arp = "on";
        }
        namespace.ip(&format!("link set {DEVICE} arp {arp} up"));
        sender.ip(&format!("link set {far} arp {arp} up"));
        let (device, entrance) = (namespace.index(DEVICE), sender.index(&far));
        let lane = Self { namespace, way, device, entrance, address: near_end };
        lane.end()?;
        Ok(lane)
    }

    /// The chain behind a filter of nftables or iptables, which counts and drops.
    fn end(&self) -> Result<()> {
        let chain = match self.way {
            Way::Xdp | Way::Host => return Ok(()),
            Way::Netdev => format!(
                "table netdev sg_end {{\nchain end {{\ntype filter hook ingress device {DEVICE} priority 100\ncounter drop\n}}\n}}"
            ),
            // Behind raw (-300), before connection tracking (-200).
            Way::Inet => "table ip sg_end {\nchain end {\ntype filter hook prerouting priority -290\ncounter drop\n}\n}".to_owned(),
        };
        crate::command::feed(self.namespace.command("nft").args(["-f", "-"]), &chain)
            .context("no chain for the end of the way")
    }

    /// Packets that came to the end so far. Only for ways that end in a chain.
    ///
    /// # Errors
    /// Where nft does not tell.
    pub fn passed(&self) -> Result<u64> {
        let family = if self.way == Way::Netdev { "netdev" } else { "ip" };
        let text = run(self
            .namespace
            .command("nft")
            .args(["-j", "list", "chain", family, "sg_end", "end"]));
        let json: Value = serde_json::from_str(&text).context("nft's list is no JSON")?;
        find(&json, "packets").context("nft's list has no counter")
    }

    /// Packets that the driver of the device received so far, whatever a program did with them.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn received(&self) -> Result<u64> {
        let text = self.namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
        received(&text, DEVICE).with_context(|| format!("{DEVICE} is not in /proc/net/dev"))
    }

    /// Identifier of the XDP program on the device.
    ///
    /// # Errors
    /// Where there is none.
    pub fn xdp(&self) -> Result<u32> {
        let mut command = Command::new("ip");
        let text = run(command.args(["-n", self.namespace.name(), "-j", "link", "show", DEVICE]));
        let json: Value = serde_json::from_str(&text).context("ip's list is no JSON")?;
        let xdp = json.get(0).and_then(|link| link.get("xdp"));
        let id = xdp.and_then(|xdp| find(xdp, "id")).context("no XDP program is attached")?;
        Ok(u32::try_from(id)?)
    }
}

/// The second column of a device in `/proc/net/dev`.
fn received(text: &str, device: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The first number under a key, however deep.
fn find(json: &Value, key: &str) -> Option<u64> {
    match json {
        Value::Object(map) => map
            .iter()
            .find_map(|(name, value)| if name == key { value.as_u64() } else { find(value, key) }),
        Value::Array(all) => all.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_of_one_device() {
        let text = "Inter-| Receive\n face |bytes packets\n    lo: 10 2 0\n  nic0: 960 16 0 0\n";
        assert_eq!(received(text, "nic0"), Some(16));
        assert_eq!(received(text, "nic"), None);
    }

    #[test]
    fn numbers_are_found_at_any_depth() {
        let json = serde_json::json!({"nftables": [{"metainfo": {}}, {"rule": {"expr":
            [{"counter": {"packets": 12, "bytes": 600}}]}}]});
        assert_eq!(find(&json, "packets"), Some(12));
        assert_eq!(find(&json, "absent"), None);
    }
}
