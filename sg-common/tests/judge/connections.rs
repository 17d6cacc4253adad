//! Connections: who may answer, for how long, and in what state.

use sg_common::conntrack::State;
use sg_common::tables::{ENTRY_GUEST, ENTRY_MONITOR};
use sg_common::verdict::{Direction, Reason};

use crate::world::*;

/// A host that may send everything and receive nothing unasked.
fn outward() -> World {
    World::new(NO_RULE, allow(3))
}

#[test]
fn answers_pass_and_their_likes_do_not() {
    let (own, peer, stranger) = ((OWN, 40_000), (PEER, 443), ("198.51.100.3", 443));
    for (what, query, answer, likes) in [
        (
            "TCP",
            tcp(own, peer, SYN),
            tcp(peer, own, SYN | ACK),
            vec![
                tcp(stranger, own, SYN | ACK),
                tcp((PEER, 444), own, SYN | ACK),
                tcp(peer, (OWN, 40_001), SYN | ACK),
                udp(peer, own),
            ],
        ),
        (
            "UDP",
            udp(own, peer),
            udp(peer, own),
            vec![
                udp(stranger, own),
                udp((PEER, 53), own),
                udp(peer, (OWN, 1)),
                tcp(peer, own, ACK),
                udp(own, peer),
            ],
        ),
        (
            "ping",
            icmp(OWN, PEER, 8, 0, 7, &[]),
            icmp(PEER, OWN, 0, 0, 7, &[]),
            vec![
                icmp(PEER, OWN, 0, 0, 8, &[]),
                icmp(PEER, OWN, 8, 0, 7, &[]),
                icmp(PEER, OWN, 14, 0, 7, &[]),
                icmp("198.51.100.3", OWN, 0, 0, 7, &[]),
            ],
        ),
        (
            "ping over IPv6",
            icmp(OWN6, PEER6, 128, 0, 7, &[]),
            icmp(PEER6, OWN6, 129, 0, 7, &[]),
            vec![icmp(PEER6, OWN6, 129, 0, 8, &[]), icmp(PEER6, OWN6, 128, 0, 7, &[])],
        ),
        (
            "SCTP",
            sctp(own, peer, 1),
            sctp(peer, own, 2),
            vec![sctp(stranger, own, 2), sctp((PEER, 1), own, 2)],
        ),
        (
            "GRE",
            ip(OWN, PEER, 47, 64, b"x"),
            ip(PEER, OWN, 47, 64, b"y"),
            vec![ip("198.51.100.3", OWN, 47, 64, b"y"), ip(PEER, OWN, 4, 64, b"y")],
        ),
    ] {
        let world = outward();
        assert!(!world.receives(&answer).passes(), "{what}: unasked");
        assert_eq!(world.sends(&query).reason, Reason::Rule);
        for like in likes {
            assert!(!world.receives(&like).passes(), "{what}: something like an answer");
        }
        let verdict = world.receives(&answer);
        // It counts for the rule that let the query out.
        assert_eq!((verdict.reason, verdict.rule_slot()), (Reason::Connection, 3), "{what}");
        assert!(verdict.hit, "{what}");
        // Another zone's connection is nobody's here.
        let mut elsewhere = world;
        elsewhere.entry.zone += 1;
        assert!(!elsewhere.receives(&answer).passes(), "{what}: another zone");
    }
}

#[test]
fn the_rules_of_now_judge_every_answer() {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    let mut world = outward();
    world.sends(&tcp(own, peer, SYN));
    assert!(world.receives(&tcp(peer, own, SYN | ACK)).passes());
    // The rule that let it start goes: both sides stall at once.
    world.egress = always(NO_RULE);
    assert_eq!(world.receives(&tcp(peer, own, ACK)).reason, Reason::ImplicitDeny);
    assert!(!world.sends(&tcp(own, peer, ACK)).passes());
    world.egress = always(allow(3));
    assert_eq!(world.receives(&tcp(peer, own, ACK)).reason, Reason::Connection);
    // A hint that was wrong admits nothing either.
    let mut world = outward();
    world.sends(&tcp(own, peer, SYN));
    world.ingress = always(hinted(NO_RULE, sg_common::classifier::Reverse::Open));
    world.egress = always(NO_RULE);
    assert!(!world.receives(&tcp(peer, own, SYN | ACK)).passes());
}

