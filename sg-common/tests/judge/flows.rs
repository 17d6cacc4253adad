//! F and R, and what a packet counts for.

use sg_common::classifier::{Decision, Kind, Reverse};
use sg_common::judge::Weight;
use sg_common::packet::Packet;
use sg_common::verdict::{Direction, Reason};

use crate::world::*;

/// Packets from the host, with whether they can open a connection.
fn packets() -> Vec<(&'static str, Vec<u8>, bool)> {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    let (own6, peer6) = ((OWN6, 40_000), (PEER6, 443));
    vec![
        ("SYN", tcp(own, peer, SYN), true),
        ("SYN over IPv6", tcp(own6, peer6, SYN), true),
        ("SYN with ECN", tcp(own, peer, SYN | 0xc0), true),
        ("SYN-ACK", tcp(own, peer, SYN | ACK), false),
        ("ACK", tcp(own, peer, ACK), false),
        ("FIN-ACK", tcp(own, peer, FIN | ACK), false),
        ("RST", tcp(own, peer, RST), false),
        ("UDP", udp(own, peer), true),
        ("UDP over IPv6", udp(own6, peer6), true),
        ("ping", icmp(OWN, PEER, 8, 0, 77, &[]), true),
        ("pong", icmp(OWN, PEER, 0, 0, 77, &[]), false),
        ("timestamp", icmp(OWN, PEER, 13, 0, 77, &[]), true),
        ("timestamp reply", icmp(OWN, PEER, 14, 0, 77, &[]), false),
        ("ping over IPv6", icmp(OWN6, PEER6, 128, 0, 77, &[]), true),
        ("pong over IPv6", icmp(OWN6, PEER6, 129, 0, 77, &[]), false),
        ("INIT", sctp(own, peer, 1), true),
        ("SCTP data", sctp(own, peer, 0), false),
        ("GRE", ip(OWN, PEER, 47, 64, b"gre"), true),
        ("ESP", ip(OWN6, PEER6, 50, 64, b"esp"), true),
        ("IPv6 in IPv4", ip(OWN, PEER, 41, 64, &[0x60; 40]), true),
    ]
}

#[test]
fn forward_and_reverse_decide_as_the_table_says() {
    let refusals = [(NO_RULE, Reason::ImplicitDeny), (deny(4), Reason::Deny)];
    for (what, packet, opens) in packets() {
        for hint in [false, true] {
            let told = |decision, reverse| if hint { hinted(decision, reverse) } else { decision };
            // Both allow: no table is read.
            let world = World::new(allow(5), told(allow(3), Reverse::Open));
            let verdict = world.sends(&packet);
            assert_eq!((verdict.reason, verdict.rule_slot()), (Reason::Rule, 3), "{what}");
            assert_eq!((world.looks.get(), world.entries().len()), (0, 0), "{what}");
            for (reverse, _) in refusals {
                // Only F allows: it passes, and what can open a connection opens one.
                let world = World::new(reverse, told(allow(3), Reverse::Closed));
                let verdict = world.sends(&packet);
                assert_eq!((verdict.reason, verdict.rule_slot()), (Reason::Rule, 3), "{what}");
                assert_eq!(world.entries().len(), usize::from(opens), "{what}");
            }
            for (forward, reason) in refusals {
                // Only R allows: nothing passes that belongs to no connection.
                let world = World::new(allow(5), told(forward, Reverse::Open));
                let verdict = world.sends(&packet);
                let expected = if opens { reason } else { Reason::NoConnection };
                assert_eq!(verdict.reason, expected, "{what}");
                let slot = if expected == Reason::Deny { 4 } else { 0 };
                assert_eq!((verdict.rule_slot(), verdict.passes()), (slot, false), "{what}");
                assert!(world.entries().is_empty(), "{what}");
                // Neither.
                let world = World::new(NO_RULE, told(forward, Reverse::Closed));
                assert_eq!(world.sends(&packet).reason, reason, "{what}");
                assert_eq!((world.looks.get(), world.entries().len()), (0, 0), "{what}");
            }
        }
    }
}

#[test]
fn the_reverse_is_asked_for_the_mirrored_packet() {
    // Ingress allows port 40000, which is the source port of what the host sends.
    for (port, looks) in [(40_000, false), (443, true)] {
        let mut world = World::new(NO_RULE, allow(3));
        world.ingress = Box::new(move |_, _, key| if key == port { allow(5) } else { NO_RULE });
        world.sends(&tcp((OWN, 40_000), (PEER, 443), SYN));
        assert_eq!(world.looks.get() > 0, looks, "port {port}");
    }
    // The peer is the far end in both directions.
    let mut world = World::new(NO_RULE, NO_RULE);
    let number = u32::from_be_bytes([198, 51, 100, 2]);
    world.ingress = Box::new(move |peer, _, _| {
        assert_eq!((peer.high, peer.low), (0, number.into()));
        allow(5)
    });
    world.egress = Box::new(move |peer, _, _| {
        assert_eq!((peer.high, peer.low), (0, number.into()));
        allow(3)
    });
    world.sends(&udp((OWN, 1), (PEER, 2)));
    world.receives(&udp((PEER, 2), (OWN, 1)));
    // ICMP: the counterpart of the type, with code 0.
    for (sent, mirrored) in
        [(8, 0), (0, 8), (13, 14), (14, 13), (15, 16), (16, 15), (17, 18), (18, 17)]
    {
        let mut world = World::new(NO_RULE, allow(3));
        world.ingress = Box::new(move |_, kind, key| {
            assert_eq!((kind, key), (Kind::Icmp, mirrored << 8), "type {sent}");
            allow(5)
        });
        world.sends(&icmp(OWN, PEER, sent, 3, 1, &[]));
    }
}

