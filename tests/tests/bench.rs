//! `bench` measures the policy in force, or a generated one, and leaves no trace.

use serde_json::Value;
use sg_tests::net::{Net, host};
use sg_tests::report::{list, number, text};
use sg_tests::services::{self, tcp_works};

const POLICY: &str = "[groups.g]\n\
    [[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 7\ndescription = \"7\"\n\
    [interfaces.nic0]\ngroups = [\"g\"]\nhook = \"xdp\"\n\
    [interfaces.nic1]\ngroups = [\"g\"]\nhook = \"xdp\"\n\
    [interfaces.nic2]\ngroups = [\"g\"]\nhook = \"tc\"\nside = \"guest\"\n";

/// Interfaces and direction of each row, and whether XDP judges it.
fn rows(report: &Value) -> Vec<(Vec<String>, String, String)> {
    let row = |row: &Value| {
        let names = list(row, "interfaces").iter().map(|name| name.as_str().unwrap().to_owned());
        (names.collect(), text(row, "direction").to_owned(), text(row, "program").to_owned())
    };
    list(report, "rows").iter().map(row).collect()
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn the_policy_in_force_is_measured_and_not_touched() {
    let net = Net::with_peers(3);
    let _server = services::tcp_echo(&net.host, host(7));
    net.sg.run("bench").refuses(&["no interface", "attach", "--rules"]);
    net.sg.apply(POLICY);
    // Ends the time in which connections are learned, so that counters tell what happens.
    net.sg.run("rule add g ingress --protocol tcp --port 9 --cidr any").ok();
    assert!(tcp_works(&net.peers[0], host(7)));
    let rule = net.sg.rules_by_description()["7"].clone();
    let (before, pins, generation) = (net.sg.stats(), net.sg.pins(), net.sg.generation());

    let answer = net.sg.run("-o json bench --laps 3").ok();
    assert_eq!(answer.stderr, "", "no progress where nobody looks");
    let report = answer.json();
    assert_eq!(text(&report, "policy"), "host");
    let own = |names: &[&str], direction: &str, program: &str| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        (names, direction.to_owned(), program.to_owned())
    };
    // Interfaces that are judged alike share a row, and what is sent is judged by TC.
    let expected = [
        own(&["nic0", "nic1"], "ingress", "xdp"),
        own(&["nic0", "nic1"], "egress", "tc"),
        own(&["nic2"], "ingress", "tc"),
        own(&["nic2"], "egress", "tc"),
    ];
    assert_eq!(rows(&report), expected);
    for row in list(&report, "rows") {
        let cost = &row["filter_ns"];
        let [smallest, median, largest] =
            ["smallest", "median", "largest"].map(|field| cost[field].as_f64().unwrap());
        assert!(0.0 < smallest && smallest <= median && median <= largest, "{row}");
        assert_eq!(list(row, "budgets").len(), 4, "{row}");
        assert!(number(row, "packets_per_second") > 0, "{row}");
    }

    let after = net.sg.stats();
    assert_eq!(after.rule(&rule), before.rule(&rule), "packets of the measurement count");
    assert_eq!((net.sg.pins(), net.sg.generation()), (pins, generation));
    assert!(tcp_works(&net.peers[0], host(7)));
    net.sg.run("bench nic9").refuses(&["nic9", "nic0, nic1, nic2"]);
    let one = net.sg.run("-o json bench nic2 --laps 3").ok().json();
    assert_eq!(rows(&one), expected[2..]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn generated_policies_are_measured_without_an_interface() {
    let net = Net::new();
    for (style, family, rules) in
        [("random", 4, 1000), ("web", 6, 100), ("blocklist", 4, 2), ("mixed", 6, 50)]
    {
        let count = if style == "blocklist" { 500 } else { rules };
        let line =
            format!("-o json bench --rules {count} --style {style} --family {family} --laps 3");
        let report = net.sg.run(&line).ok().json();
        assert_eq!(text(&report, "policy"), "generated");
        let ingress = &list(&report, "rows")[0];
        assert_eq!(number(ingress, "rules"), rules, "{style}");
        assert!(number(ingress, "image_bytes") > 64, "{style}");
    }
    assert!(net.sg.pins().is_empty(), "{:?}", net.sg.pins());
    net.sg.run("bench nic0 --rules 10").exits(2);
    net.sg.run("bench --rules 0").exits(2);
    net.sg.run("bench --mix 900,200 --rules 10").exits(2);
    let table = net.sg.run("bench --rules 10 --laps 3").ok().stdout;
    assert!(table.contains("NS/PACKET") && table.contains("100G"), "{table}");
}
