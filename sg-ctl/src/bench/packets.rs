//! Packets to ask a policy about.

use std::net::IpAddr;

use fastrand::Rng;
use ipnet::IpNet;
use sg_common::classifier::Kind;

use crate::compile::Rule;
use crate::policy::model::Protocol;

/// What a classifier looks at in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The peer's address.
    pub peer: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, or ICMP type and code, or the protocol's number.
    pub key: u16,
}

impl Packet {
    /// What the protocol is compared as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.protocol, self.peer) {
            (6, _) => Kind::Tcp,
            (17, _) => Kind::Udp,
            (132, _) => Kind::Sctp,
            (1, IpAddr::V4(_)) | (58, IpAddr::V6(_)) => Kind::Icmp,
            _ => Kind::Other,
        }
    }
}

/// So many packets, each of which matches a rule drawn at random; none if no rule has peers by
/// address. The same rules and seed give the same packets.
#[must_use]
pub fn matching(rules: &[Rule], count: usize, seed: u64) -> Vec<Packet> {
    let mut rng = Rng::with_seed(seed);
    let lists: Vec<(&Rule, &[IpNet])> = rules
        .iter()
        .flat_map(|rule| rule.peers.iter().flatten().map(move |list| (rule, &list[..])))
        .filter(|(_, list)| !list.is_empty())
        .collect();
    if lists.is_empty() {
        return Vec::new();
    }
    (0..count)
        .map(|_| {
            let (rule, list) = lists[rng.usize(0..lists.len())];
            let net = list[rng.usize(0..list.len())];
            let peer = address(&mut rng, net);
            let protocol = match rule.protocol {
                Protocol::All => 6,
                Protocol::Number(number) => number,
            };
            let key = match (rule.icmp, protocol) {
                (Some((kind, code)), _) => u16::from(kind) << 8 | u16::from(code.unwrap_or(0)),
                (None, 1 | 6 | 17 | 58 | 132) => match rule.ports.as_slice() {
                    [] => rng.u16(..),
                    ports => {
                        let range = ports[rng.usize(0..ports.len())];
                        rng.u16(range.first..=range.last)
                    }
                },
                (None, number) => u16::from(number),
            };
            Packet { peer, protocol, key }
        })
        .collect()
}

/// An address of a network.
fn address(rng: &mut Rng, net: IpNet) -> IpAddr {
    match net {
        IpNet::V4(net) => {
            IpAddr::V4((net.network().to_bits() | net.hostmask().to_bits() & rng.u32(..)).into())
        }
        IpNet::V6(net) => {
            IpAddr::V6((net.network().to_bits() | net.hostmask().to_bits() & rng.u128(..)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{Family, Style, generate, resolved};
    use super::*;
    use crate::compile::reference;

    #[test]
    fn every_packet_matches_a_rule() {
        for style in Style::ALL {
            for family in [Family::V4, Family::V6] {
                let rules = resolved(&generate(style, family, 200, 3)).ingress;
                let packets = matching(&rules, 300, 5);
                assert_eq!(packets.len(), 300);
                for packet in &packets {
                    let found = reference::decide(&rules, packet.peer, packet.kind(), packet.key);
                    assert!(found.is_some(), "{style} {packet:?}");
                }
                assert_eq!(packets, matching(&rules, 300, 5));
            }
        }
        assert!(matching(&[], 9, 1).is_empty());
    }
}
