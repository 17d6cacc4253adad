//! A second parser, written from the RFCs for people to read: slices that get shorter, one step after
//! the other, nothing shared with the real one but the names of reasons.

use sg_common::verdict::Reason;

/// What a rule, a connection or an exception can see of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) ether_type: u16,
    pub(crate) llc: bool,
    pub(crate) family: u8,
    pub(crate) protocol: u8,
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) source_port: u16,
    pub(crate) key: u16,
    pub(crate) detail: u8,
    pub(crate) hop_limit: u8,
    pub(crate) to_group: bool,
    pub(crate) first_fragment: bool,
    pub(crate) later_fragment: bool,
    pub(crate) fragment_header: bool,
    pub(crate) icmp_error: bool,
    /// Bytes from the network header to the packet's end.
    pub(crate) length: usize,
    /// Bytes of all headers from the network header on.
    pub(crate) headers: usize,
    /// What lies behind the IP headers.
    pub(crate) payload: Vec<u8>,
}

/// A frame and how it came.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ethernet: bool,
    pub(crate) socket_buffer: bool,
    pub(crate) tags_taken_off: u32,
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

pub(crate) fn parse(input: &Input) -> Result<Found, Reason> {
    let mut found = Found::default();
    let mut rest = &input.bytes[..];
    if input.ethernet {
        if rest.len() < 14 {
            return Err(Reason::Truncated);
        }
        found.to_group = rest[0] & 1 == 1;
        let mut kind = be16(rest, 12);
        rest = &rest[14..];
        // Three tags at most, wherever they were found.
        let mut tags = input.tags_taken_off;
        while kind == 0x8100 || kind == 0x88a8 {
            if tags >= 3 {
                return Err(Reason::VlanTags);
            }
            if rest.len() < 4 {
                return Err(Reason::Truncated);
            }
            kind = be16(rest, 2);
            rest = &rest[4..];
            tags += 1;
        }
        found.ether_type = kind;
        if kind < 0x600 {
            if rest.len() < 2 {
                return Err(Reason::Truncated);
            }
            found.llc = true;
            found.ether_type = be16(rest, 0);
        }
    } else {
        found.ether_type = match rest.first() {
            None => return Err(Reason::Truncated),
            Some(byte) if byte >> 4 == 4 => 0x800,
            Some(byte) if byte >> 4 == 6 => 0x86dd,
            Some(_) => return Err(Reason::BadIpHeader),
        };
    }
    found.length = rest.len();
    if found.llc {
        return Ok(found);
    }
    match found.ether_type {
        0x800 => v4(rest, input.socket_buffer, &mut found)?,
        0x86dd => v6(rest, input.socket_buffer, &mut found)?,
        _ => return Ok(found),
    }
    if !found.later_fragment {
        transport(&mut found)?;
    }
    Ok(found)
}

/// RFC 791.
fn v4(rest: &[u8], socket_buffer: bool, found: &mut Found) -> Result<(), Reason> {
    if rest.len() < 20 {
        return Err(Reason::Truncated);
    }
    let header = usize::from(rest[0] % 16) * 4;
    let mut total = usize::from(be16(rest, 2));
    if socket_buffer && total == 0 {
        total = rest.len();
    }
    if rest[0] / 16 != 4 || header < 20 || total < header || total > rest.len() {
        return Err(Reason::BadIpHeader);
    }
    let packet = &rest[..total];
    let destination = &packet[16..20];
    found.family = 4;
    found.protocol = packet[9];
    found.hop_limit = packet[8];
    found.source = number(&packet[12..16]);
    found.destination = number(destination);
    found.to_group |= destination[0] & 0xf0 == 0xe0 || destination == [255; 4];
    found.length = total;
    found.headers = header;
    let offset = be16(packet, 6) % 0x2000;
    found.later_fragment = offset > 0;
    found.first_fragment = offset == 0 && packet[6] & 0x20 != 0;
    // Offsets are in eight bytes; a TCP header has at least twenty.
    if packet[9] == 6 && (1..=2).contains(&offset) {
        return Err(Reason::TinyFragment);
    }
    found.payload = packet[header..].to_vec();
    let mut options = &packet[20..header];
    while let Some(kind) = options.first() {
        match kind {
            0 => break,
            1 => options = &options[1..],
            131 | 137 => return Err(Reason::SourceRoute),
            _ => {
                let length = options.get(1).copied().map_or(0, usize::from);
                if length < 2 || length > options.len() {
                    return Err(Reason::BadIpHeader);
                }
                options = &options[length..];
            }
        }
    }
    Ok(())
}

