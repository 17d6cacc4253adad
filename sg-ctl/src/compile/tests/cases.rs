//! Faults that other systems had, one test for each kind.

use super::super::{compile, compile_both};
use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn passes(image: &Image, peer: &str, kind: Kind, key: u16) -> bool {
    image.decide(address(peer), kind, key).allows()
}

/// Compiles and compares everything at every edge.
fn compiled(own: Vec<Rule>, other: Vec<Rule>) -> (Image, Vec<Rule>) {
    let (own, other) = (number(own), number(other));
    let image = compile(&own, &other).unwrap();
    check_all(&image, &own, &other);
    (image, own)
}

#[test]
fn no_rules_deny_everything() {
    let (image, _) = compiled(vec![], vec![]);
    assert!(!passes(&image, "192.0.2.1", Kind::Tcp, 0));
    assert!(!passes(&image, "::", Kind::Other, 255));
    assert!(image.bytes().len() < 256);
}

#[test]
fn all_addresses_of_one_family_are_not_those_of_the_other() {
    for (peers, v4, v6) in [
        (&["0.0.0.0/0"][..], true, false),
        (&["::/0"], false, true),
        (&["0.0.0.0/0", "::/0"], true, true),
        (&[], true, true),
    ] {
        let (image, _) = compiled(vec![allow(6, &[(443, 443)], peers)], vec![]);
        assert_eq!(passes(&image, "192.0.2.1", Kind::Tcp, 443), v4);
        assert_eq!(passes(&image, "2001:db8::1", Kind::Tcp, 443), v6);
        // An IPv4-mapped address is an IPv6 address.
        assert_eq!(passes(&image, "::ffff:192.0.2.1", Kind::Tcp, 443), v6);
    }
    let (image, _) = compiled(vec![allow(6, &[], &["10.0.0.0/8"])], vec![]);
    assert!(!passes(&image, "::ffff:10.0.0.1", Kind::Tcp, 443));
    assert!(!passes(&image, "::a00:1", Kind::Tcp, 443));
}

#[test]
fn shortest_and_longest_prefixes_match_exactly() {
    let peers = ["10.1.2.3/32", "2001:db8::1/128", "255.255.255.255/32", "::/128", "0.0.0.0/1"];
    let (image, _) = compiled(vec![allow(6, &[], &peers)], vec![]);
    for (peer, expected) in [
        ("10.1.2.3", true),
        ("127.255.255.255", true),
        ("128.0.0.0", false),
        ("255.255.255.255", true),
        ("255.255.255.254", false),
        ("::", true),
        ("::1", false),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
        ("2001:db8::", false),
    ] {
        assert_eq!(passes(&image, peer, Kind::Tcp, 1), expected, "{peer}");
    }
}

#[test]
fn ranges_do_not_wrap_at_the_last_port() {
    let low = Rule { priority: 10, ..deny(6, &[(65535, 65535)], &[]) };
    let own = vec![
        allow(6, &[(1, 65535)], &[]),
        low,
        allow(6, &[(0, 65535)], &[]),
        deny(6, &[(60000, 65535)], &[]),
    ];
    let (image, _) = compiled(own, vec![]);
    for (port, expected) in
        [(0, true), (1, true), (59999, true), (60000, false), (65534, false), (65535, false)]
    {
        assert_eq!(passes(&image, "192.0.2.1", Kind::Tcp, port), expected, "{port}");
    }
}

#[test]
fn peers_are_compared_for_protocols_without_ports() {
    let echo = Rule { icmp: Some((8, None)), ..allow(1, &[], &["10.0.0.0/8"]) };
    let all = rule(Action::Allow, Protocol::All, &[], &["10.0.0.0/8"]);
    let (image, _) = compiled(vec![echo, all], vec![]);
    for (kind, key) in [(Kind::Icmp, 8 << 8), (Kind::Other, 47), (Kind::Other, 50)] {
        assert!(!passes(&image, "192.0.2.1", kind, key));
        assert!(passes(&image, "10.0.0.1", kind, key));
    }
    assert!(!passes(&image, "192.0.2.1", Kind::Other, 253));
    assert!(!passes(&image, "2001:db8::1", Kind::Icmp, 128 << 8));
}

