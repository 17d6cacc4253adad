//! What explanations use of the reference: other matching rules and the near miss.

use super::super::reference::{Distance, distance, matching, near_miss};
use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn matching_rules_come_in_deciding_order() {
    let rules = number(vec![
        allow_all(),
        allow(6, &[], &["10.0.0.0/8"]),
        allow(6, &[(22, 22)], &["10.0.0.0/8"]),
        deny(6, &[], &["0.0.0.0/0"]),
        allow(17, &[(22, 22)], &[]),
        allow(6, &[(22, 22)], &["10.1.0.0/16", "10.0.0.0/8"]),
        allow(6, &[(22, 22)], &["11.0.0.0/8"]),
    ]);
    let found = matching(&rules, address("10.1.2.3"), Kind::Tcp, 22);
    let slots: Vec<u32> = found.iter().map(|rule| rule.slot).collect();
    assert_eq!(slots, [4, 6, 3, 2, 1]);
}

#[test]
fn a_distance_says_what_differs_and_by_how_much() {
    let ssh = allow(6, &[(22, 22), (8000, 8100)], &["10.0.0.0/8", "10.2.0.0/16"]);
    let none = Distance { differences: 0, protocol: false, peer: None, key: None };
    let at = |peer, kind, key| distance(&ssh, address(peer), kind, key);
    assert_eq!(at("10.1.2.3", Kind::Tcp, 22), none);
    assert_eq!(at("10.1.2.3", Kind::Tcp, 8100), none);
    assert_eq!(at("10.1.2.3", Kind::Tcp, 8103), Distance { differences: 1, key: Some(3), ..none });
    assert_eq!(at("10.1.2.3", Kind::Tcp, 0), Distance { differences: 1, key: Some(22), ..none });
    assert_eq!(at("10.1.2.3", Kind::Udp, 22), Distance { differences: 1, protocol: true, ..none });
    // 11.0.0.0 has seven of the eight bits of 10.0.0.0.
    assert_eq!(at("11.0.0.1", Kind::Tcp, 22), Distance { differences: 1, peer: Some(1), ..none });
    assert_eq!(
        at("2001:db8::1", Kind::Udp, 22),
        Distance { differences: 2, protocol: true, peer: Some(129), ..none }
    );
    let code = Rule { icmp: Some((3, Some(4))), ..allow(1, &[], &[]) };
    let icmp = |key| distance(&code, address("10.0.0.1"), Kind::Icmp, key).key;
    assert_eq!([icmp(3 << 8 | 4), icmp(3 << 8 | 1), icmp(8 << 8 | 4)], [None, Some(1), Some(256)]);
}

#[test]
fn the_nearest_allow_rule_is_found() {
    let rules = number(vec![
        allow(17, &[(53, 53)], &["10.0.0.0/8"]),
        allow(6, &[(443, 443)], &["10.0.0.0/8"]),
        allow(6, &[(80, 80)], &["10.0.0.0/8"]),
        allow(6, &[(82, 82)], &["192.0.2.0/24"]),
        deny(6, &[(81, 81)], &[]),
    ]);
    let near = |peer, kind, key| near_miss(&rules, address(peer), kind, key).map(|(r, _)| r.slot);
    assert_eq!(near("10.0.0.1", Kind::Tcp, 81), Some(3), "the nearest port, and no deny rule");
    assert_eq!(near("10.0.0.1", Kind::Tcp, 82), Some(4), "a wrong peer before a wrong port");
    assert_eq!(near("192.0.2.1", Kind::Tcp, 83), Some(4));
    assert_eq!(
        near("10.0.0.1", Kind::Sctp, 443),
        Some(1),
        "the lowest id of those that are equally near"
    );
    assert!(near_miss(&rules[4..], address("10.0.0.1"), Kind::Tcp, 81).is_none());
}
