//! Attaching: what is refused and how to mend it, company on the same interface, and devices that
//! are renamed, replaced or changed underneath.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sg_tests::HOOKS;
use sg_tests::foreign::{Foreign, Place, programs};
use sg_tests::frame::{self, V4, protocol};
use sg_tests::namespace::Namespace;
use sg_tests::net::{End, Net, at, host, host6, peer, peer6, v4};
use sg_tests::report::{Stats, list, text};
use sg_tests::services::{self, connect, tcp_works, udp_works};
use sg_tests::sg::{self, Sg};
use sg_tests::tun::Tun;
use sg_tests::wait;
use sg_tests::wire::Wire;

/// Nothing of the filter is on the interface, and nothing is pinned for it.
#[track_caller]
fn nothing_attached(net: &Net, interface: &str) {
    for place in [Place::IngressFirst, Place::EgressFirst] {
        assert_eq!(programs(&net.host, interface, place), 0, "{interface}: {place:?}");
    }
    let status = net.sg.status();
    assert!(list(&status, "interfaces").is_empty(), "{status}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn what_cannot_be_filtered_is_refused_with_a_mend() {
    let net = Net::new();
    let tun = Tun::create(&net.host, "can0");
    tun.set_link_type(280);
    let _plain = Tun::create(&net.host, "tun0");
    net.sg.run("group create g").ok();
    for (line, interface, words) in [
        ("attach no-such0 --group g", "", &["no-such0", "help:"][..]),
        ("attach lo --group g", "lo", &["lo", "help:"]),
        ("attach can0 --group g", "can0", &["can0", "280", "help:"]),
        ("attach tun0 --group g --hook xdp", "tun0", &["tun0", "xdp", "help:"]),
        ("attach nic0 --group no-such", "nic0", &["no-such", "help:"]),
        ("attach nic0 --group g --address 10.0.0.1", "nic0", &["guest"]),
    ] {
        net.sg.run(line).refuses(words);
        if !interface.is_empty() {
            nothing_attached(&net, interface);
        }
    }
    // The same by a file.
    for (name, hook) in [("no-such0", "auto"), ("lo", "auto"), ("can0", "auto"), ("tun0", "xdp")] {
        let file =
            format!("[groups.g]\n[interfaces.{name}]\ngroups = [\"g\"]\nhook = \"{hook}\"\n");
        net.sg.run_with("apply -f -", &file).refuses(&[name]);
    }
    // One bad interface, and none is attached.
    let both =
        "[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\n[interfaces.can0]\ngroups = [\"g\"]\n";
    net.sg.run_with("apply -f -", both).refuses(&["can0"]);
    nothing_attached(&net, "nic0");
    net.sg.run("attach nic0 --group g").ok();
    net.sg.run("attach nic0 --group g").refuses(&["nic0", "update"]);
    net.sg.run("detach peer0").refuses(&["peer0", "help:"]);
}

/// Several are attached at a time; one that cannot be ends the whole change.
#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn many_interfaces_are_attached_together_or_not_at_all() {
    const LINKS: u8 = 9;
    let net = Net::with_peers(LINKS);
    let _servers: Vec<_> = (0..LINKS)
        .map(|link| services::tcp_echo(&net.host, at(v4(End::Host, link), 7 + u16::from(link))))
        .collect();
    // Each interface has a group of its own, which allows a port of its own.
    let mut policy = String::new();
    for link in 0..LINKS {
        let port = 7 + link;
        policy += &format!(
            "[groups.g{link}]\n[[groups.g{link}.ingress]]\nprotocol = \"tcp\"\nport = {port}\n\
             [interfaces.nic{link}]\ngroups = [\"g{link}\"]\nhook = \"xdp\"\n"
        );
    }
    let foreign = Foreign::attach(&net.host, "nic6", Place::Xdp).unwrap();
    net.sg.run_with("apply --prune -f -", &policy).refuses(&["nic6", "another XDP program"]);
    for link in 0..LINKS {
        nothing_attached(&net, &format!("nic{link}"));
    }
    assert!(net.sg.pins().is_empty(), "left: {:?}", net.sg.pins());
    drop(foreign);

    net.sg.apply(&policy).ok();
    for link in 0..LINKS {
        let served = at(v4(End::Host, link), 7 + u16::from(link));
        assert!(tcp_works(&net.peers[usize::from(link)], served), "nic{link} has another's policy");
    }
    let status = net.sg.status();
    let hooks: Vec<_> =
        list(&status, "interfaces").iter().map(|i| text(i, "device_ingress")).collect();
    assert_eq!(hooks, ["xdp"; LINKS as usize]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_foreign_xdp_program_is_never_replaced() {
    for hook in ["xdp", "xdp-generic"] {
        let net = Net::new();
        let foreign = Foreign::attach(&net.host, "nic0", Place::Xdp).unwrap();
        net.sg.run("group create g").ok();
        net.sg.run(&format!("attach nic0 --group g --hook {hook}")).refuses(&["nic0", "help:"]);
        nothing_attached(&net, "nic0");
        assert_eq!(programs(&net.host, "nic0", Place::Xdp), 1);
        // Where the hook is ours to choose there is another.
        let _server = services::tcp_echo(&net.host, host(7));
        net.sg.run("attach nic0 --group g").ok();
        assert!(!tcp_works(net.peer(), host(7)));
        assert_eq!(programs(&net.host, "nic0", Place::Xdp), 1);
        drop(foreign);
    }
}

/// Generic XDP makes the kernel show the programs behind it frames without their Ethernet header.
#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_foreign_generic_xdp_program_does_not_blind_the_filter_behind_it() {
    let net = Net::new();
    net.host.ip("link set nic0 mtu 9000");
    net.peer().ip("link set peer0 mtu 9000");
    let _foreign = Foreign::attach(&net.host, "nic0", Place::XdpGeneric).unwrap();
    let policy = |rule: &str| {
        format!("[groups.g]\n{rule}[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"tc\"\n")
    };
    // What the second one changes ends the time in which connections are learned.
    net.sg.apply(&policy(""));
    net.sg.apply(&policy(
        "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 7\ndescription = \"7\"\n",
    ));
    let _servers = [host(7), host6(7), host(8)].map(|at| services::tcp_echo(&net.host, at));
    let _outside = [peer(7), peer6(7)].map(|at| services::udp_echo(net.peer(), at));
    for address in [host(7), host6(7)] {
        assert!(tcp_works(net.peer(), address), "{address} is lost");
    }
    assert!(!tcp_works(net.peer(), host(8)), "a denied port answers");
    assert!([peer(7), peer6(7)].iter().all(|at| udp_works(&net.host, *at)), "a reply is lost");

    // Read from 14 bytes behind its beginning, this datagram to a denied port is a SYN to port 7.
    let mut data = vec![0; 2600];
    data[2..4].copy_from_slice(&[9, 9]);
    let syn = frame::tcp(40_000, 7, 2);
    data[6..6 + syn.len()].copy_from_slice(&syn);
    let datagram = frame::udp(0x4000, 64 << 8 | 6, &data);
    let packet = V4::new([8, 0, 0x45, 0].into(), v4(End::Host, 0), protocol::UDP).bytes(&datagram);
    let before = net.sg.stats();
    let wire = Wire::open(net.peer(), "peer0");
    wire.send(&frame::ethernet([2, 0, 0, 0, 0x99, 0x99], frame::IPV4, &packet)).unwrap();
    let denied = |stats: &Stats| stats.reason("nic0", "ingress", "implicit-deny");
    wait::until("the datagram is denied", || denied(&net.sg.stats()) > denied(&before));
    let rule = &net.sg.rules_by_description()["7"];
    assert_eq!(net.sg.stats().rule(rule), before.rule(rule), "the datagram passed as a SYN");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_restore_that_fails_for_one_interface_attaches_the_others_and_fails() {
    let net = Net::with_peers(2);
    let _servers = [0, 1].map(|link| services::tcp_echo(&net.host, at(v4(End::Host, link), 7)));
    net.sg.apply(
        "[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"xdp\"\n\
         [interfaces.nic1]\ngroups = [\"g\"]\n",
    );
    net.sg.lose_pins();
    let foreign = Foreign::attach(&net.host, "nic0", Place::Xdp).unwrap();
    net.sg.run("restore").refuses(&["nic0", "not filtered", "another XDP program", "help:"]);
    assert!(!tcp_works(&net.peers[1], at(v4(End::Host, 1), 7)), "nic1 is open");
    assert_ne!(net.sg.status()["health"], "good");
    drop(foreign);
    net.sg.run("restore").ok();
    assert!(!tcp_works(&net.peers[0], host(7)), "nic0 is open");
    assert_eq!(net.sg.status()["health"], "good");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_old_kernel_is_refused_and_an_older_one_served() {
    let net = Net::new();
    let _server = services::tcp_echo(&net.host, host(7));
    let _outside = services::tcp_echo(net.peer(), peer(7));
    net.sg.run("group create g --no-default-egress").ok();
    net.sg
        .run_env(&[("SG_FAKE_KERNEL", "5.15")], "attach nic0 --group g", None)
        .refuses(&["5.15", "6.1", "help:"]);
    nothing_attached(&net, "nic0");
    // Before TCX there are clsact filters, with the same verdicts and as little left behind.
    let old = [("SG_FAKE_KERNEL", "6.1")];
    let before = net.host.tc("qdisc show dev nic0");
    net.sg.run_env(&old, "attach nic0 --group g --hook tc", None).ok();
    assert!(net.host.tc("qdisc show dev nic0").contains("clsact"));
    assert!(!tcp_works(net.peer(), host(7)) && !tcp_works(&net.host, peer(7)));
    let add = "rule add g ingress --protocol tcp --port 7 --cidr any";
    net.sg.run_env(&old, add, None).ok();
    assert!(tcp_works(net.peer(), host(7)) && !tcp_works(&net.host, peer(7)));
    // Filters are no pins: they outlive them, and give way to what is restored.
    net.sg.lose_pins();
    net.sg.run_env(&old, "restore", None).ok();
    let id = net.sg.run("rule list g -o json").json()["rules"][0]["id"].clone();
    let remove = format!("rule remove {}", id.as_str().unwrap());
    net.sg.run_env(&old, &remove, None).ok();
    assert!(!tcp_works(net.peer(), host(7)), "the filter that was left still judges");
    net.sg.run_env(&old, "detach nic0", None).ok();
    assert_eq!(net.host.tc("qdisc show dev nic0"), before);
    assert!(net.host.tc("filter show dev nic0 ingress").is_empty());
    assert!(tcp_works(&net.host, peer(7)));
    assert!(net.sg.pins().is_empty(), "{:?}", net.sg.pins());
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn without_rights_the_missing_one_is_named_and_files_can_be_checked() {
    let sg = Sg::here();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("sg-ctl");
    std::fs::copy(sg::binary(), &program).unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "[groups.g]\n").unwrap();
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "[groups.g]\nno-such-key = 1\n").unwrap();
    let run = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups", "--"]).arg(&program);
        sg.in_own_places(&mut command);
        command.args(line.split_whitespace());
        sg::answer(command, None)
    };
    let (file, broken) = (file.display(), broken.display());
    for line in [
        "status".to_owned(),
        "status -o json".to_owned(),
        "rule list".to_owned(),
        "rule list -o json".to_owned(),
        format!("plan -f {file}"),
        format!("apply -f {file}"),
        "attach no-such0 --group g".to_owned(),
        "explain nic0 ingress --protocol tcp --source 10.0.0.1 --destination 10.0.0.2:80"
            .to_owned(),
    ] {
        let answer = run(&line).refuses(&["help:"]);
        assert!(
            ["permission", "root", "cap_"].iter().any(|w| answer.stderr.to_lowercase().contains(w)),
            "{line}: {}",
            answer.stderr
        );
    }
    run("--help").ok();
    run(&format!("check -f {file}")).ok();
    run(&format!("check -f {broken}")).refuses(&["broken.toml:2:1", "no-such-key"]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn programs_of_others_neither_end_nor_open_the_filter() {
    let net = Net::new();
    let _server = services::tcp_echo(net.peer(), peer(7));
    net.sg.run("group create g --no-default-egress").ok();
    // Somebody who answers "pass" was there first.
    let first = Foreign::attach(&net.host, "nic0", Place::EgressFirst).unwrap();
    net.sg.run("attach nic0 --group g").ok();
    assert!(!tcp_works(&net.host, peer(7)), "behind a foreign program the filter never runs");
    drop(first);
    let behind = Foreign::attach(&net.host, "nic0", Place::EgressLast).unwrap();
    assert!(!tcp_works(&net.host, peer(7)));
    assert_eq!(text(&net.sg.status(), "health"), "good");
    drop(behind);
    // One that pushes itself in front later is not ours to remove, but to report.
    let _pushed = Foreign::attach(&net.host, "nic0", Place::EgressFirst).unwrap();
    let status = net.sg.status();
    assert_ne!(text(&status, "health"), "good", "{status}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_filter_follows_its_device_through_a_rename() {
    for hook in HOOKS {
        let net = Net::new();
        let _server = services::tcp_echo(&net.host, host(7));
        net.sg.run("group create g").ok();
        net.sg.run(&format!("attach nic0 --group g --hook {hook}")).ok();
        net.host.ip("link set nic0 name lan0");
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: open after the rename");
        let status = net.sg.run("status -o json").json();
        let shown = status.to_string();
        assert!(shown.contains("\"nic0\"") && shown.contains("\"lan0\""), "{hook}: {shown}");
        net.sg.run("rule add g ingress --protocol tcp --port 7 --cidr any").ok();
        assert!(tcp_works(net.peer(), host(7)), "{hook}: a change does not reach it");
        // A stranger takes the name: the policy of the name must not fall on it unasked, nor may
        // the old device lose it.
        let other = Namespace::create();
        net.link(&other, 1, "nic0", "peer1");
        let _other = services::tcp_echo(&net.host, at(v4(End::Host, 1), 8));
        assert!(tcp_works(&other, at(v4(End::Host, 1), 8)), "{hook}");
        assert!(!tcp_works(net.peer(), host(8)), "{hook}");
        net.host.ip("link del nic0");
        net.sg.run("detach nic0").ok();
        assert_eq!(programs(&net.host, "lan0", Place::EgressFirst), 0, "{hook}");
        assert!(net.sg.pins().is_empty(), "{hook}: {:?}", net.sg.pins());
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_index_used_again_inherits_nothing() {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.run("group create g").ok();
        net.sg.run(&format!("attach nic0 --group g --hook {hook}")).ok();
        let index = net.host.index("nic0");
        net.host.ip("link del nic0");
        net.host.ip(&format!(
            "link add other0 index {index} type veth peer name peer9 netns {}",
            net.peer().name()
        ));
        for (namespace, name, end) in
            [(&net.host, "other0", End::Host), (net.peer(), "peer9", End::Peer)]
        {
            namespace.ip(&format!("address add {}/24 dev {name}", v4(end, 0)));
            namespace.ip(&format!("link set {name} up"));
        }
        assert_eq!(net.host.index("other0"), index);
        let _server = services::udp_echo(&net.host, host(7));
        assert!(udp_works(net.peer(), host(7)), "{hook}: the new device is filtered");
        let status = net.sg.run("status -o json").json();
        assert_ne!(text(&status, "health"), "good", "{hook}: {status}");
        // Nor after the next write, nor after a restore.
        net.sg.run("group create h").ok();
        net.sg.run("restore").ok();
        assert!(udp_works(net.peer(), host(7)), "{hook}: the new device is filtered");
        net.sg.run("detach nic0").ok();
        assert!(net.sg.pins().is_empty(), "{hook}: {:?}", net.sg.pins());
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_device_that_comes_back_is_filtered_again_by_restore() {
    let net = Net::new();
    net.sg.run("group create g").ok();
    net.sg.run("attach nic0 --group g").ok();
    net.host.ip("link del nic0");
    net.link(net.peer(), 0, "nic0", "peer0");
    let _server = services::udp_echo(&net.host, host(7));
    net.sg.run("restore nic0").ok();
    assert!(!udp_works(net.peer(), host(7)));
    assert_eq!(text(&net.sg.status(), "health"), "good");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn equal_indexes_in_two_namespaces_have_their_own_policies() {
    let nets = [Net::new(), Net::new()];
    assert_eq!(nets[0].host.index("nic0"), nets[1].host.index("nic0"));
    for (net, port) in nets.iter().zip([7, 8]) {
        net.sg.run("group create g").ok();
        net.sg.run("attach nic0 --group g").ok();
        net.sg.run(&format!("rule add g ingress --protocol udp --port {port} --cidr any")).ok();
    }
    for (net, expected) in nets.iter().zip([[true, false], [false, true]]) {
        let _servers = [7, 8].map(|port| services::udp_echo(&net.host, host(port)));
        assert_eq!([7, 8].map(|port| udp_works(net.peer(), host(port))), expected);
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn the_mtu_stays_free_and_large_frames_are_judged() {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.apply(&format!(
            "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n\
             [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 9\n\
             [interfaces.nic0]\ngroups = [\"g\"]\nhook = \"{hook}\"\n"
        ));
        net.host.ip("link set nic0 mtu 9000");
        net.peer().ip("link set peer0 mtu 9000");
        let receivers = [7, 8].map(|port| {
            let socket = net.host.run(|| UdpSocket::bind(host(port))).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        let sender = net.peer().run(|| UdpSocket::bind(peer(0))).unwrap();
        let large = vec![7; 8_900];
        for port in [8, 7] {
            sender.send_to(&large, host(port)).unwrap();
        }
        let mut buffer = vec![0; 9_000];
        sg_tests::wait::until("the large datagram arrives", || {
            receivers[0].recv(&mut buffer).is_ok_and(|count| count == large.len())
        });
        assert!(receivers[1].recv(&mut buffer).is_err(), "{hook}: to a denied port");
        let (sent, received) = services::transfer(net.peer(), &net.host, host(9), 4 << 20);
        assert_eq!(sent, received, "{hook}");
    }
    // A device whose MTU is large already.
    let net = Net::new();
    net.host.ip("link set nic0 mtu 9000");
    net.sg.run("group create g").ok();
    net.sg.run("attach nic0 --group g --hook xdp").ok();
}

/// Runs a command line below a shell that has an `SSH_CONNECTION`, without having it itself, as
/// under sudo.
fn under_ssh(net: &Net, connection: &str, line: &str) -> sg::Answer {
    let mut own = net.sg.command();
    own.args(line.split_whitespace());
    let mut command = Command::new("sh");
    command.args(["-c", "env -u SSH_CONNECTION \"$@\"; exit $?", "sh"]);
    command.arg(own.get_program()).args(own.get_args());
    command.env("SSH_CONNECTION", connection);
    sg::answer(command, None)
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn the_operators_own_connection_is_not_cut_unasked() {
    let net = Net::new();
    let _server = services::tcp_echo(&net.host, host(22));
    let mut stream = connect(net.peer(), host(22)).unwrap();
    let client = stream.local_addr().unwrap();
    let connection = format!("{} {} 10.1.0.1 22", client.ip(), client.port());
    net.sg.run("group create g --no-default-egress").ok();

    under_ssh(&net, &connection, "attach nic0 --group g").refuses(&["ssh", "--force"]);
    nothing_attached(&net, "nic0");
    services::echo(&mut stream, "still here").unwrap();

    let id = net.sg.run("rule add g ingress --protocol tcp --port 22 --cidr 10.1.0.2/32").ok();
    under_ssh(&net, &connection, "attach nic0 --group g").ok();
    services::echo(&mut stream, "through the filter").unwrap();

    let id = id.stdout.trim().to_owned();
    under_ssh(&net, &connection, &format!("rule remove {id}")).refuses(&["ssh", "--force"]);
    // Someone else's connection does not count.
    under_ssh(&net, "192.0.2.1 50000 192.0.2.2 22", "group create h").ok();
    services::echo(&mut stream, "still here").unwrap();
    under_ssh(&net, &connection, &format!("rule remove {id} --force")).ok();
    assert!(services::echo(&mut stream, "cut").is_err());
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn pins_that_would_vanish_with_the_command_are_refused() {
    let net = Net::new();
    let own = Sg::here();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", net.host.name()]).arg(sg::binary());
    own.in_own_places(&mut command);
    command.args(["attach", "nic0"]);
    sg::answer(command, None).refuses(&["--netns"]);
    nothing_attached(&net, "nic0");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn both_families_apply_where_one_is_switched_off() {
    let net = Net::new();
    net.host.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    let _server = services::tcp_echo(&net.host, host(7));
    net.sg.apply(
        "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 7\ncidr = [\"::/0\", \"10.0.0.0/8\"]\n\
         [interfaces.nic0]\ngroups = [\"g\"]\n",
    );
    assert!(tcp_works(net.peer(), host(7)));
}
