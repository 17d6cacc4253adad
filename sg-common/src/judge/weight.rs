//! Packets and bytes as on the wire (spec §2.19).

use crate::packet::Packet;

/// What one frame counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Packets on the wire.
    pub packets: u64,
    /// Their bytes from the network header on.
    pub bytes: u64,
}

impl Weight {
    /// The weight of a packet that leaves or came in segments: `gso_size` is the payload of each
    /// (0: it is no merged packet) and `gso_segs` their number, 0 if nobody counted them.
    #[inline(always)]
    #[must_use]
    pub fn of(packet: &Packet, gso_size: u32, gso_segs: u32) -> Self {
        let bytes = u64::from(packet.length);
        if gso_size == 0 {
            return Self { packets: 1, bytes };
        }
        let mut segments = u64::from(gso_segs);
        if segments == 0 {
            let payload = packet.length.saturating_sub(packet.headers);
            segments = u64::from(payload.div_ceil(gso_size)).max(1);
        }
        Self { packets: segments, bytes: bytes + (segments - 1) * u64::from(packet.headers) }
    }
}