#[test]
fn a_deny_rule_does_not_stop_answers_to_what_the_other_side_opens() {
    let world = World::new(deny(4), allow(3));
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    assert_eq!(world.receives(&tcp(peer, own, SYN)).reason, Reason::Deny);
    world.sends(&tcp(own, peer, SYN));
    assert_eq!(world.receives(&tcp(peer, own, SYN | ACK)).reason, Reason::Connection);
}

/// What is done in a trace, and what has to be seen then.
enum Act {
    /// The host sends a segment with these flags; the state is then this.
    Out(u8, State),
    /// The peer sends one; it passes, and the state is then this.
    In(u8, State),
    /// The peer sends one, which does not pass.
    Refused(u8),
    /// Time goes by.
    Wait(u32),
    /// No entry lives.
    Gone,
}

#[test]
fn tcp_connections_live_as_long_as_they_should() {
    use Act::{Gone, In, Out, Refused, Wait};
    use State::{Closing, Established, FinOpener, FinOther, SynReceived, SynSent};
    let handshake = || vec![Out(SYN, SynSent), In(SYN | ACK, SynReceived), Out(ACK, Established)];
    let after = |more: Vec<Act>| {
        let mut acts = handshake();
        acts.extend(more);
        acts
    };
    for (what, acts) in [
        ("an unanswered SYN", vec![Out(SYN, SynSent), Wait(59), In(SYN | ACK, SynReceived)]),
        ("an unanswered SYN ends", vec![Out(SYN, SynSent), Wait(62), Gone, Refused(SYN | ACK)]),
        (
            "a half-open connection ends",
            vec![Out(SYN, SynSent), In(SYN | ACK, SynReceived), Wait(62), Gone],
        ),
        (
            "a repeated SYN",
            vec![
                Out(SYN, SynSent),
                Wait(50),
                Out(SYN, SynSent),
                Wait(50),
                In(SYN | ACK, SynReceived),
            ],
        ),
        (
            "both open at once",
            vec![
                Out(SYN, SynSent),
                In(SYN, SynReceived),
                Out(SYN | ACK, Established),
                In(ACK, Established),
            ],
        ),
        ("a SYN on a live connection", after(vec![Refused(SYN), In(ACK, Established)])),
        (
            "days of silence",
            after(vec![Wait(430_000), In(ACK, Established), Wait(430_000), In(ACK, Established)]),
        ),
        ("five days of silence", after(vec![Wait(440_000), Gone, Refused(ACK)])),
        (
            "the host closes first",
            after(vec![
                Out(FIN | ACK, FinOpener),
                Out(FIN | ACK, FinOpener),
                Wait(1000),
                In(ACK, FinOpener),
                In(FIN | ACK, Closing),
                Out(ACK, Closing),
                Wait(119),
                In(FIN | ACK, Closing),
                Wait(123),
                Gone,
                Refused(FIN | ACK),
            ]),
        ),
        (
            "one side's repeated FIN closes nothing",
            after(vec![
                In(FIN | ACK, FinOther),
                In(FIN | ACK, FinOther),
                In(FIN | ACK, FinOther),
                Wait(400_000),
                In(FIN | ACK, FinOther),
                Out(FIN | ACK, Closing),
            ]),
        ),
        ("a reset from the host", after(vec![Out(RST | ACK, Closing), Wait(123), Gone])),
        ("a reset from the peer", after(vec![In(RST, Closing), Wait(123), Gone])),
        ("a refused SYN", vec![Out(SYN, SynSent), In(RST | ACK, Closing), Refused(SYN)]),
        (
            "the same ports again",
            after(vec![
                In(RST, Closing),
                Out(SYN, SynSent),
                In(SYN | ACK, SynReceived),
                Out(ACK, Established),
                Wait(180),
                In(ACK, Established),
            ]),
        ),
        (
            "an ACK that answers no handshake",
            vec![
                Out(SYN, SynSent),
                In(ACK, SynSent),
                In(SYN | ACK, SynReceived),
                In(ACK, SynReceived),
            ],
        ),
        ("a late SYN-ACK of the host", after(vec![Out(RST, Closing), Out(SYN | ACK, Closing)])),
        (
            "nothing without a SYN",
            vec![Out(ACK, State::Free), Refused(ACK), Out(SYN | ACK, State::Free), Refused(ACK)],
        ),
    ] {
        let world = outward();
        let (own, peer) = ((OWN, 40_000), (PEER, 443));
        for (step, act) in acts.into_iter().enumerate() {
            let state = |expected| {
                let entries = world.entries();
                let found = entries.first().map_or(State::Free, |(state, _)| *state);
                assert!(entries.len() <= 1, "{what}, step {step}");
                assert_eq!(found, expected, "{what}, step {step}");
            };
            match act {
                Out(flags, expected) => {
                    assert_eq!(world.sends(&tcp(own, peer, flags)).reason, Reason::Rule, "{what}");
                    state(expected);
                }
                In(flags, expected) => {
                    let reason = world.receives(&tcp(peer, own, flags)).reason;
                    assert_eq!(reason, Reason::Connection, "{what}, step {step}");
                    state(expected);
                }
                Refused(flags) => {
                    let reason = world.receives(&tcp(peer, own, flags)).reason;
                    assert!(!reason.passes(), "{what}, step {step}: {reason:?}");
                }
                Wait(seconds) => world.wait(seconds),
                Gone => assert!(world.entries().is_empty(), "{what}, step {step}"),
            }
        }
    }
}

