//! Filter sets with the structure of ClassBench's families, made by a generator of our own.
//!
//! D. E. Taylor and J. S. Turner, "ClassBench: A Packet Classification Benchmark", IEEE/ACM
//! Transactions on Networking 15(3), 2007, describes real filter sets by a few distributions: of
//! protocols, of five classes of port ranges, of prefix lengths, and of how prefixes branch. What
//! follows is made from rounded values of that kind, typical of each family, and not from the tools
//! or parameter files of its authors. A rule of sg has one address and one port of a packet, so the
//! source prefix and the destination ports are generated. The sets have no actions: each rule allows.
//! Filters that would allow nearly everybody everything are not drawn, as nothing would be left to
//! the others.

use std::collections::HashSet;

use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net};
use sg_ctl::bench::generate;
use sg_ctl::policy::model::{Group, Policy, PortRange, Protocol, Rule};

/// What a family of filter sets looks like. Weights need not add up to anything.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// TCP, UDP, any protocol.
    protocols: [u32; 3],
    /// Classes of destination ports, see [`Ports`].
    ports: [u32; 5],
    /// Prefix lengths.
    lengths: &'static [(u8, u32)],
    /// Of a hundred nodes of the prefix trie, how many have a single child: the more, the more
    /// rules share their beginnings.
    single: u64,
    /// Different exact ports.
    services: usize,
}

/// The classes of port ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// WC: all.
    Wildcard,
    /// HI: 1024 to 65535.
    High,
    /// LO: 0 to 1023.
    Low,
    /// AR: some range.
    Range,
    /// EM: one port.
    Exact,
}

const PORTS: [Ports; 5] = [Ports::Wildcard, Ports::High, Ports::Low, Ports::Range, Ports::Exact];

/// Access control lists: long prefixes, exact ports.
pub const ACL: Family = Family {
    protocols: [75, 15, 10],
    ports: [25, 1, 0, 9, 65],
    lengths: &[
        (0, 1),
        (8, 1),
        (16, 6),
        (20, 4),
        (22, 5),
        (24, 22),
        (27, 8),
        (28, 8),
        (30, 7),
        (32, 38),
    ],
    single: 55,
    services: 120,
};

/// Firewalls: many sources are anybody or large networks, ports of all classes.
pub const FW: Family = Family {
    protocols: [60, 25, 15],
    ports: [18, 12, 1, 7, 62],
    lengths: &[(0, 40), (8, 4), (14, 3), (16, 9), (21, 4), (24, 12), (28, 4), (32, 24)],
    single: 65,
    services: 60,
};

/// IP chains: between the two.
pub const IPC: Family = Family {
    protocols: [55, 30, 15],
    ports: [35, 5, 1, 6, 53],
    lengths: &[
        (0, 12),
        (8, 2),
        (16, 8),
        (18, 3),
        (20, 4),
        (22, 5),
        (24, 20),
        (27, 6),
        (29, 4),
        (32, 36),
    ],
    single: 60,
    services: 90,
};

/// Attempts at a rule that is not there yet; after them the policy stays smaller than asked for.
const ATTEMPTS: usize = 10_000;

/// Prefixes shorter than this are not allowed many ports.
const SHORT: u8 = 12;

/// A policy with so many ingress rules of a family, and open egress.
#[must_use]
pub fn policy(family: &Family, rules: usize, seed: u64) -> Policy {
    let mut random = Rng::with_seed(seed);
    let services: Vec<u16> = (0..family.services).map(|_| random.u16(1..)).collect();
    let mut seen = HashSet::new();
    let mut made = Group::default();
    let mut failed = 0;
    while made.ingress.len() < rules && failed < ATTEMPTS {
        let rule = rule(family, &services, seed, &mut random);
        if seen.insert((rule.cidrs.clone(), rule.protocol, rule.ports.clone())) {
            made.ingress.push(rule);
            failed = 0;
        } else {
            failed += 1;
        }
    }
    let mut policy = Policy::default();
    policy.groups.insert(generate::group(), made.with_default_egress());
    policy
}

