//! Tunnels.

use anyhow::{Result, ensure};
use sg_tests::net::{End, Net, at, v4};
use sg_tests::services::{self, tcp_works};
use sg_tests::{HOOKS, ping};

use crate::filter::policy;

pub(crate) fn without_ethernet() -> Result<()> {
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
            ensure!(ping::answers(net.peer(), own(0).ip()), "{name}, {hook}: ping is lost");
            net.sg.run(&format!("detach {name}")).ok();
        }
    }
    Ok(())
}

/// VXLAN: the carrier lets the outer header pass and looks no further; what is inside is judged,
/// and counted, at the tunnel's own device.
pub(crate) fn carrier() -> Result<()> {
    let net = Net::new();
    for (namespace, parent, own, other) in
        [(&net.host, "nic0", End::Host, End::Peer), (net.peer(), "peer0", End::Peer, End::Host)]
    {
        namespace.ip(&format!(
            "link add vx1 type vxlan id 7 dev {parent} local {} remote {} dstport 4789",
            v4(own, 0),
            v4(other, 0)
        ));
        namespace.ip(&format!("address add {}/24 dev vx1", v4(own, 30)));
        namespace.ip("link set vx1 up");
    }
    let inside = |port| at(v4(End::Host, 30), port);
    let _servers = [7, 8].map(|port| services::tcp_echo(&net.host, inside(port)));
    let works = || [7, 8].map(|port| tcp_works(net.peer(), inside(port)));
    ensure!(works() == [true; 2], "the tunnel does not work without a filter");
    for hook in HOOKS {
        let outer = format!(
            "[groups.outer]\n[[groups.outer.ingress]]\nprotocol = \"udp\"\nport = 4789\n\
             cidr = \"{}\"\n[interfaces.nic0]\ngroups = [\"outer\"]\nhook = \"{hook}\"\n",
            v4(End::Peer, 0)
        );
        net.sg.apply(&outer).ok();
        ensure!(works() == [true; 2], "{hook}: the carrier looks inside: {:?}", works());
        net.sg.apply(&format!("{outer}{}", policy("vx1", "auto"))).ok();
        ensure!(works() == [true, false], "{hook}: at the tunnel: {:?}", works());
        let stats = net.sg.stats();
        ensure!(stats.reason("vx1", "ingress", "implicit-deny") > 0, "{hook}: not counted at vx1");
        ensure!(stats.reason("nic0", "ingress", "implicit-deny") == 0, "{hook}: counted at nic0");
        net.sg.run("detach vx1").ok();
        net.sg.run("detach nic0").ok();
    }
    Ok(())
}
