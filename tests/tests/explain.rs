//! `explain` says what the wire does, why, and touches nothing.

use std::collections::HashSet;

use sg_tests::frame::{self, IPV4, IPV6, V4, V6, flag, protocol};
use sg_tests::net::{End, Net, host, mac, v4, v6};
use sg_tests::report::{list, number, text};
use sg_tests::rng::Rng;
use sg_tests::wire::{self, Wire};
use sg_tests::{HOOKS, services};

/// A rule of a random policy: overlapping prefixes, ranges, priorities, denies.
fn random_rule(random: &mut Rng) -> String {
    let kind = *random.pick(&["tcp", "udp", "sctp", "icmp", "icmpv6", "47", "all"]);
    let mut rule = format!("protocol = \"{kind}\"\n");
    if ["tcp", "udp", "sctp"].contains(&kind) && random.below(4) > 0 {
        let first = random.below(8);
        let last = first + random.below(4);
        rule += &match random.below(2) {
            0 => format!("port = {first}\n"),
            _ => format!("port = [\"{first}-{last}\", 20]\n"),
        };
    }
    if kind.starts_with("icmp") && random.below(2) > 0 {
        let types: &[u8] = if kind == "icmp" { &[8, 13, 3] } else { &[128, 1, 130] };
        rule += &format!("icmp-type = {}\n", random.pick(types));
        if random.below(2) > 0 {
            rule += &format!("icmp-code = {}\n", random.below(2));
        }
    }
    let (four, six) = (
        ["0.0.0.0/0", "10.0.0.0/8", "10.2.0.0/16", "10.2.3.0/24", "10.2.3.4/32"],
        ["::/0", "2001:db8::/32", "2001:db8:2::/48", "2001:db8:2:3::4/128"],
    );
    match (kind, random.below(4)) {
        (_, 0) => {}
        ("icmp", _) | (_, 1) if kind != "icmpv6" => {
            rule += &format!("cidr = \"{}\"\n", random.pick(&four));
        }
        ("icmpv6", _) | (_, 2) => rule += &format!("cidr = \"{}\"\n", random.pick(&six)),
        _ => {
            rule += &format!("cidr = [\"{}\", \"{}\"]\n", random.pick(&four), random.pick(&six));
        }
    }
    // To name every address is to name none: two texts for one rule would be refused as the same.
    let everything = match kind {
        "icmp" => "cidr = \"0.0.0.0/0\"\n",
        "icmpv6" => "cidr = \"::/0\"\n",
        _ => "cidr = [\"0.0.0.0/0\", \"::/0\"]\n",
    };
    rule = rule.replace(everything, "");
    if random.below(3) == 0 {
        rule += "action = \"deny\"\n";
    }
    rule += &format!("priority = {}\n", 1000 + random.below(3));
    rule
}

/// Two groups of random rules on `nic0`.
fn random_policy(random: &mut Rng, hook: &str) -> String {
    let mut policy = String::new();
    let mut seen = HashSet::new();
    for group in ["a", "b"] {
        policy += &format!("[groups.{group}]\n");
        for direction in ["ingress", "egress"] {
            for _ in 0..random.below(8) {
                let rule = random_rule(random);
                if seen.insert((group, direction, rule.clone())) {
                    policy += &format!("[[groups.{group}.{direction}]]\n{rule}");
                }
            }
        }
    }
    policy + &format!("[interfaces.nic0]\ngroups = [\"a\", \"b\"]\nhook = \"{hook}\"\n")
}

