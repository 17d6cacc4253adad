//! Connections that are older than the rules (spec §2.12).

use sg_common::conntrack::{Seed, State, seed};
use sg_common::packet::Address;
use sg_common::tables::{ENTRY_ACTIVE, ENTRY_LEARN_OWN, ENTRY_LEARN_PEER};
use sg_common::verdict::{Direction, Reason};

use crate::world::*;

fn v4(text: &str) -> Address {
    let address: std::net::Ipv4Addr = text.parse().unwrap();
    Address { high: 0, low: u32::from(address).into() }
}

#[test]
fn while_an_attach_is_pending_everything_passes_and_openers_are_remembered() {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    let mut world = World::new(NO_RULE, allow(3));
    world.entry.flags = 0;
    let syn = tcp(own, peer, SYN);
    for packet in [syn.clone(), tcp(own, peer, ACK), udp(own, peer), syn] {
        assert_eq!(world.sends(&packet).reason, Reason::Learning);
    }
    assert_eq!(world.receives(&tcp(peer, own, ACK)).reason, Reason::Learning);
    assert_eq!(world.receives(&[0x45, 0]).reason, Reason::Learning, "what cannot be parsed");
    assert_eq!(world.entries().len(), 2, "the SYN's and the datagram's");
    world.entry.flags = ENTRY_ACTIVE;
    assert_eq!(world.receives(&tcp(peer, own, SYN | ACK)).reason, Reason::Connection);
    assert_eq!(world.receives(&udp(peer, own)).reason, Reason::Connection);
    assert!(!world.receives(&udp(peer, (OWN, 1))).passes());
}

#[test]
fn for_a_time_tcp_towards_the_protected_side_shows_older_connections() {
    let (own, peer) = ((OWN, 22), (PEER, 40_000));
    // F allows and R does not: opened by the peer. F does not and R does: by the protected side.
    for (flag, ingress, egress) in
        [(ENTRY_LEARN_PEER, allow(5), NO_RULE), (ENTRY_LEARN_OWN, NO_RULE, allow(3))]
    {
        let learning = || {
            let mut world = World::new(ingress, egress);
            world.entry.flags |= flag;
            world.entry.learn_until = 1100;
            world
        };
        let world = learning();
        assert!(world.receives(&tcp(peer, own, ACK)).passes());
        assert_eq!(world.entries(), [(State::Established, false)]);
        assert!(world.sends(&tcp(own, peer, ACK)).passes(), "{flag}");
        world.wait(400_000);
        assert!(world.sends(&tcp(own, peer, ACK)).passes(), "{flag}: it lives");
        // Not from SYN, RST, other protocols, or what the protected side sends.
        for packet in [tcp(peer, own, RST), tcp(peer, own, SYN | ACK), udp(peer, own)] {
            let world = learning();
            world.receives(&packet);
            let learned = world.entries().iter().any(|(state, _)| *state == State::Established);
            assert!(!learned, "{flag}");
        }
        for (ingress, egress) in [(allow(5), NO_RULE), (NO_RULE, allow(3))] {
            let mut world = World::new(ingress, egress);
            world.entry.flags |= ENTRY_LEARN_OWN | ENTRY_LEARN_PEER;
            world.entry.learn_until = 1100;
            world.sends(&tcp(own, peer, ACK));
            assert!(world.entries().is_empty(), "{flag}: from the protected side");
        }
        // Not when its time is over, nor without the flag.
        let world = learning();
        world.wait(100);
        world.receives(&tcp(peer, own, ACK));
        assert!(world.entries().is_empty(), "{flag}: its time is over");
        let mut world = learning();
        world.entry.flags = ENTRY_ACTIVE;
        world.receives(&tcp(peer, own, ACK));
        assert!(world.entries().is_empty(), "{flag}: no learning");
    }
}

#[test]
fn seeded_connections_pass_as_if_they_had_been_seen() {
    let world = World::new(NO_RULE, allow(3));
    let now = world.now.get();
    let of = |protocol, opened, addresses, ports| Seed {
        zone: 1,
        opened,
        family: 4,
        protocol,
        addresses,
        ports,
    };
    let out = of(6, Direction::Egress, (v4(OWN), v4(PEER)), (40_000, 443));
    let datagram = of(17, Direction::Egress, (v4(OWN), v4(PEER)), (40_000, 53));
    for one in [&out, &out, &datagram] {
        assert!(seed(&world.table, &world.settings.timeouts, one, now));
    }
    assert_eq!(world.entries().len(), 2, "once each");
    world.wait(170);
    assert_eq!(world.receives(&tcp((PEER, 443), (OWN, 40_000), ACK)).reason, Reason::Connection);
    assert_eq!(world.receives(&udp((PEER, 53), (OWN, 40_000))).reason, Reason::Connection);
    assert!(!world.receives(&tcp((PEER, 443), (OWN, 40_000), SYN)).passes());
    assert!(!world.receives(&udp((PEER, 54), (OWN, 40_000))).passes());
    // Opened by the peer, it admits what the host sends.
    let world = World::new(allow(5), NO_RULE);
    let accepted = of(6, Direction::Ingress, (v4(PEER), v4(OWN)), (50_000, 22));
    assert!(seed(&world.table, &world.settings.timeouts, &accepted, now));
    assert_eq!(world.sends(&tcp((OWN, 22), (PEER, 50_000), ACK)).reason, Reason::Connection);
    // A table that is full of established connections takes no more.
    let mut world = World::new(NO_RULE, allow(3));
    world.table = Memory::new(8);
    let seeded = (0..100)
        .filter(|port| {
            let one = of(6, Direction::Egress, (v4(OWN), v4(PEER)), (*port, 443));
            seed(&world.table, &world.settings.timeouts, &one, now)
        })
        .count();
    assert_eq!(seeded, world.entries().len());
    assert!(seeded < 100);
}
