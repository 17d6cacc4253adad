//! The program on this kernel: traffic through an attached filter.

use std::time::Duration;

use anyhow::{Result, ensure};
use sg_tests::net::{Net, at, host, host6, peer, peer6};
use sg_tests::probe::Probe;
use sg_tests::services::{self, tcp_works, udp_works};
use sg_tests::{HOOKS, ping};

/// TCP port 7 and echo requests are allowed, nothing else; what goes out is.
const RULES: &str = "[groups.g]\n\
    [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 7\n\
    [[groups.g.ingress]]\nprotocol = \"icmp\"\nicmp-type = 8\n\
    [[groups.g.ingress]]\nprotocol = \"icmpv6\"\nicmp-type = 128\n";

pub(crate) fn policy(interface: &str, hook: &str) -> String {
    format!("{RULES}[interfaces.{interface}]\ngroups = [\"g\"]\nhook = \"{hook}\"\n")
}

/// What [`RULES`] allows passes, what they do not allow does not, over both families.
pub(crate) fn judge(net: &Net, context: &str) -> Result<()> {
    let _servers = (
        [host(7), host6(7), host(8), host6(8)].map(|at| services::tcp_echo(&net.host, at)),
        [host(7), host6(7)].map(|at| services::udp_echo(&net.host, at)),
        [peer(7), peer6(7)].map(|at| services::tcp_echo(net.peer(), at)),
        [peer(7), peer6(7)].map(|at| services::udp_echo(net.peer(), at)),
    );
    for (own, other) in [(host(7), peer(7)), (host6(7), peer6(7))] {
        ensure!(tcp_works(net.peer(), own), "{context}: {own} is lost");
        ensure!(ping::answers(net.peer(), own.ip()), "{context}: ping {} is lost", own.ip());
        ensure!(tcp_works(&net.host, other), "{context}: outgoing, {other} is lost");
        ensure!(udp_works(&net.host, other), "{context}: outgoing UDP, {other} is lost");
        ensure!(ping::answers(&net.host, other.ip()), "{context}: outgoing ping is lost");
    }
    // For what is denied one waits in vain: for all of it at a time.
    let answers = std::thread::scope(|scope| {
        let asked = [host(7), host6(7)].map(|own| {
            let tcp = scope.spawn(move || tcp_works(net.peer(), at(own.ip(), 8)));
            let udp = scope.spawn(move || udp_works(net.peer(), own));
            [tcp, udp]
        });
        asked.map(|kinds| kinds.map(|kind| kind.join().expect("a client")))
    });
    let [tcp, udp] = [0, 1].map(|kind| answers.map(|of_family| of_family[kind]));
    ensure!(tcp == [false; 2], "{context}: TCP port 8 answers over IPv4, IPv6: {tcp:?}");
    ensure!(udp == [false; 2], "{context}: UDP port 7 answers over IPv4, IPv6: {udp:?}");
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

pub(crate) fn bench() -> Result<()> {
    let net = Net::new();
    for family in [4, 6] {
        net.sg.run(&format!("bench --rules 100 --laps 3 --family {family}")).ok();
    }
    ensure!(net.sg.pins().is_empty(), "left: {:?}", net.sg.pins());
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
        // Filters of the clsact qdisc are no pins: they go on judging until they are replaced.
        let outlives = net.host.tc("filter show dev nic0 ingress").contains("sg_tc_ingress");
        net.sg.lose_pins();
        let probe = Probe::start(net.peer(), &net.host, host(9), Duration::from_millis(1));
        if !outlives {
            probe.await_arrival();
        }
        net.sg.run("restore").ok();
        // What had passed before may still wait to be read.
        let closed = (0..20).any(|_| {
            let arrived = probe.arrived();
            probe.send_more(50);
            probe.arrived() == arrived
        });
        ensure!(closed, "{hook}: open after the restore");
        judge(&net, hook)?;
    }
    Ok(())
}
