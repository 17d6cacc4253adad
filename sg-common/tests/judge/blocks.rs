//! Blocks: nothing comes from a blocked peer and nothing goes to it, save for what always passes.

use sg_common::packet::Address;
use sg_common::tables::ENTRY_MONITOR;
use sg_common::verdict::Reason;

use crate::world::*;

fn is_peer(address: &Address) -> bool {
    let v6: std::net::Ipv6Addr = PEER6.parse().unwrap();
    let v4: std::net::Ipv4Addr = PEER.parse().unwrap();
    let bits = u128::from(address.high) << 64 | u128::from(address.low);
    bits == v6.to_bits() || bits == u128::from(v4.to_bits())
}

/// What the rules say stays; of [`PEER`] and [`PEER6`] a block decides.
fn block_peer(world: &mut World) {
    let rules = |slot, rest| -> Rules {
        Box::new(move |peer, _, _| if is_peer(peer) { block(slot) } else { rest })
    };
    world.ingress = rules(8, NO_RULE);
    world.egress = rules(9, allow(3));
}

#[test]
fn neither_packets_nor_answers_nor_errors_of_a_blocked_peer_pass() {
    let (own, peer) = ((OWN, 40_000), (PEER, 443));
    let mut world = World::new(NO_RULE, allow(3));
    world.sends(&tcp(own, peer, SYN));
    world.receives(&tcp(peer, own, SYN | ACK));
    let sent = tcp(own, peer, ACK);
    assert!(world.sends(&sent).passes());
    let errors = [
        icmp(PEER, OWN, 3, 4, 0, &sent),
        icmp(PEER, OWN, 3, 3, 0, &tcp(own, ("198.51.100.77", 443), ACK)),
    ];
    world.sends(&tcp(own, ("198.51.100.77", 443), SYN));
    for error in &errors {
        assert_eq!(world.receives(error).reason, Reason::Related);
    }
    block_peer(&mut world);
    for bytes in
        [tcp(peer, own, ACK), udp(peer, own), icmp(PEER, OWN, 0, 0, 7, &[])].iter().chain(&errors)
    {
        let verdict = world.receives(bytes);
        assert_eq!((verdict.reason, verdict.rule_slot()), (Reason::Deny, 8));
    }
    let about_it = icmp(OWN, PEER, 3, 3, 0, &tcp(peer, own, ACK));
    for bytes in [sent.clone(), udp(own, peer), icmp(OWN, PEER, 8, 0, 7, &[]), about_it] {
        let verdict = world.sends(&bytes);
        assert_eq!((verdict.reason, verdict.rule_slot()), (Reason::Deny, 9));
    }
    // A router that is not blocked may speak of the connection.
    let router = icmp("198.51.100.99", OWN, 3, 4, 0, &sent);
    assert_eq!(world.receives(&router).reason, Reason::Related);
}

#[test]
fn an_explicit_deny_stops_no_error_and_a_block_does_over_ipv6_too() {
    let (own, peer) = ((OWN6, 40_000), (PEER6, 443));
    let mut world = World::new(deny(2), allow(3));
    let sent = udp(own, peer);
    world.sends(&sent);
    let error = icmp(PEER6, OWN6, 1, 4, 0, &sent);
    assert_eq!(world.receives(&error).reason, Reason::Related);
    block_peer(&mut world);
    assert_eq!(world.receives(&error).reason, Reason::Deny);
}

#[test]
fn what_always_passes_does_so_and_monitor_mode_drops_nothing() {
    let mut world = World::new(NO_RULE, allow(3));
    block_peer(&mut world);
    let solicitation = ip(PEER6, OWN6, 58, 255, &[&[135, 0, 0, 0][..], &[0; 20]].concat());
    assert_eq!(world.receives(&solicitation).reason, Reason::Always);
    world.entry.flags |= ENTRY_MONITOR;
    let verdict = world.receives(&tcp((PEER, 443), (OWN, 1), SYN));
    assert!(verdict.passes() && verdict.would_drop() && verdict.rule_slot() == 8);
}
