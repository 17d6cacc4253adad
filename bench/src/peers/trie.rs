//! The kernel's LPM trie, as programs for XDP often use it: the longest prefix of the source holds
//! what is allowed to it.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use aya::maps::LpmTrie;
use aya::maps::lpm_trie::Key;
use ipnet::Ipv4Net;

use super::{Loaded, Peer};
use crate::lane::Lane;
use crate::ruleset::{Ruleset, Service};
use crate::sender::{OBJECT, Sender, attach, loader, xdp};

/// Port ranges that a value holds.
const RANGES: usize = 16;
/// A counter's place, then two words for each range: see `sg-ebpf/src/peers/trie.rs`.
const WORDS: usize = 1 + 2 * RANGES;

/// The trie.
pub(super) struct Trie;

impl Peer for Trie {
    fn name(&self) -> &'static str {
        "lpm-trie"
    }

    fn about(&self) -> &'static str {
        "XDP with sg's parser, one lookup in the kernel's LPM trie, up to 16 port ranges compared \
         one after the other, a counter"
    }

    fn load(&self, _: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        let mut prefixes = set.flattened();
        for denied in &set.denied {
            prefixes.insert(*denied, Vec::new());
        }
        if !set.denied.is_empty() && prefixes.keys().any(|net| allowed_inside(set, net)) {
            return Ok(Loaded::No("a denied prefix has an allowed one inside".to_owned()));
        }
        let most = prefixes.values().map(Vec::len).max().unwrap_or(0);
        if most > RANGES {
            return Ok(Loaded::No(format!(
                "one prefix has {most} port ranges, those of wider ones included; its values hold \
                 {RANGES}"
            )));
        }
        let entries = (prefixes.len() as u32).max(1);
        let mut object = loader()
            .map_max_entries("PEER_TRIE", entries)
            .map_max_entries("PEER_COUNTERS", entries)
            .override_global("ETHERNET", &1_u32, true)
            .load(OBJECT)
            .context("the trie does not load")?;
        let map = object.map_mut("PEER_TRIE").context("the object has no trie")?;
        let mut trie: LpmTrie<_, [u8; 4], [u32; WORDS]> = LpmTrie::try_from(map)?;
        for (counter, (net, services)) in (0..).zip(&prefixes) {
            let key = Key::new(net.prefix_len().into(), net.network().octets());
            trie.insert(&key, value(counter, services), 0)?;
        }
        let program = xdp(&mut object, "peer_trie")?;
        program.load().context("peer_trie does not load")?;
        let link = attach(program, lane)?;
        Ok(Loaded::Yes(Box::new((link, object))))
    }
}

/// Whether a prefix is allowed something although a denied one around it says no.
fn allowed_inside(set: &Ruleset, net: &Ipv4Net) -> bool {
    let address: Ipv4Addr = net.network();
    !set.denied.contains(net) && set.denies(address)
}

fn value(counter: u32, services: &[Service]) -> [u32; WORDS] {
    let mut words = [u32::MAX; WORDS];
    words[0] = counter;
    for (service, pair) in services.iter().zip(words[1..].chunks_exact_mut(2)) {
        let ports = u32::from(service.first) << 16 | u32::from(service.last);
        pair.copy_from_slice(&[service.protocol.map_or(0, u32::from), ports]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_behind_the_last_range() {
        let services = [
            Service { protocol: Some(6), first: 80, last: 90 },
            Service { protocol: None, first: 0, last: u16::MAX },
        ];
        let words = value(7, &services);
        assert_eq!(words[..6], [7, 6, 80 << 16 | 90, 0, 0xffff, u32::MAX]);
    }
}
