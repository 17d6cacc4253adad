//! The parser: known frames, a reference of its own, frames that are cut, and what errors quote.

mod build;
mod reference;

use build::{ethernet, fragment, icmp, options, routing, sctp, tcp, udp, v4, v6};
use proptest::prelude::*;
use reference::{Found, Input};
use sg_common::packet::{
    Address, Bytes, FIRST_FRAGMENT, FRAGMENT_HEADER, GROUP, ICMP_ERROR, IP, LATER_FRAGMENT, LLC,
    Packet, Start, parse, parse_quote,
};
use sg_common::verdict::Reason;

fn number(address: Address) -> u128 {
    u128::from(address.high) << 64 | u128::from(address.low)
}

fn real(input: &Input) -> Result<Packet, Reason> {
    let mut packet = Packet::default();
    let frame = Bytes {
        bytes: &input.bytes,
        socket_buffer: input.socket_buffer,
        tags: input.tags_taken_off,
    };
    let start = if input.ethernet { Start::Ethernet } else { Start::Ip };
    parse(&frame, start, &mut packet).map(|()| packet)
}

/// The real parser's result in the reference's words.
fn found(input: &Input, packet: &Packet) -> Found {
    assert_eq!(packet.has(IP), packet.family != 0, "{packet:?}");
    let payload = match packet.family {
        0 => &[][..],
        _ => &input.bytes[packet.transport as usize..packet.end as usize],
    };
    Found {
        ether_type: packet.ether_type,
        llc: packet.has(LLC),
        family: packet.family,
        protocol: packet.protocol,
        source: number(packet.source),
        destination: number(packet.destination),
        source_port: packet.source_port,
        key: packet.key,
        detail: packet.detail,
        hop_limit: packet.hop_limit,
        to_group: packet.has(GROUP),
        first_fragment: packet.has(FIRST_FRAGMENT),
        later_fragment: packet.has(LATER_FRAGMENT),
        fragment_header: packet.has(FRAGMENT_HEADER),
        icmp_error: packet.has(ICMP_ERROR),
        length: packet.length as usize,
        headers: packet.headers as usize,
        payload: payload.to_vec(),
    }
}

fn on_wire(bytes: Vec<u8>) -> Input {
    Input { bytes, ethernet: true, socket_buffer: false, tags_taken_off: 0 }
}