#[test]
fn an_icmp_type_without_counterpart_is_judged_by_its_own_direction() {
    for (own, peer, kind) in [(OWN, PEER, 5), (OWN, PEER, 3), (OWN, PEER, 42), (OWN6, PEER6, 137)] {
        for (forward, reason) in [(allow(3), Reason::Rule), (NO_RULE, Reason::ImplicitDeny)] {
            for reverse in [allow(5), NO_RULE] {
                let world = World::new(reverse, forward);
                assert_eq!(world.sends(&icmp(own, peer, kind, 0, 1, &[])).reason, reason, "{kind}");
                assert!(world.entries().is_empty(), "{kind}");
            }
        }
    }
}

#[test]
fn what_goes_to_many_opens_nothing_and_is_denied_apart() {
    for to in ["239.255.255.250", "255.255.255.255", "ff02::fb"] {
        let (own, peer) = if to.contains(':') { (OWN6, PEER6) } else { (OWN, PEER) };
        let query = udp((own, 5555), (to, 1900));
        let world = World::new(NO_RULE, allow(3));
        assert_eq!(world.sends(&query).reason, Reason::Rule);
        assert!(world.entries().is_empty());
        assert_eq!(world.receives(&udp((peer, 1900), (own, 5555))).reason, Reason::ImplicitDeny);
        let closed = World::new(NO_RULE, NO_RULE);
        assert_eq!(closed.sends(&query).reason, Reason::ImplicitDenyGroup);
        let denied = World::new(NO_RULE, deny(4));
        assert_eq!(denied.sends(&query).reason, Reason::Deny);
    }
}

#[test]
fn flags_that_no_connection_sends_never_pass() {
    let world = World::new(allow(5), allow(3));
    let segment = |flags| tcp((PEER, 1), (OWN, 2), flags);
    for flags in [0, SYN | FIN, SYN | RST, SYN | FIN | ACK, FIN, FIN | 8 | 32, 8, 32] {
        assert_eq!(world.receives(&segment(flags)).reason, Reason::TcpFlags, "{flags:#x}");
    }
    for flags in [SYN, SYN | ACK, ACK, RST, RST | ACK, FIN | ACK, ACK | 8, ACK | 32, 0xf9] {
        assert_eq!(world.receives(&segment(flags)).reason, Reason::Rule, "{flags:#x}");
    }
}

#[test]
fn later_fragments_pass_only_where_every_port_does() {
    let later = |protocol| {
        let mut bytes = ip(PEER, OWN, protocol, 64, &[0; 64]);
        bytes[7] = 100;
        bytes
    };
    let whole = |decision: Decision| Decision(decision.0 | 8);
    for (forward, protocol, reason, slot) in [
        (allow(5), 17, Reason::Fragment, 0),
        (whole(allow(5)), 17, Reason::Rule, 0),
        (whole(allow(5)), 6, Reason::Rule, 0),
        (NO_RULE, 17, Reason::Fragment, 0),
        (deny(4), 17, Reason::Fragment, 0),
        // Without ports the rule itself is known.
        (allow(5), 47, Reason::Rule, 5),
        (NO_RULE, 47, Reason::Fragment, 0),
    ] {
        for reverse in [allow(3), NO_RULE] {
            let world = World::new(forward, reverse);
            let verdict = world.receives(&later(protocol));
            let found = (verdict.reason, verdict.rule_slot().min(5));
            assert_eq!(found.0, reason, "{protocol} {forward:?}");
            if slot != 0 {
                assert_eq!(found.1, slot);
            }
            assert!(world.entries().is_empty());
        }
    }
}

#[test]
fn what_has_no_policy_passes_nothing() {
    let packet = tcp((PEER, 1), (OWN, 2), SYN);
    let mut world = World::new(allow(5), allow(3));
    world.entry.images = [99, EGRESS_IMAGE];
    assert_eq!(world.receives(&packet).reason, Reason::NoPolicy);
    let mut world = World::new(allow(5), allow(3));
    world.control.version += 1;
    let verdict = world.receives(&packet);
    assert_eq!((verdict.reason, verdict.passes()), (Reason::NoPolicy, false));
}

#[test]
fn a_packet_that_cannot_be_parsed_is_dropped_with_the_parsers_reason() {
    let world = World::new(allow(5), allow(3));
    let whole = tcp((PEER, 1), (OWN, 2), SYN);
    assert_eq!(world.receives(&whole[..30]).reason, Reason::BadIpHeader);
    assert_eq!(world.receives(&[]).reason, Reason::Truncated);
    assert!(!world.frame(Direction::Ingress, &[0; 5]).passes());
}

#[test]
fn merged_packets_weigh_what_they_were_on_the_wire() {
    let packet = Packet { length: 40 + 3000, headers: 40, ..Packet::default() };
    let weight = |size, count| {
        let weight = Weight::of(&packet, size, count);
        (weight.packets, weight.bytes)
    };
    assert_eq!(weight(0, 0), (1, 3040));
    assert_eq!(weight(0, 9), (1, 3040));
    assert_eq!(weight(1000, 3), (3, 3040 + 2 * 40));
    assert_eq!(weight(1000, 0), (3, 3040 + 2 * 40));
    assert_eq!(weight(1448, 0), (3, 3040 + 2 * 40));
    let empty = Packet { length: 40, headers: 40, ..Packet::default() };
    assert_eq!(Weight::of(&empty, 1448, 0).packets, 1);
}
