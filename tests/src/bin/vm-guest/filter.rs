//! The program on this kernel: traffic through an attached filter.

use std::time::Duration;

use anyhow::{Result, ensure};
use sg_tests::net::{End, Net, at, host, host6, peer, peer6, v4, v6};
use sg_tests::probe::Probe;
use sg_tests::services::{self, tcp_works, udp_works};
use sg_tests::{HOOKS, ping};

/// TCP port 7 and echo requests are allowed, nothing else; what goes out is.
const RULES: &str = "[groups.g]\n\
    [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 7\n\
    [[groups.g.ingress]]\nprotocol = \"icmp\"\nicmp-type = 8\n\
    [[groups.g.ingress]]\nprotocol = \"icmpv6\"\nicmp-type = 128\n";

fn policy(interface: &str, hook: &str) -> String {
    format!("{RULES}[interfaces.{interface}]\ngroups = [\"g\"]\nhook = \"{hook}\"\n")
}

/// What [`RULES`] allows passes, what they do not allow does not, over both families.
fn judge(net: &Net, context: &str) -> Result<()> {
    let _servers = (
        [host(7), host6(7), host(8), host6(8)].map(|at| services::tcp_echo(&net.host, at)),
        [host(7), host6(7)].map(|at| services::udp_echo(&net.host, at)),
        [peer(7), peer6(7)].map(|at| services::tcp_echo(net.peer(), at)),
        [peer(7), peer6(7)].map(|at| services::udp_echo(net.peer(), at)),
    );
    for (own, other) in [(host(7), peer(7)), (host6(7), peer6(7))] {
        let denied = at(own.ip(), 8);
        ensure!(tcp_works(net.peer(), own), "{context}: {own} is lost");
        ensure!(!tcp_works(net.peer(), denied), "{context}: {denied} answers");
        ensure!(!udp_works(net.peer(), own), "{context}: {own} answers over UDP");
        ensure!(ping::answers(net.peer(), own.ip()), "{context}: ping {} is lost", own.ip());
        ensure!(tcp_works(&net.host, other), "{context}: outgoing, {other} is lost");
        ensure!(udp_works(&net.host, other), "{context}: outgoing UDP, {other} is lost");
        ensure!(ping::answers(&net.host, other.ip()), "{context}: outgoing ping is lost");
    }
    Ok(())
}

pub(crate) fn services() -> Result<()> {
    for hook in HOOKS.into_iter().chain(["auto"]) {
        let net = Net::new();
        net.sg.apply(&policy("nic0", hook)).ok();
        judge(&net, hook)?;
        let (sent, received) = services::transfer(&net.host, net.peer(), peer(9), 4 << 20);
        ensure!(sent == received, "{hook}: a large transfer arrives changed");
    }
    Ok(())
}

pub(crate) fn changes() -> Result<()> {
    for hook in HOOKS {
        let net = Net::new();
        let server = services::udp_echo(&net.host, host(9));
        let before = net.host.tc("qdisc show dev nic0");
        net.sg.apply(&policy("nic0", hook)).ok();
        ensure!(!udp_works(net.peer(), host(9)), "{hook}: UDP answers");
        let id = net.sg.run("rule add g ingress --protocol udp --port 9 --cidr any").ok().stdout;
        ensure!(udp_works(net.peer(), host(9)), "{hook}: the new rule does nothing");
        net.sg.run(&format!("rule remove {}", id.trim())).ok();
        ensure!(!udp_works(net.peer(), host(9)), "{hook}: the rule that was removed still acts");
        net.sg.run("update nic0 --mode monitor").ok();
        ensure!(udp_works(net.peer(), host(9)), "{hook}: monitor mode drops");
        net.sg.run("detach nic0").ok();
        ensure!(udp_works(net.peer(), host(9)), "{hook}: something drops after the detach");
        let after = net.host.tc("qdisc show dev nic0");
        ensure!(after == before, "{hook}: the detach leaves {after}, there was {before}");
        ensure!(net.sg.pins().is_empty(), "{hook}: the detach leaves {:?}", net.sg.pins());
        drop(server);
    }
    Ok(())
}

pub(crate) fn restore() -> Result<()> {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.apply(&policy("nic0", hook)).ok();
        net.sg.lose_pins();
        let probe = Probe::start(net.peer(), &net.host, host(9), Duration::from_millis(1));
        probe.await_arrival();
        net.sg.run("restore").ok();
        let arrived = probe.arrived();
        probe.send_more(50);
        ensure!(probe.arrived() <= arrived + 1, "{hook}: open after the restore");
        judge(&net, hook)?;
    }
    Ok(())
}

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
    for hook in ["tc", "auto"] {
        net.sg.apply(&policy("bond0", hook)).ok();
        judge(&net, hook)?;
        net.sg.run("detach bond0").ok();
    }
    Ok(())
}

pub(crate) fn vrf() -> Result<()> {
    let net = Net::new();
    net.host.ip("link add red type vrf table 10");
    net.host.ip("link set red up");
    net.sg.run("group create lone").ok();
    net.sg.run("attach red --group lone").refuses(&["red", "help:"]);
    // A port of a VRF is an ordinary interface, in a zone of its own.
    net.host.ip("link set nic0 master red");
    net.host.ip(&format!("address replace {}/64 dev nic0 nodad", v6(End::Host, 0)));
    net.host.sysctl("net/ipv4/tcp_l3mdev_accept", "1");
    let _servers = [7, 8].map(|port| services::tcp_echo(&net.host, host(port)));
    for hook in HOOKS {
        net.sg.apply(&policy("nic0", hook)).ok();
        ensure!(tcp_works(net.peer(), host(7)), "{hook}: an allowed port is lost");
        ensure!(!tcp_works(net.peer(), host(8)), "{hook}: a denied port answers");
        net.sg.run("detach nic0").ok();
    }
    Ok(())
}

pub(crate) fn tunnels() -> Result<()> {
    let net = Net::new();
    for (namespace, own, other) in
        [(&net.host, End::Host, End::Peer), (net.peer(), End::Peer, End::Host)]
    {
        let outer = format!("local {} remote {}", v4(own, 0), v4(other, 0));
        for (link, kind, name) in [(20, "ipip", "tunnel0"), (21, "gre", "tunnel1")] {
            namespace.ip(&format!("link add {name} type {kind} {outer}"));
            namespace.ip(&format!("address add {}/24 dev {name}", v4(own, link)));
            namespace.ip(&format!("link set {name} up"));
        }
    }
    for (link, name) in [(20, "tunnel0"), (21, "tunnel1")] {
        let own = |port| at(v4(End::Host, link), port);
        let _servers = [7, 8].map(|port| services::tcp_echo(&net.host, own(port)));
        ensure!(tcp_works(net.peer(), own(8)), "{name} does not work without a filter");
        net.sg.run("group create lone").ok();
        net.sg.run(&format!("attach {name} --group lone --hook xdp")).refuses(&[name, "xdp"]);
        net.sg.run("group delete lone").ok();
        for hook in ["tc", "auto"] {
            net.sg.apply(&policy(name, hook)).ok();
            ensure!(tcp_works(net.peer(), own(7)), "{name}, {hook}: an allowed port is lost");
            ensure!(!tcp_works(net.peer(), own(8)), "{name}, {hook}: a denied port answers");
            ensure!(
                tcp_works(net.peer(), own(7)) && ping::answers(net.peer(), own(0).ip()),
                "{name}, {hook}: ping is lost"
            );
            net.sg.run(&format!("detach {name}")).ok();
        }
    }
    Ok(())
}
