//! Verdicts and the closed list of their reasons.

/// Direction of a packet as the policy sees it: towards the protected side or away from it.
///
/// On a `host` interface the protected side is the host, on a `guest` interface it is the guest at
/// the other end (spec §2.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Towards the protected side.
    Ingress = 0,
    /// Away from the protected side.
    Egress = 1,
}

impl Direction {
    /// The direction of a number's lowest bit.
    #[inline(always)]
    #[must_use]
    pub const fn from_bit(number: u32) -> Self {
        if number & 1 == 0 { Self::Ingress } else { Self::Egress }
    }

    /// The other direction.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }

    /// The name used on the command line and in policy files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Number of places for reasons in every counter array: one more than the largest reason, rounded
/// up to a power of two.
pub const REASONS: u32 = 32;

macro_rules! reasons {
    ($($name:ident = $value:literal, $passes:literal, $text:literal, $sentence:literal;)*) => {
        /// Why a packet passed or was dropped. The list is closed: every packet has exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $sentence] $name = $value,)*
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason of a number.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($value => Some(Self::$name),)* _ => None }
            }

            /// Whether a packet with this reason passes.
            #[inline(always)]
            #[must_use]
            pub const fn passes(self) -> bool {
                match self { $(Self::$name => $passes,)* }
            }

            /// Stable name for listings and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

reasons! {
    Rule = 0, true, "rule", "Passed: a rule allows it.";
    Connection = 1, true, "connection", "Passed: it belongs to a connection that the other direction's rules let start.";
    Always = 2, true, "always-passed", "Passed before any rule: a kind that networks need (ARP, neighbour discovery, MLD, IGMP, DHCP, listed EtherTypes).";
    Related = 3, true, "related-error", "Passed: an ICMP error about a connection or a packet that both directions allow.";
    Learning = 4, true, "learning", "Passed: the interface is being attached and its policy is not in force yet.";
    ImplicitDeny = 8, false, "implicit-deny", "No rule allows it.";
    ImplicitDenyGroup = 9, false, "implicit-deny-multicast", "No rule allows it, and it is addressed to multicast or broadcast.";
    Deny = 10, false, "deny-rule", "A deny rule decides it.";
    NoConnection = 11, false, "no-such-connection", "It is not allowed by a rule of its direction, could not open a connection and belongs to none.";
    TableFull = 12, false, "connection-table-full", "It would open a connection, and no place in the connection table could be had.";
    Truncated = 13, false, "truncated", "A header is cut off by the end of the packet.";
    BadIpHeader = 14, false, "bad-ip-header", "The IP header contradicts itself (version, header length or total length).";
    BadTransport = 15, false, "bad-transport-header", "The transport header contradicts itself (TCP data offset, UDP length).";
    Martian = 16, false, "martian", "A loopback address came from a wire (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).";
    SourceRoute = 17, false, "source-route", "It carries an IPv4 source route, or an IPv6 routing header of type 0 or with segments left.";
    ExtensionHeaders = 18, false, "too-many-extension-headers", "It has more IPv6 extension headers than are looked through.";
    VlanTags = 19, false, "too-many-vlan-tags", "It has more VLAN tags than are looked through.";
    Fragment = 20, false, "fragment", "A fragment other than the first, and not every port of its protocol and address is allowed.";
    TinyFragment = 21, false, "tiny-fragment", "A first fragment that does not hold its transport header, or one that overlaps it.";
    TcpFlags = 22, false, "illegal-tcp-flags", "A combination of TCP flags that no connection uses (SYN+FIN, SYN+RST, none).";
    EtherType = 23, false, "ethertype", "Not IP, and its EtherType is not on the list of those that pass.";
    GuestRouter = 24, false, "guest-router", "A guest sent a router advertisement or a redirect.";
    GuestDhcpServer = 25, false, "guest-dhcp-server", "A guest answered as a DHCP server.";
    NoPolicy = 26, false, "no-policy", "The tables hold no policy for this interface; run `sg-ctl status`.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_the_counter_arrays_and_have_own_names() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert!((*reason as u32) < REASONS);
            assert!(Reason::ALL.iter().skip(i + 1).all(|o| o.name() != reason.name()));
        }
    }
}