#[test]
fn other_protocols_have_times_of_their_own() {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    for (what, query, answer, unanswered, answered) in [
        ("UDP", udp(own, peer), udp(peer, own), 30, 180),
        ("ping", icmp(OWN, PEER, 8, 0, 7, &[]), icmp(PEER, OWN, 0, 0, 7, &[]), 30, 30),
        ("GRE", ip(OWN, PEER, 47, 64, b"x"), ip(PEER, OWN, 47, 64, b"x"), 600, 600),
    ] {
        let slack = |timeout: u32| timeout + 1 + timeout / 64;
        for (wait, passes) in [(unanswered - 1, true), (slack(unanswered) + 1, false)] {
            let world = outward();
            world.sends(&query);
            world.wait(wait);
            assert_eq!(world.receives(&answer).passes(), passes, "{what}: unanswered, {wait} s");
        }
        for (wait, passes) in [(answered - 1, true), (slack(answered) + 1, false)] {
            let world = outward();
            world.sends(&query);
            world.receives(&answer);
            world.wait(wait);
            assert_eq!(world.receives(&answer).passes(), passes, "{what}: answered, {wait} s");
        }
    }
    let world = outward();
    world.sends(&sctp(own, peer, 1));
    assert_eq!(world.entries(), [(State::SctpOpening, false)]);
    world.receives(&sctp(peer, own, 2));
    world.sends(&sctp(own, peer, 10));
    assert_eq!(world.entries(), [(State::SctpOpening, false)]);
    world.receives(&sctp(peer, own, 11));
    assert_eq!(world.entries(), [(State::SctpEstablished, false)]);
    world.wait(430_000);
    assert_eq!(world.receives(&sctp(peer, own, 0)).reason, Reason::Connection);
    // An INIT on the live association is judged by the rules.
    assert_eq!(world.receives(&sctp(peer, own, 1)).reason, Reason::ImplicitDeny);
    world.receives(&sctp(peer, own, 6));
    assert_eq!(world.entries(), [(State::SctpClosing, false)]);
}

