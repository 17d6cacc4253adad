//! Single frames through the real programs: what passes, what is dropped, and which one counter
//! says so. One table of expectations holds for every hook, side and direction.

mod always;
mod judged;
mod pieces;
mod state;
mod way;

use crate::way::{Bench, Way, ip4};

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn rules_judge_what_is_inside_whatever_is_around_it() {
    for way in Way::all() {
        Bench::new(way, &judged::policy(way.direction)).check(&judged::table(way));
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn only_what_networks_need_passes_without_rules() {
    for way in Way::all() {
        let bench = Bench::new(way, "ingress = []\negress = []");
        bench.check(&always::table(way));
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn monitor_mode_drops_nothing_and_counts_what_it_would_have_dropped() {
    for way in Way::all().into_iter().filter(|way| !way.guest && way.hook == "tc") {
        let way = Way { monitor: true, ..way };
        Bench::new(way, &judged::policy(way.direction)).check(&judged::table(way));
        Bench::new(way, "ingress = []\negress = []").check(&always::table(way));
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_cut_frame_never_passes_where_the_whole_one_does_not() {
    for way in Way::all() {
        let bench = Bench::new(way, &judged::policy(way.direction));
        for (start, frame) in judged::denied(way) {
            let mut cut = Vec::new();
            for length in 15..=frame.len() {
                cut.push(frame[..length].to_vec());
                // Likewise with a length in the IP header that hides the cut.
                let mut fitted = frame[..length].to_vec();
                let ip = length.saturating_sub(start);
                if ip >= 8 && fitted[start] >> 4 == 4 {
                    fitted[start + 2..start + 4].copy_from_slice(&(ip as u16).to_be_bytes());
                    cut.push(fitted);
                } else if ip >= 40 {
                    let payload = (ip - 40) as u16;
                    fitted[start + 4..start + 6].copy_from_slice(&payload.to_be_bytes());
                    cut.push(fitted);
                }
            }
            let passed = bench.passed(&cut);
            let lengths: Vec<usize> = cut
                .iter()
                .zip(&passed)
                .filter(|(_, p)| **p)
                .map(|(frame, _)| frame.len())
                .collect();
            assert!(
                lengths.is_empty(),
                "{way:?}: cut to {lengths:?} bytes it passes: {frame:02x?}"
            );
        }
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn port_ranges_hold_at_every_edge() {
    let way = Way { hook: "tc", guest: false, direction: "ingress", monitor: false };
    let ports = |bench: &Bench, ports: &[u16]| {
        let frames: Vec<_> = ports
            .iter()
            .map(|port| {
                let packet = way.v4([198, 51, 100, 7], 17);
                ip4("", &packet.bytes(&sg_tests::frame::udp(9, *port, b"")), way::Expect::IMPLICIT)
                    .frame
            })
            .collect();
        let passed = bench.passed(&frames);
        ports.iter().zip(passed).filter(|(_, p)| *p).map(|(port, _)| *port).collect::<Vec<_>>()
    };
    let rule = |text: &str| format!("[[groups.g.ingress]]\nprotocol = \"udp\"\n{text}\n");
    let all = [0, 1, 2, 59_999, 60_000, 60_001, 65_534, 65_535];

    // The whole range, its end denied first, its upper part denied at the same priority.
    let bench = Bench::new(
        way,
        &[
            rule("port = \"1-65535\""),
            rule("port = 65535\naction = \"deny\"\npriority = 10"),
            rule("port = [65535, \"0-65535\"]"),
            rule("port = \"60000-65535\"\naction = \"deny\""),
        ]
        .concat(),
    );
    assert_eq!(ports(&bench, &all), [0, 1, 2, 59_999]);

    let bench = Bench::new(way, &rule("port = [0, \"8000-8100\", 65535]"));
    let probes = [0, 1, 7_999, 8_000, 8_001, 8_099, 8_100, 8_101, 65_534, 65_535];
    assert_eq!(ports(&bench, &probes), [0, 8_000, 8_001, 8_099, 8_100, 65_535]);

    let bench = Bench::new(way, &rule(""));
    assert_eq!(ports(&bench, &all), all);
}
