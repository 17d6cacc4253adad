//! Searches of every size: lists, trees of several levels, nodes, sections.

use super::super::{NO_ROOTS, Tuning, compile, compile_with};
use super::size::{v4, v6};
use super::*;

/// Counts of networks around every size at which a list or tree takes another form.
fn counts() -> impl Iterator<Item = u32> {
    (1..40).chain([71, 72, 73, 80, 81, 82, 323, 324, 325, 648, 649, 729, 2916, 2917, 6000])
}

/// Two rules have every other one of these networks.
fn two_rules(count: u32, net: impl Fn(u32) -> IpNet) -> Vec<Rule> {
    let half = |odd| one_list((0..count).filter(|n| n % 2 == odd).map(&net));
    number(vec![
        Rule { peers: half(0), ..allow(6, &[], &[]) },
        Rule { peers: half(1), ..deny(6, &[], &[]) },
    ])
}

/// The networks are four steps apart, and hold the first two.
fn check_steps(image: &Image, count: u32, peer: impl Fn(u32) -> IpAddr) {
    for step in 0..count * 4 + 8 {
        let (net, place) = (step / 4, step % 4);
        let expected = if net < count && place < 2 { net % 2 + 1 } else { 0 };
        let found = image.decide(peer(step), Kind::Tcp, 80);
        assert_eq!(found.slot(), expected, "{count} networks, {}", peer(step));
    }
}

#[test]
fn ipv4_of_every_size() {
    for count in counts() {
        for (root, first) in
            [(NO_ROOTS, 0u32), (0, 0), (0, 0x0a00_fff0), (NO_ROOTS, 0xffff_0000), (64, 0)]
        {
            let own = two_rules(count.min(16_000), |n| v4(first + n * 4, 31));
            let image = compile_with(&own, &[], Tuning { root, ..Tuning::default() }).unwrap();
            check_steps(&image, count, |step| IpAddr::V4((first + step).into()));
        }
    }
}

#[test]
fn roots_of_every_size() {
    for count in counts() {
        for root in [0, 64, 1 << 14, NO_ROOTS] {
            let tuning = Tuning { root, ..Tuning::default() };
            let count = count.min(16_000);
            let wide = two_rules(count, |n| v4((n * 4) << 12, 19));
            let image = compile_with(&wide, &[], tuning).unwrap();
            check_steps(&image, count, |step| IpAddr::V4((step << 12 | 7).into()));
            let wide = two_rules(count, |n| v6(u128::from(n * 4) << 108, 19));
            let image = compile_with(&wide, &[], tuning).unwrap();
            check_steps(&image, count, |step| IpAddr::V6((u128::from(step) << 108 | 7).into()));
        }
    }
}

#[test]
fn ipv6_halves_of_every_size() {
    let top = 0x2001_0db8u128 << 96;
    for count in counts() {
        let upper = two_rules(count, |n| v6(top | u128::from(n * 4) << 64, 63));
        let image = compile(&upper, &[]).unwrap();
        check_steps(&image, count, |step| IpAddr::V6((top | u128::from(step) << 64 | 7).into()));
        let lower = two_rules(count, |n| v6(top | u128::from(n * 4), 127));
        let image = compile(&lower, &[]).unwrap();
        check_steps(&image, count, |step| IpAddr::V6((top | u128::from(step)).into()));
        // At the very end of both halves.
        let last = u128::MAX - u128::from(count * 4) + 1;
        let image = compile(&two_rules(count, |n| v6(last + u128::from(n * 4), 127)), &[]).unwrap();
        for step in 0..count * 4 {
            let found = image.decide(IpAddr::V6((last + u128::from(step)).into()), Kind::Tcp, 80);
            let expected = if step % 4 < 2 { step / 4 % 2 + 1 } else { 0 };
            assert_eq!(found.slot(), expected);
        }
        assert!(!image.decide(IpAddr::V6((last - 1).into()), Kind::Tcp, 80).is_rule());
    }
}

#[test]
fn sections_of_every_size() {
    for count in counts().chain([16_384]) {
        let ports = |odd| {
            let own = (0..count).filter(|n| n % 2 == odd).map(|n| n as u16 * 4);
            own.map(|first| (first, first + 1)).collect::<Vec<_>>()
        };
        let own = number(vec![allow(6, &ports(0), &[]), deny(6, &ports(1), &[])]);
        // A rule without a port range at all would stand for every port.
        let own: Vec<Rule> = own.into_iter().filter(|rule| !rule.ports.is_empty()).collect();
        let image = compile(&own, &[]).unwrap();
        for port in 0..=u16::MAX {
            let (range, place) = (u32::from(port) / 4, port % 4);
            let expected = if range < count && place < 2 { range % 2 + 1 } else { 0 };
            let found = image.decide("192.0.2.1".parse().unwrap(), Kind::Tcp, port);
            assert_eq!(found.slot(), expected, "{count} ranges, port {port}");
        }
    }
}
