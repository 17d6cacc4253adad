//! Frames that the rules judge, whatever is wrapped around the transport header.

use sg_tests::frame::protocol::{
    AH, DESTINATION, ESP, FRAGMENT, GRE, HOP_BY_HOP, ICMP, ICMP6, MOBILITY, NO_NEXT, ROUTING, SCTP,
    TCP, UDP,
};
use sg_tests::frame::{self, IPV4, IPV6, QINQ, VLAN, flag};

use crate::way::{Case, Expect, NOBODY, Way, ip4, ip6};

/// A stranger whom only rules for anybody match.
const STRANGER: [u8; 4] = [198, 51, 100, 7];
/// Somebody inside 10.1.0.0/16.
const NEIGHBOUR: [u8; 4] = [10, 1, 0, 9];
/// Somebody whom the rule for all protocols trusts.
const FRIEND: [u8; 4] = [10, 77, 0, 1];
/// A stranger over IPv6.
const STRANGER6: &str = "2001:db8:ffff::7";
/// A friend over IPv6.
const FRIEND6: &str = "2001:db8:77::1";

/// The rules of the tables, all in one direction; the other direction allows nothing.
pub(crate) fn policy(direction: &str) -> String {
    let other = if direction == "ingress" { "egress" } else { "ingress" };
    let rules = [
        "protocol = 'tcp'\nport = 80\ndescription = 'web'",
        "protocol = 'tcp'\nport = 22\naction = 'deny'\npriority = 10\ndescription = 'no ssh'",
        "protocol = 'tcp'\nport = 1443\ncidr = '0.0.0.0/0'\ndescription = 'only v4'",
        "protocol = 'tcp'\nport = 2443\ncidr = '::/0'\ndescription = 'only v6'",
        "protocol = 'tcp'\nport = 3443\ncidr = ['0.0.0.0/0', '::/0']\ndescription = 'both'",
        "protocol = 'udp'\nport = 53\ncidr = '10.1.0.0/16'\ndescription = 'names'",
        "protocol = 'sctp'\nport = 3868\ncidr = '10.1.0.0/16'\ndescription = 'diameter'",
        "protocol = 'icmp'\nicmp-type = 8\ncidr = '10.1.0.0/16'\ndescription = 'ping'",
        "protocol = 'icmp'\nicmp-type = 3\nicmp-code = 4\ndescription = 'too big'",
        "protocol = 'icmpv6'\nicmp-type = 128\ncidr = '2001:db8:1::/48'\ndescription = 'ping6'",
        "protocol = 'all'\ncidr = ['10.77.0.0/16', '2001:db8:77::/48']\ndescription = 'friends'",
        "protocol = 'tcp'\naction = 'deny'\ncidr = '10.8.0.0/16'\ndescription = 'wide deny'",
        "protocol = 'tcp'\nport = 443\ncidr = '10.8.1.0/24'\ndescription = 'narrow allow'",
        "protocol = 'tcp'\nport = 443\ncidr = '10.9.0.0/16'\ndescription = 'wide allow'",
        "protocol = 'tcp'\nport = 444\ncidr = '10.9.1.0/24'\ndescription = 'narrow other'",
    ];
    let mut text = format!("{other} = []\n");
    for rule in rules {
        text += &format!("[[groups.g.{direction}]]\n{}\n", rule.replace('\'', "\""));
    }
    text
}

fn syn(port: u16) -> Vec<u8> {
    frame::tcp(40_000, port, flag::SYN)
}

/// The whole table.
pub(crate) fn table(way: Way) -> Vec<Case> {
    let mut cases = matching(way);
    cases.extend(ipv4_headers(way));
    cases.extend(ipv6_headers(way));
    cases.extend(transport(way));
    cases.extend(fragments(way));
    cases.extend(tags(way));
    if way.is_from_wire() {
        cases.extend(martians(way));
    }
    cases
}

