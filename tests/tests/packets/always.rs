//! The kinds that pass before any rule, and how far from them a packet may be (spec §2.18).

use sg_tests::frame::protocol::{FRAGMENT, HOP_BY_HOP, ICMP6, IGMP, UDP};
use sg_tests::frame::{self, IPV4, IPV6, V4, V6, VLAN};

use crate::way::{Case, Expect, NOBODY, Way, address, ip4, ip6};

fn v4(source: &str, destination: &str, number: u8) -> V4 {
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) =
        (address(source), address(destination))
    else {
        panic!("IPv4 addresses")
    };
    V4::new(source, destination, number)
}

fn v6(source: &str, destination: &str, number: u8, hop_limit: u8) -> V6 {
    let (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) =
        (address(source), address(destination))
    else {
        panic!("IPv6 addresses")
    };
    let mut packet = V6::new(source, destination, number);
    packet.hop_limit = hop_limit;
    packet
}

/// What an interface without any rule lets pass.
pub(crate) fn table(way: Way) -> Vec<Case> {
    let mut cases = link_layer();
    cases.extend(discovery(way));
    cases.extend(multicast());
    cases.extend(dhcp(way));
    cases
}

fn link_layer() -> Vec<Case> {
    let frame = |name: &str, destination, ether_type, payload: &[u8], expect| Case {
        name: name.to_owned(),
        frame: frame::ethernet(destination, ether_type, payload),
        expect,
    };
    let nearest = [1, 0x80, 0xc2, 0, 0, 0];
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    let bridge = [&[0x42, 0x42, 3][..], &[0; 35]].concat();
    let other = [&[0xf0, 0xf0, 3][..], &[0; 35]].concat();
    vec![
        frame("ARP", [0xff; 6], 0x0806, &[&arp[..], &[0; 20]].concat(), Expect::ALWAYS),
        Case {
            name: "ARP in a VLAN".to_owned(),
            frame: frame::tagged([0xff; 6], &[(VLAN, 5)], 0x0806, &[&arp[..], &[0; 20]].concat()),
            expect: Expect::ALWAYS,
        },
        frame("LLDP", nearest, 0x88cc, &[0; 46], Expect::ALWAYS),
        frame("EAPOL", nearest, 0x888e, &[0; 46], Expect::ALWAYS),
        frame("PTP", nearest, 0x88f7, &[0; 46], Expect::ALWAYS),
        frame("LACP", nearest, 0x8809, &[0; 46], Expect::ALWAYS),
        frame("spanning tree", nearest, bridge.len() as u16, &bridge, Expect::ALWAYS),
        frame("NetBEUI", NOBODY, other.len() as u16, &other, Expect::Drop(&["ethertype"])),
        frame("MPLS", NOBODY, 0x8847, &[0; 46], Expect::Drop(&["ethertype"])),
        ip4(
            "echo",
            &v4("192.0.2.1", "192.0.2.2", 1).bytes(&frame::icmp(8, 0, 1, b"")),
            Expect::IMPLICIT,
        ),
    ]
}

/// Neighbour discovery: hop limit 255, code 0, unfragmented.
fn discovery(way: Way) -> Vec<Case> {
    let message = |kind, code| frame::icmp(kind, code, 0, &[0; 16]);
    let packet = |source, kind| v6(source, "fe80::2", ICMP6, 255).bytes(&message(kind, 0));
    let from_guest = way.guest && way.direction == "egress";
    let advertised = if from_guest { Expect::Drop(&["guest-router"]) } else { Expect::ALWAYS };
    let redirect = if from_guest { Expect::Drop(&["guest-router"]) } else { Expect::IMPLICIT };
    let foreign = if from_guest {
        Expect::Drop(&["guest-router", "implicit-deny"])
    } else {
        Expect::IMPLICIT
    };
    vec![
        ip6("router solicitation", &packet("fe80::1", 133), Expect::ALWAYS),
        ip6("router advertisement", &packet("fe80::1", 134), advertised),
        ip6("router advertisement from afar", &packet("2001:db8::1", 134), foreign),
        ip6("neighbour solicitation", &packet("2001:db8::1", 135), Expect::ALWAYS),
        ip6("duplicate address detection", &packet("::", 135), Expect::ALWAYS),
        ip6("neighbour advertisement", &packet("fe80::1", 136), Expect::ALWAYS),
        ip6("redirect", &packet("fe80::1", 137), redirect),
        ip6("router renumbering", &packet("fe80::1", 138), Expect::IMPLICIT),
        ip6(
            "solicitation that was forwarded",
            &v6("fe80::1", "fe80::2", ICMP6, 254).bytes(&message(135, 0)),
            Expect::IMPLICIT,
        ),
        ip6(
            "solicitation with a code",
            &v6("fe80::1", "fe80::2", ICMP6, 255).bytes(&message(135, 1)),
            Expect::IMPLICIT,
        ),
        ip6(
            "solicitation in an atomic fragment",
            &v6("fe80::1", "fe80::2", ICMP6, 255)
                .with(FRAGMENT, frame::fragment(0, 0, false, 1))
                .bytes(&message(135, 0)),
            Expect::IMPLICIT,
        ),
    ]
}

