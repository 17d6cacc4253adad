//! Ethernet II, 802.1Q and 802.1ad tags, 802.3 with LLC.

use super::{Frame, GROUP, LLC, Packet, Start, View};
use crate::verdict::Reason;

/// Tags that are looked through, those taken off before included.
pub(super) const MAX_TAGS: u32 = 3;

/// EtherTypes below are lengths (IEEE 802.3 clause 3.2.6).
const FIRST_ETHER_TYPE: u16 = 0x0600;

const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8)
}

/// Parses the link layer and returns the offset behind it. A priority tag (VLAN 0) is a tag like
/// any other.
#[inline(always)]
pub(super) fn parse<F: Frame>(frame: &F, start: Start, packet: &mut Packet) -> Result<u32, Reason> {
    let (group, mut ether_type, mut at) = match start {
        Start::BehindEthernet { ether_type, group } => (group, ether_type, 0),
        _ => {
            let header = frame.view::<14>(0).ok_or(Reason::Truncated)?;
            // The group bit of the destination address; broadcast is a group too.
            (header.u8(0) & 1 != 0, header.u16(12), 14)
        }
    };
    if group {
        packet.flags |= GROUP;
    }
    ether_type = frame.settle(u32::from(ether_type)) as u16;
    at = frame.settle(at);
    let before = frame.tags_taken_off();
    for tags in 0..MAX_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        if before + tags >= MAX_TAGS {
            return Err(Reason::VlanTags);
        }
        let tag = frame.view::<4>(at).ok_or(Reason::Truncated)?;
        ether_type = tag.u16(2);
        at += 4;
    }
    packet.length = packet.length.saturating_sub(at);
    packet.ether_type = ether_type;
    if is_tag(ether_type) {
        return Err(Reason::VlanTags);
    }
    if ether_type < FIRST_ETHER_TYPE {
        let llc = frame.view::<2>(at).ok_or(Reason::Truncated)?;
        packet.flags |= LLC;
        packet.ether_type = llc.u16(0);
    }
    Ok(at)
}