/// Which rule matches: families, protocols, prefixes, ICMP codes.
fn matching(way: Way) -> Vec<Case> {
    let tcp4 = |remote, port| way.v4(remote, TCP).bytes(&syn(port));
    let tcp6 = |remote, port| way.v6(remote, TCP).bytes(&syn(port));
    let bytes = [0; 24];
    let quoted = way.v4(STRANGER, UDP).bytes(&frame::udp(1, 2, b""));
    let mut cases = vec![
        ip4("allowed port", &tcp4(STRANGER, 80), Expect::Rule("web")),
        ip6("allowed port, IPv6", &tcp6(STRANGER6, 80), Expect::Rule("web")),
        ip4("denied port", &tcp4(STRANGER, 22), Expect::Deny("no ssh")),
        ip6("denied port, IPv6", &tcp6(STRANGER6, 22), Expect::Deny("no ssh")),
        ip4("port below", &tcp4(STRANGER, 79), Expect::IMPLICIT),
        ip4("port above", &tcp4(STRANGER, 81), Expect::IMPLICIT),
        ip4("port 0", &tcp4(STRANGER, 0), Expect::IMPLICIT),
        ip4("v4 rule, v4", &tcp4(STRANGER, 1443), Expect::Rule("only v4")),
        ip6("v4 rule, v6", &tcp6(STRANGER6, 1443), Expect::IMPLICIT),
        ip4("v6 rule, v4", &tcp4(STRANGER, 2443), Expect::IMPLICIT),
        ip6("v6 rule, v6", &tcp6(STRANGER6, 2443), Expect::Rule("only v6")),
        ip4("both families, v4", &tcp4(STRANGER, 3443), Expect::Rule("both")),
        ip6("both families, v6", &tcp6(STRANGER6, 3443), Expect::Rule("both")),
        ip6("IPv4-mapped address, v4 rule", &tcp6("::ffff:10.77.0.1", 81), Expect::IMPLICIT),
        ip4("deny before a narrower allow", &tcp4([10, 8, 1, 1], 443), Expect::Deny("wide deny")),
        ip4(
            "wide allow behind another port",
            &tcp4([10, 9, 1, 1], 443),
            Expect::Rule("wide allow"),
        ),
        ip4("narrow allow", &tcp4([10, 9, 1, 1], 444), Expect::Rule("narrow other")),
        ip4("outside the narrow allow", &tcp4([10, 9, 2, 1], 444), Expect::IMPLICIT),
        ip4(
            "first address of a prefix",
            &way.v4([10, 1, 0, 0], UDP).bytes(&frame::udp(9, 53, b"")),
            Expect::Rule("names"),
        ),
        ip4(
            "last address of a prefix",
            &way.v4([10, 1, 255, 254], UDP).bytes(&frame::udp(9, 53, b"")),
            Expect::Rule("names"),
        ),
        ip4(
            "before a prefix",
            &way.v4([10, 0, 255, 255], UDP).bytes(&frame::udp(9, 53, b"")),
            Expect::IMPLICIT,
        ),
        ip4(
            "behind a prefix",
            &way.v4([10, 2, 0, 0], UDP).bytes(&frame::udp(9, 53, b"")),
            Expect::IMPLICIT,
        ),
        ip4(
            "source port as if a reply",
            &way.v4(STRANGER, UDP).bytes(&frame::udp(53, 4000, b"")),
            Expect::IMPLICIT,
        ),
        ip4(
            "source port as if a reply, TCP",
            &way.v4(STRANGER, TCP).bytes(&frame::tcp(80, 4000, flag::ACK)),
            Expect::IMPLICIT,
        ),
        ip4(
            "echo",
            &way.v4(NEIGHBOUR, ICMP).bytes(&frame::icmp(8, 0, 1, b"")),
            Expect::Rule("ping"),
        ),
        ip4(
            "type 3 code 4",
            &way.v4(STRANGER, ICMP).bytes(&frame::icmp(3, 4, 0, &quoted)),
            Expect::Rule("too big"),
        ),
        ip4(
            "type 3 code 1",
            &way.v4(STRANGER, ICMP).bytes(&frame::icmp(3, 1, 0, &quoted)),
            Expect::IMPLICIT,
        ),
        ip6(
            "echo, IPv6",
            &way.v6("2001:db8:1:5::1", ICMP6).bytes(&frame::icmp(128, 0, 1, b"")),
            Expect::Rule("ping6"),
        ),
        ip6(
            "echo of a stranger, IPv6",
            &way.v6(STRANGER6, ICMP6).bytes(&frame::icmp(128, 0, 1, b"")),
            Expect::IMPLICIT,
        ),
        ip6(
            "ICMP inside IPv6",
            &way.v6("2001:db8:1:5::1", ICMP).bytes(&frame::icmp(8, 0, 1, b"")),
            Expect::IMPLICIT,
        ),
        ip4(
            "ICMPv6 inside IPv4",
            &way.v4(NEIGHBOUR, ICMP6).bytes(&frame::icmp(128, 0, 1, b"")),
            Expect::IMPLICIT,
        ),
        ip4(
            "to a multicast group",
            &{
                let mut packet = way.v4(STRANGER, UDP);
                packet.destination = [239, 1, 1, 1].into();
                packet
            }
            .bytes(&frame::udp(9, 1900, b"")),
            Expect::IMPLICIT_GROUP,
        ),
        ip4(
            "broadcast",
            &{
                let mut packet = way.v4(STRANGER, UDP);
                packet.destination = [255; 4].into();
                packet
            }
            .bytes(&frame::udp(9, 137, b"")),
            Expect::IMPLICIT_GROUP,
        ),
    ];
    let others = [
        ("SCTP", SCTP, frame::sctp(1, 2, 1)),
        ("GRE", GRE, bytes.to_vec()),
        ("ESP", ESP, bytes.to_vec()),
        ("AH", AH, bytes.to_vec()),
        ("ICMP echo", ICMP, frame::icmp(8, 0, 1, b"")),
        ("UDP", UDP, frame::udp(1, 2, b"")),
        ("TCP", TCP, syn(9)),
        ("IP in IP", 4, bytes.to_vec()),
        ("protocol 253", 253, bytes.to_vec()),
        ("protocol 255", 255, bytes.to_vec()),
    ];
    for (name, number, payload) in others {
        let packet = |remote| way.v4(remote, number).bytes(&payload);
        cases.push(ip4(format!("{name}, any rule"), &packet(FRIEND), Expect::Rule("friends")));
        cases.push(ip4(format!("{name} of a stranger"), &packet(STRANGER), Expect::IMPLICIT));
    }
    for (name, number) in [("ESP", ESP), ("AH", AH), ("mobility", MOBILITY), ("59", NO_NEXT)] {
        // What looks like a TCP header to port 80 is not looked at.
        let payload = [vec![TCP, 4, 0, 0], syn(80)].concat();
        let packet = |remote| way.v6(remote, number).bytes(&payload);
        cases.push(ip6(
            format!("{name} over IPv6, any"),
            &packet(FRIEND6),
            Expect::Rule("friends"),
        ));
        cases.push(ip6(format!("{name} over IPv6"), &packet(STRANGER6), Expect::IMPLICIT));
    }
    cases.push(ip4(
        "SCTP",
        &way.v4(NEIGHBOUR, SCTP).bytes(&frame::sctp(5000, 3868, 1)),
        Expect::Rule("diameter"),
    ));
    cases.push(ip4(
        "SCTP, other port",
        &way.v4(NEIGHBOUR, SCTP).bytes(&frame::sctp(5000, 3869, 1)),
        Expect::IMPLICIT,
    ));
    cases
}

