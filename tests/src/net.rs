//! A host under test, its peers, and the links between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::namespace::Namespace;
use crate::sg::Sg;

/// A namespace that stands for the host, one for each peer, and a veth pair to each: `nic0` of the
/// host leads to `peer0` of the first peer, `nic1` to `peer1` of the second.
#[derive(Debug)]
pub struct Net {
    /// The program under test, working in the host's namespace. Dropped first: its pins hold links
    /// on the devices.
    pub sg: Sg,
    /// The host.
    pub host: Namespace,
    /// The peers.
    pub peers: Vec<Namespace>,
}

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The host's.
    Host,
    /// The peer's.
    Peer,
}

/// Hardware address of an end of the link `link`.
#[must_use]
pub const fn mac(end: End, link: u8) -> [u8; 6] {
    [2, 0, 0, 0, link, end as u8 + 1]
}

/// IPv4 address of an end.
#[must_use]
pub const fn v4(end: End, link: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, link, end as u8 + 1)
}

/// IPv6 address of an end.
#[must_use]
pub const fn v6(end: End, link: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, link as u16, 0, 0, 0, end as u16 + 1)
}

/// Address and port of the host on its first link.
#[must_use]
pub fn host(port: u16) -> SocketAddr {
    (v4(End::Host, 0), port).into()
}

/// Address and port of the first peer.
#[must_use]
pub fn peer(port: u16) -> SocketAddr {
    (v4(End::Peer, 0), port).into()
}

/// IPv6 address and port of the host on its first link.
#[must_use]
pub fn host6(port: u16) -> SocketAddr {
    (v6(End::Host, 0), port).into()
}

/// IPv6 address and port of the first peer.
#[must_use]
pub fn peer6(port: u16) -> SocketAddr {
    (v6(End::Peer, 0), port).into()
}

/// The same address with another port.
#[must_use]
pub fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

impl Net {
    /// A host with one peer.
    #[must_use]
    pub fn new() -> Self {
        Self::with_peers(1)
    }

    /// A host with `count` peers.
    ///
    /// # Panics
    /// If a namespace or link cannot be made.
    #[must_use]
    pub fn with_peers(count: u8) -> Self {
        let host = Namespace::create();
        let sg = Sg::new(host.name());
        let mut net = Self { sg, host, peers: Vec::new() };
        for link in 0..count {
            let peer = Namespace::create();
            net.link(&peer, link, &format!("nic{link}"), &format!("peer{link}"));
            net.peers.push(peer);
        }
        net
    }

    /// The first peer.
    #[must_use]
    pub fn peer(&self) -> &Namespace {
        &self.peers[0]
    }

    /// Joins the host to `peer` by a veth pair, addresses and all.
    ///
    /// # Panics
    /// If `ip` fails.
    pub fn link(&self, peer: &Namespace, link: u8, host_name: &str, peer_name: &str) {
        let text = |end| mac(end, link).map(|byte| format!("{byte:02x}")).join(":");
        self.host.ip(&format!(
            "link add {host_name} address {} type veth peer name {peer_name} address {} netns {}",
            text(End::Host),
            text(End::Peer),
            peer.name()
        ));
        for (namespace, name, end) in
            [(&self.host, host_name, End::Host), (peer, peer_name, End::Peer)]
        {
            namespace.ip(&format!("address add {}/24 dev {name}", v4(end, link)));
            namespace.ip(&format!("address add {}/64 dev {name} nodad", v6(end, link)));
            namespace.ip(&format!("link set {name} up"));
        }
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}
