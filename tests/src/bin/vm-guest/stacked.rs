//! Devices on top of others: VLANs, bonds, VRFs.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use anyhow::{Result, ensure};
use sg_tests::HOOKS;
use sg_tests::namespace::Namespace;
use sg_tests::net::{End, Net, at, host, peer, v4, v6};
use sg_tests::services::{self, tcp_works};

use crate::filter::{judge, policy};

pub(crate) fn vlan() -> Result<()> {
    let net = Net::new();
    for (namespace, parent, end) in
        [(&net.host, "nic0", End::Host), (net.peer(), "peer0", End::Peer)]
    {
        namespace.ip(&format!("link add link {parent} name vlan9 type vlan id 9"));
        namespace.ip(&format!("address add {}/24 dev vlan9", v4(end, 9)));
        namespace.ip(&format!("address add {}/64 dev vlan9 nodad", v6(end, 9)));
        namespace.ip("link set vlan9 up");
    }
    let inside = at(v4(End::Host, 9), 7);
    let inside6 = at(v6(End::Host, 9), 7);
    let other = at(v4(End::Host, 9), 8);
    let _servers = [inside, inside6, other].map(|at| services::tcp_echo(&net.host, at));
    let works = || [inside, inside6, other].map(|at| tcp_works(net.peer(), at));
    ensure!(works() == [true; 3], "tagged frames do not arrive without a filter");
    for hook in HOOKS {
        // The parent judges what is inside the tag.
        net.sg.apply(&policy("nic0", hook)).ok();
        ensure!(works() == [true, true, false], "{hook}: on the parent: {:?}", works());
        net.sg.run("detach nic0").ok();
        ensure!(works() == [true; 3], "{hook}: after the detach: {:?}", works());
    }
    // The VLAN device has no native XDP.
    net.sg.run("group create lone").ok();
    net.sg.run("attach vlan9 --group lone --hook xdp").refuses(&["vlan9", "xdp", "help:"]);
    net.sg.run("group delete lone").ok();
    for hook in ["xdp-generic", "tc", "auto"] {
        net.sg.apply(&policy("vlan9", hook)).ok();
        ensure!(works() == [true, true, false], "{hook}: on the VLAN: {:?}", works());
        net.sg.run("detach vlan9").ok();
    }
    // Both have to allow.
    net.sg.apply(&policy("vlan9", "auto")).ok();
    net.sg.run("attach nic0").ok();
    ensure!(works() == [false; 3], "the parent has no group, and lets pass: {:?}", works());
    Ok(())
}

/// Tags in the frame, or beside it as drivers and the kernel hand them over.
fn set_vlan_offload(end: &Namespace, device: &str, on: bool) -> Result<()> {
    /// `struct ethtool_value` of linux/ethtool.h.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    const ETHTOOL_SFLAGS: u32 = 0x26;
    const ETH_FLAG_TXVLAN: u32 = 1 << 7;
    const ETH_FLAG_RXVLAN: u32 = 1 << 8;
    end.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let flags = if on { ETH_FLAG_TXVLAN | ETH_FLAG_RXVLAN } else { 0 };
        let mut value = Value { command: ETHTOOL_SFLAGS, data: flags };
        // SAFETY: a request of plain integers; name and data are set below.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (place, byte) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *place = byte.cast_signed();
        }
        request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut value).cast();
        // SAFETY: the request and the value that it points to outlive the call, and are of the
        // types that SIOCETHTOOL reads.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
        ensure!(done == 0, "VLAN offload of {device}: {}", io::Error::last_os_error());
        Ok(())
    })
}