/// RFC 8200.
fn v6(rest: &[u8], socket_buffer: bool, found: &mut Found) -> Result<(), Reason> {
    if rest.len() < 40 {
        return Err(Reason::Truncated);
    }
    let mut total = 40 + usize::from(be16(rest, 4));
    if socket_buffer && total == 40 {
        total = rest.len();
    }
    if rest[0] / 16 != 6 || total > rest.len() {
        return Err(Reason::BadIpHeader);
    }
    let packet = &rest[..total];
    found.family = 6;
    found.hop_limit = packet[7];
    found.source = number(&packet[8..24]);
    found.destination = number(&packet[24..40]);
    found.to_group |= packet[24] == 255;
    found.length = total;
    let mut next = packet[6];
    let mut at = 40;
    let mut headers = 0;
    while [0, 43, 44, 60].contains(&next) {
        headers += 1;
        if headers > 8 {
            return Err(Reason::ExtensionHeaders);
        }
        // RFC 7112: a first fragment has them all.
        let cut = if found.first_fragment { Reason::TinyFragment } else { Reason::Truncated };
        let header = &packet[at..];
        if header.len() < 8 {
            return Err(cut);
        }
        let mut length = 8 + 8 * usize::from(header[1]);
        if next == 44 {
            length = 8;
            found.fragment_header = true;
            let offset = be16(header, 2) / 8;
            if offset > 0 {
                found.later_fragment = true;
                if header[0] == 6 && offset <= 2 {
                    return Err(Reason::TinyFragment);
                }
            } else if header[3] & 1 == 1 {
                found.first_fragment = true;
            }
        }
        if next == 43 && (header[2] == 0 || header[3] > 0) {
            return Err(Reason::SourceRoute);
        }
        if header.len() < length {
            // This header may be the fragment header itself.
            let first = found.first_fragment;
            return Err(if first { Reason::TinyFragment } else { Reason::Truncated });
        }
        next = header[0];
        at += length;
        if found.later_fragment {
            break;
        }
    }
    found.protocol = next;
    found.headers = at;
    found.payload = packet[at..].to_vec();
    Ok(())
}

/// RFC 9293, 768, 9260, 792, 4443.
fn transport(found: &mut Found) -> Result<(), Reason> {
    let bytes = &found.payload[..];
    let cut = if found.first_fragment { Reason::TinyFragment } else { Reason::Truncated };
    let at_least = |length| if bytes.len() < length { Err(cut) } else { Ok(()) };
    let mut header = 0;
    match (found.protocol, found.family) {
        (6, _) => {
            at_least(20)?;
            header = usize::from(bytes[12] / 16) * 4;
            if header < 20 {
                return Err(Reason::BadTransport);
            }
            at_least(header)?;
            found.detail = bytes[13];
        }
        (17, _) => {
            at_least(8)?;
            header = 8;
            let length = usize::from(be16(bytes, 4));
            // RFC 2675: 0 in a jumbogram, which only IPv6 has.
            let none = length == 0 && found.family == 6;
            let behind_the_end = length > bytes.len() && !found.first_fragment;
            if length < 8 && !none || behind_the_end {
                return Err(Reason::BadTransport);
            }
        }
        (132, _) => {
            at_least(12)?;
            header = 12;
            found.detail = if bytes.len() >= 16 { bytes[12] } else { 255 };
        }
        (1, 4) | (58, 6) => {
            at_least(8)?;
            header = 8;
            let errors: &[u8] = if found.family == 4 { &[3, 4, 11, 12] } else { &[1, 2, 3, 4] };
            found.icmp_error = errors.contains(&bytes[0]);
        }
        _ => {}
    }
    match header {
        0 => found.key = found.protocol.into(),
        _ if matches!((found.protocol, found.family), (1, 4) | (58, 6)) => {
            found.key = be16(bytes, 0);
            found.source_port = be16(bytes, 4);
        }
        _ => {
            found.source_port = be16(bytes, 0);
            found.key = be16(bytes, 2);
        }
    }
    found.headers += header;
    Ok(())
}