#[test]
fn a_wide_deny_is_not_hidden_by_a_narrow_allow_nor_a_wide_allow_by_other_ports() {
    let deny = deny(6, &[], &["10.0.0.0/8"]);
    let narrow = allow(6, &[(443, 443)], &["10.1.0.0/16"]);
    let wide = allow(6, &[(80, 80)], &["0.0.0.0/0"]);
    let mut rules = vec![deny, narrow, wide];
    for _ in 0..3 {
        rules.rotate_left(1);
        let (image, _) = compiled(rules.clone(), vec![]);
        assert!(!passes(&image, "10.1.0.1", Kind::Tcp, 443));
        assert!(!passes(&image, "10.1.0.1", Kind::Tcp, 80));
        assert!(passes(&image, "11.0.0.1", Kind::Tcp, 80));
    }
    let narrow = allow(6, &[(443, 443)], &["10.1.0.0/16"]);
    let wide = allow(6, &[(80, 80)], &["0.0.0.0/0"]);
    let (image, _) = compiled(vec![narrow, wide], vec![]);
    assert!(passes(&image, "10.1.0.1", Kind::Tcp, 80));
}

#[test]
fn a_rule_that_two_groups_have_stays_when_one_goes() {
    let own = number(vec![
        allow(6, &[(22, 22)], &["10.0.0.0/8"]),
        allow(6, &[(22, 22)], &["10.0.0.0/8"]),
    ]);
    let both = compile(&own, &[]).unwrap();
    let one = compile(&own[1..], &[]).unwrap();
    assert_eq!(both.decide(address("10.0.0.1"), Kind::Tcp, 22).slot(), 1, "lowest id decides");
    assert_eq!(one.decide(address("10.0.0.1"), Kind::Tcp, 22).slot(), 2);
    assert!(one.decide(address("10.0.0.1"), Kind::Tcp, 22).allows());
}

#[test]
fn icmp_types_and_codes_are_themselves() {
    let unreachable = Rule { icmp: Some((3, Some(4))), ..allow(1, &[], &[]) };
    let packet_too_big = Rule { icmp: Some((2, None)), ..allow(58, &[], &[]) };
    let (image, _) = compiled(vec![unreachable, packet_too_big], vec![]);
    let (v4, v6) = ("192.0.2.1", "2001:db8::1");
    assert!(passes(&image, v4, Kind::Icmp, 3 << 8 | 4));
    assert!(!passes(&image, v4, Kind::Icmp, 3 << 8 | 1));
    assert!(!passes(&image, v6, Kind::Icmp, 3 << 8 | 4));
    assert!(passes(&image, v6, Kind::Icmp, 2 << 8 | 200));
    assert!(!passes(&image, v4, Kind::Icmp, 2 << 8));
    // The other family's ICMP is just a protocol, and a type is not a port.
    assert!(!passes(&image, v4, Kind::Other, 58));
    assert!(!passes(&image, v6, Kind::Other, 1));
    assert!(!passes(&image, v4, Kind::Tcp, 3 << 8 | 4));
}

#[test]
fn any_protocol_is_every_protocol() {
    let all = rule(Action::Allow, Protocol::All, &[], &["10.0.0.0/8"]);
    for with in [true, false] {
        let rules = if with { vec![all.clone()] } else { vec![allow(6, &[], &["10.0.0.0/8"])] };
        let (image, _) = compiled(rules, vec![]);
        for (kind, key) in [
            (Kind::Udp, 53),
            (Kind::Sctp, 3868),
            (Kind::Icmp, 8 << 8),
            (Kind::Other, 47),
            (Kind::Other, 50),
            (Kind::Other, 58),
            (Kind::Other, 0),
            (Kind::Other, 255),
        ] {
            assert_eq!(passes(&image, "10.0.0.1", kind, key), with, "{kind:?} {key}");
        }
        assert!(passes(&image, "10.0.0.1", Kind::Tcp, 0));
    }
    let (image, _) = compiled(vec![allow(47, &[], &[]), allow(136, &[], &[])], vec![]);
    assert!(passes(&image, "10.0.0.1", Kind::Other, 47));
    assert!(passes(&image, "10.0.0.1", Kind::Other, 136));
    assert!(!passes(&image, "10.0.0.1", Kind::Other, 46));
    assert!(!passes(&image, "10.0.0.1", Kind::Udp, 136));
}

