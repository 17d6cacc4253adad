//! Connections: what passes because the other direction let it start, and what only looks so.

use std::net::Ipv4Addr;

use sg_tests::HOOKS;
use sg_tests::frame::protocol::{GRE, ICMP, SCTP, TCP, UDP};
use sg_tests::frame::{self, IPV4, V4, flag};

use crate::way::{Bench, Case, Expect, NOBODY, Way, ip4};

const REMOTE: [u8; 4] = [192, 0, 2, 1];

/// The ways of arriving packets at a host.
fn arriving() -> impl Iterator<Item = Way> {
    HOOKS.into_iter().map(|hook| Way { hook, guest: false, direction: "ingress", monitor: false })
}

/// A packet of the host to `REMOTE`.
fn out(way: Way, protocol: u8) -> V4 {
    V4::new(way.local(), REMOTE.into(), protocol)
}

fn frame_of(packet: &[u8]) -> Vec<u8> {
    frame::ethernet(NOBODY, IPV4, packet)
}

/// Sends packets of the host, all of which have to pass.
fn open(bench: &Bench, packets: &[Vec<u8>]) {
    let frames: Vec<_> = packets.iter().map(|packet| frame_of(packet)).collect();
    let passed = bench.passed_back(&frames);
    assert!(passed.iter().all(|passed| *passed), "{:?}: {passed:?}", bench.way);
}

