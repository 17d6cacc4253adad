//! IPv4 (RFC 791).

use super::{Address, FIRST_FRAGMENT, Frame, GROUP, IP, LATER_FRAGMENT, Packet, View, view};
use crate::verdict::Reason;

/// Loose and strict source route (RFC 791 section 3.1).
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// Bytes that the options can have.
const MAX_OPTIONS: u32 = 40;

/// Bytes of a TCP header without options, which no later fragment may overlap (RFC 1858).
pub(super) const TCP_HEADER: u32 = 20;

/// Parses the header at `at`.
#[inline(always)]
pub(super) fn parse<F: Frame>(frame: &F, at: u32, packet: &mut Packet) -> Result<(), Reason> {
    let header = frame.view::<20>(at).ok_or(Reason::Truncated)?;
    let first = header.u8(0);
    let header_length = u32::from(first & 15) * 4;
    if first >> 4 != 4 || header_length < 20 {
        return Err(Reason::BadIpHeader);
    }
    let available = packet.length;
    let mut length = u32::from(header.u16(2));
    // A merged packet above 64 KiB has no length here (BIG TCP).
    if length == 0 && frame.is_socket_buffer() {
        length = available;
    }
    if length < header_length || length > available {
        return Err(Reason::BadIpHeader);
    }
    packet.family = 4;
    packet.length = length;
    packet.end = at + length;
    packet.transport = at + header_length;
    packet.headers = header_length;
    packet.protocol = header.u8(9);
    packet.hop_limit = header.u8(8);
    let destination = header.u32(16);
    packet.source = Address { high: 0, low: u64::from(header.u32(12)) };
    packet.destination = Address { high: 0, low: u64::from(destination) };
    packet.flags |= IP;
    if is_group(destination) {
        packet.flags |= GROUP;
    }
    let fragment = header.u16(6);
    let offset = u32::from(fragment & 0x1fff) * 8;
    if offset != 0 {
        packet.flags |= LATER_FRAGMENT;
        if packet.protocol == super::protocol::TCP && offset < TCP_HEADER {
            return Err(Reason::TinyFragment);
        }
    } else if fragment & 0x2000 != 0 {
        packet.flags |= FIRST_FRAGMENT;
    }
    if header_length > 20 { options(frame, at + 20, at + header_length) } else { Ok(()) }
}

/// Multicast or the limited broadcast address.
const fn is_group(address: u32) -> bool {
    address >> 28 == 0xe || address == u32::MAX
}

/// A walk over options.
struct Options {
    at: u32,
    end: u32,
    /// [`PARSED`], or one more than the number of the reason to drop the packet.
    outcome: u32,
}

/// Nothing is wrong.
const PARSED: u32 = 0;

/// Looks for a source route. Every other option changes nothing.
#[inline(always)]
fn options<F: Frame>(frame: &F, start: u32, end: u32) -> Result<(), Reason> {
    let mut walk = Options { at: frame.settle(start), end, outcome: PARSED };
    frame.repeat(MAX_OPTIONS, &mut walk, option::<F>);
    match walk.outcome {
        PARSED => Ok(()),
        number => Err(Reason::from_number(number - 1).unwrap_or(Reason::BadIpHeader)),
    }
}

/// Looks at one option. True at the end.
#[inline(always)]
fn option<F: Frame>(frame: &F, walk: &mut Options) -> bool {
    let at = frame.settle(walk.at);
    let end = walk.end;
    // An empty rest, or the end of the list.
    if at >= end {
        return true;
    }
    let length = match kind_and_length(frame, at, end) {
        Ok(0) => return true,
        Ok(length) => length,
        Err(reason) => {
            walk.outcome = frame.settle(reason as u32 + 1);
            return true;
        }
    };
    walk.at = frame.settle(at + length);
    false
}

/// Bytes of the option at `at`; 0 where the list ends.
#[inline(always)]
fn kind_and_length<F: Frame>(frame: &F, at: u32, end: u32) -> Result<u32, Reason> {
    match frame.view::<1>(at).ok_or(Reason::Truncated)?.u8(0) {
        0 => return Ok(0),
        1 => return Ok(1),
        LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Reason::SourceRoute),
        _ => {}
    }
    if at + 2 > end {
        return Err(Reason::BadIpHeader);
    }
    let length = u32::from(frame.view::<1>(at + 1).ok_or(Reason::Truncated)?.u8(0));
    if length < 2 || at + length > end { Err(Reason::BadIpHeader) } else { Ok(length) }
}

/// Parses the header of a quoted packet, of which only the beginning is there.
#[inline(always)]
pub(super) fn parse_quoted<F: Frame>(
    frame: &F,
    at: u32,
    end: u32,
    packet: &mut Packet,
) -> Option<()> {
    let header = view::<F, 20>(frame, at, end)?;
    let first = header.u8(0);
    let header_length = u32::from(first & 15) * 4;
    if first >> 4 != 4 || header_length < 20 || header.u16(6) & 0x1fff != 0 {
        return None;
    }
    packet.family = 4;
    packet.protocol = header.u8(9);
    packet.source = Address { high: 0, low: u64::from(header.u32(12)) };
    packet.destination = Address { high: 0, low: u64::from(header.u32(16)) };
    packet.transport = at + header_length;
    packet.end = end;
    packet.flags |= IP;
    Some(())
}
