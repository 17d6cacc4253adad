//! IPv6 and its extension headers (RFC 8200).

use super::{
    Address, FIRST_FRAGMENT, FRAGMENT_HEADER, Frame, GROUP, IP, JUMBO, LATER_FRAGMENT, Packet,
    View, ipv4, protocol, view,
};
use crate::verdict::Reason;

/// Extension headers that are looked through.
pub(super) const MAX_HEADERS: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Whether a header of this number is looked through. AH, ESP, mobility and "no next header" are
/// protocols.
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// Parses the header at `at` and the extension headers behind it.
#[inline(always)]
pub(super) fn parse<F: Frame>(frame: &F, at: u32, packet: &mut Packet) -> Result<(), Reason> {
    let header = frame.view::<40>(at).ok_or(Reason::Truncated)?;
    if header.u8(0) >> 4 != 6 {
        return Err(Reason::BadIpHeader);
    }
    let available = packet.length;
    let payload = u32::from(header.u16(4));
    let mut length = 40 + payload;
    // A merged packet above 64 KiB has its length in a jumbo option, or nowhere (BIG TCP).
    if payload == 0 && frame.is_socket_buffer() {
        length = available;
        packet.flags |= JUMBO;
    }
    if length < 40 || length > available {
        return Err(Reason::BadIpHeader);
    }
    packet.family = 6;
    packet.length = length;
    packet.end = at + length;
    packet.hop_limit = header.u8(7);
    packet.source = Address { high: header.u64(8), low: header.u64(16) };
    packet.destination = Address { high: header.u64(24), low: header.u64(32) };
    packet.flags |= IP;
    if packet.destination.high >> 56 == 0xff {
        packet.flags |= GROUP;
    }
    packet.protocol = header.u8(6);
    packet.transport = at + 40;
    let end = packet.end;
    if !is_extension(packet.protocol) {
        packet.headers = 40;
        return Ok(());
    }
    let walked = extensions(frame, end, packet);
    packet.headers = packet.transport.saturating_sub(at);
    match walked {
        // RFC 7112: the first fragment holds the whole header chain.
        Err(Reason::Truncated) if packet.has(FIRST_FRAGMENT) => Err(Reason::TinyFragment),
        other => other,
    }
}

/// A walk over extension headers.
struct Walk {
    /// Offset of the next header.
    at: u32,
    /// What it is.
    next: u32,
    end: u32,
    /// Fragment flags of [`Packet::flags`].
    flags: u32,
    /// [`WALKING`], [`LATER`], or the number of the reason to drop the packet and [`DROPPED`].
    outcome: u32,
}

/// There may be another header.
const WALKING: u32 = 0;
/// What follows is in the first fragment.
const LATER: u32 = 1;
/// Added to the number of a reason.
const DROPPED: u32 = 2;

/// Walks the extension headers from `packet.transport` on.
#[inline(always)]
fn extensions<F: Frame>(frame: &F, end: u32, packet: &mut Packet) -> Result<(), Reason> {
    let mut walk = Walk {
        at: frame.settle(packet.transport),
        next: frame.settle(u32::from(packet.protocol)),
        end,
        flags: frame.settle(0),
        outcome: frame.settle(WALKING),
    };
    frame.repeat(MAX_HEADERS, &mut walk, extension::<F>);
    packet.flags |= walk.flags;
    packet.protocol = walk.next as u8;
    packet.transport = walk.at;
    match walk.outcome {
        WALKING if is_extension(packet.protocol) => Err(Reason::ExtensionHeaders),
        WALKING | LATER => Ok(()),
        number => Err(Reason::from_number(number - DROPPED).unwrap_or(Reason::BadIpHeader)),
    }
}

/// Looks at one header. True at the end.
#[inline(always)]
fn extension<F: Frame>(frame: &F, walk: &mut Walk) -> bool {
    if !is_extension(walk.next as u8) {
        return true;
    }
    let at = frame.settle(walk.at);
    let mut flags = walk.flags;
    let outcome = match one(frame, at, walk, &mut flags) {
        Ok(outcome) => outcome,
        Err(reason) => reason as u32 + DROPPED,
    };
    walk.flags = frame.settle(flags);
    walk.outcome = frame.settle(outcome);
    outcome != WALKING
}

/// Looks at the header at `at` and moves `walk` behind it.
#[inline(always)]
fn one<F: Frame>(frame: &F, at: u32, walk: &mut Walk, flags: &mut u32) -> Result<u32, Reason> {
    let header = view::<F, 8>(frame, at, walk.end).ok_or(Reason::Truncated)?;
    let kind = walk.next as u8;
    let mut length = (u32::from(header.u8(1)) + 1) * 8;
    let mut outcome = WALKING;
    if kind == FRAGMENT {
        // The second byte is reserved, not a length. Offset 0 without more fragments is an atomic
        // fragment: a whole packet (RFC 8200 section 4.5, RFC 6946).
        length = 8;
        *flags |= FRAGMENT_HEADER;
        let fragment = header.u16(2);
        let offset = u32::from(fragment & 0xfff8);
        if offset != 0 {
            *flags |= LATER_FRAGMENT;
            outcome = LATER;
            if header.u8(0) == protocol::TCP && offset < ipv4::TCP_HEADER {
                return Err(Reason::TinyFragment);
            }
        } else if fragment & 1 != 0 {
            *flags |= FIRST_FRAGMENT;
        }
    } else if kind == ROUTING && (header.u8(2) == 0 || header.u8(3) != 0) {
        // Type 0 (RFC 5095), or segments left.
        return Err(Reason::SourceRoute);
    }
    if at + length > walk.end {
        return Err(Reason::Truncated);
    }
    walk.next = frame.settle(u32::from(header.u8(0)));
    walk.at = frame.settle(at + length);
    Ok(outcome)
}

/// Parses the header of a quoted packet, of which only the beginning is there.
#[inline(always)]
pub(super) fn parse_quoted<F: Frame>(
    frame: &F,
    at: u32,
    end: u32,
    packet: &mut Packet,
) -> Option<()> {
    let header = view::<F, 40>(frame, at, end)?;
    if header.u8(0) >> 4 != 6 {
        return None;
    }
    packet.family = 6;
    packet.source = Address { high: header.u64(8), low: header.u64(16) };
    packet.destination = Address { high: header.u64(24), low: header.u64(32) };
    packet.flags |= IP;
    packet.protocol = header.u8(6);
    packet.transport = at + 40;
    packet.end = end;
    match extensions(frame, end, packet) {
        Ok(()) if !packet.has(LATER_FRAGMENT) => Some(()),
        _ => None,
    }
}
