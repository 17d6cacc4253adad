//! Frames, right and wrong ones.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::reference::Input;

/// An Ethernet header with tags.
pub(crate) fn ethernet(tags: &[(u16, u16)], ether_type: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (kind, id) in tags {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(id.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes
}

/// An IPv4 packet from 192.0.2.1 to 198.51.100.2. `options` are multiples of four bytes.
pub(crate) fn v4(protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = vec![0x40 | (header / 4) as u8, 0];
    bytes.extend(((header + payload.len()) as u16).to_be_bytes());
    bytes.extend([0, 7]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// An IPv6 packet from 2001:db8::1 to 2001:db8::2; a chain of extension headers, each without its
/// next-header byte, which is filled in.
pub(crate) fn v6(chain: &[(u8, Vec<u8>)], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut behind = Vec::new();
    for (index, (_, header)) in chain.iter().enumerate() {
        behind.push(chain.get(index + 1).map_or(protocol, |(kind, _)| *kind));
        behind.extend(header);
    }
    behind.extend(payload);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((behind.len() as u16).to_be_bytes());
    bytes.extend([chain.first().map_or(protocol, |(kind, _)| *kind), 64]);
    for last in [1, 2] {
        bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    bytes.extend(behind);
    bytes
}

/// The rest of an options header, `more` times eight bytes longer than the shortest.
pub(crate) fn options(more: u8) -> Vec<u8> {
    let mut bytes = vec![more, 1, 4];
    bytes.resize(7 + 8 * usize::from(more), 0);
    bytes
}

/// The rest of a fragment header; `offset` is in bytes.
pub(crate) fn fragment(reserved: u8, offset: u16, more: bool) -> Vec<u8> {
    let field = (offset & !7 | u16::from(more)).to_be_bytes();
    vec![reserved, field[0], field[1], 0, 0, 0, 9]
}

/// The rest of a routing header.
pub(crate) fn routing(kind: u8, segments_left: u8) -> Vec<u8> {
    vec![0, kind, segments_left, 0, 0, 0, 0]
}

/// A TCP segment from port 40000 to port 443.
pub(crate) fn tcp(flags: u8) -> Vec<u8> {
    let mut bytes = vec![0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags];
    bytes.extend([0xff, 0xff, 0, 0, 0, 0, b'd', b'a', b't', b'a']);
    bytes
}

/// A UDP datagram from port 40000 to port 53.
pub(crate) fn udp() -> Vec<u8> {
    vec![0x9c, 0x40, 0, 53, 0, 10, 0, 0, b'h', b'i']
}

/// An SCTP packet from port 40000 to port 3868 with an INIT chunk.
pub(crate) fn sctp() -> Vec<u8> {
    vec![0x9c, 0x40, 0x0f, 0x1c, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4]
}

/// An ICMP message with an identifier and a body.
pub(crate) fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0x12, 0x34, 0, 1];
    bytes.extend(body);
    bytes
}

fn any_transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let sound = prop_oneof![
        any::<u8>().prop_map(|flags| (6, tcp(flags))),
        Just((17, udp())),
        Just((132, sctp())),
        (any::<u8>(), 0..5_u8).prop_map(|(kind, code)| (1, icmp(kind, code, &[0; 28]))),
        (any::<u8>(), 0..5_u8).prop_map(|(kind, code)| (58, icmp(kind, code, &[0; 48]))),
    ];
    let numbers = prop_oneof![
        Just(6),
        Just(17),
        Just(132),
        Just(1),
        Just(58),
        Just(51),
        Just(50),
        Just(59),
        Just(135),
        any::<u8>()
    ];
    // Behind the extension headers and in IPv4 a number is only what the header says.
    prop_oneof![3 => sound, 2 => (numbers, vec(any::<u8>(), 0..40))]
}

fn any_v4_options() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        8 => Just(vec![1]),
        1 => Just(vec![0]),
        3 => Just(vec![148, 4, 0, 0]),
        3 => (2..12_u8).prop_map(|length| {
            let mut bytes = vec![68, length];
            bytes.resize(length.into(), 0);
            bytes
        }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(kind, length)| vec![kind, length]),
        1 => prop_oneof![Just(131), Just(137)].prop_map(|kind| vec![kind, 3, 4]),
    ];
    vec(one, 0..10).prop_map(|all| {
        let mut bytes = all.concat();
        bytes.truncate(40);
        bytes.resize(bytes.len().next_multiple_of(4), 1);
        bytes
    })
}

fn any_extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        4 => (0..3_u8).prop_map(|more| (60, options(more))),
        2 => (0..2_u8).prop_map(|more| (0, options(more))),
        2 => (0..5_u8, prop_oneof![5 => Just(0), 1 => 1..4_u8])
            .prop_map(|(kind, left)| (43, routing(kind, left))),
        2 => (any::<u8>(), prop_oneof![4 => Just(0), 1 => 0..64_u16, 1 => any::<u16>()], any::<bool>())
            .prop_map(|(reserved, offset, more)| (44, fragment(reserved, offset, more))),
        1 => any::<u8>().prop_map(|length| (60, [&[length], &[0; 6][..]].concat())),
    ]
}

fn any_ip() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let fragments = prop_oneof![6 => Just(0), 1 => Just(0x4000), 1 => Just(0x2000), 2 => any::<u16>(),
        1 => 0..8_u16];
    let v4 = (any_transport(), any_v4_options(), fragments).prop_map(
        |((protocol, payload), options, fragment)| {
            (0x800, v4(protocol, &options, fragment, &payload))
        },
    );
    let v6 = (any_transport(), vec(any_extension(), 0..11))
        .prop_map(|((protocol, payload), chain)| (0x86dd, v6(&chain, protocol, &payload)));
    prop_oneof![v4, v6]
}

/// Frames of every kind, most of them nearly right.
pub(crate) fn any_frame() -> impl Strategy<Value = Input> {
    let tags = vec((prop_oneof![Just(0x8100), Just(0x88a8)], 0..5_u16), 0..5);
    let other = prop_oneof![
        Just(0x806),
        Just(0x88cc),
        Just(0x8847),
        Just(0x8864),
        0..0x600_u16,
        any::<u16>()
    ];
    let packet = prop_oneof![8 => any_ip(), 1 => (other, vec(any::<u8>(), 0..60))];
    // A cut, bytes behind the end, and bytes that were changed.
    let harm = (
        prop_oneof![3 => Just(None), 1 => (0..200_usize).prop_map(Some)],
        prop_oneof![3 => Just(0), 1 => 0..40_usize],
        vec((0..100_usize, any::<u8>()), 0..3),
        prop_oneof![2 => Just(false), 1 => Just(true)],
    );
    let way = (any::<bool>(), any::<bool>(), prop_oneof![4 => Just(0), 1 => 0..5_u32]);
    (tags, packet, harm, way).prop_map(
        |(tags, (kind, packet), (cut, padding, changes, harmed), way)| {
            let (link, socket_buffer, tags_taken_off) = way;
            let mut bytes = if link { ethernet(&tags, kind) } else { Vec::new() };
            bytes.extend(packet);
            bytes.resize(bytes.len() + padding, 0);
            if harmed {
                for (at, value) in changes {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
            }
            bytes.truncate(cut.unwrap_or(usize::MAX));
            Input { bytes, ethernet: link, socket_buffer, tags_taken_off }
        },
    )
}