/// MLD and IGMP.
fn multicast() -> Vec<Case> {
    let report = |source, hop_limit| {
        v6(source, "ff02::16", ICMP6, hop_limit)
            .with(HOP_BY_HOP, frame::router_alert())
            .bytes(&frame::icmp(143, 0, 0, &[0; 20]))
    };
    let mut igmp = v4("0.0.0.0", "224.0.0.22", IGMP);
    igmp.options = vec![0x94, 4, 0, 0];
    igmp.ttl = 1;
    let mut cases = vec![
        ip6("MLD report", &report("fe80::1", 1), Expect::ALWAYS),
        ip6("MLD report without an address", &report("::", 1), Expect::ALWAYS),
        ip6("MLD report from afar", &report("2001:db8::1", 1), Expect::IMPLICIT_GROUP),
        ip6("MLD report that was forwarded", &report("fe80::1", 64), Expect::IMPLICIT_GROUP),
        ip4("IGMP report", &igmp.bytes(&[0x22, 0, 0, 0, 0, 0, 0, 0]), Expect::ALWAYS),
        ip4(
            "IGMP to one host",
            &v4("192.0.2.1", "192.0.2.2", IGMP).bytes(&[0x22, 0, 0, 0, 0, 0, 0, 0]),
            Expect::IMPLICIT,
        ),
    ];
    for kind in [130, 131, 132] {
        cases.push(ip6(
            format!("MLD {kind}"),
            &v6("fe80::1", "ff02::1", ICMP6, 1)
                .with(HOP_BY_HOP, frame::router_alert())
                .bytes(&frame::icmp(kind, 0, 0, &[0; 16])),
            Expect::ALWAYS,
        ));
    }
    cases
}

/// DHCP as a client of it sees it: nothing else comes through the same door.
fn dhcp(way: Way) -> Vec<Case> {
    let udp = |source, from, destination, to| {
        v4(source, destination, UDP).bytes(&frame::udp(from, to, b"dhcp"))
    };
    let udp6 = |source, from, destination, to| {
        v6(source, destination, UDP, 64).bytes(&frame::udp(from, to, b"dhcp"))
    };
    let client = way.direction == "egress";
    let server = if way.guest { Expect::Drop(&["guest-dhcp-server"]) } else { Expect::IMPLICIT };
    let (asks, answers) =
        if client { (Expect::ALWAYS, server) } else { (Expect::IMPLICIT, Expect::ALWAYS) };
    let (asks_all, answers_all) = if client {
        let server =
            if way.guest { Expect::Drop(&["guest-dhcp-server"]) } else { Expect::IMPLICIT_GROUP };
        (Expect::ALWAYS, server)
    } else {
        (Expect::IMPLICIT_GROUP, Expect::ALWAYS)
    };
    let afar =
        if client && way.guest { Expect::Drop(&["guest-dhcp-server"]) } else { Expect::IMPLICIT };
    let second = |from: u16, to: u16| {
        let mut packet = v4("10.1.0.2", "10.1.0.1", UDP);
        packet.fragment = 2;
        Case {
            name: format!("second fragment that looks like {from} to {to}"),
            frame: frame::ethernet(NOBODY, IPV4, &packet.bytes(&frame::udp(from, to, b""))),
            // With no rule at all there is no need to know the first fragment either.
            expect: Expect::Drop(&["fragment", "implicit-deny"]),
        }
    };
    vec![
        ip4("68 to 67", &udp("0.0.0.0", 68, "255.255.255.255", 67), asks_all),
        ip4("68 to 67, renewing", &udp("10.1.0.9", 68, "10.1.0.1", 67), asks),
        ip4("67 to 68", &udp("10.1.0.2", 67, "10.1.0.1", 68), answers),
        ip4("67 to 68, to all", &udp("10.1.0.2", 67, "255.255.255.255", 68), answers_all),
        ip4("67 to 22", &udp("10.1.0.2", 67, "10.1.0.1", 22), Expect::IMPLICIT),
        ip4("68 to 22", &udp("10.1.0.2", 68, "10.1.0.1", 22), Expect::IMPLICIT),
        ip6("546 to 547", &udp6("fe80::1", 546, "fe80::2", 547), asks),
        ip6("547 to 546", &udp6("fe80::1", 547, "fe80::2", 546), answers),
        ip6("547 to 546 from afar", &udp6("2001:db8::1", 547, "fe80::2", 546), afar),
        ip6("547 to 22", &udp6("fe80::1", 547, "fe80::2", 22), Expect::IMPLICIT),
        second(67, 68),
        second(68, 67),
        Case {
            name: "67 to 68 over TCP".to_owned(),
            frame: frame::ethernet(
                NOBODY,
                IPV6,
                &v6("fe80::1", "fe80::2", 6, 64).bytes(&frame::tcp(67, 68, frame::flag::SYN)),
            ),
            expect: Expect::IMPLICIT,
        },
    ]
}
