//! Addresses of both families as numbers.

use ipnet::IpNet;

/// An address as a number, of one family.
pub(super) trait Address: Copy + Ord + Eq + std::fmt::Debug {
    /// Whether this is IPv6.
    const V6: bool;
    /// 0.0.0.0 or ::.
    const FIRST: Self;
    /// The last address of all.
    const LAST: Self;

    /// First address and length of a network of this family, host bits cut off.
    fn network(net: &IpNet) -> Option<(Self, u8)>;
    /// Last address of a network.
    fn last(self, length: u8) -> Self;
    /// The address after this one.
    fn next(self) -> Option<Self>;
    /// The address before this one, which is not the first.
    fn previous(self) -> Self;
}

macro_rules! address {
    ($number:ty, $family:ident, $v6:literal) => {
        impl Address for $number {
            const V6: bool = $v6;
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn network(net: &IpNet) -> Option<(Self, u8)> {
                match net {
                    IpNet::$family(net) => Some((net.network().to_bits(), net.prefix_len())),
                    _ => None,
                }
            }

            fn last(self, length: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(length)).unwrap_or(0)
            }

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Self {
                self.wrapping_sub(1)
            }
        }
    };
}

address!(u32, V4, false);
address!(u128, V6, true);
