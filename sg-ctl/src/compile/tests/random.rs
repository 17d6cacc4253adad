//! Random policies, every edge.

use proptest::prelude::*;

use super::super::{Budget, NO_ROOTS, Tuning, compile_with};
use super::*;

/// Networks that nest and touch: few bits differ.
fn net() -> impl Strategy<Value = IpNet> {
    let v4 = (0u32..64, prop_oneof![Just(0u8), 6u8..=12, 14u8..=18, 22u8..=32]).prop_map(
        |(bits, length)| {
            // The bits lie around the edge between the halves of an address.
            let address = 0x0a00_0000 | (bits & 7) << 13 | (bits >> 3 & 3) | (bits >> 5) << 24;
            ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc().into()
        },
    );
    let v6 = (0u128..64, prop_oneof![Just(0u8), 28u8..=34, 60u8..=68, 120u8..=128]).prop_map(
        |(bits, length)| {
            let address =
                0x2001_0db8 << 96 | (bits & 7) << 61 | (bits >> 3 & 3) | (bits >> 5) << 90;
            ipnet::Ipv6Net::new(address.into(), length).unwrap().trunc().into()
        },
    );
    let any_v4 = (any::<u32>(), 0u8..=32)
        .prop_map(|(bits, length)| ipnet::Ipv4Net::new(bits.into(), length).unwrap().into());
    let any_v6 = (any::<u128>(), 0u8..=128)
        .prop_map(|(bits, length)| ipnet::Ipv6Net::new(bits.into(), length).unwrap().into());
    prop_oneof![6 => v4, 4 => v6, 1 => any_v4, 1 => any_v6]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0u16..12, 2 => 65530u16..=65535, 1 => any::<u16>()]
}

/// Sorted and merged, as rules have them.
fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    prop::collection::vec((port(), port()), 0..4).prop_map(|pairs| {
        let mut ranges: Vec<PortRange> = Vec::new();
        let mut pairs: Vec<_> = pairs.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        pairs.sort_unstable();
        for (first, last) in pairs {
            match ranges.last_mut() {
                Some(range) if first <= range.last.saturating_add(1) => {
                    range.last = range.last.max(last);
                }
                _ => ranges.push(PortRange { first, last }),
            }
        }
        ranges
    })
}

fn icmp() -> impl Strategy<Value = Option<(u8, Option<u8>)>> {
    let kind = prop::sample::select(vec![0u8, 3, 8, 13, 14, 128, 129, 255]);
    prop::option::of((kind, prop::option::of(prop::sample::select(vec![0u8, 1, 255]))))
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let protocol = prop_oneof![
        3 => Just(Protocol::Number(6)),
        1 => Just(Protocol::Number(17)),
        1 => Just(Protocol::Number(132)),
        1 => Just(Protocol::Number(1)),
        1 => Just(Protocol::Number(58)),
        1 => prop::sample::select(vec![2u8, 47, 51, 59, 136, 255]).prop_map(Protocol::Number),
        2 => Just(Protocol::All),
    ];
    let priority = prop::sample::select(vec![0u16, 0, 10, 1000, 1000, 1000, 65535]);
    let peers = prop::collection::vec(prop::collection::vec(net(), 0..4), 0..3);
    let action = prop_oneof![2 => Just(Action::Allow), 1 => Just(Action::Deny)];
    let peers = prop::option::weighted(0.85, peers);
    let block = prop::bool::weighted(0.1);
    (action, protocol, priority, ports(), icmp(), peers, block).prop_map(
        |(action, protocol, priority, ports, icmp, peers, block)| {
            let peers =
                peers.map(|lists| lists.into_iter().map(Arc::from).collect::<Vec<_>>().into());
            let none = Rule { peers, ..rule(action, protocol, &[], &[]) };
            if block {
                let (action, protocol) = (Action::Deny, Protocol::All);
                return Rule { block, action, protocol, priority: 0, ..none };
            }
            let ports =
                if matches!(protocol, Protocol::Number(6 | 17 | 132)) { ports } else { vec![] };
            let icmp = icmp.filter(|_| matches!(protocol, Protocol::Number(1 | 58)));
            Rule { priority, ports: ports.into(), icmp, ..none }
        },
    )
}

/// Up to sixteen rules, some of which share a list of peers, with slots and ids in another order
/// than they stand in.
fn policy() -> impl Strategy<Value = Vec<Rule>> {
    let rules = prop::collection::vec((any_rule(), any::<prop::sample::Index>(), 0..4u8), 0..16);
    (rules, any::<u64>()).prop_map(|(drawn, seed)| {
        let mut rules: Vec<Rule> = Vec::new();
        for (mut rule, like, share) in drawn {
            if share == 0 && !rules.is_empty() {
                rule.peers = rules[like.index(rules.len())].peers.clone();
            }
            rule.id = RuleId(
                u128::from(seed.rotate_left(rules.len() as u32 * 7)) << 5 | rules.len() as u128,
            );
            rule.slot = rules.len() as u32 + 1;
            rules.push(rule);
        }
        rules
    })
}

/// Chains of nested prefixes, each with ports of its own.
fn nested() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (any_rule(), 0u8..=128, any::<bool>());
    prop::collection::vec(rule, 1..24).prop_map(|drawn| {
        let rules = drawn.into_iter().map(|(rule, length, v6)| {
            let net: IpNet = if v6 {
                ipnet::Ipv6Net::new((0x2001_0db8u128 << 96 | 1).into(), length).unwrap().into()
            } else {
                ipnet::Ipv4Net::new(0x0a01_0203.into(), length % 33).unwrap().into()
            };
            Rule { peers: one_list([net]), ..rule }
        });
        number(rules.collect())
    })
}

fn tuning() -> impl Strategy<Value = Tuning> {
    let budget = || {
        prop_oneof![
            Just(Budget::NOTHING),
            (0usize..40).prop_map(|fixed| Budget { fixed, times: 0 }),
            Just(Budget { fixed: 1 << 20, times: 1 }),
        ]
    };
    let root = prop_oneof![
        3 => Just(1 << 20),
        1 => Just(0),
        1 => Just(40),
        1 => Just(NO_ROOTS),
    ];
    (budget(), budget(), root).prop_map(|(flatten, split, root)| Tuning { flatten, split, root })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_image_decides_as_the_rules_do(own in policy(), other in policy(), tuning in tuning()) {
        let image = compile_with(&own, &other, tuning).unwrap();
        check_all(&image, &own, &other);
    }

    #[test]
    fn nested_prefixes_decide_as_the_rules_do(own in nested(), other in nested(), tuning in tuning()) {
        let image = compile_with(&own, &other, tuning).unwrap();
        check_all(&image, &own, &other);
    }

    #[test]
    fn order_does_not_matter(own in policy(), tuning in tuning(), turn in any::<prop::sample::Index>()) {
        let image = compile_with(&own, &[], tuning).unwrap();
        let mut turned = own;
        if !turned.is_empty() {
            let by = turn.index(turned.len());
            turned.rotate_left(by);
        }
        prop_assert!(compile_with(&turned, &[], tuning).unwrap() == image);
    }
}