#[test]
fn a_full_table_evicts_what_is_not_established_and_says_so() {
    let mut world = outward();
    world.table = crate::world::Memory::new(64);
    let places = world.table.places().count();
    let own = |port| (OWN, port);
    // One established connection, then many SYNs from other ports.
    world.sends(&tcp(own(1), (PEER, 443), SYN));
    world.receives(&tcp((PEER, 443), own(1), SYN | ACK));
    world.sends(&tcp(own(1), (PEER, 443), ACK));
    for port in 1000..5000 {
        assert_eq!(world.sends(&tcp(own(port), (PEER, 443), SYN)).reason, Reason::Rule);
        if port % 100 == 0 {
            world.wait(1);
        }
    }
    assert!(world.evictions.get() > 3000, "{} evictions", world.evictions.get());
    assert_eq!(world.receives(&tcp((PEER, 443), own(1), ACK)).reason, Reason::Connection);
    // The newest are there, the oldest are not.
    assert!(world.receives(&tcp((PEER, 443), own(4999), SYN | ACK)).passes());
    assert!(!world.receives(&tcp((PEER, 443), own(1000), SYN | ACK)).passes());

    // A table full of established connections takes no more, and loses none.
    let mut world = outward();
    world.table = crate::world::Memory::new(64);
    let mut held = Vec::new();
    let mut full = 0;
    for port in 1..2000 {
        if world.sends(&tcp(own(port), (PEER, 443), SYN)).reason == Reason::TableFull {
            full += 1;
            continue;
        }
        world.receives(&tcp((PEER, 443), own(port), SYN | ACK));
        world.sends(&tcp(own(port), (PEER, 443), ACK));
        held.push(port);
    }
    assert!(full > 0 && held.len() <= places && held.len() > places * 3 / 4, "{}", held.len());
    assert_eq!(world.evictions.get(), 0);
    for port in held {
        assert!(world.receives(&tcp((PEER, 443), own(port), ACK)).passes(), "{port}");
    }
}

#[test]
fn errors_pass_about_what_is_known_and_to_whom_it_concerns() {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    let sent = tcp(own, peer, ACK);
    let error = |to: &str, about: &[u8]| icmp("198.51.100.99", to, 3, 4, 0, about);
    let world = outward();
    assert!(!world.receives(&error(OWN, &sent)).passes(), "about nothing");
    world.sends(&tcp(own, peer, SYN));
    assert_eq!(world.receives(&error(OWN, &sent)).reason, Reason::Related);
    // Eight bytes of the transport header are enough.
    assert_eq!(world.receives(&error(OWN, &sent[..28])).reason, Reason::Related);
    assert!(!world.receives(&error("192.0.2.9", &sent)).passes(), "to somebody else");
    let other = tcp((OWN, 40_001), peer, ACK);
    assert!(!world.receives(&error(OWN, &other)).passes(), "about another connection");
    assert!(!world.receives(&icmp("198.51.100.99", OWN, 0, 0, 0, &sent)).passes(), "no error");
    // The answer's side of the same connection: an error that the host sends about what it got.
    let mut closed = outward();
    closed.egress = always(NO_RULE);
    let received = tcp(peer, own, ACK);
    assert!(!closed.sends(&icmp(OWN, PEER, 3, 3, 0, &received)).passes());
    let mut answering = outward();
    answering.egress =
        Box::new(
            |_, kind, _| {
                if kind == sg_common::classifier::Kind::Tcp { allow(3) } else { NO_RULE }
            },
        );
    answering.sends(&tcp(own, peer, SYN));
    assert_eq!(answering.sends(&icmp(OWN, PEER, 3, 3, 0, &received)).reason, Reason::Related);
    // The compiler's hint that R is closed.
    let hinted_closed = hinted(allow(3), sg_common::classifier::Reverse::Closed);
    assert!(!World::new(NO_RULE, hinted_closed).receives(&error(OWN, &sent)).passes());
    // What both directions allow needs no connection.
    let mut open = World::new(NO_RULE, allow(3));
    open.ingress = Box::new(|_, kind, key| {
        if kind == sg_common::classifier::Kind::Tcp && key == 40_000 { allow(5) } else { NO_RULE }
    });
    assert_eq!(open.receives(&error(OWN, &sent)).reason, Reason::Related);
    assert!(!open.receives(&error(OWN, &other)).passes());
}

