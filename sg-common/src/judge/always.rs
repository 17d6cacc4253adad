//! Before any rule: what never comes from a wire, what guests may not send, and what networks need
//! to work at all (spec §2.18).

use super::{Case, Env};
use crate::packet::{ARP, Address, FRAGMENT_HEADER, IP, LLC, Packet, protocol};
use crate::tables::{ENTRY_GUEST, ENTRY_GUEST_SERVERS, pass};
use crate::verdict::{Direction, Reason};

/// ICMPv4 redirect (RFC 792) and router advertisement (RFC 1256).
const ICMP_REDIRECT: u8 = 5;
const ICMP_ROUTER_ADVERTISEMENT: u8 = 9;
/// Router advertisement and redirect (RFC 4861).
const ND_ROUTER_ADVERTISEMENT: u8 = 134;
const ND_REDIRECT: u8 = 137;

/// DSAP and SSAP of spanning tree (IEEE 802.1D).
const STP_SAPS: u16 = 0x4242;

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;

/// 127.0.0.0/8 or ::1.
#[inline(always)]
fn is_loopback(family: u8, address: &Address) -> bool {
    if family == 4 { address.low >> 24 == 127 } else { address.high == 0 && address.low == 1 }
}

#[inline(always)]
fn is_link_local(address: &Address) -> bool {
    address.high >> 54 == 0xfe80 >> 6
}

#[inline(always)]
fn is_icmpv6(packet: &Packet) -> bool {
    packet.family == 6 && packet.protocol == protocol::ICMPV6
}

#[inline(always)]
fn is_udp(packet: &Packet, family: u8, source: u16, destination: u16) -> bool {
    packet.family == family
        && packet.protocol == protocol::UDP
        && packet.source_port == source
        && packet.key == destination
}

/// ND: hop limit 255 shows that no router forwarded it (RFC 4861 section 7.1). With a fragment header
/// stacks ignore it (RFC 6980 section 5).
#[inline(always)]
fn is_neighbour_discovery(packet: &Packet) -> bool {
    is_icmpv6(packet)
        && !packet.has(FRAGMENT_HEADER)
        && packet.hop_limit == 255
        && packet.key & 0xff == 0
        && matches!(packet.icmp_type(), 133..=136)
        && (packet.icmp_type() != ND_ROUTER_ADVERTISEMENT || is_link_local(&packet.source))
}

/// MLD (RFC 2710, RFC 3810 section 5): always behind a hop-by-hop header.
#[inline(always)]
fn is_listener_discovery(packet: &Packet) -> bool {
    let unspecified = packet.source.high == 0 && packet.source.low == 0;
    is_icmpv6(packet)
        && packet.hop_limit == 1
        && matches!(packet.icmp_type(), 130..=132 | 143)
        && (unspecified || is_link_local(&packet.source))
}

/// IGMP to multicast (RFC 3376).
#[inline(always)]
fn is_igmp(packet: &Packet) -> bool {
    packet.family == 4 && packet.protocol == protocol::IGMP && packet.destination.low >> 28 == 0xe
}

/// What a DHCP client sends and gets (RFC 2131 section 4.1, RFC 8415 section 7.2).
#[inline(always)]
fn is_dhcp_client(packet: &Packet, direction: Direction) -> bool {
    match direction {
        Direction::Egress => {
            is_udp(packet, 4, DHCP_CLIENT, DHCP_SERVER)
                || is_udp(packet, 6, DHCPV6_CLIENT, DHCPV6_SERVER)
        }
        Direction::Ingress => {
            is_udp(packet, 4, DHCP_SERVER, DHCP_CLIENT)
                || is_udp(packet, 6, DHCPV6_SERVER, DHCPV6_CLIENT) && is_link_local(&packet.source)
        }
    }
}

/// What only a router sends.
#[inline(always)]
fn is_router_message(packet: &Packet) -> bool {
    let icmp_type = packet.icmp_type();
    match (packet.family, packet.protocol) {
        (4, protocol::ICMP) => matches!(icmp_type, ICMP_REDIRECT | ICMP_ROUTER_ADVERTISEMENT),
        (6, protocol::ICMPV6) => matches!(icmp_type, ND_ROUTER_ADVERTISEMENT | ND_REDIRECT),
        _ => false,
    }
}

impl<E: Env> Case<'_, E> {
    /// The reason, if it needs no rule.
    #[inline(always)]
    pub(super) fn before_rules(&self) -> Option<Reason> {
        let packet = self.packet;
        let guest = self.entry.flags & ENTRY_GUEST != 0;
        // What arrives at the device: towards the host, away from a guest.
        let arrives = matches!(self.direction, Direction::Egress) == guest;
        if !packet.has(IP) {
            return if self.passes_link_layer() { Some(Reason::Always) } else { None };
        }
        let family = packet.family;
        if arrives
            && (is_loopback(family, &packet.source) || is_loopback(family, &packet.destination))
        {
            return Some(Reason::Martian);
        }
        if guest && arrives && self.entry.flags & ENTRY_GUEST_SERVERS == 0 {
            // Ports and types of later fragments are not known; those are dropped anyway unless
            // every port is open, and without their first nothing comes of them.
            if is_router_message(packet) {
                return Some(Reason::GuestRouter);
            }
            if is_udp(packet, 4, DHCP_SERVER, DHCP_CLIENT)
                || is_udp(packet, 6, DHCPV6_SERVER, DHCPV6_CLIENT)
            {
                return Some(Reason::GuestDhcpServer);
            }
        }
        if !packet.is_fragment() && self.passes_network_layer() {
            return Some(Reason::Always);
        }
        None
    }

    #[inline(always)]
    fn passes_link_layer(&self) -> bool {
        let ether_type = self.packet.ether_type;
        let switches = self.settings.pass;
        if self.packet.has(LLC) {
            return switches & pass::STP != 0 && ether_type == STP_SAPS;
        }
        if ether_type == ARP && switches & pass::ARP != 0 {
            return true;
        }
        let count = self.settings.ether_type_count;
        // Arithmetic and not comparisons: sixteen of those are 65 536 ways for the verifier.
        let mut listed = 0;
        for (place, passing) in self.settings.ether_types.iter().enumerate() {
            let equal = u32::from(*passing ^ ether_type).wrapping_sub(1) >> 31;
            let used = (place as u32).wrapping_sub(count) >> 31;
            listed |= equal & used;
        }
        listed != 0
    }

    #[inline(always)]
    fn passes_network_layer(&self) -> bool {
        let packet = self.packet;
        let switches = self.settings.pass;
        switches & pass::ND != 0 && is_neighbour_discovery(packet)
            || switches & pass::MLD != 0 && is_listener_discovery(packet)
            || switches & pass::IGMP != 0 && is_igmp(packet)
            || switches & pass::DHCP != 0 && is_dhcp_client(packet, self.direction)
    }
}