/// IPv4 options and headers that contradict themselves.
fn ipv4_headers(way: Way) -> Vec<Case> {
    let with = |port, change: &dyn Fn(&mut frame::V4)| {
        let mut packet = way.v4(STRANGER, TCP);
        change(&mut packet);
        packet.bytes(&syn(port))
    };
    let options = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move |packet: &mut frame::V4| packet.options.clone_from(&bytes)
    };
    let bad = Expect::Drop(&["bad-ip-header"]);
    let short = Expect::Drop(&["bad-ip-header", "truncated"]);
    vec![
        ip4("15 words of header", &with(80, &options(&[1; 40])), Expect::Rule("web")),
        ip4("15 words of header, denied", &with(22, &options(&[1; 40])), Expect::Deny("no ssh")),
        ip4("one word of options", &with(80, &options(&[148, 4, 0, 0])), Expect::Rule("web")),
        ip4("record route", &with(80, &options(&[7, 7, 4, 0, 0, 0, 0, 0])), Expect::Rule("web")),
        ip4(
            "loose source route",
            &with(80, &options(&[131, 7, 4, 10, 0, 0, 1, 0])),
            Expect::Drop(&["source-route"]),
        ),
        ip4(
            "strict source route behind padding",
            &with(80, &options(&[1, 1, 1, 137, 7, 4, 10, 0, 0, 1, 0, 0])),
            Expect::Drop(&["source-route"]),
        ),
        ip4("4 words of header", &with(80, &|p| p.ihl = Some(4)), bad),
        ip4("no header", &with(80, &|p| p.ihl = Some(0)), bad),
        ip4("version 5", &with(80, &|p| p.version = 5), bad),
        ip4("version 6 in an IPv4 frame", &with(80, &|p| p.version = 6), bad),
        ip4("total length inside the header", &with(80, &|p| p.total_length = Some(19)), bad),
        ip4("header beyond the total length", &with(80, &|p| p.ihl = Some(15)), short),
        ip4("total length ends in the ports", &with(80, &|p| p.total_length = Some(22)), short),
        ip4(
            "no total length, denied",
            &with(22, &|p| p.total_length = Some(0)),
            Expect::DenyOr("no ssh", "bad-ip-header"),
        ),
        ip4("nothing behind the EtherType", &[], Expect::Drop(&["truncated"])),
        ip4("half a header", &with(80, &|_| ())[..10], Expect::Drop(&["truncated"])),
        ip4(
            "frame ends in the ports",
            &with(80, &|_| ())[..22],
            Expect::Drop(&["truncated", "bad-ip-header"]),
        ),
    ]
    .into_iter()
    // A frame of nothing but an Ethernet header does not get through a veth pair at all.
    .filter(|case| case.frame.len() > 14)
    .collect()
}

