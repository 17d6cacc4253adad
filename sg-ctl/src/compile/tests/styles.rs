//! Time and size of large policies of several styles. Times are those of a release build:
//! `cargo test --release -p sg-ctl --lib compile::tests::styles -- --ignored --nocapture`

use std::time::Instant;

use super::super::{compile, compile_both};
use super::size::{v4, v6};
use super::*;

/// Spreads numbers over all 32 bits, each once.
fn spread(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b9)
}

fn measured(name: &str, own: Vec<Rule>, other: &[Rule]) -> Image {
    let own = number(own);
    let start = Instant::now();
    let image = compile(&own, other).unwrap();
    let took = start.elapsed();
    let (bytes, ms) = (image.bytes().len(), took.as_secs_f64() * 1e3);
    println!("{name:44} {:>9} rules {bytes:>10} bytes {ms:>8.1} ms", own.len());
    image
}

fn own_networks(count: u32) -> Vec<Rule> {
    let one = |n: u32| Rule {
        peers: one_list([v4(spread(n), 24 + (n % 9) as u8)]),
        ..allow(6, &[(n as u16, (n as u16).saturating_add(n as u16 % 7))], &[])
    };
    (0..count).map(one).collect()
}

#[test]
#[ignore = "measures a release build"]
fn large_policies_compile() {
    let open = number(vec![allow_all()]);
    for count in [10, 1000, 10_000] {
        measured("own IPv4 networks and ports", own_networks(count), &open);
    }
    measured("own IPv4 networks and ports", own_networks(100_000), &open);
    let in_ten = |n: u32| Rule {
        peers: one_list([v4(10 << 24 | spread(n) >> 8, 32)]),
        ..allow(6, &[(n as u16, n as u16)], &[])
    };
    measured("own addresses inside 10.0.0.0/8", (0..100_000).map(in_ten).collect(), &open);
    let in_six = |n: u32| Rule {
        peers: one_list([v6(0x2001_0db8 << 96 | u128::from(spread(n)) << 48, 48 + (n % 17) as u8)]),
        ..allow(6, &[(n as u16, n as u16)], &[])
    };
    measured("own IPv6 networks and ports", (0..100_000).map(in_six).collect(), &open);

    let nets = (0..1_000_000).map(|n| v4(spread(n), 32));
    let block = Rule { priority: 1, peers: one_list(nets), ..deny(6, &[], &[]) };
    let block = Rule { protocol: Protocol::All, ..block };
    let web = allow(6, &[(443, 443)], &[]);
    measured("blocklist of 1 000 000 IPv4 addresses", vec![block.clone(), web.clone()], &open);
    let nets = (0..1_000_000).map(|n| v6(0x2001_0db8 << 96 | u128::from(spread(n)) << 48 | 1, 128));
    let block6 = Rule { peers: one_list(nets), ..block.clone() };
    measured("blocklist of 1 000 000 IPv6 addresses", vec![block6, web.clone()], &open);
    let nets = (0..1_000_000).map(|n| v6(0x2001_0db8 << 96 | u128::from(spread(n)), 128));
    let block6 = Rule { peers: one_list(nets), ..block.clone() };
    measured("1 000 000 IPv6 addresses in one /64", vec![block6, web.clone()], &open);

    let ingress = number(vec![block.clone(), web.clone()]);
    let egress = number(vec![block, allow_all()]);
    let start = Instant::now();
    let (i, e) = compile_both(&ingress, &egress).unwrap();
    let sizes = (i.bytes().len(), e.bytes().len());
    println!("both directions with that IPv4 blocklist: {sizes:?} bytes, {:?}", start.elapsed());
}

#[test]
#[ignore = "measures a release build"]
fn adversarial_policies_compile() {
    let open = number(vec![allow_all()]);
    let in_one = (0..65_536).map(|n| Rule {
        peers: one_list([v4(10 << 24 | n, 32)]),
        ..allow(6, &[(n as u16, n as u16)], &[])
    });
    measured("65 536 addresses of one /16", in_one.collect(), &open);
    let ports = (0..65_536u32).map(|n| allow(6, &[(n as u16, n as u16)], &["0.0.0.0/0"]));
    measured("every port its own rule", ports.collect(), &open);
    let falling = (0..65_536u32).map(|n| {
        let range = [(n as u16 / 2, u16::MAX - n as u16 / 2)];
        let action = if n % 2 == 0 { Action::Allow } else { Action::Deny };
        Rule {
            priority: u16::MAX - n as u16,
            ..rule(action, Protocol::Number(6), &range, &["0.0.0.0/0"])
        }
    });
    measured("nested ranges, deny and allow by turns", falling.collect(), &open);
    let everybody = (0..50_000u32).map(|n| allow(6, &[(n as u16, n as u16)], &["0.0.0.0/0"]));
    let hosts = (0..50_000).map(|n| Rule {
        peers: one_list([v4(spread(n), 32)]),
        ..deny(6, &[(n as u16, n as u16)], &[])
    });
    let image = measured("50 000 ports and 50 000 hosts", everybody.chain(hosts).collect(), &open);
    assert!(image.bytes().len() < 100_000_000);
    let chains = (0..100_000u32).map(|n| {
        let length = (n % 129) as u8;
        let net = v6(u128::from(n / 129) << 112 | 0x5555_5555, length);
        Rule {
            peers: one_list([net]),
            ..allow(6, &[(n as u16, (n as u16).saturating_add(9))], &[])
        }
    });
    measured("775 chains of 129 nested prefixes", chains.collect(), &open);
    let shared: Arc<[IpNet]> = (0..100_000).map(|n| v4(spread(n), 32)).collect();
    let groups = (0..64u32).flat_map(|group| {
        let shared = shared.clone();
        (0..1500u32).map(move |n| Rule {
            peers: if n == 0 {
                Some(vec![shared.clone()].into())
            } else {
                one_list([v4(spread(n), 32)])
            },
            ..allow(6, &[((group * 1000 + n) as u16, (group * 1000 + n) as u16)], &[])
        })
    });
    measured("64 groups that share a prefix list", groups.collect(), &open);
    let all = own_networks(100_000);
    let egress =
        number(all.iter().map(|rule| Rule { action: Action::Deny, ..rule.clone() }).collect());
    measured("100 000 of each direction", all, &egress);
}
