//! Images stay linear in the policy, whatever the policy: bytes for each rule at sizes that double.
//!
//! Time is not asserted, but told by a release build:
//! `cargo test --release -p sg-ctl --lib compile::tests::linear -- --ignored --nocapture`

use std::time::Instant;

use super::super::compile;
use super::size::{v4, v6};
use super::*;
use crate::bench::generate::{self, Family, Style};

/// Bytes that do not depend on the policy: the root's 65 536 references, and the fixed part of what
/// rows may copy from each other (65 536 intervals with an end and a decision each).
const FIXED: usize = (4 << 16) + (10 << 16) + 4096;

/// Spreads numbers over all 32 bits, each once.
fn spread(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b9)
}

fn one_port(n: u32, peers: Option<IpNet>) -> Rule {
    Rule {
        peers: peers.map(|net| vec![[net].into()].into()),
        ..allow(6, &[(n as u16, n as u16)], &[])
    }
}

/// A policy that makes trouble: its name, the most rules it can have, the most bytes a rule may
/// take, and how it is made.
type Case = (&'static str, u32, usize, fn(u32) -> Vec<Rule>);

const CASES: [Case; 7] = [
    ("chains of 33 nested prefixes", 100_000, 170, |count| {
        let net = |n: u32| v4((n / 33) << 12 | 0x555, (n % 33) as u8);
        (0..count).map(|n| one_port(n, Some(net(n)))).collect()
    }),
    ("chains of 129 nested prefixes", 100_000, 270, |count| {
        let net = |n: u32| v6(u128::from(n / 129) << 112 | 0x5555_5555, (n % 129) as u8);
        (0..count).map(|n| one_port(n, Some(net(n)))).collect()
    }),
    ("addresses of one /16", 65_536, 40, |count| {
        (0..count).map(|n| one_port(n, Some(v4(10 << 24 | n, 32)))).collect()
    }),
    ("every port its own rule", 65_536, 12, |count| {
        (0..count).map(|n| one_port(n, Some(v4(0, 0)))).collect()
    }),
    ("ports for all, and as many hosts", 100_000, 160, |count| {
        let peer = |n: u32| if n.is_multiple_of(2) { v4(0, 0) } else { v4(spread(n), 32) };
        (0..count).map(|n| one_port(n / 2, Some(peer(n)))).collect()
    }),
    ("nested ranges, deny and allow by turns", 65_536, 12, |count| {
        let rule = |n: u32| {
            let action = if n.is_multiple_of(2) { Action::Allow } else { Action::Deny };
            let range = [(n as u16 / 2, u16::MAX - n as u16 / 2)];
            let priority = u16::MAX - n as u16;
            Rule { priority, ..rule(action, Protocol::Number(6), &range, &["0.0.0.0/0"]) }
        };
        (0..count).map(rule).collect()
    }),
    ("nested prefixes, deny and allow by turns", 65_536, 64, |count| {
        let rule = |n: u32| {
            let action = if n.is_multiple_of(2) { Action::Allow } else { Action::Deny };
            let net = v4(spread(n / 24) & 0xffff_ff00 | 0x55, 8 + (n % 24) as u8);
            let peers = one_list([net]);
            let rule = rule(action, Protocol::All, &[], &[]);
            // The inner ones come first, so that no rule hides another one.
            Rule { priority: 100 - (n % 24) as u16, peers, ..rule }
        };
        (0..count).map(rule).collect()
    }),
];

fn compiled(own: Vec<Rule>) -> (usize, f64) {
    let (own, other) = (number(own), number(vec![allow_all()]));
    let start = Instant::now();
    let image = compile(&own, &other).unwrap();
    (image.bytes().len(), start.elapsed().as_secs_f64() * 1e3)
}

#[test]
fn every_adversarial_policy_stays_linear() {
    for (name, _, most, make) in CASES {
        for count in [500, 2000, 8000] {
            let (bytes, _) = compiled(make(count));
            let limit = count as usize * most + FIXED;
            assert!(bytes <= limit, "{name}: {bytes} bytes for {count} rules");
        }
    }
}

#[test]
fn rules_with_a_network_and_ports_of_their_own_take_few_bytes() {
    // Of IPv6, places of the root that hold more than a list does have a tree each.
    for (family, most) in [(Family::V4, 64), (Family::V6, 80)] {
        for count in [10_000, 30_000] {
            let policy = generate::generate(Style::Random, family, count, 1);
            let rules = generate::resolved(&policy);
            let bytes = compile(&rules.ingress, &rules.egress).unwrap().bytes().len();
            assert!(
                bytes <= most * count + (4 << 16),
                "{family:?}: {bytes} bytes for {count} rules"
            );
        }
    }
}

#[test]
#[ignore = "measures a release build"]
fn the_curve() {
    for (name, largest, most, make) in CASES {
        for count in [largest / 8, largest / 4, largest / 2, largest] {
            let (bytes, ms) = compiled(make(count));
            let each = (bytes as f64) / f64::from(count);
            println!("| {name} | {count} | {bytes} | {each:.1} | {ms:.1} |");
            assert!(bytes <= count as usize * most + FIXED, "{name}");
        }
    }
}
