//! An image in memory, and reading it as the kernel does.

use std::fmt;

use sg_common::classifier::{self, Decision, Kind};
use sg_common::tables::IMAGE_CLASSES;

/// A compiled classifier: the rules of one direction of one policy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// An image of these bytes, which need not be one that the compiler made: a damaged image
    /// decides wrongly and does nothing worse.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes, as long as they need to be; a multiple of eight.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Index into [`IMAGE_CLASSES`] of the smallest class that holds it; `None` only for more
    /// bytes than the compiler ever makes.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        let place = IMAGE_CLASSES.iter().position(|size| self.bytes.len() <= *size as usize);
        place.map(|place| place as u32)
    }

    /// The decision for an address of either family.
    #[must_use]
    pub fn decide(&self, peer: std::net::IpAddr, kind: Kind, key: u16) -> Decision {
        match peer {
            std::net::IpAddr::V4(peer) => classifier::lookup_v4(self, peer.to_bits(), kind, key),
            std::net::IpAddr::V6(peer) => {
                let peer = peer.to_bits();
                classifier::lookup_v6(self, (peer >> 64) as u64, peer as u64, kind, key)
            }
        }
    }

    /// The word at an offset; zero beyond the end, as in the padding of a size class.
    fn word<const N: usize>(&self, offset: u32) -> [u8; N] {
        let offset = offset as usize & !(N - 1);
        let word = self.bytes.get(offset..).and_then(|rest| rest.first_chunk());
        word.copied().unwrap_or([0; N])
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("bytes", &self.bytes.len()).finish()
    }
}

impl classifier::Image for Image {
    fn u32_at(&self, offset: u32) -> u32 {
        u32::from_ne_bytes(self.word(offset))
    }

    fn u64_at(&self, offset: u32) -> u64 {
        u64::from_ne_bytes(self.word(offset))
    }

    fn repeat<S, F>(&self, times: u32, state: &mut S, step: F)
    where
        F: Fn(&Self, &mut S) -> bool + Copy,
    {
        for _ in 0..times {
            if step(self, state) {
                break;
            }
        }
    }
}