/// IPv6 extension headers.
fn ipv6_headers(way: Way) -> Vec<Case> {
    let tcp = |port, headers: &[(u8, Vec<u8>)]| {
        let mut packet = way.v6(STRANGER6, TCP);
        packet.extensions = headers.to_vec();
        packet.bytes(&syn(port))
    };
    let routing = |kind, left| (ROUTING, vec![0, 0, kind, left, 0, 0, 0, 0]);
    let atomic = |reserved| (FRAGMENT, frame::fragment(reserved, 0, false, 9));
    let mut cases = vec![
        ip6(
            "each kind of header",
            &tcp(
                80,
                &[
                    (HOP_BY_HOP, frame::options()),
                    (DESTINATION, frame::options()),
                    routing(3, 0),
                    atomic(0),
                    (DESTINATION, frame::options()),
                ],
            ),
            Expect::Rule("web"),
        ),
        ip6(
            "router alert",
            &tcp(22, &[(HOP_BY_HOP, frame::router_alert())]),
            Expect::Deny("no ssh"),
        ),
        ip6(
            "long header",
            &tcp(80, &[(DESTINATION, [vec![0, 3, 1, 28], vec![0; 28]].concat())]),
            Expect::Rule("web"),
        ),
        ip6("type 0 routing", &tcp(80, &[routing(0, 0)]), Expect::Drop(&["source-route"])),
        ip6("segments left", &tcp(80, &[routing(4, 1)]), Expect::Drop(&["source-route"])),
        ip6("atomic fragment", &tcp(80, &[atomic(0)]), Expect::Rule("web")),
        ip6("atomic fragment, denied", &tcp(22, &[atomic(0)]), Expect::Deny("no ssh")),
        ip6("atomic fragment, reserved bits", &tcp(80, &[atomic(40)]), Expect::Rule("web")),
        ip6(
            "atomic fragment, reserved bits, denied",
            // Read with the reserved byte as a length, the ports would be these.
            &{
                let mut packet = way.v6(STRANGER6, TCP);
                packet.extensions = vec![atomic(40)];
                packet.bytes(&[syn(22), vec![0; 300], syn(80)].concat())
            },
            Expect::Deny("no ssh"),
        ),
        ip6(
            "header longer than the packet",
            &tcp(80, &[(DESTINATION, vec![0, 200, 1, 4, 0, 0, 0, 0])]),
            Expect::Drop(&["truncated", "bad-ip-header"]),
        ),
        ip6(
            "payload length ends in the ports",
            &{
                let mut packet = way.v6(STRANGER6, TCP);
                packet.payload_length = Some(3);
                packet.bytes(&syn(80))
            },
            Expect::Drop(&["truncated", "bad-ip-header"]),
        ),
        ip6(
            "version 4 in an IPv6 frame",
            &{
                let mut bytes = tcp(80, &[]);
                bytes[0] = 0x40;
                bytes
            },
            Expect::Drop(&["bad-ip-header"]),
        ),
        ip6("half a header", &tcp(80, &[])[..30], Expect::Drop(&["truncated"])),
    ];
    for count in 0..=20 {
        let headers = vec![(DESTINATION, frame::options()); count];
        let (allowed, denied) = if count <= 8 {
            (Expect::Rule("web"), Expect::Deny("no ssh"))
        } else if count < 20 {
            let reason = "too-many-extension-headers";
            (Expect::RuleOr("web", reason), Expect::DenyOr("no ssh", reason))
        } else {
            let reasons = Expect::Drop(&["too-many-extension-headers"]);
            (reasons, reasons)
        };
        cases.push(ip6(format!("{count} extension headers"), &tcp(80, &headers), allowed));
        cases.push(ip6(format!("{count} extension headers, denied"), &tcp(22, &headers), denied));
    }
    cases
}

