//! What the kernel says of network devices, their addresses and routes.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, Prop};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::request;

/// Where the IP header of a packet begins on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// Behind an Ethernet header.
    Ethernet,
    /// At byte 0.
    None,
    /// `lo`.
    Loopback,
    /// Anything else, by its ARPHRD number (`linux/if_arp.h`).
    Unknown(u16),
}

impl LinkLayer {
    /// From an ARPHRD number.
    #[must_use]
    pub fn from_arphrd(number: u16) -> Self {
        match number {
            1 => Self::Ethernet,
            772 => Self::Loopback,
            // PPP, raw IP, IPIP, IP6IP6, SIT, GRE, GRE over IPv6, none (tun, WireGuard).
            512 | 519 | 768 | 769 | 776 | 778 | 823 | 0xfffe => Self::None,
            other => Self::Unknown(other),
        }
    }
}

/// An XDP program on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// Identifier of the program.
    pub id: u32,
    /// In the driver, not on the socket buffer.
    pub native: bool,
}

/// One network device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Interface index in this network namespace.
    pub index: u32,
    /// Its name now.
    pub name: String,
    /// Its other names.
    pub alternative_names: Vec<String>,
    /// Where IP begins.
    pub link_layer: LinkLayer,
    /// Its kind where it is a virtual device (`veth`, `tun`, `bond`).
    pub kind: Option<String>,
    /// Index of the device that it is a port of.
    pub master: Option<u32>,
    /// Largest layer-3 packet in bytes.
    pub mtu: u32,
    /// XDP program of whomever.
    pub xdp: Option<XdpProgram>,
}

fn device(message: LinkMessage) -> Device {
    let mut device = Device {
        index: message.header.index,
        name: String::new(),
        alternative_names: Vec::new(),
        link_layer: LinkLayer::from_arphrd(message.header.link_layer_type.into()),
        kind: None,
        master: None,
        mtu: 0,
        xdp: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Mtu(mtu) => device.mtu = mtu,
            LinkAttribute::Controller(index) => device.master = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        device.kind = Some(kind_name(&kind));
                    }
                }
            }
            LinkAttribute::PropList(props) => {
                for prop in props {
                    if let Prop::AltIfName(name) = prop {
                        device.alternative_names.push(name);
                    }
                }
            }
            LinkAttribute::Xdp(parts) => {
                for part in parts {
                    match part {
                        LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) if id != 0 => {
                            device.xdp = Some(XdpProgram { id, native: true });
                        }
                        LinkXdp::SkbProgId(id) if id != 0 => {
                            device.xdp = Some(XdpProgram { id, native: false });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    device
}

fn kind_name(kind: &InfoKind) -> String {
    kind.to_string()
}

/// Every device of this network namespace.
///
/// # Errors
/// Those of the netlink socket.
pub fn devices() -> io::Result<Vec<Device>> {
    let mut found = Vec::new();
    request(NETLINK_ROUTE, RouteNetlinkMessage::GetLink(LinkMessage::default()), true, |reply| {
        if let RouteNetlinkMessage::NewLink(message) = reply {
            found.push(device(message));
        }
    })?;
    Ok(found)
}

/// The device of a name, or of an alternative name.
#[must_use]
pub fn by_name<'a>(devices: &'a [Device], name: &str) -> Option<&'a Device> {
    devices
        .iter()
        .find(|d| d.name == name)
        .or_else(|| devices.iter().find(|d| d.alternative_names.iter().any(|a| a == name)))
}

/// An address of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// Index of its device.
    pub device: u32,
    /// The address.
    pub address: IpAddr,
    /// Whether the kernel uses it beyond the link, and not only as a source of last resort
    /// (neither link-local nor loopback, and duplicate detection did not fail).
    pub global: bool,
}

/// Every address of this network namespace.
///
/// # Errors
/// Those of the netlink socket.
pub fn addresses() -> io::Result<Vec<LocalAddress>> {
    let mut found = Vec::new();
    request(
        NETLINK_ROUTE,
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        true,
        |reply| {
            let RouteNetlinkMessage::NewAddress(message) = reply else { return };
            let mut address = None;
            for attribute in &message.attributes {
                match attribute {
                    // On point-to-point links `Address` is the peer and `Local` ours.
                    AddressAttribute::Local(local) => address = Some(*local),
                    AddressAttribute::Address(any) if address.is_none() => address = Some(*any),
                    _ => {}
                }
            }
            let Some(address) = address else { return };
            let usable = !address.is_loopback()
                && !address.is_unspecified()
                && !address.is_multicast()
                && !is_link_local(address);
            found.push(LocalAddress {
                device: message.header.index,
                address,
                global: usable
                    && message.header.scope == AddressScope::Universe
                    && !message.header.flags.contains(AddressHeaderFlags::Dadfailed),
            });
        },
    )?;
    Ok(found)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The device through which packets to an address leave, by the routing table.
///
/// # Errors
/// `ENETUNREACH` without a route, else those of the netlink socket.
pub fn route_device(destination: IpAddr) -> io::Result<Option<u32>> {
    let mut message = RouteMessage::default();
    let (family, length, address) = match destination {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    message.attributes.push(RouteAttribute::Destination(address));
    let mut device = None;
    request(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(message), false, |reply| {
        if let RouteNetlinkMessage::NewRoute(route) = reply {
            for attribute in route.attributes {
                if let RouteAttribute::Oif(index) = attribute {
                    device = Some(index);
                }
            }
        }
    })?;
    Ok(device)
}
