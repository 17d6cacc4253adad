//! What passes, and what is dropped, before any rule (spec §2.18).

use sg_common::tables::{ENTRY_GUEST, ENTRY_GUEST_SERVERS, pass};
use sg_common::verdict::{Direction, Reason};

use crate::world::*;

const LINK: &str = "fe80::1";
const ALL_NODES: &str = "ff02::1";

fn icmp6(from: &str, to: &str, hop_limit: u8, kind: u8, code: u8) -> Vec<u8> {
    ip(from, to, 58, hop_limit, &[kind, code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// The same behind a hop-by-hop header with a router alert.
fn behind_hop_by_hop(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet[..40].to_vec();
    bytes[6] = 0;
    bytes[5] += 8;
    bytes.extend([58, 0, 5, 2, 0, 0, 1, 0]);
    bytes.extend(&packet[40..]);
    bytes
}

/// The same behind the header of an atomic fragment.
fn atomic(packet: &[u8]) -> Vec<u8> {
    let mut bytes = behind_hop_by_hop(packet);
    bytes[6] = 44;
    bytes[41..48].fill(0);
    bytes
}

#[test]
fn networks_work_without_rules_and_nothing_else_does() {
    use Direction::{Egress, Ingress};
    let both = [true, true];
    let none = [false, false];
    let mld = icmp6(LINK, "ff02::16", 1, 143, 0);
    let igmp = |to| ip(OWN, to, 2, 1, &[0x16, 0, 0, 0, 224, 0, 0, 251]);
    // In which direction, as the protected side sees it, a packet passes: in, out.
    for (what, packet, passes, switch) in [
        ("router solicitation", icmp6(LINK, ALL_NODES, 255, 133, 0), both, pass::ND),
        ("router advertisement", icmp6(LINK, ALL_NODES, 255, 134, 0), both, pass::ND),
        ("advertisement from afar", icmp6(PEER6, ALL_NODES, 255, 134, 0), none, 0),
        ("neighbour solicitation", icmp6(PEER6, OWN6, 255, 135, 0), both, pass::ND),
        ("neighbour advertisement", icmp6(PEER6, OWN6, 255, 136, 0), both, pass::ND),
        ("duplicate address detection", icmp6("::", "ff02::1:ff00:1", 255, 135, 0), both, pass::ND),
        ("forwarded solicitation", icmp6(PEER6, OWN6, 254, 135, 0), none, 0),
        ("solicitation with MLD's hop limit", icmp6(LINK, OWN6, 1, 135, 0), none, 0),
        ("solicitation with a code", icmp6(PEER6, OWN6, 255, 135, 1), none, 0),
        ("solicitation in a fragment", atomic(&icmp6(PEER6, OWN6, 255, 135, 0)), none, 0),
        ("redirect", icmp6(LINK, OWN6, 255, 137, 0), none, 0),
        ("echo request", icmp6(PEER6, OWN6, 255, 128, 0), none, 0),
        ("MLD report", behind_hop_by_hop(&mld), both, pass::MLD),
        ("MLD report without a header", mld.clone(), both, pass::MLD),
        ("MLD report without address", icmp6("::", "ff02::16", 1, 143, 0), both, pass::MLD),
        ("MLD query", icmp6(LINK, ALL_NODES, 1, 130, 0), both, pass::MLD),
        ("MLD that was forwarded", icmp6(LINK, "ff02::16", 2, 143, 0), none, 0),
        ("MLD from afar", icmp6(PEER6, "ff02::16", 1, 143, 0), none, 0),
        ("IGMP", igmp("224.0.0.22"), both, pass::IGMP),
        ("IGMP to one", igmp(PEER), none, 0),
        ("DHCP from the server", udp((PEER, 67), (OWN, 68)), [true, false], pass::DHCP),
        ("DHCP from the client", udp((OWN, 68), (PEER, 67)), [false, true], pass::DHCP),
        ("port 67 to another", udp((PEER, 67), (OWN, 22)), none, 0),
        ("another to port 68", udp((PEER, 22), (OWN, 68)), none, 0),
        ("DHCPv6 from the server", udp((LINK, 547), (OWN6, 546)), [true, false], pass::DHCP),
        ("DHCPv6 from afar", udp((PEER6, 547), (OWN6, 546)), none, 0),
        ("DHCPv6 from the client", udp((LINK, 546), ("ff02::1:2", 547)), [false, true], pass::DHCP),
        ("DHCP ports over IPv6", udp((LINK, 67), (OWN6, 68)), none, 0),
        ("DHCP ports over TCP", tcp((PEER, 67), (OWN, 68), SYN), none, 0),
    ] {
        for (direction, passes) in [(Ingress, passes[0]), (Egress, passes[1])] {
            // The other side is open, which opens nothing here.
            let world = World::new(NO_RULE, NO_RULE);
            let reason = world.at_hook(direction, &packet).reason;
            assert_eq!(reason == Reason::Always, passes, "{what}, {direction:?}: {reason:?}");
            assert_eq!(reason.passes(), passes, "{what}, {direction:?}: {reason:?}");
            if passes {
                let mut off = World::new(NO_RULE, NO_RULE);
                off.settings.pass = pass::ALL & !switch;
                assert!(!off.at_hook(direction, &packet).passes(), "{what}, switched off");
            }
        }
    }
}

#[test]
fn frames_that_are_not_ip_pass_by_the_list() {
    let frame = |kind: u16, payload: &[u8]| {
        let mut bytes = vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1];
        bytes.extend(kind.to_be_bytes());
        bytes.extend(payload);
        bytes.resize(60, 0);
        bytes
    };
    let reason = |world: &World, bytes: &[u8]| world.frame(Direction::Ingress, bytes).reason;
    let world = World::new(allow(5), allow(3));
    let arp = frame(0x806, &[]);
    let stp = frame(38, &[0x42, 0x42, 3]);
    for bytes in
        [&arp, &stp].into_iter().chain(&[0x88cc, 0x888e, 0x88f7, 0x8809].map(|k| frame(k, &[])))
    {
        assert_eq!(reason(&world, bytes), Reason::Always);
    }
    for (kind, payload) in [
        (0x8847, &[][..]),
        (0x8863, &[]),
        (0x8864, &[]),
        (38, &[0xaa, 0xaa, 3]),
        (0, &[]),
        (0x42, &[]),
    ] {
        assert_eq!(reason(&world, &frame(kind, payload)), Reason::EtherType, "{kind:#x}");
    }
    let mut other = World::new(allow(5), allow(3));
    other.settings.pass = 0;
    other.settings.ether_types[0] = 0x8847;
    other.settings.ether_type_count = 1;
    assert_eq!(reason(&other, &frame(0x8847, &[])), Reason::Always);
    for bytes in [&arp, &stp, &frame(0x88cc, &[]), &frame(0x888e, &[]), &frame(0, &[])] {
        assert_eq!(reason(&other, bytes), Reason::EtherType);
    }
}

#[test]
fn loopback_addresses_come_from_no_wire() {
    let open = World::new(allow(5), allow(3));
    for (from, to) in [
        ("127.0.0.1", OWN),
        ("127.255.0.9", OWN),
        (PEER, "127.0.0.1"),
        ("::1", OWN6),
        (PEER6, "::1"),
    ] {
        assert_eq!(open.receives(&udp((from, 1), (to, 2))).reason, Reason::Martian, "{from}");
    }
    for (from, to) in [("126.255.255.255", OWN), ("128.0.0.1", OWN), ("::2", OWN6)] {
        assert_eq!(open.receives(&udp((from, 1), (to, 2))).reason, Reason::Rule, "{from}");
    }
    // From a guest, which is what its interface receives.
    let mut guest = World::new(allow(5), allow(3));
    guest.entry.flags |= ENTRY_GUEST;
    let verdict = guest.at_hook(Direction::Ingress, &udp(("127.0.0.1", 1), (PEER, 2)));
    assert_eq!(verdict.reason, Reason::Martian);
}

#[test]
fn a_guest_is_no_router_and_no_server_unless_it_may() {
    let router = [
        ("router advertisement", icmp6(LINK, ALL_NODES, 255, 134, 0), Reason::GuestRouter),
        ("redirect", icmp6(LINK, OWN6, 255, 137, 0), Reason::GuestRouter),
        ("IPv4 redirect", icmp(OWN, PEER, 5, 1, 0, &[]), Reason::GuestRouter),
        ("IPv4 router advertisement", icmp(OWN, "224.0.0.1", 9, 0, 0, &[]), Reason::GuestRouter),
        ("DHCP server", udp((OWN, 67), (PEER, 68)), Reason::GuestDhcpServer),
        ("DHCPv6 server", udp((LINK, 547), (PEER6, 546)), Reason::GuestDhcpServer),
    ];
    for (what, packet, reason) in router {
        let mut guest = World::new(allow(5), allow(3));
        guest.entry.flags |= ENTRY_GUEST;
        // What arrives at the device comes from the guest: egress.
        let verdict = guest.at_hook(Direction::Ingress, &packet);
        assert_eq!((verdict.reason, verdict.direction), (reason, Direction::Egress), "{what}");
        guest.entry.flags |= ENTRY_GUEST_SERVERS;
        assert!(guest.at_hook(Direction::Ingress, &packet).passes(), "{what}, allowed");
        let host = World::new(allow(5), allow(3));
        assert!(host.at_hook(Direction::Ingress, &packet).passes(), "{what}, to a host");
    }
    // Its own client's traffic passes, seen from the guest.
    let mut guest = World::new(NO_RULE, NO_RULE);
    guest.entry.flags |= ENTRY_GUEST;
    let client = udp(("0.0.0.0", 68), ("255.255.255.255", 67));
    assert_eq!(guest.at_hook(Direction::Ingress, &client).reason, Reason::Always);
    assert_eq!(
        guest.at_hook(Direction::Egress, &udp((PEER, 67), (OWN, 68))).reason,
        Reason::Always
    );
    assert!(!guest.at_hook(Direction::Egress, &client).passes());
}
