//! TCP, UDP, SCTP, ICMP and ICMPv6: what rules and the connection table compare. Checksums are
//! never checked, because local peers leave them unfinished.

use super::{FIRST_FRAGMENT, Frame, ICMP_ERROR, JUMBO, LATER_FRAGMENT, Packet, View, view};
use crate::classifier::Kind;
use crate::verdict::Reason;

/// [`Packet::detail`] of an SCTP packet without a chunk.
pub const NO_CHUNK: u8 = 255;

/// Parses the header at `packet.transport` of the packet whose network header lies at `network`.
#[inline(always)]
pub(super) fn parse<F: Frame>(frame: &F, network: u32, packet: &mut Packet) -> Result<(), Reason> {
    if packet.has(LATER_FRAGMENT) {
        return Ok(());
    }
    let at = frame.settle(packet.transport);
    let end = packet.end;
    // RFC 1858: a first fragment holds the transport header whole.
    let short = if packet.has(FIRST_FRAGMENT) { Reason::TinyFragment } else { Reason::Truncated };
    let length;
    match packet.kind() {
        Kind::Tcp => {
            let header = view::<F, 20>(frame, at, end).ok_or(short)?;
            packet.source_port = header.u16(0);
            packet.key = header.u16(2);
            packet.detail = header.u8(13);
            length = u32::from(header.u8(12) >> 4) * 4;
            if length < 20 {
                return Err(Reason::BadTransport);
            }
            if at + length > end {
                return Err(short);
            }
        }
        Kind::Udp => {
            let header = view::<F, 8>(frame, at, end).ok_or(short)?;
            packet.source_port = header.u16(0);
            packet.key = header.u16(2);
            length = 8;
            let datagram = u32::from(header.u16(4));
            // 0 is legal in a jumbogram (RFC 2675 section 4), and where offload merged more than
            // the field can hold.
            let jumbo = datagram == 0 && (packet.family == 6 || packet.has(JUMBO));
            let long = at + datagram > end && !packet.has(FIRST_FRAGMENT);
            if datagram < 8 && !jumbo || long {
                return Err(Reason::BadTransport);
            }
        }
        Kind::Sctp => {
            let header = view::<F, 12>(frame, at, end).ok_or(short)?;
            packet.source_port = header.u16(0);
            packet.key = header.u16(2);
            packet.detail = match view::<F, 4>(frame, at + 12, end) {
                Some(chunk) => chunk.u8(0),
                None if at + 16 > end => NO_CHUNK,
                None => return Err(short),
            };
            length = 12;
        }
        Kind::Icmp => {
            let header = view::<F, 8>(frame, at, end).ok_or(short)?;
            packet.key = header.u16(0);
            packet.source_port = header.u16(4);
            if is_error(packet.family, packet.icmp_type()) {
                packet.flags |= ICMP_ERROR;
            }
            length = 8;
        }
        Kind::Other => {
            packet.key = u16::from(packet.protocol);
            length = 0;
        }
    }
    packet.headers = at.wrapping_sub(network) + length;
    Ok(())
}

/// Whether an ICMP message is an error that quotes a packet. A redirect quotes one too but is no
/// error: it changes routes, and rules decide whether it may.
#[inline(always)]
const fn is_error(family: u8, icmp_type: u8) -> bool {
    match family {
        4 => matches!(icmp_type, 3 | 4 | 11 | 12),
        _ => matches!(icmp_type, 1..=4),
    }
}

/// Parses what an ICMP error quotes of a transport header: eight bytes of it at least (RFC 792,
/// RFC 4443 section 2.4).
#[inline(always)]
pub(super) fn parse_quoted<F: Frame>(frame: &F, packet: &mut Packet) -> Option<()> {
    let (at, end) = (frame.settle(packet.transport), packet.end);
    match packet.kind() {
        Kind::Tcp | Kind::Udp | Kind::Sctp => {
            let header = view::<F, 4>(frame, at, end)?;
            packet.source_port = header.u16(0);
            packet.key = header.u16(2);
        }
        Kind::Icmp => {
            let header = view::<F, 8>(frame, at, end)?;
            packet.key = header.u16(0);
            packet.source_port = header.u16(4);
            if is_error(packet.family, packet.icmp_type()) {
                return None;
            }
        }
        Kind::Other => packet.key = u16::from(packet.protocol),
    }
    Some(())
}
