//! Real clients and servers through an attached filter.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use sg_tests::foreign::{Place, programs};
use sg_tests::frame::{self, V4, protocol};
use sg_tests::net::{End, Net, at, host, host6, peer, peer6, v4, v6};
use sg_tests::report::{number, text};
use sg_tests::services::{self, connect, echo, is_timeout, tcp_works, udp_works};
use sg_tests::tun::Tun;
use sg_tests::{HOOKS, ping, wait};

/// A policy of one group `g` on `nic0`.
fn one_group(hook: &str, rules: &str) -> String {
    format!("[groups.g]\n{rules}\n[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"{hook}\"\n")
}

/// An allow rule of `[groups.g]`.
fn allow(direction: &str, protocol: &str, rest: &str) -> String {
    format!("[[groups.g.{direction}]]\nprotocol = \"{protocol}\"\n{rest}\n")
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn allowed_services_work_and_others_do_not() {
    for hook in HOOKS.into_iter().chain(["auto"]) {
        let net = Net::new();
        let rules = [
            allow("ingress", "tcp", "port = [80, 9]"),
            allow("ingress", "udp", "port = 7"),
            allow("ingress", "icmp", "icmp-type = 8"),
            allow("ingress", "icmpv6", "icmp-type = 128"),
        ]
        .concat();
        net.sg.apply(&one_group(hook, &rules));
        let _servers = (
            [host(80), host6(80), host(81)].map(|at| services::http(&net.host, at, "it works")),
            [host(7), host6(7), host(8)].map(|at| services::udp_echo(&net.host, at)),
            [peer(7), peer6(7)].map(|at| services::tcp_echo(net.peer(), at)),
            [peer(7), peer6(7)].map(|at| services::udp_echo(net.peer(), at)),
        );
        for address in [host(80), host6(80)] {
            assert_eq!(services::http_get(net.peer(), address).unwrap(), "it works", "{hook}");
        }
        assert!(services::http_get(net.peer(), host(81)).is_err(), "{hook}: a denied port answers");
        assert!(udp_works(net.peer(), host(7)), "{hook}: UDP");
        assert!(udp_works(net.peer(), host6(7)), "{hook}: UDP over IPv6");
        assert!(!udp_works(net.peer(), host(8)), "{hook}: a denied UDP port answers");
        assert!(ping::answers(net.peer(), v4(End::Host, 0)), "{hook}: ping");
        assert!(ping::answers(net.peer(), v6(End::Host, 0)), "{hook}: ping over IPv6");
        // The default egress rule, and replies by connection.
        for address in [peer(7), peer6(7)] {
            assert!(tcp_works(&net.host, address), "{hook}: outgoing TCP");
            assert!(udp_works(&net.host, address), "{hook}: outgoing UDP");
            assert!(ping::answers(&net.host, address.ip()), "{hook}: outgoing ping");
        }
        for (from, to, address) in
            [(net.peer(), &net.host, host(9)), (&net.host, net.peer(), peer(9))]
        {
            let (sent, received) = services::transfer(from, to, address, 16 << 20);
            assert_eq!(sent, received, "{hook}: the bytes of a large transfer");
        }
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_interface_without_groups_lets_nothing_through() {
    for hook in HOOKS {
        let net = Net::new();
        let _servers =
            (services::tcp_echo(&net.host, host(7)), services::tcp_echo(net.peer(), peer(7)));
        net.sg.run(&format!("attach nic0 --hook {hook}")).ok();
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: in");
        assert!(!tcp_works(&net.host, peer(7)), "{hook}: out");
        assert!(!ping::answers(net.peer(), v6(End::Host, 0)), "{hook}: ping over IPv6");
        // The neighbour is known all the same: address resolution always passes.
        let neighbours = net.peer().ip("neighbour show");
        assert!(neighbours.contains("02:00:00:00:00:01"), "{hook}: {neighbours}");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn groups_of_an_interface_add_up_and_change_live() {
    for hook in HOOKS {
        let net = Net::new();
        let _servers = [7, 70, 700].map(|port| services::tcp_echo(&net.host, host(port)));
        let works = |port| tcp_works(net.peer(), host(port));
        for (group, ports) in [("a", &[7, 70][..]), ("b", &[70, 700])] {
            net.sg.run(&format!("group create {group}")).ok();
            for port in ports {
                net.sg
                    .run(&format!(
                        "rule add {group} ingress --protocol tcp --port {port} --cidr any"
                    ))
                    .ok();
            }
        }
        net.sg.run(&format!("attach nic0 --group a --hook {hook}")).ok();
        let mut stream = connect(net.peer(), host(7)).unwrap();
        assert_eq!([7, 70, 700].map(works), [true, true, false], "{hook}: a");
        net.sg.run("update nic0 --add-group b").ok();
        assert_eq!([7, 70, 700].map(works), [true; 3], "{hook}: a and b");
        echo(&mut stream, "still here").unwrap();
        // Both groups had the rule for 70; b's remains.
        net.sg.run("update nic0 --remove-group a").ok();
        assert_eq!([7, 70, 700].map(works), [false, true, true], "{hook}: b");
        net.sg.run("update nic0 --groups a").ok();
        assert_eq!([7, 70, 700].map(works), [true, true, false], "{hook}: a again");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn rules_added_and_removed_act_at_once() {
    let net = Net::new();
    let _server = services::udp_echo(&net.host, host(7));
    net.sg.run("group create g").ok();
    net.sg.run("attach nic0 --group g").ok();
    for _ in 0..5 {
        assert!(!udp_works(net.peer(), host(7)));
        let id = net.sg.run("rule add g ingress --protocol udp --port 7 --cidr any").ok();
        assert!(udp_works(net.peer(), host(7)));
        net.sg.run(&format!("rule remove {}", id.stdout.trim())).ok();
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn prefix_lists_as_peers_follow_their_entries() {
    for hook in HOOKS {
        let net = Net::with_peers(1);
        let _servers = [host(7), host6(7)].map(|at| services::tcp_echo(&net.host, at));
        let works = || [host(7), host6(7)].map(|address| tcp_works(net.peer(), address));
        let rules = allow("ingress", "tcp", "port = 7\nprefix-list = \"office\"");
        net.sg.apply(&format!("[prefix-lists.office]\nentries = []\n{}", one_group(hook, &rules)));
        assert_eq!(works(), [false; 2], "{hook}: an empty list matches nothing");
        net.sg.run("prefix-list add office 10.1.0.0/24").ok();
        assert_eq!(works(), [true, false], "{hook}");
        net.sg.run("prefix-list add office 2001:db8:1::/48").ok();
        assert_eq!(works(), [true; 2], "{hook}");
        let list = net.sg.file("list.txt", "10.2.0.0/16 # another office\n\n; old\n2001:DB8:1::2");
        net.sg.run_args(&["prefix-list", "set", "office", "--file", list.to_str().unwrap()]).ok();
        assert_eq!(works(), [false, true], "{hook}");
        net.sg.run("prefix-list remove office 2001:db8:1:0::2/128").ok();
        assert_eq!(works(), [false; 2], "{hook}");
    }
}

/// Three guests behind one host that forwards between them.
fn three_guests() -> Net {
    let net = Net::with_peers(3);
    net.host.sysctl("net/ipv4/ip_forward", "1");
    for (link, guest) in net.peers.iter().enumerate() {
        guest.ip(&format!("route add default via {}", v4(End::Host, link as u8)));
    }
    net
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn groups_as_peers_mean_all_their_members() {
    for hook in HOOKS {
        let net = three_guests();
        let database = SocketAddr::from((v4(End::Peer, 0), 5432));
        let _server = services::tcp_echo(&net.peers[0], database);
        let works = || [1, 2].map(|guest: usize| tcp_works(&net.peers[guest], database));
        net.sg.apply(&format!(
            "[groups.web]\n[groups.db]\n[[groups.db.ingress]]\nprotocol = \"tcp\"\nport = 5432\n\
             group = \"web\"\n\
             [interfaces.nic0]\nside = \"guest\"\nhook = \"{hook}\"\ngroups = [\"db\"]\n\
             addresses = [\"10.1.0.2\"]\n\
             [interfaces.nic1]\nside = \"guest\"\nhook = \"{hook}\"\ngroups = [\"web\"]\n\
             addresses = [\"10.1.1.2\"]\n\
             [interfaces.nic2]\nside = \"guest\"\nhook = \"{hook}\"\ngroups = [\"web\"]\n\
             addresses = [\"10.1.2.2\"]\n",
        ));
        assert_eq!(works(), [true, true], "{hook}: every member");
        net.sg.run("update nic2 --groups db").ok();
        assert_eq!(works(), [true, false], "{hook}: one left");
        // A member that is no interface of this host.
        let policy = net.sg.run("export").ok().stdout;
        let changed = policy.replace("[groups.web]", "[groups.web]\nmembers = [\"10.1.2.2\"]");
        assert_ne!(policy, changed);
        net.sg.apply(&changed);
        assert_eq!(works(), [true, true], "{hook}: a static member");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn members_follow_the_addresses_of_interfaces_at_refresh() {
    let net = Net::with_peers(2);
    net.sg.apply(
        "[groups.own]\n[groups.g]\n[[groups.g.ingress]]\nprotocol = \"tcp\"\ngroup = \"own\"\n\
         [interfaces.nic0]\ngroups = [\"g\"]\n[interfaces.nic1]\ngroups = [\"own\"]\n",
    );
    let allowed = |source: &str| {
        let line = format!(
            "explain nic0 ingress --protocol tcp --source {source} --destination 10.1.0.1:80 \
             --exit-code"
        );
        match net.sg.run(&line).code {
            Some(0) => true,
            Some(3) => false,
            other => panic!("explain ended with {other:?}"),
        }
    };
    assert!(allowed("10.1.1.1:9") && !allowed("10.1.1.99:9"));
    // The first address of a subnet takes the others along when it goes.
    net.host.ip("address del 10.1.1.1/24 dev nic1");
    net.host.ip("address add 10.1.1.99/24 dev nic1");
    net.sg.run("refresh").ok();
    assert!(allowed("10.1.1.99:9") && !allowed("10.1.1.1:9"));
    assert!(!allowed("127.0.0.1:9"), "loopback is no member");
    // Every write refreshes too.
    net.host.ip("address add 10.1.1.98/24 dev nic1");
    net.sg.run("group create other").ok();
    assert!(allowed("10.1.1.98:9"));
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn denies_beat_allows_of_their_priority() {
    for hook in HOOKS {
        let net = Net::new();
        let _server = services::tcp_echo(&net.host, host(7));
        net.sg.run("group create g").ok();
        net.sg.run(&format!("attach nic0 --group g --hook {hook}")).ok();
        let add = |rest: &str| {
            let line = format!("rule add g ingress --protocol tcp --port 7 {rest}");
            net.sg.run(&line).ok().stdout.trim().to_owned()
        };
        add("--cidr 10.1.0.2/32");
        assert!(tcp_works(net.peer(), host(7)), "{hook}: allowed");
        let deny = add("--cidr 10.0.0.0/8 --deny");
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: a wider deny of equal priority");
        add("--cidr 10.1.0.0/16 --priority 999");
        assert!(tcp_works(net.peer(), host(7)), "{hook}: an allow of a lower number");
        net.sg.run(&format!("rule modify {deny} --priority 5")).ok();
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: the deny of a still lower number");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn egress_is_open_until_the_policy_says_otherwise() {
    for hook in HOOKS {
        let net = Net::new();
        let _servers = [7, 8].map(|port| services::tcp_echo(net.peer(), peer(port)));
        let works = || [7, 8].map(|port| tcp_works(&net.host, peer(port)));
        net.sg.apply(&one_group(hook, "ingress = []"));
        assert_eq!(works(), [true, true], "{hook}: by default");
        net.sg.apply(&one_group(hook, "egress = []"));
        assert_eq!(works(), [false, false], "{hook}: an empty list");
        net.sg.apply(&one_group(hook, &allow("egress", "tcp", "port = 7")));
        assert_eq!(works(), [true, false], "{hook}: an allow rule");
        net.sg.apply(&one_group(hook, &allow("egress", "tcp", "port = 7\naction = \"deny\"")));
        assert_eq!(works(), [false, true], "{hook}: only a deny rule");
        let forced = format!("default-egress = true\n{}", allow("egress", "tcp", "port = 7"));
        net.sg.apply(&one_group(hook, &forced));
        assert_eq!(works(), [true, true], "{hook}: asked for");
    }
}

/// What still comes through a connection: bytes sent by `from` that arrive at `to`.
fn arrives(
    from: &mut std::net::TcpStream,
    to: &mut std::net::TcpStream,
    text: &str,
    denied: impl Fn() -> u64,
) -> bool {
    let before = denied();
    from.write_all(text.as_bytes()).unwrap();
    to.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 64];
    let mut arrived = None;
    // Either it comes, or the filter has dropped it and at least one repetition.
    wait::until("it arrives or is dropped twice", || {
        match to.read(&mut buffer) {
            Ok(count) => arrived = Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => panic!("{error}"),
        }
        arrived.is_some() || denied() >= before + 2
    });
    arrived.is_some_and(|arrived| arrived == text)
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_rule_removed_under_a_live_connection_stalls_it() {
    // Who opens the connection, whether egress is open besides, and which way is then denied.
    for hook in HOOKS {
        for (opener, open_egress) in [("peer", false), ("peer", true), ("host", false)] {
            let context = format!("{hook}, opened by {opener}, egress open: {open_egress}");
            let net = Net::new();
            let direction = if opener == "peer" { "ingress" } else { "egress" };
            let egress = if open_egress { "default-egress = true" } else { "egress = []" };
            net.sg.apply(&one_group(hook, egress));
            let id = net
                .sg
                .run(&format!("rule add g {direction} --protocol tcp --port 7 --cidr any"))
                .ok()
                .stdout;
            let (client, server, address) = if opener == "peer" {
                (net.peer(), &net.host, host(7))
            } else {
                (&net.host, net.peer(), peer(7))
            };
            let listener = server.run(|| TcpListener::bind(address)).unwrap();
            let mut near = connect(client, address).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            let nothing = || 0;
            assert!(arrives(&mut near, &mut far, "before", nothing), "{context}");
            assert!(arrives(&mut far, &mut near, "back", nothing), "{context}");

            net.sg.run(&format!("rule remove {}", id.trim())).ok();
            let dropped = || {
                let stats = net.sg.stats();
                ["implicit-deny", "no-such-connection"]
                    .iter()
                    .map(|reason| stats.reason("nic0", direction, reason))
                    .sum()
            };
            assert!(!arrives(&mut near, &mut far, "after", dropped), "{context}: it went on");
            if !open_egress {
                let dropped = || {
                    let stats = net.sg.stats();
                    ["ingress", "egress"]
                        .iter()
                        .flat_map(|way| {
                            ["implicit-deny", "no-such-connection"]
                                .map(|reason| stats.reason("nic0", way, reason))
                        })
                        .sum()
                };
                assert!(!arrives(&mut far, &mut near, "reply", dropped), "{context}: replies");
            }
            // It was stalled, not cut: with the rule back, what was sent arrives.
            net.sg.run(&format!("rule add g {direction} --protocol tcp --port 7 --cidr any")).ok();
            let mut text: Vec<u8> = Vec::new();
            let mut buffer = [0; 16];
            wait::until("the connection goes on", || {
                if let Ok(count) = far.read(&mut buffer) {
                    text.extend(&buffer[..count]);
                }
                text == b"after"
            });
        }
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn connections_older_than_the_filter_live_on() {
    for hook in HOOKS {
        let net = Net::new();
        let _servers = (
            [host(7), host6(7)].map(|at| services::tcp_echo(&net.host, at)),
            [peer(7), peer6(7)].map(|at| services::tcp_echo(net.peer(), at)),
            services::udp_echo(net.peer(), peer(7)),
        );
        let mut streams: Vec<_> = [host(7), host6(7)]
            .map(|address| connect(net.peer(), address).unwrap())
            .into_iter()
            .chain([peer(7), peer6(7)].map(|address| connect(&net.host, address).unwrap()))
            .collect();
        let datagrams = net.host.run(|| UdpSocket::bind(host(0))).unwrap();
        datagrams.connect(peer(7)).unwrap();
        // What the peer opened is allowed in, what the host opened is allowed out, and nothing
        // else: replies of all four need entries from before.
        let rules = [
            allow("ingress", "tcp", "port = 7"),
            allow("egress", "tcp", "port = 7"),
            allow("egress", "udp", "port = 7"),
        ]
        .concat();
        net.sg.apply(&one_group(hook, &rules));
        for stream in &mut streams {
            echo(stream, "still here").unwrap_or_else(|error| {
                panic!("{hook}: {:?} to {:?}: {error}", stream.local_addr(), stream.peer_addr())
            });
        }
        assert!(services::udp_asks(&datagrams, peer(7)), "{hook}: a connected UDP socket");
        // And closing one direction that was open does not cut what the other opened.
        net.sg.apply(&one_group(hook, "default-egress = true\ningress = [{ protocol = \"all\" }]"));
        let mut stream = connect(&net.host, peer(7)).unwrap();
        net.sg.apply(&one_group(hook, "default-egress = true\ningress = []"));
        echo(&mut stream, "still here").unwrap();
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn forwarded_connections_older_than_the_filter_are_learned() {
    for hook in HOOKS {
        let net = three_guests();
        let address = SocketAddr::from((v4(End::Peer, 0), 7));
        let outside = SocketAddr::from((v4(End::Peer, 1), 7));
        let _servers =
            [(0, address), (1, outside)].map(|(i, at)| services::tcp_echo(&net.peers[i], at));
        let mut inward = connect(&net.peers[1], address).unwrap();
        let mut outward = connect(&net.peers[0], outside).unwrap();
        let rules = [allow("ingress", "tcp", "port = 7"), allow("egress", "tcp", "port = 7")];
        net.sg.apply(&format!(
            "{}side = \"guest\"\naddresses = [\"10.1.0.2\"]\n",
            one_group(hook, &rules.concat())
        ));
        echo(&mut inward, "opened by the outside").unwrap();
        echo(&mut outward, "opened by the guest").unwrap();
        assert!(!tcp_works(&net.peers[1], SocketAddr::new(address.ip(), 8)), "{hook}");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn monitor_mode_lets_all_pass_and_says_what_it_would_drop() {
    for hook in HOOKS {
        let net = Net::new();
        let _servers = [7, 8, 9].map(|port| services::udp_echo(&net.host, host(port)));
        let rules = [
            allow("ingress", "udp", "port = 7\ndescription = \"allowed\""),
            allow("ingress", "udp", "port = 9\naction = \"deny\"\ndescription = \"denied\""),
        ]
        .concat();
        net.sg.apply(&one_group(hook, &rules));
        assert_eq!([7, 8, 9].map(|port| udp_works(net.peer(), host(port))), [true, false, false]);
        net.sg.run("update nic0 --mode monitor").ok();
        let before = net.sg.stats();
        assert_eq!([7, 8, 9].map(|port| udp_works(net.peer(), host(port))), [true; 3], "{hook}");
        let after = net.sg.stats();
        let ids = net.sg.rules_by_description();
        let would = |reason| {
            after.would("nic0", "ingress", reason) - before.would("nic0", "ingress", reason)
        };
        assert_eq!(would("implicit-deny"), 1, "{hook}");
        assert_eq!(would("deny-rule"), 1, "{hook}");
        assert_eq!(after.rule_would_deny(&ids["denied"]), 1, "{hook}");
        for reason in ["implicit-deny", "deny-rule"] {
            assert_eq!(
                after.reason("nic0", "ingress", reason),
                before.reason("nic0", "ingress", reason),
                "{hook}: nothing was dropped"
            );
        }
        let line = "explain nic0 ingress --protocol udp --source 10.1.0.2:9 \
                    --destination 10.1.0.1:8 --exit-code -o json";
        let explained = net.sg.run(line).exits(3).json();
        assert_eq!(text(&explained, "mode"), "monitor");
        // What monitor mode let through is no connection once enforced.
        let socket = net.peer().run(|| UdpSocket::bind(peer(0))).unwrap();
        assert!(services::udp_asks(&socket, host(8)));
        net.sg.run("update nic0 --mode enforce").ok();
        assert!(!services::udp_asks(&socket, host(8)), "{hook}");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_guest_is_protected_and_held_to_its_rules() {
    for hook in HOOKS {
        let net = Net::new();
        // The namespace behind the interface is the guest; the host is its outside.
        let _servers = (
            [80, 81].map(|port| services::tcp_echo(net.peer(), peer(port))),
            [7, 25].map(|port| services::tcp_echo(&net.host, host(port))),
        );
        let rules = [
            allow("ingress", "tcp", "port = 80"),
            allow("egress", "tcp", "port = 25\naction = \"deny\""),
        ]
        .concat();
        net.sg.apply(&format!(
            "{}side = \"guest\"\naddresses = [\"10.1.0.2\"]\n",
            one_group(hook, &rules)
        ));
        let inward = [80, 81].map(|port| tcp_works(&net.host, peer(port)));
        assert_eq!(inward, [true, false], "{hook}: to the guest");
        let outward = [7, 25].map(|port| tcp_works(net.peer(), host(port)));
        assert_eq!(outward, [true, false], "{hook}: from the guest");
        let ids = net.sg.run("rule list -o json").ok();
        assert!(ids.stdout.contains("sgr-"));
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn interfaces_without_ethernet_are_filtered() {
    let net = Net::new();
    let tun = Tun::create(&net.host, "tun0");
    net.host.ip("address add 10.9.0.1/24 dev tun0");
    net.host.ip("address add 2001:db8:9::1/64 dev tun0 nodad");
    net.host.ip("link set tun0 up");
    let (local, remote) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
    net.sg.apply(
        "[groups.g]\n[[groups.g.ingress]]\nprotocol = \"icmp\"\nicmp-type = 8\n\
         [[groups.g.egress]]\nprotocol = \"udp\"\nport = 7\naction = \"deny\"\n\
         [interfaces.tun0]\ngroups = [\"g\"]\n",
    );
    let answered = |payload: &[u8], number, answer: &dyn Fn(&[u8]) -> bool| {
        tun.send(&V4::new(remote, local, number).bytes(payload));
        // An echo behind it is answered behind it.
        tun.send(&V4::new(remote, local, protocol::ICMP).bytes(&frame::icmp(8, 0, 999, b"")));
        let mut seen = false;
        wait::until("the echo reply", || {
            let Some(packet) = tun.receive(Duration::from_secs(5)) else { return false };
            let echo = packet[0] >> 4 == 4 && packet[9] == protocol::ICMP && packet[20] == 0;
            let last = echo && packet[24..26] == 999_u16.to_be_bytes();
            seen |= !last && packet[0] >> 4 == 4 && answer(&packet);
            last
        });
        seen
    };
    let reply = |packet: &[u8]| packet[9] == protocol::ICMP && packet[20] == 0;
    assert!(answered(&frame::icmp(8, 0, 7, b"hello"), protocol::ICMP, &reply));
    // A closed port would answer with a reset.
    let reset = |packet: &[u8]| packet[9] == protocol::TCP;
    let syn = frame::tcp(9, 80, frame::flag::SYN);
    assert!(!answered(&syn, protocol::TCP, &reset));
    net.sg.run("rule add g ingress --protocol tcp --port 80 --cidr 10.9.0.2/32").ok();
    assert!(answered(&syn, protocol::TCP, &reset));
    // Egress: the kernel's datagrams to a denied port do not come out.
    let socket = net.host.run(|| UdpSocket::bind(at(local, 0))).unwrap();
    for (port, passes) in [(7, false), (8, true)] {
        socket.send_to(b"out", at(remote, port)).unwrap();
        let datagram = |packet: &[u8]| packet[9] == protocol::UDP;
        let came = answered(&frame::icmp(8, 0, 7, b"hello"), protocol::ICMP, &datagram);
        assert_eq!(came, passes, "port {port}");
    }
    net.sg.run("update tun0 --hook xdp").refuses(&["tun0", "help:"]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn detach_leaves_nothing_behind() {
    for hook in HOOKS {
        let net = Net::with_peers(2);
        let before = (net.host.tc("qdisc show"), net.host.ip("-o link show"));
        net.sg.run("group create g").ok();
        for name in ["nic0", "nic1"] {
            net.sg.run(&format!("attach {name} --group g --hook {hook}")).ok();
        }
        assert!(!net.sg.pins().is_empty());
        net.sg.run("detach nic1").ok();
        let _server = services::tcp_echo(&net.host, host(7));
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: nic0 is still filtered");
        net.sg.run("detach nic0").ok();
        assert!(tcp_works(net.peer(), host(7)), "{hook}: open again");
        assert_eq!(net.sg.pins(), Vec::<std::path::PathBuf>::new(), "{hook}: pins");
        let after = (net.host.tc("qdisc show"), net.host.ip("-o link show"));
        assert_eq!(before, after, "{hook}: devices and qdiscs");
        for place in [Place::Xdp, Place::IngressFirst, Place::EgressFirst] {
            assert_eq!(programs(&net.host, "nic0", place), 0, "{hook}: {place:?}");
        }
        assert_eq!(number(&net.sg.status(), "rules"), 1, "{hook}: the group is still there");
        net.sg.run("attach nic0 --group g").ok();
        assert!(!tcp_works(net.peer(), host(7)), "{hook}: attached again");
    }
}
