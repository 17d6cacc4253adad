//! The sockets of the host, as the source of connections that were open before a rule closed their
//! way back (spec §2.12).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::request;

/// A connection that the host has a socket for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// IP protocol number: 6 or 17.
    pub(super) protocol: u8,
    /// Our end.
    pub(super) local: SocketAddr,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// The peer opened it: a listener holds the local port, or did by the look of the two ports.
    pub(super) opened_by_peer: bool,
}

/// TCP states of `net/tcp_states.h` in which data or an end may still come.
const LIVE: u16 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
const LISTEN: u8 = 10;

/// Ports that the kernel gives to connections of its own choice (`ip_local_port_range`). A server
/// whose listener is gone is told by them.
fn ephemeral_ports() -> std::ops::RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let mut bounds = text.as_deref().unwrap_or_default().split_ascii_whitespace();
    let mut bound = |default| bounds.next().and_then(|b| b.parse().ok()).unwrap_or(default);
    bound(32_768)..=bound(60_999)
}

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Connections of this network namespace, without those over loopback.
///
/// # Errors
/// Those of the netlink socket.
pub(super) fn connections() -> io::Result<Vec<Connection>> {
    let mut listeners: Vec<u16> = Vec::new();
    let mut open: Vec<(u8, SocketAddr, SocketAddr)> = Vec::new();
    for family in [AF_INET, AF_INET6] {
        for protocol in [IPPROTO_TCP, IPPROTO_UDP] {
            let states = if protocol == IPPROTO_TCP { LIVE | 1 << LISTEN } else { 1 << 1 };
            let message = SockDiagMessage::InetRequest(InetRequest {
                family,
                protocol,
                extensions: ExtensionFlags::empty(),
                states: StateFlags::from_bits_truncate(states.into()),
                socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
            });
            let result = request(NETLINK_SOCK_DIAG, message, true, |reply| {
                let SockDiagMessage::InetResponse(response) = reply else { return };
                let id = &response.header.socket_id;
                if protocol == IPPROTO_TCP && response.header.state == LISTEN {
                    listeners.push(id.source_port);
                    return;
                }
                let local = SocketAddr::new(unmapped(id.source_address), id.source_port);
                let peer = SocketAddr::new(unmapped(id.destination_address), id.destination_port);
                if peer.port() != 0 && !peer.ip().is_loopback() && !peer.ip().is_unspecified() {
                    open.push((protocol, local, peer));
                }
            });
            match result {
                // A kernel without IPv6, or without the diagnosis module, has no such sockets to
                // tell of.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAFNOSUPPORT)) => {}
                other => other?,
            }
        }
    }
    listeners.sort_unstable();
    let ephemeral = ephemeral_ports();
    Ok(open
        .into_iter()
        .map(|(protocol, local, peer)| Connection {
            protocol,
            local,
            peer,
            opened_by_peer: protocol == IPPROTO_TCP
                && (listeners.binary_search(&local.port()).is_ok()
                    || !ephemeral.contains(&local.port()) && ephemeral.contains(&peer.port())),
        })
        .collect())
}
