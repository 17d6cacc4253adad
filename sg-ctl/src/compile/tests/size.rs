//! Bounds of memory where a cross product lurks.

use super::super::{CompileError, Space, Tuning, compile, compile_with, image, too_large};
use super::*;

pub(super) fn v4(bits: u32, length: u8) -> IpNet {
    ipnet::Ipv4Net::new(bits.into(), length).unwrap().trunc().into()
}

pub(super) fn v6(bits: u128, length: u8) -> IpNet {
    ipnet::Ipv6Net::new(bits.into(), length).unwrap().trunc().into()
}

/// Compares some packets of a large policy.
fn probe(image: &Image, own: &[Rule], peers: &[IpAddr], ports: &[u16]) {
    for peer in peers {
        for port in ports {
            check(image, own, *peer, Kind::Tcp, *port);
        }
    }
}

#[test]
fn ports_for_everybody_and_hosts_with_ports_of_their_own_stay_linear() {
    let port = |n: u32| [((n * 7 % 65000) as u16, (n * 7 % 65000) as u16)];
    let everybody = (0..50_000).map(|n| allow(6, &port(n), &["0.0.0.0/0"]));
    let hosts = (0..50_000u32).map(|n| Rule {
        peers: one_list([v4(n.wrapping_mul(0x9e37_79b9), 32)]),
        priority: if n % 3 == 0 { 500 } else { 1000 },
        ..deny(6, &[(n as u16, n as u16)], &[])
    });
    let own = number(everybody.chain(hosts).collect());
    let image = compile(&own, &[]).unwrap();
    assert!(image.bytes().len() < 32 << 20, "{}", image.bytes().len());
    let hosts = [0, 1, 2, 777, 49_999u32].map(|n| n.wrapping_mul(0x9e37_79b9));
    let peers: Vec<IpAddr> =
        hosts.iter().flat_map(|a| [*a, a.wrapping_add(1)]).map(|a| IpAddr::V4(a.into())).collect();
    probe(&image, &own, &peers, &[0, 1, 2, 7, 777, 778, 49_999, 50_000, 65_535]);
}

#[test]
fn every_length_of_prefix_with_ports_of_its_own() {
    let lengths = (0..=128u8).map(|length| Rule {
        peers: one_list([v6(0x2001_0db8 << 96, length)]),
        ..allow(6, &[(u16::from(length) * 10, u16::from(length) * 10 + 15)], &[])
    });
    let more = (0..=32u8).map(|length| Rule {
        peers: one_list([v4(0x0a00_0000, length)]),
        ..allow(6, &[(u16::from(length) * 10, u16::from(length) * 10 + 15)], &[])
    });
    let own = number(lengths.chain(more).collect());
    for tuning in [Tuning::default(), Tuning::SMALLEST] {
        let image = compile_with(&own, &[], tuning).unwrap();
        let peers: Vec<IpAddr> = addresses(&own).into_iter().step_by(3).collect();
        let ports: Vec<u16> = (0..1300).step_by(5).collect();
        probe(&image, &own, &peers, &ports);
    }
}

#[test]
fn a_policy_that_is_too_large_is_refused_with_its_culprit() {
    // Thirty networks with six thousand ports of their own each: nothing to share.
    let rules = (0..30u16).map(|n| Rule {
        peers: one_list([v4(u32::from(n) << 8, 24)]),
        ports: (0..6000).map(|p| PortRange { first: p * 10, last: p * 10 + n % 5 }).collect(),
        ..allow(6, &[], &[])
    });
    let mut own = number(rules.collect());
    own[7].peers = one_list([v4(7 << 8, 24), v4(0xff00_0000, 24)]);
    let tuning = Tuning::default();
    let space = Space::new(&own, tuning, 16 << 20).unwrap();
    let smallest = Tuning::SMALLEST;
    let plain = Space::new(&own, smallest, 16 << 20).unwrap();
    let fits = image(&own, &plain, &plain, smallest, 16 << 20).unwrap();
    assert_eq!(fits.class(), Some(4));
    assert!(
        image(&own, &space, &space, tuning, 16 << 20).unwrap().bytes().len() > fits.bytes().len()
    );
    // Where the usual form does not fit, the smallest is tried.
    let limit = fits.bytes().len() as u32 - 8;
    let error = image(&own, &space, &space, tuning, limit).unwrap_err();
    let CompileError::ImageTooLarge { bytes, limit: named, culprit, elements } = error.clone();
    assert!(bytes > u64::from(limit) && named == u64::from(limit));
    assert_eq!((culprit, elements), (own[7].id, 12_000));
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
}

#[test]
fn a_product_of_a_long_list_and_many_rules_is_refused_before_memory_is_used_up() {
    // Each network has sections of its own, of six thousand intervals.
    let shared: Arc<[IpNet]> = (0..4000).map(|n| v4(n << 8, 24)).collect();
    let many = (0..6000u16).map(|n| Rule {
        peers: Some(vec![shared.clone()].into()),
        ..allow(6, &[(n * 10, n * 10 + 3)], &[])
    });
    let singles = (0..4000u32).map(|n| Rule {
        peers: one_list([v4(n << 8, 24)]),
        ..allow(6, &[(60_000 + (n % 5000) as u16, 65_000)], &[])
    });
    let own = number(many.chain(singles).collect());
    let limit = 4 << 20;
    let error = Space::new(&own, Tuning::default(), limit).err().unwrap();
    let CompileError::ImageTooLarge { bytes, culprit, .. } = too_large(error, &own, limit);
    assert!(bytes > u64::from(limit) && bytes < u64::from(limit) + 100_000, "{bytes}");
    assert_eq!(culprit, own[5999].id);
}