/// Two tagged networks and an untagged one on one parent.
pub(crate) fn vlan_and_parent() -> Result<()> {
    const ANY: &str = "[groups.any]\n[[groups.any.ingress]]\nprotocol = \"tcp\"\n";
    let net = Net::new();
    for (namespace, parent, end) in
        [(&net.host, "nic0", End::Host), (net.peer(), "peer0", End::Peer)]
    {
        for id in [5, 6] {
            namespace.ip(&format!("link add link {parent} name {parent}.{id} type vlan id {id}"));
            namespace.ip(&format!("address add {}/24 dev {parent}.{id}", v4(end, id)));
            namespace.ip(&format!("link set {parent}.{id} up"));
        }
    }
    // Untagged, then by tag; the port that only one of the two allows.
    let targets = [0, 5, 6].map(|link| at(v4(End::Host, link), 8));
    let _servers = targets.map(|at| services::tcp_echo(&net.host, at));
    let works = || targets.map(|at| tcp_works(net.peer(), at));
    let attach = |name: &str, hook| {
        format!("[interfaces.\"{name}\"]\ngroups = [\"any\"]\nhook = \"{hook}\"\n")
    };
    let strict = |name: &str, hook| policy(&format!("\"{name}\""), hook);
    for hook in HOOKS {
        let policies = [
            format!("{ANY}{}{}", attach("nic0.5", "auto"), strict("nic0", hook)),
            format!("{ANY}{}{}", attach("nic0", hook), strict("nic0.5", "auto")),
        ];
        for (strict, policy) in policies.iter().enumerate() {
            net.sg.apply(policy).ok();
            for offload in [true, false] {
                set_vlan_offload(&net.host, "nic0", offload)?;
                set_vlan_offload(net.peer(), "peer0", offload)?;
                let context = format!("{hook}, VLAN offload {offload}");
                let denied = || {
                    let stats = net.sg.stats();
                    ["nic0", "nic0.5"].map(|name| stats.reason(name, "ingress", "implicit-deny"))
                };
                let before = denied();
                if strict == 0 {
                    // The parent denies what the VLAN device allows.
                    let passes = tcp_works(net.peer(), targets[1]);
                    ensure!(!passes, "{context}: the VLAN device alone lets pass");
                } else {
                    // The parent allows what the VLAN device denies; the other networks are the
                    // parent's.
                    let works = works();
                    ensure!(works == [true, false, true], "{context}: the VLAN denies: {works:?}");
                }
                let after = denied();
                let grew = [0, 1].map(|place| after[place] > before[place]);
                ensure!(grew == [strict == 0, strict == 1], "{context}: {before:?} {after:?}");
            }
        }
        net.sg.run("detach nic0").ok();
        net.sg.run("detach nic0.5").ok();
    }
    Ok(())
}

pub(crate) fn bond() -> Result<()> {
    let net = Net::new();
    net.host.ip("address flush dev nic0");
    net.host.ip("link set nic0 down");
    net.host.ip("link add bond0 type bond mode active-backup miimon 100");
    net.host.ip("link set nic0 master bond0");
    net.host.ip(&format!("address add {}/24 dev bond0", v4(End::Host, 0)));
    net.host.ip(&format!("address add {}/64 dev bond0 nodad", v6(End::Host, 0)));
    net.host.ip("link set bond0 up");
    net.sg.run("group create lone").ok();
    net.sg.run("attach nic0 --group lone").refuses(&["nic0", "bond0", "help:"]);
    net.sg.run("group delete lone").ok();
    for hook in ["tc", "auto"] {
        net.sg.apply(&policy("bond0", hook)).ok();
        judge(&net, hook)?;
        net.sg.run("detach bond0").ok();
    }
    let into_bond = || {
        net.host.ip("link set nic0 down");
        net.host.ip("link set nic0 master bond0");
        net.host.ip("link set nic0 up");
    };
    for hook in HOOKS {
        // The port was attached before it joined.
        net.host.ip("link set nic0 nomaster");
        net.sg.apply(&policy("nic0", hook)).ok();
        into_bond();
        let status = net.sg.run("status").stdout;
        ensure!(status.contains("became a port of bond0"), "{hook}: status says\n{status}");
        let before = net.sg.pins();
        if hook != "tc" {
            let refusal = ["nic0, a port of bond0", "XDP", "sg-ctl detach nic0", "help:"];
            net.sg.run("attach bond0 --group g --hook xdp").refuses(&refusal);
            ensure!(net.sg.pins() == before, "{hook}: half attached: {:?}", net.sg.pins());
        }
        let answer = net.sg.run("attach bond0 --group g").ok();
        let warned = answer.stderr.contains("nic0, a port of bond0");
        ensure!(warned, "{hook}: nothing is said of the port: {}", answer.stderr);
        judge(&net, &format!("{hook}: port and bond attached"))?;
        // Moving the bond's filter needs the place on the port, too.
        if hook != "tc" {
            net.sg.run("update bond0 --hook xdp").refuses(&["nic0, a port of bond0", "help:"]);
            judge(&net, &format!("{hook}: after a move that was refused"))?;
        }
        net.sg.run("detach nic0").ok();
        judge(&net, &format!("{hook}: bond attached"))?;
        net.sg.run("detach bond0").ok();
        net.sg.run("group delete g").ok();
    }
    native_bond(&net)
}