#[test]
fn the_deciding_rule_follows_the_whole_order() {
    // Each rule loses to the next one.
    let all = rule(Action::Allow, Protocol::All, &[], &["10.0.0.0/16"]);
    let ladder = vec![
        Rule { priority: 1001, ..deny(6, &[(80, 80)], &["10.0.0.1/32"]) },
        allow(6, &[(80, 80)], &["0.0.0.0/0"]),
        allow(6, &[(80, 80)], &["10.0.0.0/8"]),
        all,
        allow(6, &[], &["10.0.0.0/16"]),
        allow(6, &[(80, 90)], &["10.0.0.0/16"]),
        allow(6, &[(80, 81)], &["10.0.0.0/16"]),
        deny(6, &[], &["0.0.0.0/0"]),
        Rule { priority: 999, ..allow(6, &[], &["0.0.0.0/0"]) },
    ];
    for count in 1..=ladder.len() {
        let (image, _) = compiled(ladder[..count].to_vec(), vec![]);
        let found = image.decide(address("10.0.0.1"), Kind::Tcp, 80);
        assert_eq!(found.slot(), count as u32);
    }
    let plain = allow(1, &[], &[]);
    let with_type = Rule { icmp: Some((8, None)), ..plain.clone() };
    let with_code = Rule { icmp: Some((8, Some(0))), ..plain.clone() };
    let (image, _) = compiled(vec![plain, with_type, with_code], vec![]);
    assert_eq!(image.decide(address("10.0.0.1"), Kind::Icmp, 8 << 8).slot(), 3);
    assert_eq!(image.decide(address("10.0.0.1"), Kind::Icmp, 8 << 8 | 1).slot(), 2);
    assert_eq!(image.decide(address("10.0.0.1"), Kind::Icmp, 0).slot(), 1);
}

#[test]
fn an_empty_peer_matches_nothing() {
    let nobody = Rule { peers: Some(vec![].into()), ..allow(6, &[], &[]) };
    let empty = Rule { peers: one_list([]), ..allow(6, &[], &[]) };
    let (image, _) = compiled(vec![nobody, empty], vec![]);
    assert!(!passes(&image, "10.0.0.1", Kind::Tcp, 80));
}

#[test]
fn host_bits_of_a_peer_do_not_matter() {
    let (image, _) = compiled(vec![allow(6, &[], &["10.1.2.3/8", "2001:db8::7/32"])], vec![]);
    assert!(passes(&image, "10.0.0.0", Kind::Tcp, 80));
    assert!(passes(&image, "2001:db8::", Kind::Tcp, 80));
}

#[test]
fn open_and_closed_other_directions_are_known_everywhere() {
    let web = number(vec![allow(6, &[(443, 443)], &[]), allow(6, &[(22, 22)], &["10.0.0.0/8"])]);
    let open = number(vec![allow_all()]);
    let deny_only = number(vec![deny(6, &[], &[])]);
    for (other, hint) in
        [(&open, Reverse::Open), (&deny_only, Reverse::Closed), (&vec![], Reverse::Closed)]
    {
        let image = compile(&web, other).unwrap();
        for peer in addresses(&web) {
            for kind in KINDS {
                for key in keys(&web, kind) {
                    assert_eq!(image.decide(peer, kind, key).reverse(), hint);
                }
            }
        }
    }
}