fn rule(family: &Family, services: &[u16], seed: u64, random: &mut Rng) -> Rule {
    let length = weighted(family.lengths, random);
    let net: IpNet = Ipv4Net::new_assert(walk(family, seed, random).into(), length).trunc().into();
    let mut protocol =
        [Protocol::TCP, Protocol::UDP, Protocol::All][index(&family.protocols, random)];
    let mut class = PORTS[index(&family.ports, random)];
    if length < SHORT {
        if protocol == Protocol::All {
            protocol = Protocol::TCP;
        }
        if matches!(class, Ports::Wildcard | Ports::High | Ports::Low) {
            class = Ports::Exact;
        }
    }
    let ports = match class {
        // A protocol without ports has none to compare.
        _ if protocol == Protocol::All => None,
        Ports::Wildcard => None,
        Ports::High => Some(PortRange { first: 1024, last: u16::MAX }),
        Ports::Low => Some(PortRange { first: 0, last: 1023 }),
        Ports::Range => {
            let first = random.u16(1024..60_000);
            Some(PortRange { first, last: first + random.u16(1..400) })
        }
        // A few services have most rules.
        Ports::Exact => {
            let place = random.usize(0..services.len()).min(random.usize(0..services.len()));
            services.get(place).copied().map(PortRange::one)
        }
    };
    // All peers is no prefix in the model.
    let cidrs = if length == 0 { Vec::new() } else { vec![net] };
    Rule { protocol, ports: ports.into_iter().collect(), cidrs, ..Rule::default() }
}

/// An address at the end of a walk down the family's trie. Which nodes have one child is the same
/// for every walk; of two children one is taken more often. The last byte is free.
fn walk(family: &Family, seed: u64, random: &mut Rng) -> u32 {
    let mut address = 0_u32;
    for level in 0..32 {
        let mixed = mix(seed ^ u64::from(address) ^ (level << 40));
        let heavy = (mixed >> 32 & 1) as u32;
        let single = level < 24 && mixed % 100 < family.single;
        let bit = heavy ^ u32::from(!single && random.u8(0..3) == 0);
        address = address << 1 | bit;
    }
    // To 1.0.0.0 to 126.255.255.255 and 128.0.0.0 to 223.255.255.255: nobody sends from the rest.
    match address >> 24 {
        0 | 127 => address ^ 0x4000_0000,
        224.. => address ^ 0x8000_0000,
        _ => address,
    }
}

/// The finalizer of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn index(weights: &[u32], random: &mut Rng) -> usize {
    let mut left = random.u32(0..weights.iter().sum::<u32>().max(1));
    for (place, weight) in weights.iter().enumerate() {
        if left < *weight {
            return place;
        }
        left -= weight;
    }
    0
}

fn weighted(lengths: &[(u8, u32)], random: &mut Rng) -> u8 {
    let weights: Vec<u32> = lengths.iter().map(|(_, weight)| *weight).collect();
    lengths.get(index(&weights, random)).map_or(32, |(length, _)| *length)
}

#[cfg(test)]
mod tests {
    use sg_ctl::policy::{check, valid};

    use super::*;

    fn rules(family: &Family, count: usize) -> Vec<Rule> {
        let policy = policy(family, count, 3);
        assert_eq!(check::errors(&policy), []);
        policy.groups[&generate::group()].ingress.iter().cloned().collect()
    }

    fn share(rules: &[Rule], of: impl Fn(&Rule) -> bool) -> usize {
        100 * rules.iter().filter(|rule| of(rule)).count() / rules.len()
    }

    #[test]
    fn policies_are_valid_and_as_large_as_asked_for() {
        for family in [&ACL, &FW, &IPC] {
            for count in [1, 10, 5000] {
                let rules = rules(family, count);
                assert_eq!(rules.len(), count);
                assert!(rules.iter().all(|rule| valid::faults(rule).is_empty()));
            }
            assert_eq!(policy(family, 50, 1), policy(family, 50, 1));
            assert_ne!(policy(family, 50, 1), policy(family, 50, 2));
        }
    }

    #[test]
    fn families_differ_as_they_should() {
        let [acl, fw] = [&ACL, &FW].map(|family| rules(family, 1000));
        let exact = |rule: &Rule| rule.ports.iter().any(|ports| ports.first == ports.last);
        let anybody = |rule: &Rule| rule.cidrs.is_empty();
        assert!((50..75).contains(&share(&acl, exact)));
        assert!(share(&acl, anybody) < 5);
        assert!(share(&fw, anybody) > 10, "{}", share(&fw, anybody));
        let nested = |rules: &[Rule]| {
            let nets: HashSet<IpNet> = rules.iter().flat_map(|rule| rule.cidrs.clone()).collect();
            let inside = nets
                .iter()
                .filter(|net| nets.iter().any(|outer| outer != *net && outer.contains(*net)));
            100 * inside.count() / nets.len()
        };
        assert!(nested(&acl) > 20, "{}", nested(&acl));
    }
}