/// Native XDP on a bond, or the reason why not.
fn native_bond(net: &Net) -> Result<()> {
    net.sg.apply(&policy("bond0", "xdp")).ok();
    judge(net, "native XDP on a bond")?;
    net.sg.run("attach nic0 --group g").refuses(&["nic0 is a port of bond0", "attach bond0"]);
    net.sg.run("detach bond0").ok();
    ensure!(net.sg.pins().is_empty(), "left: {:?}", net.sg.pins());
    // A port whose driver has no XDP.
    net.host.ip("link add dummy9 type dummy");
    net.host.ip("link set dummy9 master bond0");
    let needs = ["bond0", "hook tc", "balance-rr", "dummy9"];
    net.sg.run("attach bond0 --group g --hook xdp").refuses(&needs);
    ensure!(net.sg.pins().is_empty(), "left after dummy9: {:?}", net.sg.pins());
    net.host.ip("link delete dummy9");
    // A mode that has none.
    for port in ["nic0 nomaster", "bond0 down", "bond0 type bond mode broadcast"] {
        net.host.ip(&format!("link set {port}"));
    }
    net.host.ip("link set nic0 down");
    net.host.ip("link set nic0 master bond0");
    net.host.ip("link set bond0 up");
    // A device that goes down loses its IPv6 addresses.
    net.host.ip(&format!("address add {}/64 dev bond0 nodad", v6(End::Host, 0)));
    net.sg.run("attach bond0 --group g --hook xdp").refuses(&["bond0", "hook tc", "balance-rr"]);
    ensure!(net.sg.pins().is_empty(), "left after broadcast: {:?}", net.sg.pins());
    net.sg.apply(&policy("bond0", "auto")).ok();
    judge(net, "a bond in broadcast mode")
}

/// A UDP socket of the host on any address, in a VRF.
fn socket_in(net: &Net, vrf: &str, port: u16) -> Result<UdpSocket> {
    net.host.run(|| {
        // Bound to the device before the port: two VRFs may use the same one.
        // SAFETY: plain socket calls; every pointer is to a value of the size that is given with it,
        // and the descriptor is owned at once.
        unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            ensure!(fd >= 0, "socket: {}", io::Error::last_os_error());
            let socket = UdpSocket::from_raw_fd(fd);
            let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
            let name = vrf.as_ptr().cast();
            let done = libc::setsockopt(fd, level, option, name, vrf.len() as libc::socklen_t);
            ensure!(done == 0, "bind to {vrf}: {}", io::Error::last_os_error());
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: port.to_be(),
                sin_addr: libc::in_addr { s_addr: 0 },
                sin_zero: [0; 8],
            };
            let size = size_of_val(&address) as libc::socklen_t;
            let done = libc::bind(fd, std::ptr::from_ref(&address).cast(), size);
            ensure!(done == 0, "bind to port {port}: {}", io::Error::last_os_error());
            socket.set_read_timeout(Some(Duration::from_secs(20)))?;
            Ok(socket)
        }
    })
}