/// A first packet towards the host: as a frame, and as words of `explain`.
fn random_probe(random: &mut Rng) -> (Vec<u8>, String) {
    let six = random.below(3) == 0;
    let port = random.below(12) as u16;
    let source_port = 30_000 + random.below(1_000) as u16;
    let (number, payload, words) = match random.below(6) {
        0 | 1 => (
            protocol::TCP,
            frame::tcp(source_port, port, flag::SYN),
            format!("--protocol tcp|{source_port}|{port}"),
        ),
        2 => (
            protocol::UDP,
            frame::udp(source_port, port, b"x"),
            format!("--protocol udp|{source_port}|{port}"),
        ),
        3 => (
            protocol::SCTP,
            frame::sctp(source_port, port, 1),
            format!("--protocol sctp|{source_port}|{port}"),
        ),
        4 => {
            let kind = *random.pick(if six { &[128, 130, 129] } else { &[8, 13, 0] });
            let code = random.below(2) as u8;
            let (number, name) =
                if six { (protocol::ICMP6, "icmpv6") } else { (protocol::ICMP, "icmp") };
            let words = format!("--protocol {name} --icmp-type {kind} --icmp-code {code}");
            (number, frame::icmp(kind, code, source_port, &[0; 16]), words)
        }
        _ => {
            let number = *random.pick(&[47, 50, 253]);
            (number, vec![0; 16], format!("--protocol {number}"))
        }
    };
    let mut words = words.split('|');
    let kind = words.next().unwrap_or_default().to_owned();
    let ports = (words.next(), words.next());
    let at = |address: String, port: Option<&str>| match port {
        Some(port) if six => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address,
    };
    let (source, destination, packet, ether_type) = if six {
        let source =
            *random.pick(&["2001:db8:2:3::4", "2001:db8:2::9", "2001:db8:9::1", "fd00::1"]);
        let packet = V6::new(source.parse().unwrap(), v6(End::Host, 0), number).bytes(&payload);
        (source, v6(End::Host, 0).to_string(), packet, IPV6)
    } else {
        let source = *random.pick(&["10.2.3.4", "10.2.3.5", "10.2.9.9", "10.9.9.9", "192.0.2.1"]);
        let packet = V4::new(source.parse().unwrap(), v4(End::Host, 0), number).bytes(&payload);
        (source, v4(End::Host, 0).to_string(), packet, IPV4)
    };
    let line = format!(
        "nic0 ingress {kind} --source {} --destination {}",
        at(source.to_owned(), ports.0),
        at(destination, ports.1)
    );
    (frame::ethernet(mac(End::Host, 0), ether_type, &packet), line)
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn explain_and_the_wire_agree_on_random_probes() {
    let mut random = Rng::new(Rng::seed());
    for hook in HOOKS {
        let net = Net::new();
        // After an attach connections are learned for a while; a change of the rules ends that.
        net.sg.apply(&random_policy(&mut random, hook));
        net.sg.apply(&random_policy(&mut random, hook));
        let tap = wire::behind(&net.host, "nic0", hook);
        let far = Wire::open(net.peer(), "peer0");
        let (mut passes, mut drops) = (0, 0);
        for _ in 0..6 {
            let policy = random_policy(&mut random, hook);
            net.sg.apply(&policy);
            for _ in 0..12 {
                let (frame, line) = random_probe(&mut random);
                let explained = net.sg.explain(&line);
                let before = net.sg.stats();
                let passed = wire::passed(&far, &tap, &[frame])[0];
                let after = net.sg.stats();
                let moved = (before.all("ingress"), after.all("ingress"));
                let context = format!("{hook}: {line}: {explained}\n{moved:?}\n{policy}");
                assert_eq!(explained["passes"] == true, passed, "{context}");
                let reason = text(&explained, "reason");
                assert_eq!(
                    after.reason("nic0", "ingress", reason),
                    before.reason("nic0", "ingress", reason) + 1,
                    "{context}"
                );
                // What could not open a connection and belongs to none counts for no rule.
                if let Some(id) = explained["rule"]["id"].as_str()
                    && ["rule", "deny-rule"].contains(&reason)
                {
                    assert_eq!(after.rule(id), before.rule(id) + 1, "{context}");
                }
                if passed {
                    passes += 1;
                } else {
                    drops += 1;
                }
            }
        }
        assert!(passes > 0 && drops > 0, "{hook}: {passes} passed, {drops} dropped");
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn explain_moves_no_counter_and_opens_no_connection() {
    let net = Net::new();
    net.host.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    net.peer().sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    net.sg.apply(
        "[groups.g]\negress = []\n[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n\
         [interfaces.nic0]\ngroups = [\"g\"]\n",
    );
    let before = net.sg.stats().0;
    for port in [7, 8] {
        for state in ["", "--state"] {
            let _ = net.sg.explain(&format!(
                "nic0 ingress --protocol udp --source 10.1.0.2:9 --destination 10.1.0.1:{port} {state}"
            ));
        }
    }
    assert_eq!(net.sg.stats().0, before);
    assert_eq!(number(&net.sg.status(), "connections"), 0);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_deny_names_its_rule_or_says_that_there_is_none() {
    let net = Net::new();
    net.sg.apply(
        "[groups.web]\n\
         [[groups.web.ingress]]\nprotocol = \"tcp\"\nport = 80\ncidr = \"10.0.0.0/8\"\n\
         description = \"allowed\"\n\
         [[groups.web.ingress]]\nprotocol = \"tcp\"\nport = 22\naction = \"deny\"\npriority = 5\n\
         description = \"denied\"\n\
         [groups.admin]\n\
         [[groups.admin.ingress]]\nprotocol = \"tcp\"\nport = \"20-23\"\ndescription = \"hidden\"\n\
         [interfaces.nic0]\ngroups = [\"web\", \"admin\"]\n",
    );
    let ids = net.sg.rules_by_description();
    let probe = |source: &str, port: u16| {
        format!(
            "nic0 ingress --protocol tcp --source {source}:9 --destination 10.1.0.1:{port} \
             --tcp-flags syn"
        )
    };
    let allowed = net.sg.explain(&probe("10.9.9.9", 80));
    assert_eq!(allowed["passes"], true);
    assert_eq!(text(&allowed["rule"], "id"), ids["allowed"]);
    assert_eq!(text(&allowed["rule"], "group"), "web");

    let denied = net.sg.explain(&probe("10.9.9.9", 22));
    assert_eq!(denied["passes"], false);
    assert_eq!(text(&denied, "reason"), "deny-rule");
    assert_eq!(text(&denied["rule"], "id"), ids["denied"]);
    let others: Vec<_> = list(&denied, "others").iter().map(|rule| text(rule, "id")).collect();
    assert_eq!(others, [&ids["hidden"]]);

    // The nearest rule is a hint, not the culprit.
    let implicit = net.sg.explain(&probe("192.0.2.1", 80));
    assert_eq!(text(&implicit, "reason"), "implicit-deny");
    assert!(implicit["rule"].is_null(), "{implicit}");
    assert_eq!(text(&implicit["nearest"]["rule"], "id"), ids["allowed"]);

    let code = |line: &str| net.sg.run(&format!("explain {line} --exit-code")).code;
    assert_eq!(code(&probe("10.9.9.9", 80)), Some(0));
    assert_eq!(code(&probe("192.0.2.1", 80)), Some(3));
    // Without the option a deny is an answer like any other.
    net.sg.run(&format!("explain {}", probe("192.0.2.1", 80))).ok();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn explain_looks_at_connections_when_asked_and_says_so() {
    let net = Net::new();
    net.sg.apply("[groups.g]\ningress = []\n[interfaces.nic0]\ngroups = [\"g\"]\n");
    let _server = services::udp_echo(net.peer(), sg_tests::net::peer(7));
    let socket = net.host.run(|| std::net::UdpSocket::bind(host(0))).unwrap();
    assert!(services::udp_asks(&socket, sg_tests::net::peer(7)));
    let port = socket.local_addr().unwrap().port();
    let line =
        format!("nic0 ingress --protocol udp --source 10.1.0.2:7 --destination 10.1.0.1:{port}");
    let first = net.sg.explain(&line);
    assert_eq!(first["passes"], false, "{first}");
    let reply = net.sg.explain(&format!("{line} --state"));
    assert_eq!(reply["passes"], true, "{reply}");
    assert_eq!(text(&reply, "reason"), "connection");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_candidate_is_asked_without_being_applied() {
    let net = Net::new();
    net.sg.apply("[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\n");
    let file = net.sg.file(
        "candidate.toml",
        "[[groups.g.ingress]]\nprotocol = \"udp\"\nport = 7\n[interfaces.nic0]\ngroups = [\"g\"]\n",
    );
    let line = "nic0 ingress --protocol udp --source 10.1.0.2:9 --destination 10.1.0.1:7";
    assert_eq!(net.sg.explain(line)["passes"], false);
    assert_eq!(net.sg.explain(&format!("{line} -f {}", file.display()))["passes"], true);
    assert_eq!(net.sg.explain(line)["passes"], false);
}