#[test]
fn monitor_mode_drops_nothing_and_its_marks_admit_nothing() {
    let (own, peer) = ((OWN, 22), (PEER, 40_000));
    let mut world = outward();
    world.entry.flags |= ENTRY_MONITOR;
    let verdict = world.receives(&tcp(peer, own, SYN));
    assert_eq!(verdict.reason, Reason::ImplicitDeny);
    assert!(verdict.passes() && verdict.would_drop());
    assert_eq!(world.entries(), [(State::SynSent, true)]);
    // Its answer goes out by a rule, and opens nothing of its own.
    assert_eq!(world.sends(&tcp(own, peer, SYN | ACK)).reason, Reason::Rule);
    assert_eq!(world.sends(&udp(own, peer)).reason, Reason::Rule);
    let verdict = world.receives(&tcp(peer, own, ACK));
    assert!(verdict.passes() && verdict.would_drop());
    // Enforced, the mark admits nothing.
    world.entry.flags &= !ENTRY_MONITOR;
    assert!(!world.receives(&tcp(peer, own, ACK)).passes());
    // A packet that cannot be judged passes too, and is counted with its reason.
    world.entry.flags |= ENTRY_MONITOR;
    let verdict = world.receives(&tcp(peer, own, SYN | FIN));
    assert!(verdict.passes());
    assert_eq!(verdict.reason, Reason::TcpFlags);
    // While the mark lives, the same tuple from the host's side opens no unmarked entry.
    let mut world = outward();
    world.entry.flags |= ENTRY_MONITOR;
    world.receives(&udp(peer, own));
    world.sends(&udp(own, peer));
    assert_eq!(world.entries(), [(State::OneWay, true)]);
    world.entry.flags &= !ENTRY_MONITOR;
    assert!(!world.receives(&udp(peer, own)).passes());
}

#[test]
fn a_mark_goes_when_the_rules_let_the_connection_start() {
    let (own, peer) = ((OWN, 22), (PEER, 40_000));
    let monitored = |ingress, egress| {
        let mut world = World::new(ingress, egress);
        world.entry.flags |= ENTRY_MONITOR;
        world
    };
    let mut world = monitored(NO_RULE, NO_RULE);
    world.receives(&tcp(peer, own, SYN));
    assert_eq!(world.entries(), [(State::SynSent, true)]);
    // Enforced by rules that allow it now: what goes on with it admits nothing yet.
    world.entry.flags &= !ENTRY_MONITOR;
    world.ingress = always(allow(5));
    assert!(!world.sends(&tcp(own, peer, SYN | ACK)).passes());
    assert!(world.receives(&tcp(peer, own, ACK)).passes());
    assert!(!world.sends(&tcp(own, peer, ACK)).passes());
    // What starts it does.
    world.receives(&tcp(peer, own, SYN));
    assert_eq!(world.sends(&tcp(own, peer, SYN | ACK)).reason, Reason::Connection);

    // A connection that a rule let start keeps its entry without a mark when the rule goes.
    let mut world = monitored(allow(5), NO_RULE);
    world.receives(&tcp(peer, own, SYN));
    world.ingress = always(NO_RULE);
    assert!(world.receives(&tcp(peer, own, SYN)).would_drop());
    assert_eq!(world.entries(), [(State::SynSent, false)]);

    // Errors about what only monitor mode let through.
    let mut world = monitored(NO_RULE, NO_RULE);
    let sent = udp(own, peer);
    world.sends(&sent);
    assert_eq!(world.entries(), [(State::OneWay, true)]);
    world.entry.flags &= !ENTRY_MONITOR;
    assert!(!world.receives(&icmp("198.51.100.99", OWN, 3, 4, 0, &sent)).passes());
}

#[test]
fn a_guest_turns_the_directions_round() {
    let mut world = outward();
    world.entry.flags |= ENTRY_GUEST;
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    // What the device receives, the guest sends.
    let verdict = world.at_hook(Direction::Ingress, &tcp(own, peer, SYN));
    assert_eq!((verdict.reason, verdict.direction), (Reason::Rule, Direction::Egress));
    let verdict = world.at_hook(Direction::Egress, &tcp(peer, own, SYN | ACK));
    assert_eq!((verdict.reason, verdict.direction), (Reason::Connection, Direction::Ingress));
    assert!(!world.at_hook(Direction::Egress, &tcp(peer, (OWN, 1), SYN)).passes());
}