/// Nothing may come in, everything may go out.
const CLOSED: &str = "ingress = []";

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn what_nobody_asked_for_is_no_reply() {
    for way in arriving() {
        let packet = |protocol, payload: &[u8]| way.v4(REMOTE, protocol).bytes(payload);
        let unknown = Expect::Drop(&["no-such-connection"]);
        let tcp = |flags| packet(TCP, &frame::tcp(443, 40_000, flags));
        Bench::new(way, CLOSED).check(&[
            ip4("SYN", &tcp(flag::SYN), Expect::IMPLICIT),
            ip4("SYN and ACK", &tcp(flag::SYN | flag::ACK), unknown),
            ip4("ACK", &tcp(flag::ACK), unknown),
            ip4("FIN and ACK", &tcp(flag::FIN | flag::ACK), unknown),
            ip4("RST", &tcp(flag::RST), unknown),
            ip4("UDP from port 53", &packet(UDP, &frame::udp(53, 40_000, b"")), Expect::IMPLICIT),
            ip4("echo request", &packet(ICMP, &frame::icmp(8, 0, 7, b"")), Expect::IMPLICIT),
            ip4("echo reply", &packet(ICMP, &frame::icmp(0, 0, 7, b"")), unknown),
            ip4("SCTP INIT", &packet(SCTP, &frame::sctp(1, 2, 1)), Expect::IMPLICIT),
            ip4("SCTP data", &packet(SCTP, &frame::sctp(1, 2, 0)), unknown),
            ip4("GRE", &packet(GRE, &[0; 8]), Expect::IMPLICIT),
        ]);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn replies_pass_and_their_likes_do_not() {
    let connection = Expect::Pass("connection");
    let unknown = Expect::Drop(&["no-such-connection"]);
    for way in arriving() {
        let bench = Bench::new(way, CLOSED);
        open(
            &bench,
            &[
                out(way, TCP).bytes(&frame::tcp(40_000, 443, flag::SYN)),
                out(way, UDP).bytes(&frame::udp(40_000, 53, b"query")),
                out(way, ICMP).bytes(&frame::icmp(8, 0, 7, b"")),
                out(way, GRE).bytes(&[0; 8]),
                out(way, 253).bytes(&[0; 8]),
                out(way, SCTP).bytes(&frame::sctp(5_000, 3_868, 1)),
            ],
        );
        let packet = |protocol, payload: &[u8]| way.v4(REMOTE, protocol).bytes(payload);
        let other = |protocol, payload: &[u8]| way.v4([192, 0, 2, 2], protocol).bytes(payload);
        let answer = flag::SYN | flag::ACK;
        bench.check(&[
            ip4("other port", &packet(TCP, &frame::tcp(443, 40_001, answer)), unknown),
            ip4("other source port", &packet(TCP, &frame::tcp(444, 40_000, answer)), unknown),
            ip4("other host", &other(TCP, &frame::tcp(443, 40_000, answer)), unknown),
            ip4(
                "illegal flags inside a connection",
                &packet(TCP, &frame::tcp(443, 40_000, flag::SYN | flag::FIN)),
                Expect::Drop(&["illegal-tcp-flags"]),
            ),
            ip4("the answer", &packet(TCP, &frame::tcp(443, 40_000, answer)), connection),
            ip4("data", &packet(TCP, &frame::tcp(443, 40_000, flag::ACK)), connection),
            ip4(
                "a SYN is no answer once there was one",
                &packet(TCP, &frame::tcp(443, 40_000, flag::SYN)),
                Expect::IMPLICIT,
            ),
            ip4("UDP answer", &packet(UDP, &frame::udp(53, 40_000, b"")), connection),
            ip4("UDP, other port", &packet(UDP, &frame::udp(53, 40_001, b"")), Expect::IMPLICIT),
            ip4("UDP, other host", &other(UDP, &frame::udp(53, 40_000, b"")), Expect::IMPLICIT),
            ip4("echo reply", &packet(ICMP, &frame::icmp(0, 0, 7, b"")), connection),
            ip4("echo reply, other id", &packet(ICMP, &frame::icmp(0, 0, 8, b"")), unknown),
            ip4(
                "echo request, same id",
                &packet(ICMP, &frame::icmp(8, 0, 7, b"")),
                Expect::IMPLICIT,
            ),
            ip4("timestamp reply", &packet(ICMP, &frame::icmp(14, 0, 7, &[0; 12])), unknown),
            ip4("GRE back", &packet(GRE, &[0; 8]), connection),
            ip4("GRE of another host", &other(GRE, &[0; 8]), Expect::IMPLICIT),
            ip4("protocol 253 back", &packet(253, &[0; 8]), connection),
            ip4("another protocol", &packet(254, &[0; 8]), Expect::IMPLICIT),
            ip4("SCTP INIT ACK", &packet(SCTP, &frame::sctp(3_868, 5_000, 2)), connection),
            ip4("SCTP of another host", &other(SCTP, &frame::sctp(3_868, 5_000, 2)), unknown),
        ]);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_simultaneous_open_passes() {
    for way in arriving() {
        let bench = Bench::new(way, CLOSED);
        open(&bench, &[out(way, TCP).bytes(&frame::tcp(40_000, 443, flag::SYN))]);
        bench.check(&[ip4(
            "their SYN crosses ours",
            &way.v4(REMOTE, TCP).bytes(&frame::tcp(443, 40_000, flag::SYN)),
            Expect::Pass("connection"),
        )]);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_answer_to_many_is_no_answer() {
    for way in arriving() {
        let bench = Bench::new(way, CLOSED);
        for destination in [[239, 255, 255, 250], [255; 4]] {
            let mut query = out(way, UDP);
            query.destination = Ipv4Addr::from(destination);
            open(&bench, &[query.bytes(&frame::udp(5_555, 1_900, b"search"))]);
        }
        bench.check(&[ip4(
            "unicast answer",
            &way.v4(REMOTE, UDP).bytes(&frame::udp(1_900, 5_555, b"here")),
            Expect::IMPLICIT,
        )]);
    }
}

/// An ICMP error about `quoted`, from somewhere, to `destination`.
fn error(destination: Ipv4Addr, quoted: &[u8]) -> Vec<u8> {
    V4::new([203, 0, 113, 1].into(), destination, ICMP).bytes(&frame::icmp(
        3,
        4,
        0,
        &quoted[..quoted.len().min(28)],
    ))
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn errors_pass_only_about_what_was_sent() {
    for way in arriving() {
        let bench = Bench::new(way, CLOSED);
        let sent = out(way, TCP).bytes(&frame::tcp(40_000, 443, flag::SYN));
        let mut options = out(way, UDP);
        options.options = vec![1; 8];
        let optional = options.bytes(&frame::udp(40_000, 53, b"query"));
        open(&bench, &[sent.clone(), optional.clone()]);
        let never_sent = out(way, TCP).bytes(&frame::tcp(40_001, 443, flag::SYN));
        // What a forger might guess: the connection seen from the other side.
        let mirrored = way.v4(REMOTE, TCP).bytes(&frame::tcp(443, 40_000, flag::ACK));
        let related = Expect::Pass("related-error");
        let stranger = Expect::Drop(&["implicit-deny", "no-such-connection"]);
        bench.check(&[
            ip4("about a connection", &error(way.local(), &sent), related),
            Case {
                name: "about a packet with options".to_owned(),
                frame: frame_of(
                    &V4::new([203, 0, 113, 1].into(), way.local(), ICMP)
                        .bytes(&frame::icmp(3, 4, 0, &optional)),
                ),
                expect: related,
            },
            ip4("about nothing sent", &error(way.local(), &never_sent), stranger),
            ip4("to somebody else", &error([10, 1, 0, 77].into(), &sent), stranger),
            ip4("about a mirrored packet", &error(way.local(), &mirrored), stranger),
            ip4("about a cut packet", &error(way.local(), &sent[..20]), stranger),
            ip4("about no packet", &error(way.local(), &[]), stranger),
        ]);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn errors_about_what_both_directions_allow_need_no_connection() {
    for way in arriving() {
        // Only TCP with port 443 on either side is open in both directions.
        let bench = Bench::new(
            way,
            "default-egress = false\n\
             [[groups.g.egress]]\nprotocol = \"tcp\"\nport = [443, 40000]\n\
             [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = [443, 40000]\ndescription = \"in\"\n",
        );
        let open_both = out(way, TCP).bytes(&frame::tcp(40_000, 443, flag::ACK));
        let open_none = out(way, TCP).bytes(&frame::tcp(40_001, 444, flag::ACK));
        bench.check(&[
            ip4("open in both", &error(way.local(), &open_both), Expect::Pass("related-error")),
            ip4(
                "open in none",
                &error(way.local(), &open_none),
                Expect::Drop(&["implicit-deny", "no-such-connection"]),
            ),
        ]);
        // Neither direction needed the connection table for that.
        open(&bench, &[open_both]);
        bench.check(&[ip4(
            "their part of it",
            &way.v4(REMOTE, TCP).bytes(&frame::tcp(443, 40_000, flag::ACK)),
            Expect::Rule("in"),
        )]);
        assert_eq!(sg_tests::report::number(&bench.net.sg.status(), "connections"), 0);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_reset_ends_a_connection_and_a_forged_one_opens_none() {
    for way in arriving() {
        let bench = Bench::new(way, CLOSED);
        let from = |flags| way.v4(REMOTE, TCP).bytes(&frame::tcp(443, 40_000, flags));
        bench.check(&[
            ip4("RST of a stranger", &from(flag::RST), Expect::Drop(&["no-such-connection"])),
            ip4("ACK behind it", &from(flag::ACK), Expect::Drop(&["no-such-connection"])),
        ]);
        assert_eq!(sg_tests::report::number(&bench.net.sg.status(), "connections"), 0);
    }
}
