//! `xdp-filter` of xdp-tools. It knows whole addresses and single ports, each by itself, so of the
//! styles only a list of denied sources can be put into it, address by address.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use aya::maps::{Map, MapData, PerCpuHashMap, PerCpuValues};

use super::{Judges, Keep, Loaded, Peer};
use crate::lane::{DEVICE, Lane};
use crate::ruleset::Ruleset;
use crate::sender::Sender;

/// Addresses that its table holds.
const ADDRESSES: u64 = 10_000;

/// The filter.
pub(super) struct XdpFilter;

/// Its pins, removed on drop. The program itself goes with the device.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Peer for XdpFilter {
    fn name(&self) -> &'static str {
        "xdp-filter"
    }

    fn about(&self) -> &'static str {
        "xdp-filter of xdp-tools with denied source addresses, each a hash entry; no ports"
    }

    fn judges(&self) -> Judges {
        Judges::DeniedSources
    }

    fn load(&self, _: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        if set.denied.is_empty() {
            return Ok(Loaded::No(
                "it holds no prefixes, and no addresses together with ports".to_owned(),
            ));
        }
        let count: u64 = set.denied.iter().map(|net| 1_u64 << (32 - net.prefix_len())).sum();
        if count > ADDRESSES {
            return Ok(Loaded::No(format!(
                "it holds {ADDRESSES} addresses and no prefixes; these are {count} addresses"
            )));
        }
        let folder = Path::new("/sys/fs/bpf").join(format!("sg-test-{}", lane.namespace.name()));
        std::fs::create_dir_all(&folder)?;
        let pins = Pins(folder);
        // It pins its tables right below /sys/fs/bpf, where this host may have some of its own.
        const PRIVATELY: &str = "mount --bind \"$0\" /sys/fs/bpf && exec xdp-filter \"$@\"";
        let run = |arguments: &[&str]| -> Result<()> {
            let mut command: Command = lane.namespace.command("unshare");
            command.args(["--mount", "sh", "-c", PRIVATELY]).arg(&pins.0).args(arguments);
            let output = command.output()?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                bail!("xdp-filter {}: {}", arguments.join(" "), text.trim());
            }
            Ok(())
        };
        run(&["load", "--policy", "allow", "--features", "ipv4", "--mode", "native", DEVICE])?;
        // One by its own command; the others as that one, since a process for each takes minutes.
        let mut addresses = set.denied.iter().flat_map(|net| {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            (first..=last).map(std::net::Ipv4Addr::from)
        });
        let first = addresses.next().context("no address is denied")?;
        run(&["ip", "--mode", "src", &first.to_string()])?;
        let path = pins.0.join("xdp-filter/filter_ipv4");
        let table =
            MapData::from_pin(&path).with_context(|| format!("no table at {}", path.display()))?;
        let mut table: PerCpuHashMap<_, [u8; 4], u64> =
            PerCpuHashMap::try_from(Map::PerCpuHashMap(table))?;
        let value = table.get(&first.octets(), 0)?;
        for address in addresses {
            table.insert(address.octets(), PerCpuValues::try_from(value.to_vec())?, 0)?;
        }
        let keep: Keep = Box::new(pins);
        Ok(Loaded::Yes(keep))
    }
}
