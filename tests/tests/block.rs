//! Blocks: nothing comes from a blocked peer and nothing goes to it, whatever the rules say.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, UdpSocket};

use serde_json::Value;
use sg_tests::net::{End, Net, at, host, host6, peer, peer6, v4, v6};
use sg_tests::report::{list, number, text};
use sg_tests::services::{
    self, PATIENCE, connect, echo, is_timeout, tcp_works, udp_asks, udp_works,
};
use sg_tests::{HOOKS, ping, wait};

/// A policy that lets everything in and out of `nic0`.
fn open(hook: &str) -> String {
    format!("[[groups.g.ingress]]\n[interfaces.nic0]\ngroups = [\"g\"]\nhook = \"{hook}\"\n")
}

/// Packets that the block of a list, or that of the addresses, dropped in a direction.
fn dropped(net: &Net, prefix_list: Option<&str>, direction: &str) -> u64 {
    let answer = net.sg.run("block -o json").ok().json();
    let block = list(&answer, "blocks").iter().find(|block| {
        block["prefix_list"].as_str() == prefix_list && text(block, "direction") == direction
    });
    number(block.unwrap_or_else(|| panic!("no such block in {answer}")), "packets")
}

/// What is blocked, without counters.
fn blocked(net: &Net) -> (Vec<String>, Vec<String>) {
    let answer = net.sg.run("block -o json").ok().json();
    let texts =
        |values: &[Value]| values.iter().filter_map(Value::as_str).map(Into::into).collect();
    let lists = list(&answer, "blocks").iter().filter(|b| text(b, "direction") == "ingress");
    let lists: Vec<Value> = lists.map(|block| block["prefix_list"].clone()).collect();
    (texts(list(&answer, "entries")), texts(&lists))
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn nothing_passes_either_way_and_open_connections_are_cut() {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.apply(&open(hook));
        let _servers = (
            [host(7), host6(7)].map(|at| services::tcp_echo(&net.host, at)),
            [host(7), host6(7)].map(|at| services::udp_echo(&net.host, at)),
            [peer(7), peer6(7)].map(|at| services::tcp_echo(net.peer(), at)),
            [peer(7), peer6(7)].map(|at| services::udp_echo(net.peer(), at)),
        );
        let ways = [
            (net.peer(), host(7)),
            (net.peer(), host6(7)),
            (&net.host, peer(7)),
            (&net.host, peer6(7)),
        ];
        let mut streams = ways.map(|(from, to)| connect(from, to).unwrap());
        let sockets = ways.map(|(from, to)| {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            (from.run(|| UdpSocket::bind(any)).unwrap(), to)
        });
        assert!(streams.iter_mut().all(|stream| echo(stream, "open").is_ok()), "{hook}");
        assert!(sockets.iter().all(|(socket, to)| udp_asks(socket, *to)), "{hook}");

        net.sg.run_args(&["block", &v4(End::Peer, 0).to_string(), "2001:db8:1::/64"]).ok();
        // Each of these waits for what does not come.
        std::thread::scope(|scope| {
            for stream in &mut streams {
                scope.spawn(|| {
                    let error = echo(stream, "cut").unwrap_err();
                    assert!(is_timeout(&error), "{hook}: {error}");
                });
            }
            for (socket, to) in &sockets {
                scope.spawn(move || assert!(!udp_asks(socket, *to), "{hook}: UDP to {to}"));
            }
            for (from, to) in ways {
                scope.spawn(move || assert!(!tcp_works(from, to), "{hook}: TCP to {to}"));
                scope.spawn(move || assert!(!udp_works(from, to), "{hook}: new UDP to {to}"));
                scope.spawn(move || assert!(!ping::answers(from, to.ip()), "{hook}: ping of {to}"));
            }
        });
        for direction in ["ingress", "egress"] {
            assert!(dropped(&net, None, direction) > 0, "{hook}: {direction}");
        }
        // Neighbours are found all the same.
        net.peer().ip("neighbour flush dev peer0");
        assert!(!ping::answers(net.peer(), v4(End::Host, 0)) && !udp_works(net.peer(), host6(7)));
        let neighbours = net.peer().ip("neighbour show");
        assert_eq!(neighbours.matches("02:00:00:00:00:01").count(), 2, "{hook}: {neighbours}");

        net.sg.run_args(&["unblock", "10.1.0.2", "2001:db8:1::/64"]).ok();
        for (from, to) in ways {
            assert!(tcp_works(from, to) && udp_works(from, to), "{hook}: {to}");
            assert!(ping::answers(from, to.ip()), "{hook}: ping of {to}");
        }
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn answers_to_the_hosts_own_connections_are_cut_and_others_are_not() {
    let net = Net::with_peers(2);
    net.sg.apply(
        "[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\n[interfaces.nic1]\ngroups = [\"g\"]\n",
    );
    let _other = services::tcp_echo(&net.peers[1], at(v4(End::Peer, 1), 7));
    let listener = net.peer().run(|| TcpListener::bind(peer(7))).unwrap();
    let mut own = connect(&net.host, peer(7)).unwrap();
    let (mut answering, _) = listener.accept().unwrap();
    let mut other = connect(&net.host, at(v4(End::Peer, 1), 7)).unwrap();
    let mut byte = [0];
    answering.write_all(b"1").unwrap();
    own.read_exact(&mut byte).unwrap();

    net.sg.run("block 10.1.0.2").ok();
    // Only the answering side sends.
    answering.write_all(b"2").unwrap();
    assert!(is_timeout(&own.read_exact(&mut byte).unwrap_err()));
    assert!(dropped(&net, None, "ingress") > 0);
    echo(&mut other, "another peer").unwrap();
    // The rules decide again: what was sent meanwhile is sent once more.
    net.sg.run("unblock --all").ok();
    own.set_read_timeout(Some(PATIENCE * 20)).unwrap();
    own.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"2");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn icmp_errors_of_a_blocked_router_do_not_arrive() {
    for hook in HOOKS {
        let net = Net::new();
        net.sg.apply(&open(hook));
        net.host.ip("route add 192.0.2.0/24 via 10.1.0.2");
        net.peer().sysctl("net/ipv4/ip_forward", "1");
        net.peer().sysctl("net/ipv4/icmp_ratelimit", "0");
        net.peer().ip("route add prohibit 192.0.2.0/24");
        let error = || {
            let socket = net.host.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            net.host.run(|| socket.connect("192.0.2.9:9")).unwrap();
            socket.send(b"x").unwrap();
            socket.recv(&mut [0; 8]).unwrap_err()
        };
        assert_eq!(error().kind(), ErrorKind::HostUnreachable, "{hook}");
        net.sg.run("block 10.1.0.2").ok();
        assert!(is_timeout(&error()), "{hook}");
        assert!(dropped(&net, None, "ingress") > 0, "{hook}");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_blocked_list_is_followed_and_cannot_be_deleted() {
    let net = Net::new();
    net.sg.apply(&open("auto"));
    let _server = services::tcp_echo(&net.host, host(7));
    net.sg.run("prefix-list create bad").ok();
    net.sg.run("block bad").ok();
    assert!(tcp_works(net.peer(), host(7)), "an empty list blocks nobody");
    net.sg.run("prefix-list add bad 10.1.0.2").ok();
    assert!(!tcp_works(net.peer(), host(7)));
    assert!(dropped(&net, Some("bad"), "ingress") > 0);
    net.sg.run("prefix-list delete bad").refuses(&[
        "in use",
        "it is blocked",
        "sg-ctl unblock bad",
    ]);
    assert_eq!(net.sg.run("prefix-list show bad -o json").ok().json()["blocked"], true);
    // Counters go on while the entries change.
    let before = dropped(&net, Some("bad"), "ingress");
    net.sg.run("prefix-list set bad --empty").ok();
    assert!(tcp_works(net.peer(), host(7)));
    assert_eq!(dropped(&net, Some("bad"), "ingress"), before);
    net.sg.run("unblock bad").ok();
    net.sg.run("prefix-list delete bad").ok();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn files_leave_blocks_alone() {
    let net = Net::new();
    let policy = format!("[prefix-lists.bad]\nentries = [\"192.0.2.0/24\"]\n{}", open("auto"));
    net.sg.apply(&policy);
    let _server = services::tcp_echo(&net.host, host(7));
    let file = net.sg.run("export").ok().stdout;
    net.sg.run("block 10.1.0.2 bad").ok();
    assert_eq!(net.sg.run("export").ok().stdout, file);
    let generation = net.sg.generation();
    net.sg.run_with("apply --prune -f -", &file).ok();
    assert_eq!(net.sg.generation(), generation, "an export changes nothing");
    assert_eq!(
        net.sg.run_with("plan -o json --exit-code -f -", &file).ok().json()["changes"],
        Value::Array(vec![])
    );
    // Another file keeps the block, too, and may change the list.
    net.sg.apply(&policy.replace("192.0.2.0/24", "198.51.100.0/24"));
    let both = (vec!["10.1.0.2/32".to_owned()], vec!["bad".to_owned()]);
    assert_eq!(blocked(&net), both);
    assert!(!tcp_works(net.peer(), host(7)));
    // A file without the list would take it away.
    net.sg
        .run_with("apply --prune -f -", &open("auto"))
        .refuses(&["\"bad\" is blocked", "sg-ctl unblock bad"]);
    assert_eq!(blocked(&net), both);
    net.sg.run("unblock bad").ok();
    net.sg.apply(&open("auto"));
    assert!(!tcp_works(net.peer(), host(7)));
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn blocks_are_on_every_interface_also_late_ones_and_after_a_reboot() {
    let net = Net::with_peers(2);
    let _servers = [0, 1].map(|link| services::tcp_echo(&net.host, at(v4(End::Host, link), 7)));
    let works = |link: u8| tcp_works(&net.peers[usize::from(link)], at(v4(End::Host, link), 7));
    net.sg.run("block 10.1.0.0/16").ok();
    assert!(works(0) && works(1), "nothing is attached");
    // Without a group: what is dropped is dropped by the block.
    net.sg.run("attach nic0").ok();
    assert!(!works(0));
    assert!(dropped(&net, None, "ingress") > 0);
    net.sg.run_with(
        "apply --prune -f -",
        "[[groups.g.ingress]]\n[interfaces.nic0]\ngroups = [\"g\"]\n[interfaces.nic1]\ngroups = [\"g\"]\n",
    ).ok();
    assert!(!works(0) && !works(1));
    net.sg.lose_pins();
    wait::until("the filter is gone", || works(0) && works(1));
    net.sg.run("restore").ok();
    assert!(!works(0) && !works(1));
    assert_eq!(blocked(&net).0, ["10.1.0.0/16"]);
    net.sg.run("unblock 10.1.0.0/16").ok();
    assert!(works(0) && works(1));
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn blocks_are_changes_like_others() {
    let net = Net::new();
    net.sg.apply(&open("auto"));
    let _server = services::tcp_echo(&net.host, host(7));
    let generation = net.sg.generation();
    net.sg
        .run(&format!("block 10.1.0.2 --if-generation {}", generation + 7))
        .refuses(&["generation"]);
    let dry = net.sg.run("block 10.1.0.2 --dry-run").ok().stdout;
    assert!(dry.starts_with("~ blocked addresses: 1 added, 0 removed, now 1 entry\n"), "{dry}");
    assert_eq!((net.sg.generation(), blocked(&net)), (generation, (vec![], vec![])));
    let answer =
        net.sg.run(&format!("block 10.1.0.2 -o json --if-generation {generation}")).ok().json();
    assert_eq!((&answer["added_addresses"], &answer["addresses"]), (&1.into(), &1.into()));
    assert_eq!(net.sg.generation(), generation + 1);
    // What is blocked already makes no generation; what is not is an error.
    let again = net.sg.run("block 10.1.0.2").ok().stdout;
    assert!(again.contains("0 more blocked") && again.contains("nothing changed"), "{again}");
    net.sg.run("unblock 10.1.0.2 10.1.0.3").refuses(&["10.1.0.3/32 is not blocked"]);
    net.sg.run("block nosuch").refuses(&["no prefix list \"nosuch\""]);
    assert!(!tcp_works(net.peer(), host(7)));

    let lines = "prefix-list create bad\nprefix-list add bad 192.0.2.0/24\nblock bad 198.51.100.7\nunblock 10.1.0.2\n";
    net.sg.run_with("batch", lines).ok();
    assert_eq!(blocked(&net), (vec!["198.51.100.7/32".into()], vec!["bad".into()]));
    assert!(tcp_works(net.peer(), host(7)));
    net.sg.run_with("batch", "block\n").refuses(&["no command for a batch"]);
    net.sg.run_with("batch", "block 10.1.0.2\nunblock nosuch\n").refuses(&["line 2"]);
    let status = net.sg.status();
    assert_eq!(
        (&status["blocked_addresses"], &status["blocked_prefix_lists"]),
        (&1.into(), &1.into())
    );
    net.sg.run("unblock --all").ok();
    assert_eq!(blocked(&net), (vec![], vec![]));

    let file =
        net.sg.file("bad.txt", "# attackers\n10.1.0.2 ; this one\n2001:db8::/32\n10.1.0.2\n");
    let file = file.to_str().unwrap();
    net.sg.run_args(&["block", "--file", file]).ok();
    assert_eq!(blocked(&net).0, ["10.1.0.2/32", "2001:db8::/32"]);
    net.sg.run_args(&["unblock", "--file", file]).ok();
    assert_eq!(blocked(&net).0, [""; 0]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn the_operators_own_connection_is_not_blocked_unasked() {
    let net = Net::new();
    net.sg.apply(&open("auto"));
    let _server = services::tcp_echo(&net.host, host(22));
    let mut stream = connect(net.peer(), host(22)).unwrap();
    let connection = format!("10.1.0.2 {} 10.1.0.1 22", stream.local_addr().unwrap().port());
    let under_ssh = |line: &str| net.sg.run_env(&[("SSH_CONNECTION", &connection)], line, None);
    under_ssh("block 10.1.0.0/24").refuses(&[
        "ssh",
        "by the block sgr-",
        "do not block",
        "--force",
    ]);
    under_ssh("prefix-list create bad").ok();
    under_ssh("block bad 192.0.2.1").ok();
    under_ssh("prefix-list add bad 10.1.0.2").refuses(&["ssh", "by the block sgr-"]);
    echo(&mut stream, "still here").unwrap();
    under_ssh("block 10.1.0.0/24 --force").ok();
    assert!(echo(&mut stream, "cut").is_err());
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_explanation_names_the_block_and_no_rule_has_precedence_over_it() {
    let net = Net::new();
    net.sg.apply(
        "[[groups.g.ingress]]\npriority = 0\ndescription = \"all\"\n\
         [[groups.g.ingress]]\naction = \"deny\"\npriority = 0\nprotocol = \"tcp\"\nport = 22\ncidr = \"10.1.0.2\"\n\
         [interfaces.nic0]\ngroups = [\"g\"]\n",
    );
    net.sg.run("block 10.1.0.0/16 10.0.0.0/8 192.0.2.1").ok();
    let line = "nic0 ingress --protocol tcp --source 10.1.0.2 --destination 10.1.0.1";
    for port in [22, 80] {
        let answer = net.sg.explain(&format!("{line}:{port}"));
        assert_eq!((text(&answer, "verdict"), text(&answer, "reason")), ("deny", "deny-rule"));
        let rule = &answer["rule"];
        assert_eq!(text(rule, "id"), "sgr-47d3f3d5c594954d2", "{answer}");
        assert!(rule["group"].is_null(), "{answer}");
        assert_eq!(rule["cidrs"], serde_json::json!(["10.0.0.0/8", "10.1.0.0/16"]));
        assert!(text(&answer["nearest"], "differs").contains("the block sgr-"), "{answer}");
    }
    // A candidate is asked with the blocks that there are.
    let file = net.sg.file("new.toml", open("auto"));
    let candidate = net.sg.explain(&format!("-f {} {line}:80", file.display()));
    assert_eq!(text(&candidate["rule"], "id"), "sgr-47d3f3d5c594954d2");
    net.sg.run("rule remove sgr-47d3f3d5c594954d2").refuses(&["is a block", "sg-ctl unblock ADDR"]);
    assert_eq!(
        text(
            &net.sg.explain(&format!("{line}:80 --exit-code").replace("10.1.0.2", "192.0.3.1")),
            "verdict"
        ),
        "allow"
    );
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn monitor_mode_counts_what_a_block_would_drop() {
    let net = Net::new();
    net.sg.apply(&format!("{}mode = \"monitor\"\n", open("auto")));
    let _server = services::tcp_echo(&net.host, host(7));
    net.sg.run("block 10.1.0.2").ok();
    assert!(tcp_works(net.peer(), host(7)));
    assert!(ping::answers(net.peer(), v6(End::Host, 0)));
    let blocks = net.sg.run("block -o json").ok().json();
    for block in list(&blocks, "blocks") {
        assert_eq!(number(block, "packets"), 0, "{blocks}");
        assert!(number(block, "would_deny_packets") > 0, "{blocks}");
    }
}
