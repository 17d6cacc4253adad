//! Bytes of the compact documents: integers, texts and networks.
//!
//! Integers of a fixed width are big-endian; counts and lengths are LEB128 variable-length integers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why a document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Tag of an IPv6 network whose lower 64 bits are zero; a length and 8 bytes follow.
const V6_UPPER: u8 = 33;
/// Tag of an IPv6 network of any kind; a length and 16 bytes follow.
const V6_WHOLE: u8 = 34;

/// Appends a count or length.
pub(super) fn put_count(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text with its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a network: its prefix length and 4 bytes for IPv4, a tag, its length and 8 or 16 bytes
/// for IPv6. Bits of the host are kept.
pub(super) fn put_net(out: &mut Vec<u8>, net: &IpNet) {
    match net {
        IpNet::V4(net) => {
            out.push(net.prefix_len());
            out.extend_from_slice(&net.addr().octets());
        }
        IpNet::V6(net) => {
            let octets = net.addr().octets();
            let upper = octets[8..] == [0; 8];
            out.push(if upper { V6_UPPER } else { V6_WHOLE });
            out.push(net.prefix_len());
            out.extend_from_slice(if upper { &octets[..8] } else { &octets });
        }
    }
}

/// Reads what the functions above wrote; every read is checked against the end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn count(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too large"))
    }

    /// A count of things of at least one byte each, so that it cannot ask for more memory than the
    /// document justifies.
    pub(super) fn items(&mut self) -> Result<usize, Malformed> {
        match usize::try_from(self.count()?) {
            Ok(count) if count <= self.0.len() => Ok(count),
            _ => Err(Malformed("a count is larger than what follows")),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.items()?;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A counted list.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.items()?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }
}

/// Reads a network.
pub(super) fn net(reader: &mut Reader<'_>) -> Result<IpNet, Malformed> {
    let tag = reader.byte()?;
    let (address, length): (IpAddr, u8) = match tag {
        0..=32 => (Ipv4Addr::from(reader.array::<4>()?).into(), tag),
        V6_UPPER => {
            let length = reader.byte()?;
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&reader.array::<8>()?);
            (Ipv6Addr::from(octets).into(), length)
        }
        V6_WHOLE => {
            let length = reader.byte()?;
            (Ipv6Addr::from(reader.array::<16>()?).into(), length)
        }
        _ => return Err(Malformed("an address of no known family")),
    };
    IpNet::new(address, length).map_err(|_| Malformed("a prefix that is too long"))
}