#[test]
fn an_exception_of_the_other_direction_is_known_where_it_is() {
    let web = number(vec![allow(6, &[(443, 443)], &[])]);
    let egress = vec![
        allow_all(),
        rule(Action::Deny, Protocol::All, &[], &["10.9.0.0/16"]),
        deny(6, &[(25, 25)], &["10.10.0.0/16", "2001:db8::/48"]),
    ];
    let egress = number(egress);
    let image = compile(&web, &egress).unwrap();
    check_all(&image, &web, &egress);
    let hint = |peer, kind| image.decide(address(peer), kind, 443).reverse();
    assert_eq!(hint("10.8.255.255", Kind::Tcp), Reverse::Open);
    assert_eq!(hint("10.9.0.0", Kind::Tcp), Reverse::Closed);
    assert_eq!(hint("10.9.255.255", Kind::Udp), Reverse::Closed);
    assert_eq!(hint("10.10.0.0", Kind::Tcp), Reverse::Depends);
    assert_eq!(hint("10.10.0.0", Kind::Udp), Reverse::Open);
    assert_eq!(hint("10.11.0.0", Kind::Tcp), Reverse::Open);
    assert_eq!(hint("2001:db8::", Kind::Tcp), Reverse::Depends);
    assert_eq!(hint("2001:db8:1::", Kind::Tcp), Reverse::Open);
}

#[test]
fn a_whole_kind_is_known() {
    let own = number(vec![
        allow(17, &[(0, 9), (10, 65535)], &["10.0.0.0/8"]),
        deny(17, &[(5, 5)], &["10.1.0.0/16"]),
        allow(1, &[], &[]),
    ]);
    let image = compile(&own, &[]).unwrap();
    check_all(&image, &own, &[]);
    let whole = |peer, kind| image.decide(address(peer), kind, 7).whole_kind_allowed();
    assert!(whole("10.0.0.1", Kind::Udp));
    assert!(!whole("10.1.0.1", Kind::Udp));
    assert!(!whole("10.0.0.1", Kind::Tcp));
    assert!(whole("10.1.0.1", Kind::Icmp));
}

#[test]
fn the_image_depends_on_nothing_but_the_rules() {
    let shared: Arc<[IpNet]> = ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]
        .map(|net| net.parse::<IpNet>().unwrap())
        .into();
    let copy: Arc<[IpNet]> = shared.iter().copied().rev().collect();
    let mut own = number(vec![
        Rule { peers: Some(vec![shared.clone()].into()), ..allow(6, &[(1, 5), (9, 9)], &[]) },
        Rule { peers: Some(vec![shared].into()), ..deny(6, &[(4, 4)], &[]) },
        allow(17, &[], &["10.1.2.0/24"]),
        allow_all(),
    ]);
    let mut other = number(vec![allow_all(), deny(6, &[], &["10.1.2.0/25"])]);
    let first = compile(&own, &other).unwrap();
    let (i, e) = compile_both(&own, &other).unwrap();
    assert!(i == first && e == compile(&other, &own).unwrap());
    own[1].peers = Some(vec![copy].into());
    own.reverse();
    other.reverse();
    assert!(compile(&own, &other).unwrap() == first);
}

#[test]
fn a_block_decides_before_every_rule_also_before_denies_of_priority_0() {
    let block = Rule { block: true, ..rule(Action::Deny, Protocol::All, &[], &["10.0.0.0/8"]) };
    let own = number(vec![
        Rule { priority: 0, ..allow(6, &[(22, 22)], &["10.0.0.1/32"]) },
        Rule { priority: 0, ..deny(6, &[(23, 23)], &["10.0.0.1/32"]) },
        allow_all(),
        Rule { priority: 0, ..block },
    ]);
    let image = compile(&own, &own).unwrap();
    check_all(&image, &own, &own);
    for key in [22, 23, 80] {
        let found = image.decide("10.0.0.1".parse().unwrap(), Kind::Tcp, key);
        assert!(found.is_block() && !found.allows() && found.slot() == 4, "{key}: {found:?}");
        assert_eq!(found.reverse(), Reverse::Closed);
    }
    // A deny of priority 0 is none.
    let own = number(vec![Rule { priority: 0, ..rule(Action::Deny, Protocol::All, &[], &[]) }]);
    let found = compile(&own, &own).unwrap().decide("10.0.0.1".parse().unwrap(), Kind::Tcp, 1);
    assert!(found.is_rule() && !found.is_block());
    assert!(!sg_common::classifier::Decision::IMPLICIT_DENY.is_block());
}
