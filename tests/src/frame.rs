//! Frames, built byte by byte, so that any field can lie.

use std::net::{Ipv4Addr, Ipv6Addr};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of a customer tag (IEEE 802.1Q).
pub const VLAN: u16 = 0x8100;
/// EtherType of a service tag (IEEE 802.1ad).
pub const QINQ: u16 = 0x88a8;

/// TCP flags as in the header's byte.
pub mod flag {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// PSH.
    pub const PSH: u8 = 8;
    /// ACK.
    pub const ACK: u8 = 16;
    /// URG.
    pub const URG: u8 = 32;
}

/// Protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ESP.
    pub const ESP: u8 = 50;
    /// AH.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMP6: u8 = 58;
    /// No next header.
    pub const NO_NEXT: u8 = 59;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing header.
    pub const ROUTING: u8 = 43;
    /// Fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
    /// Mobility header.
    pub const MOBILITY: u8 = 135;
}

/// An Ethernet frame. The source address is the peer's; injection puts a mark of its own there.
#[must_use]
pub fn ethernet(destination: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    tagged(destination, &[], ether_type, payload)
}

/// An Ethernet frame with tags, the outer first, each its EtherType and control field.
#[must_use]
pub fn tagged(
    destination: [u8; 6],
    tags: &[(u16, u16)],
    ether_type: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend([2, 0, 0, 0, 0, 2]);
    for (kind, control) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sum of 16-bit words, as in RFC 1071.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b)))
        .sum()
}

fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet. Fields left at `None` are what is right.
#[derive(Clone, Debug)]
pub struct V4 {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Header length in words, if it is to lie.
    pub ihl: Option<u8>,
    /// Version, if it is to lie.
    pub version: u8,
    /// Total length, if it is to lie.
    pub total_length: Option<u16>,
    /// Flags and fragment offset, as in the header: 0x2000 more fragments, the rest in 8 bytes.
    pub fragment: u16,
    /// Identification.
    pub id: u16,
    /// Time to live.
    pub ttl: u8,
}

impl V4 {
    /// A plain packet.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            options: Vec::new(),
            ihl: None,
            version: 4,
            total_length: None,
            fragment: 0,
            id: 1,
            ttl: 64,
        }
    }

    /// The packet's bytes; `payload` is what follows the header, with the checksum of TCP, UDP and
    /// ICMP put in where it is whole.
    ///
    /// # Panics
    /// If the options are no multiple of four bytes.
    #[must_use]
    pub fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        assert_eq!(self.options.len() % 4, 0);
        let header = 20 + self.options.len();
        let ihl = self.ihl.unwrap_or((header / 4) as u8);
        let total = self.total_length.unwrap_or((header + payload.len()) as u16);
        let mut bytes = vec![self.version << 4 | ihl & 15, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        let own = checksum(sum(&bytes));
        bytes[10..12].copy_from_slice(&own);
        let mut payload = payload.to_vec();
        if self.fragment & 0x3fff == 0 {
            let pseudo = sum(&self.source.octets())
                + sum(&self.destination.octets())
                + u32::from(self.protocol)
                + payload.len() as u32;
            finish(self.protocol, pseudo, &mut payload);
        }
        bytes.extend(payload);
        bytes
    }
}

/// An IPv6 packet with extension headers.
#[derive(Clone, Debug)]
pub struct V6 {
    /// Source.
    pub source: Ipv6Addr,
    /// Destination.
    pub destination: Ipv6Addr,
    /// Protocol number behind all extension headers.
    pub protocol: u8,
    /// Extension headers: number, and bytes of which the first is overwritten by the number of what
    /// follows.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Payload length, if it is to lie.
    pub payload_length: Option<u16>,
    /// Hop limit.
    pub hop_limit: u8,
}

impl V6 {
    /// A plain packet.
    #[must_use]
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            extensions: Vec::new(),
            payload_length: None,
            hop_limit: 64,
        }
    }

    /// With one more extension header, behind the others.
    #[must_use]
    pub fn with(mut self, number: u8, bytes: Vec<u8>) -> Self {
        self.extensions.push((number, bytes));
        self
    }

    /// The packet's bytes, with the checksum of TCP, UDP and ICMPv6 put in.
    #[must_use]
    pub fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> = self
            .extensions
            .iter()
            .map(|(number, _)| *number)
            .chain(std::iter::once(self.protocol))
            .collect();
        let mut rest = Vec::new();
        for ((_, bytes), next) in self.extensions.iter().zip(&numbers[1..]) {
            rest.push(*next);
            rest.extend(&bytes[1..]);
        }
        let mut payload = payload.to_vec();
        let pseudo = sum(&self.source.octets())
            + sum(&self.destination.octets())
            + u32::from(self.protocol)
            + payload.len() as u32;
        finish(self.protocol, pseudo, &mut payload);
        rest.extend(payload);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(self.payload_length.unwrap_or(rest.len() as u16).to_be_bytes());
        bytes.extend([numbers[0], self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(rest);
        bytes
    }
}

/// Puts the checksum of a transport header in.
fn finish(number: u8, pseudo: u32, payload: &mut [u8]) {
    let (at, pseudo) = match number {
        protocol::TCP => (16, pseudo),
        protocol::UDP => (6, pseudo),
        protocol::ICMP => (2, 0),
        protocol::ICMP6 => (2, pseudo),
        _ => return,
    };
    if payload.len() >= at + 2 {
        payload[at..at + 2].fill(0);
        let own = checksum(pseudo + sum(payload));
        payload[at..at + 2].copy_from_slice(&own);
    }
}

/// An options extension header (hop-by-hop or destination) of 8 bytes, filled with padding.
#[must_use]
pub fn options() -> Vec<u8> {
    vec![0, 0, 1, 4, 0, 0, 0, 0]
}

/// A hop-by-hop header with a router alert, as in front of every MLD message (RFC 2711).
#[must_use]
pub fn router_alert() -> Vec<u8> {
    vec![0, 0, 5, 2, 0, 0, 1, 0]
}

/// An IPv6 fragment header; `offset` in 8 bytes.
#[must_use]
pub fn fragment(reserved: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let mut bytes = vec![0, reserved];
    bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes
}

/// A TCP segment with some payload.
#[must_use]
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    segment(source, destination, flags, 1000, 0, b"")
}

/// A TCP segment with sequence numbers and payload.
#[must_use]
pub fn segment(
    source: u16,
    destination: u16,
    flags: u8,
    seq: u32,
    ack: u32,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(data);
    bytes
}

/// A UDP datagram.
#[must_use]
pub fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

/// An SCTP packet with one chunk of this type (1 = INIT).
#[must_use]
pub fn sctp(source: u16, destination: u16, chunk: u8) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend([0; 8]);
    bytes.extend([chunk, 0, 0, 20]);
    bytes.extend([0; 16]);
    bytes
}

/// An ICMP or ICMPv6 message; `id` is the identifier of queries.
#[must_use]
pub fn icmp(kind: u8, code: u8, id: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(id.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(data);
    bytes
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = source.to_be_bytes().to_vec();
    bytes.extend(destination.to_be_bytes());
    bytes
}