fn framed(kind: u16, packet: &[u8]) -> Input {
    on_wire([&ethernet(&[], kind), packet].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_parser_agrees_with_the_reference(input in build::any_frame()) {
        let real = real(&input).map(|packet| found(&input, &packet));
        prop_assert_eq!(real, reference::parse(&input));
    }

    #[test]
    fn a_frame_without_its_ethernet_header_is_parsed_as_with_it(mut input in build::any_frame()) {
        if !input.ethernet || input.bytes.len() < 14 {
            return Ok(());
        }
        let whole = real(&input).map(|packet| found(&input, &packet));
        let header: Vec<u8> = input.bytes.drain(..14).collect();
        let start = Start::BehindEthernet {
            ether_type: u16::from_be_bytes([header[12], header[13]]),
            group: header[0] & 1 != 0,
        };
        let frame = Bytes {
            bytes: &input.bytes,
            socket_buffer: input.socket_buffer,
            tags: input.tags_taken_off,
        };
        let mut packet = Packet::default();
        let behind = parse(&frame, start, &mut packet).map(|()| found(&input, &packet));
        prop_assert_eq!(behind, whole);
    }

    #[test]
    fn any_bytes_are_parsed_alike(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        ethernet: bool,
        socket_buffer: bool,
    ) {
        let input = Input { bytes, ethernet, socket_buffer, tags_taken_off: 0 };
        let real = real(&input).map(|packet| found(&input, &packet));
        prop_assert_eq!(real, reference::parse(&input));
    }
}

/// Whole packets of every kind, with what they are.
fn whole() -> Vec<(&'static str, u16, Vec<u8>, u8, u16)> {
    let nops = |count: usize| vec![1; count];
    let mut all = vec![
        ("tcp", 0x800, v4(6, &[], 0, &tcp(2)), 6, 443),
        ("udp", 0x800, v4(17, &[], 0, &udp()), 17, 53),
        ("sctp", 0x800, v4(132, &[], 0, &sctp()), 132, 3868),
        ("ping", 0x800, v4(1, &[], 0, &icmp(8, 0, b"ping")), 1, 0x800),
        ("gre", 0x800, v4(47, &[], 0, b"gre"), 47, 47),
        ("icmpv6 over IPv4 has no type", 0x800, v4(58, &[], 0, &icmp(128, 0, &[])), 58, 58),
        ("tcp over IPv6", 0x86dd, v6(&[], 6, &tcp(2)), 6, 443),
        ("ping over IPv6", 0x86dd, v6(&[], 58, &icmp(128, 0, b"ping")), 58, 0x8000),
        ("ah is a protocol", 0x86dd, v6(&[], 51, &[6, 4, 0, 0, 0, 0, 0, 0]), 51, 51),
        ("esp", 0x86dd, v6(&[], 50, &tcp(2)), 50, 50),
        ("mobility", 0x86dd, v6(&[], 135, &options(0)), 135, 135),
        ("no next header", 0x86dd, v6(&[], 59, &tcp(2)), 59, 59),
        ("atomic fragment", 0x86dd, v6(&[(44, fragment(0, 0, false))], 6, &tcp(2)), 6, 443),
        (
            "atomic fragment whose reserved byte looks like a length",
            0x86dd,
            v6(&[(44, fragment(40, 0, false))], 6, &tcp(2)),
            6,
            443,
        ),
        (
            "every kind of extension header",
            0x86dd,
            v6(
                &[(0, options(1)), (60, options(0)), (43, routing(2, 0)), (60, options(2))],
                17,
                &udp(),
            ),
            17,
            53,
        ),
    ];
    for words in 1..=10 {
        all.push(("options", 0x800, v4(6, &nops(4 * words), 0, &tcp(2)), 6, 443));
    }
    for count in 1..=8 {
        let chain = vec![(60, options(0)); count];
        all.push(("destination options", 0x86dd, v6(&chain, 6, &tcp(2)), 6, 443));
    }
    all
}

#[test]
fn whole_packets_are_what_they_are_whatever_is_around_them() {
    const TAGS: [&[(u16, u16)]; 6] = [
        &[],
        &[(0x8100, 5)],
        &[(0x8100, 0)],
        &[(0x88a8, 7), (0x8100, 5)],
        &[(0x8100, 7), (0x8100, 5)],
        &[(0x88a8, 1), (0x8100, 2), (0x8100, 3)],
    ];
    for (what, kind, packet, protocol, key) in whole() {
        let bare = Input { ethernet: false, ..on_wire(packet.clone()) };
        let inputs =
            TAGS.iter().map(|tags| on_wire([ethernet(tags, kind), packet.clone()].concat()));
        for mut input in inputs.chain([bare]) {
            for padding in [0, 1, 40] {
                input.bytes.resize(input.bytes.len() + padding, 0xee);
                let packet = real(&input).unwrap_or_else(|reason| panic!("{what}: {reason:?}"));
                assert_eq!((packet.protocol, packet.key), (protocol, key), "{what}");
                assert_eq!(found(&input, &packet), reference::parse(&input).unwrap(), "{what}");
                if matches!(protocol, 6 | 17 | 132) {
                    assert_eq!(packet.source_port, 40_000, "{what}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_judged_has_its_own_reason() {
    let nine = vec![(60, options(0)); 9];
    let mut short_header = v4(6, &[], 0, &tcp(2));
    short_header[0] = 0x44;
    let mut version = v4(6, &[], 0, &tcp(2));
    version[0] = 0x55;
    let mut long = v4(6, &[], 0, &tcp(2));
    long[2] = 1;
    let mut no_length = v4(6, &[], 0, &tcp(2));
    no_length[2..4].fill(0);
    let mut offset = tcp(2);
    offset[12] = 0x40;
    let mut udp_short = udp();
    udp_short[5] = 7;
    let mut udp_none = udp();
    udp_none[5] = 0;
    let mut udp_long = udp();
    udp_long[5] = 11;
    for (what, kind, packet, reason) in [
        ("nine extension headers", 0x86dd, v6(&nine, 6, &tcp(2)), Reason::ExtensionHeaders),
        ("routing type 0", 0x86dd, v6(&[(43, routing(0, 0))], 6, &tcp(2)), Reason::SourceRoute),
        ("segments left", 0x86dd, v6(&[(43, routing(4, 1))], 6, &tcp(2)), Reason::SourceRoute),
        ("loose source route", 0x800, v4(6, &[131, 3, 4, 0], 0, &tcp(2)), Reason::SourceRoute),
        ("strict source route", 0x800, v4(6, &[1, 137, 3, 4], 0, &tcp(2)), Reason::SourceRoute),
        ("option without end", 0x800, v4(6, &[7, 9, 4, 0], 0, &tcp(2)), Reason::BadIpHeader),
        ("option of length 0", 0x800, v4(6, &[7, 0, 4, 0], 0, &tcp(2)), Reason::BadIpHeader),
        ("header of 16 bytes", 0x800, short_header, Reason::BadIpHeader),
        ("version 5", 0x800, version, Reason::BadIpHeader),
        ("total length beyond the frame", 0x800, long, Reason::BadIpHeader),
        ("total length 0 on the wire", 0x800, no_length, Reason::BadIpHeader),
        ("data offset 4", 0x800, v4(6, &[], 0, &offset), Reason::BadTransport),
        ("UDP length 7", 0x800, v4(17, &[], 0, &udp_short), Reason::BadTransport),
        ("UDP length 0 over IPv4", 0x800, v4(17, &[], 0, &udp_none), Reason::BadTransport),
        ("UDP length beyond the packet", 0x800, v4(17, &[], 0, &udp_long), Reason::BadTransport),
        (
            "first fragment of 8 bytes",
            0x800,
            v4(6, &[], 0x2000, &tcp(2)[..8]),
            Reason::TinyFragment,
        ),
        ("fragment over the header", 0x800, v4(6, &[], 1, &tcp(2)), Reason::TinyFragment),
        (
            "first fragment of 8 bytes, IPv6",
            0x86dd,
            v6(&[(44, fragment(0, 0, true))], 6, &tcp(2)[..8]),
            Reason::TinyFragment,
        ),
        (
            "first fragment that ends inside the chain",
            0x86dd,
            v6(&[(44, fragment(0, 0, true)), (60, options(0)[..3].to_vec())], 6, &[]),
            Reason::TinyFragment,
        ),
        (
            "fragment over the header, IPv6",
            0x86dd,
            v6(&[(44, fragment(0, 16, true))], 6, &tcp(2)),
            Reason::TinyFragment,
        ),
    ] {
        assert_eq!(real(&framed(kind, &packet)), Err(reason), "{what}");
    }
    let tags = [(0x8100, 1); 4];
    let tagged = on_wire([ethernet(&tags, 0x800), v4(6, &[], 0, &tcp(2))].concat());
    assert_eq!(real(&tagged), Err(Reason::VlanTags));
    let taken_off = Input { tags_taken_off: 3, ..on_wire(ethernet(&tags[..1], 0x800)) };
    assert_eq!(real(&taken_off), Err(Reason::VlanTags));
    let no_ip = Input { ethernet: false, ..on_wire(vec![0x50; 60]) };
    assert_eq!(real(&no_ip), Err(Reason::BadIpHeader));
}

#[test]
fn offload_makes_lengths_of_zero_legal_on_socket_buffers() {
    for (kind, mut packet, at) in
        [(0x800, v4(6, &[], 0, &tcp(16)), 2), (0x86dd, v6(&[], 6, &tcp(16)), 4)]
    {
        packet[at..at + 2].fill(0);
        let whole = packet.len() as u32;
        let input = Input { socket_buffer: true, ..framed(kind, &packet) };
        let parsed = real(&input).unwrap();
        assert_eq!((parsed.key, parsed.length), (443, whole));
        assert!(real(&framed(kind, &packet)).is_err());
    }
}

#[test]
fn what_goes_to_many_is_marked() {
    for (destination, group) in [
        ([224, 0, 0, 1], true),
        ([239, 255, 255, 250], true),
        ([255, 255, 255, 255], true),
        ([223, 255, 255, 255], false),
        ([240, 0, 0, 1], false),
        ([255, 255, 255, 254], false),
    ] {
        let mut packet = v4(17, &[], 0, &udp());
        packet[16..20].copy_from_slice(&destination);
        assert_eq!(real(&framed(0x800, &packet)).unwrap().has(GROUP), group, "{destination:?}");
    }
    for (first, group) in [(0xff, true), (0xfe, false)] {
        let mut packet = v6(&[], 17, &udp());
        packet[24] = first;
        assert_eq!(real(&framed(0x86dd, &packet)).unwrap().has(GROUP), group);
    }
    // By the link layer, too: a unicast address in a broadcast frame.
    let mut input = framed(0x800, &v4(17, &[], 0, &udp()));
    input.bytes[0] = 0xff;
    assert!(real(&input).unwrap().has(GROUP));
}

#[test]
fn lengths_are_told_from_ether_types() {
    for (kind, llc) in [(0, true), (0x5ff, true), (0x600, false), (0x88cc, false)] {
        let packet = real(&framed(kind, &[0x42, 0x42, 3, 0])).unwrap();
        assert_eq!(packet.has(LLC), llc, "{kind:#x}");
        assert_eq!(packet.ether_type, if llc { 0x4242 } else { kind });
        assert!(!packet.has(IP));
    }
}

#[test]
fn a_later_fragment_has_no_ports() {
    for (kind, packet) in [
        (0x800, v4(6, &[], 3, &tcp(2))),
        (0x800, v4(17, &[], 0x2001, &udp())),
        (0x86dd, v6(&[(44, fragment(0, 24, false))], 6, &tcp(2))),
        (0x86dd, v6(&[(60, options(0)), (44, fragment(0, 8, true))], 17, &udp())),
    ] {
        let parsed = real(&framed(kind, &packet)).unwrap();
        assert!(parsed.has(LATER_FRAGMENT) && parsed.is_fragment());
        assert_eq!((parsed.key, parsed.source_port, parsed.detail), (0, 0, 0));
    }
}

#[test]
fn a_cut_packet_is_never_taken_for_a_whole_one() {
    for (what, kind, packet, _, _) in whole() {
        let input = framed(kind, &packet);
        for length in 0..input.bytes.len() {
            let cut = on_wire(input.bytes[..length].to_vec());
            let answer = real(&cut);
            assert!(answer.is_err(), "{what}, cut to {length}: {answer:?}");
            // On a socket buffer, too, where a length of 0 would be taken for the whole.
            let cut = Input { socket_buffer: true, ..cut };
            assert!(real(&cut).is_err(), "{what}, cut to {length} on a socket buffer");
        }
    }
}

fn quote(input: &Input) -> Option<Packet> {
    let error = real(input).unwrap();
    let mut quoted = Packet::default();
    parse_quote(&Bytes::new(&input.bytes), &error, &mut quoted).then_some(quoted)
}

#[test]
fn errors_quote_the_packet_that_they_are_about() {
    let inner = v4(6, &[1; 8], 0, &tcp(16));
    let inner6 = v6(&[(0, options(1)), (60, options(0))], 17, &udp());
    for (what, kind, outer, protocol, key) in [
        ("unreachable", 0x800, v4(1, &[], 0, &icmp(3, 4, &inner)), 6, 443),
        ("eight bytes are enough", 0x800, v4(1, &[], 0, &icmp(11, 0, &inner[..36])), 6, 443),
        ("too big", 0x86dd, v6(&[], 58, &icmp(2, 0, &inner6)), 17, 53),
        ("a query", 0x800, v4(1, &[], 0, &icmp(12, 0, &v4(1, &[], 0, &icmp(8, 0, &[])))), 1, 0x800),
        ("no ports", 0x800, v4(1, &[], 0, &icmp(3, 1, &v4(47, &[], 0, b"x"))), 47, 47),
    ] {
        let quoted = quote(&framed(kind, &outer)).unwrap_or_else(|| panic!("{what}"));
        assert_eq!((quoted.protocol, quoted.key), (protocol, key), "{what}");
        if matches!(protocol, 6 | 17) {
            assert_eq!(quoted.source_port, 40_000, "{what}");
        }
    }
    let error = v4(1, &[], 0, &icmp(3, 1, &inner));
    let later = v4(6, &[], 5, &tcp(16));
    for (what, kind, outer) in [
        ("an echo reply", 0x800, v4(1, &[], 0, &icmp(0, 0, &inner))),
        ("a redirect", 0x800, v4(1, &[], 0, &icmp(5, 0, &inner))),
        ("an error about an error", 0x800, v4(1, &[], 0, &icmp(3, 1, &error))),
        ("a later fragment", 0x800, v4(1, &[], 0, &icmp(3, 1, &later))),
        ("ports that are cut off", 0x800, v4(1, &[], 0, &icmp(3, 1, &inner[..31]))),
        ("another family", 0x800, v4(1, &[], 0, &icmp(3, 1, &inner6))),
        ("a chain that is cut off", 0x86dd, v6(&[], 58, &icmp(1, 0, &inner6[..50]))),
        ("an unknown error type", 0x86dd, v6(&[], 58, &icmp(100, 0, &inner6))),
    ] {
        assert_eq!(quote(&framed(kind, &outer)), None, "{what}");
    }
}

proptest! {
    #[test]
    fn quotes_of_any_bytes_are_read_without_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..120),
        kind in 0..20_u8,
        six: bool,
    ) {
        let message = icmp(kind, 0, &body);
        let input = if six {
            framed(0x86dd, &v6(&[], 58, &message))
        } else {
            framed(0x800, &v4(1, &[], 0, &message))
        };
        if let Some(quoted) = quote(&input) {
            prop_assert_eq!(quoted.family, if six { 6 } else { 4 });
            prop_assert!(!quoted.has(LATER_FRAGMENT));
        }
    }
}
