//! The packets that are sent.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};
use sg_common::classifier::Kind;
use sg_common::packet::tcp;
use sg_common::tables::TRACE_HEADERS;
use sg_common::verdict::Direction;
use sg_ctl::bench::trace::{Mix, draw};
use sg_ctl::compile::reference;
use sg_ctl::host::Probe;
use sg_ctl::policy::model::Action;
use sg_tests::frame;

use crate::lane::ADDRESSED;
use crate::ruleset::Ruleset;

/// EtherType of IPv4.
const IPV4: u16 = 0x0800;

/// Packets of each verdict with which a filter is checked.
pub const SAMPLE: usize = 1024;

/// A packet of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: Ipv4Addr,
    /// Protocol: TCP or UDP.
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// Its frame.
    pub frame: Vec<u8>,
}

impl Packet {
    /// The packet of a probe; `None` if it is no TCP or UDP over IPv4, or from no possible sender.
    fn of(probe: &Probe) -> Option<Self> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (probe.source, probe.destination)
        else {
            return None;
        };
        // Nobody's packets come from there: they are dropped before any rule is asked.
        if source.is_loopback() || source.octets()[0] == 0 || source.octets()[0] >= 224 {
            return None;
        }
        let (from, to) = (probe.source_port, probe.destination_port);
        let payload = match probe.protocol {
            6 => frame::tcp(from, to, probe.tcp_flags),
            17 => frame::udp(from, to, b""),
            _ => return None,
        };
        let packet = frame::V4::new(source, destination, probe.protocol).bytes(&payload);
        let frame = frame::ethernet(ADDRESSED, IPV4, &packet);
        Some(Self { source, protocol: probe.protocol, port: to, frame })
    }

    /// What the reference says, rule by rule.
    fn allowed(&self, set: &Ruleset) -> bool {
        let kind = if self.protocol == 6 { Kind::Tcp } else { Kind::Udp };
        reference::decide(&set.rules, self.source.into(), kind, self.port)
            .is_some_and(|rule| rule.action == Action::Allow)
    }
}

/// What is timed: packets that a rule was written for and that pass, as many as the trace holds.
#[must_use]
pub fn timed(set: &Ruleset) -> Vec<Packet> {
    let wanted = TRACE_HEADERS as usize;
    let mut found = Vec::with_capacity(wanted);
    // Some styles deny first, so some of what hits a rule is denied.
    for seed in 0..16 {
        let drawn = draw(&set.rules, Direction::Ingress, Mix::HITS, wanted, seed);
        found.extend(
            drawn
                .iter()
                .filter_map(Packet::of)
                .filter(|packet| set.allows(packet.source, packet.protocol, packet.port))
                .take(wanted - found.len()),
        );
        if found.len() == wanted {
            break;
        }
    }
    found
}

/// Rules up to which the reference is asked about every packet of a sample; with more, about the
/// fewer. It looks at each rule for each packet.
const THOROUGH: usize = 10_000;

/// What filters are checked with: packets that pass, and packets that do not.
///
/// # Errors
/// If the reference disagrees with the index over the rules that packets are chosen by.
pub fn sample(set: &Ruleset) -> Result<[Vec<Packet>; 2]> {
    let mut found = [Vec::new(), Vec::new()];
    for seed in 100..116 {
        for probe in
            draw(&set.rules, Direction::Ingress, Mix { hits: 400, edges: 400 }, SAMPLE, seed)
        {
            // For a while after an attachment sg lets open connections be; these open one.
            let probe = Probe { tcp_flags: tcp::SYN, ..probe };
            let Some(packet) = Packet::of(&probe) else { continue };
            let passes = set.allows(packet.source, packet.protocol, packet.port);
            let kind = &mut found[usize::from(!passes)];
            if kind.len() < SAMPLE {
                kind.push(packet);
            }
        }
        if found.iter().all(|kind| kind.len() == SAMPLE) {
            break;
        }
    }
    let step = (set.denied.len() + set.allowed.len()).div_ceil(THOROUGH).max(1);
    for (kind, passes) in found.iter().zip([true, false]) {
        if let Some(packet) = kind.iter().step_by(step).find(|it| it.allowed(set) != passes) {
            bail!("{}: the reference disagrees about {packet:?}", set.style);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::styles::Style;

    #[test]
    fn traces_are_whole_and_pass() {
        for style in Style::ALL {
            let set = Ruleset::new(style, 50);
            let trace = timed(&set);
            assert_eq!(trace.len(), TRACE_HEADERS as usize, "{style}");
            assert!(trace.iter().step_by(500).all(|packet| packet.allowed(&set)), "{style}");
            let different: HashSet<&[u8]> = trace.iter().map(|packet| &*packet.frame).collect();
            assert!(different.len() > trace.len() / 2, "{style}: {}", different.len());
        }
    }

    #[test]
    fn samples_hold_both_verdicts() {
        for style in Style::ALL {
            let [passing, others] = sample(&Ruleset::new(style, 50)).unwrap();
            assert!(passing.len() > 200 && others.len() > 200, "{style}");
        }
    }
}
