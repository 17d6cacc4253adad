//! The frame of a probe, as `explain` gives it to the kernel's code.

use std::net::IpAddr;

use etherparse::{IpNumber, PacketBuilder};
use thiserror::Error;

use crate::host::Probe;

/// A probe that no frame can stand for.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum FrameError {
    /// Source and destination are of different families.
    #[error("{source_address} and {destination} are not of the same family")]
    Families {
        /// The probe's source.
        source_address: IpAddr,
        /// The probe's destination.
        destination: IpAddr,
    },
    /// The IP header cannot be written.
    #[error("cannot write the IP header: {0}")]
    Header(String),
}

/// Link-layer addresses of probes: locally administered, of nobody.
const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Hop limit of probes: not 255 and not 1, so that no probe passes for neighbour discovery or
/// multicast listener discovery by accident.
const HOP_LIMIT: u8 = 64;

fn transport(probe: &Probe) -> Vec<u8> {
    let [s0, s1] = probe.source_port.to_be_bytes();
    let [d0, d1] = probe.destination_port.to_be_bytes();
    match probe.protocol {
        6 => {
            let mut header = vec![0; 20];
            header[..4].copy_from_slice(&[s0, s1, d0, d1]);
            header[12] = 5 << 4;
            header[13] = probe.tcp_flags;
            header[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
            header
        }
        17 => vec![s0, s1, d0, d1, 0, 8, 0, 0],
        // A common header and an INIT chunk (RFC 9260 sections 3.1 and 3.3.2).
        132 => {
            let mut packet = vec![0; 32];
            packet[..4].copy_from_slice(&[s0, s1, d0, d1]);
            packet[12..16].copy_from_slice(&[1, 0, 0, 20]);
            packet[19] = 1;
            packet
        }
        1 | 58 => vec![probe.icmp_type, probe.icmp_code, 0, 0, s0, s1, 0, 1],
        _ => vec![0; 20],
    }
}

/// The frame of a probe: Ethernet, IP, and the start of what the protocol carries.
///
/// # Errors
/// [`FrameError`].
pub(super) fn of(probe: &Probe) -> Result<Vec<u8>, FrameError> {
    let ethernet = PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC);
    let builder = match (probe.source, probe.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
        }
        (source_address, destination) => {
            return Err(FrameError::Families { source_address, destination });
        }
    };
    let mut frame = Vec::new();
    builder
        .write(&mut frame, IpNumber(probe.protocol), &transport(probe))
        .map_err(|error| FrameError::Header(error.to_string()))?;
    // Test runs refuse less than an Ethernet frame's minimum.
    frame.resize(frame.len().max(60), 0);
    Ok(frame)
}