/// Transport headers that contradict themselves.
fn transport(way: Way) -> Vec<Case> {
    let tcp = |bytes: &[u8]| way.v4(STRANGER, TCP).bytes(bytes);
    let flags = |bits| tcp(&frame::tcp(40_001, 80, bits));
    let illegal = Expect::Drop(&["illegal-tcp-flags"]);
    let bad = Expect::Drop(&["bad-transport-header"]);
    let offset = |words: u8| {
        let mut segment = syn(80);
        segment[12] = words << 4;
        tcp(&segment)
    };
    let length = |length: u16| {
        let mut datagram = frame::udp(9, 53, b"four");
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
        way.v4(NEIGHBOUR, UDP).bytes(&datagram)
    };
    vec![
        ip4("ACK that opens nothing", &flags(flag::ACK), Expect::Rule("web")),
        ip4("SYN and FIN", &flags(flag::SYN | flag::FIN), illegal),
        ip4("SYN and RST", &flags(flag::SYN | flag::RST), illegal),
        ip4("no flag", &flags(0), illegal),
        ip4("every flag", &flags(0x3f), illegal),
        ip6("no flag, IPv6", &way.v6(STRANGER6, TCP).bytes(&frame::tcp(40_001, 80, 0)), illegal),
        ip4("4 words of TCP header", &offset(4), bad),
        ip4(
            "TCP header beyond the packet",
            &offset(15),
            Expect::Drop(&["bad-transport-header", "truncated"]),
        ),
        ip4("UDP length 7", &length(7), bad),
        ip4("UDP length 8", &length(8), Expect::Rule("names")),
        ip4(
            "UDP length beyond the packet",
            &length(100),
            Expect::Drop(&["bad-transport-header", "truncated"]),
        ),
    ]
}

/// Fragments of both families.
fn fragments(way: Way) -> Vec<Case> {
    let fragment = Expect::Drop(&["fragment"]);
    let tiny = Expect::Drop(&["tiny-fragment"]);
    let v4 = |remote, number, field, payload: &[u8]| {
        let mut packet = way.v4(remote, number);
        packet.fragment = field;
        packet.bytes(payload)
    };
    let v6 = |remote, offset, more, payload: &[u8]| {
        way.v6(remote, TCP).with(FRAGMENT, frame::fragment(0, offset, more, 5)).bytes(payload)
    };
    let more = 0x2000;
    let first = |port| [syn(port), vec![0; 12]].concat();
    vec![
        ip4("first", &v4(STRANGER, TCP, more, &first(80)), Expect::Rule("web")),
        ip4("first, denied", &v4(STRANGER, TCP, more, &first(22)), Expect::Deny("no ssh")),
        ip4("middle that looks allowed", &v4(STRANGER, TCP, more | 4, &first(80)), fragment),
        ip4("last that looks allowed", &v4(STRANGER, TCP, 4, &first(80)), fragment),
        ip4("last of a UDP datagram", &v4(NEIGHBOUR, UDP, 4, &frame::udp(1, 53, b"")), fragment),
        ip4("last, every port allowed", &v4(FRIEND, UDP, 4, &[0; 16]), Expect::Pass("rule")),
        ip4("first of 8 bytes", &v4(STRANGER, TCP, more, &syn(80)[..8]), tiny),
        ip4("overlaps the TCP header", &v4(STRANGER, TCP, 1, &[0; 16]), tiny),
        ip6("first, IPv6", &v6(STRANGER6, 0, true, &first(80)), Expect::Rule("web")),
        ip6("first, denied, IPv6", &v6(STRANGER6, 0, true, &first(22)), Expect::Deny("no ssh")),
        ip6("last that looks allowed, IPv6", &v6(STRANGER6, 4, false, &first(80)), fragment),
        ip6("first of 8 bytes, IPv6", &v6(STRANGER6, 0, true, &syn(80)[..8]), tiny),
        ip6("overlaps the TCP header, IPv6", &v6(STRANGER6, 1, false, &[0; 16]), tiny),
        // TCP has a denied port even for friends.
        ip6("last, one port denied, IPv6", &v6(FRIEND6, 4, false, &[0; 16]), fragment),
    ]
}

