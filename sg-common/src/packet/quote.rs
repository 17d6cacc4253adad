//! The packet that an ICMP error quotes.

use super::{Frame, ICMP_ERROR, Packet, ipv4, ipv6, transport};

/// Bytes between the beginning of an ICMP error and what it quotes.
const ERROR_HEADER: u32 = 8;

/// Parses what `error` quotes into `quoted`, whatever that held before. False if it quotes nothing
/// that a connection can be told by: too little, another family, a fragment other than the first,
/// another error.
#[inline(always)]
pub fn parse_quote<F: Frame>(frame: &F, error: &Packet, quoted: &mut Packet) -> bool {
    if !error.has(ICMP_ERROR) {
        return false;
    }
    *quoted = Packet::default();
    let at = frame.settle(error.transport + ERROR_HEADER);
    let network = if error.family == 4 {
        ipv4::parse_quoted(frame, at, error.end, quoted)
    } else {
        ipv6::parse_quoted(frame, at, error.end, quoted)
    };
    quoted.settle(frame);
    network.is_some() && transport::parse_quoted(frame, quoted).is_some()
}