/// Two VRFs with equal addresses, each with a port of its own.
fn two_vrfs() -> Net {
    let net = Net::with_peers(2);
    net.host.sysctl("net/ipv4/tcp_l3mdev_accept", "1");
    net.host.ip("address flush dev nic1");
    net.peers[1].ip("address flush dev peer1");
    for (vrf, port, table) in [("red", "nic0", 10), ("blue", "nic1", 11)] {
        net.host.ip(&format!("link add {vrf} type vrf table {table}"));
        net.host.ip(&format!("link set {vrf} up"));
        net.host.ip(&format!("link set {port} master {vrf}"));
    }
    net.host.ip(&format!("address add {}/24 dev nic1", v4(End::Host, 0)));
    net.peers[1].ip(&format!("address add {}/24 dev peer1", v4(End::Peer, 0)));
    net
}

pub(crate) fn vrf() -> Result<()> {
    let net = two_vrfs();
    net.sg.run("group create lone").ok();
    net.sg.run("attach red --group lone").refuses(&["red", "VRF", "help:"]);
    net.sg.run("group delete lone").ok();
    let any = |port| at(Ipv4Addr::UNSPECIFIED, port);
    let _servers = [7, 8].map(|port| services::tcp_echo(&net.host, any(port)));
    let works = |peer: usize, port| tcp_works(&net.peers[peer], host(port));
    ensure!([works(0, 7), works(1, 7)] == [true; 2], "the VRFs do not work without a filter");
    for hook in HOOKS {
        // The same connections, judged by the port that they come in at.
        let other =
            policy("nic1", hook).replace("port = 7", "port = 8").replace("[groups.g", "[groups.h");
        let other = other.replace("\"g\"", "\"h\"");
        net.sg.apply(&format!("{}{other}", policy("nic0", hook))).ok();
        let found = [works(0, 7), works(0, 8), works(1, 7), works(1, 8)];
        ensure!(found == [true, false, false, true], "{hook}: {found:?}");
        net.sg.run("detach nic0").ok();
        net.sg.run("detach nic1").ok();
    }
    // What one VRF sent opens nothing in the other.
    let closed =
        "[groups.n]\n[interfaces.nic0]\ngroups = [\"n\"]\n[interfaces.nic1]\ngroups = [\"n\"]\n";
    net.sg.run_with("apply --prune -f -", closed).ok();
    let (red, blue) = (socket_in(&net, "red", 5000)?, socket_in(&net, "blue", 5000)?);
    let peers: Vec<UdpSocket> = net
        .peers
        .iter()
        .map(|peer_of| peer_of.run(|| UdpSocket::bind(peer(9))))
        .collect::<io::Result<_>>()?;
    for socket in &peers {
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    }
    let mut buffer = [0; 32];
    let receive = |socket: &UdpSocket, buffer: &mut [u8; 32]| -> Result<String> {
        let (length, _) = socket.recv_from(buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    red.send_to(b"from red", peer(9))?;
    ensure!(receive(&peers[0], &mut buffer)? == "from red", "red sends something else");
    peers[1].send_to(b"stray", host(5000))?;
    peers[0].send_to(b"reply", host(5000))?;
    ensure!(receive(&red, &mut buffer)? == "reply", "red's reply is lost");
    blue.send_to(b"from blue", peer(9))?;
    ensure!(receive(&peers[1], &mut buffer)? == "from blue", "blue sends something else");
    peers[1].send_to(b"reply", host(5000))?;
    let first = receive(&blue, &mut buffer)?;
    ensure!(first == "reply", "what red opened let in {first} at blue");
    Ok(())
}