/// VLAN tags and other EtherTypes.
fn tags(way: Way) -> Vec<Case> {
    let packet = |port| way.v4(STRANGER, TCP).bytes(&syn(port));
    let packet6 = |port| way.v6(STRANGER6, TCP).bytes(&syn(port));
    let kinds: [(&str, Vec<(u16, u16)>); 6] = [
        ("802.1Q", vec![(VLAN, 5)]),
        ("priority tag", vec![(VLAN, 0xe000)]),
        ("802.1ad", vec![(QINQ, 5)]),
        ("QinQ", vec![(QINQ, 5), (VLAN, 6)]),
        ("802.1Q twice", vec![(VLAN, 5), (VLAN, 6)]),
        ("priority tag and VLAN", vec![(VLAN, 0), (VLAN, 6)]),
    ];
    let mut cases = Vec::new();
    for (name, tags) in kinds {
        for (port, expect) in [(80, Expect::Rule("web")), (22, Expect::Deny("no ssh"))] {
            cases.push(Case {
                name: format!("{name}, port {port}"),
                frame: frame::tagged(NOBODY, &tags, IPV4, &packet(port)),
                expect,
            });
            cases.push(Case {
                name: format!("{name}, port {port}, IPv6"),
                frame: frame::tagged(NOBODY, &tags, IPV6, &packet6(port)),
                expect,
            });
        }
    }
    cases.push(Case {
        name: "eight tags".to_owned(),
        frame: frame::tagged(NOBODY, &[(VLAN, 5); 8], IPV4, &packet(80)),
        expect: Expect::Drop(&["too-many-vlan-tags"]),
    });
    for (name, ether_type, start) in [
        ("MPLS", 0x8847, vec![0, 0, 0x11, 64]),
        ("PPPoE session", 0x8864, vec![0x11, 0, 0, 1, 0, 42, 0, 0x21]),
        ("IPX", 0x8137, vec![]),
        ("experimental", 0x88b5, vec![]),
    ] {
        cases.push(Case {
            name: name.to_owned(),
            frame: frame::ethernet(NOBODY, ether_type, &[start, packet(80)].concat()),
            expect: Expect::Drop(&["ethertype"]),
        });
    }
    let snap = [vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0], packet(80)].concat();
    cases.push(Case {
        name: "IP in LLC/SNAP".to_owned(),
        frame: frame::ethernet(NOBODY, snap.len() as u16, &snap),
        expect: Expect::Drop(&["ethertype"]),
    });
    cases
}

/// Loopback addresses from a wire.
fn martians(way: Way) -> Vec<Case> {
    let martian = Expect::Drop(&["martian"]);
    let mut source = way.v4(STRANGER, TCP);
    source.source = [127, 0, 0, 1].into();
    let mut destination = way.v4(STRANGER, TCP);
    destination.destination = [127, 1, 2, 3].into();
    let mut source6 = way.v6(STRANGER6, TCP);
    source6.source = std::net::Ipv6Addr::LOCALHOST;
    let mut destination6 = way.v6(STRANGER6, TCP);
    destination6.destination = std::net::Ipv6Addr::LOCALHOST;
    vec![
        ip4("from 127.0.0.1", &source.bytes(&syn(80)), martian),
        ip4("to 127.1.2.3", &destination.bytes(&syn(80)), martian),
        ip6("from ::1", &source6.bytes(&syn(80)), martian),
        ip6("to ::1", &destination6.bytes(&syn(80)), martian),
    ]
}

/// Frames that are dropped whole, each with the length of what is in front of the IP header.
pub(crate) fn denied(way: Way) -> Vec<(usize, Vec<u8>)> {
    let mut v4 = way.v4(STRANGER, TCP);
    v4.options = vec![1; 12];
    let v6 = way
        .v6(STRANGER6, TCP)
        .with(HOP_BY_HOP, frame::router_alert())
        .with(DESTINATION, frame::options())
        .with(FRAGMENT, frame::fragment(0, 0, false, 1));
    vec![
        (14, frame::ethernet(NOBODY, IPV4, &v4.bytes(&syn(22)))),
        (14, frame::ethernet(NOBODY, IPV6, &v6.bytes(&syn(22)))),
        (22, frame::tagged(NOBODY, &[(QINQ, 5), (VLAN, 6)], IPV4, &v4.bytes(&syn(22)))),
        (
            14,
            frame::ethernet(NOBODY, IPV4, &way.v4(STRANGER, UDP).bytes(&frame::udp(53, 53, b"x"))),
        ),
        (
            14,
            frame::ethernet(
                NOBODY,
                IPV6,
                &way.v6(STRANGER6, ICMP6).bytes(&frame::icmp(128, 0, 1, b"x")),
            ),
        ),
    ]
}
