use super::*;
use crate::cli::testing::{golden, view};
use crate::host::ExplainedRule;
use crate::policy::model::{Action, Name, Rule, RuleId};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("explain").chain(line.split_whitespace());
    <Line as clap::Parser>::try_parse_from(words).map(|line| line.args)
}

fn probe(line: &str) -> Probe {
    args(line).unwrap_or_else(|e| panic!("{e}")).probe().unwrap_or_else(|e| panic!("{e}"))
}

fn refused(line: &str) -> String {
    args(line).unwrap_or_else(|e| panic!("{e}")).probe().unwrap_err().to_string()
}

fn rule(group: &str, index: usize) -> ExplainedRule {
    let name: Name = group.parse().unwrap();
    let rule = view().policy.groups[&name].ingress[index].clone();
    let direction = Direction::Ingress;
    ExplainedRule { id: RuleId::of(&name, direction, &rule), group: Some(name), direction, rule }
}

fn explained(reason: Reason, mode: Mode) -> Explanation {
    Explanation {
        reason,
        passes: reason.passes() || mode == Mode::Monitor,
        allowed: reason.passes(),
        mode,
        deciding: None,
        others: Vec::new(),
        near_miss: None,
        reverse: None,
        generation: Some(4),
        notes: Vec::new(),
    }
}

const TCP: &str = "eth0 ingress --protocol tcp --source 198.51.100.9 --destination 192.0.2.1:80";

#[test]
fn endpoints_are_read_in_all_their_forms() {
    let of = |text: &str| text.parse::<Endpoint>().map(|e| (e.address.to_string(), e.port));
    let ok = |address: &str, port| Ok((address.to_owned(), port));
    assert_eq!(of("192.0.2.1"), ok("192.0.2.1", None));
    assert_eq!(of("192.0.2.1:0"), ok("192.0.2.1", Some(0)));
    assert_eq!(of("2001:db8::1"), ok("2001:db8::1", None));
    assert_eq!(of("[2001:db8::1]"), ok("2001:db8::1", None));
    assert_eq!(of("[2001:db8::1]:65535"), ok("2001:db8::1", Some(65535)));
    for wrong in [
        "",
        "[192.0.2.1]:80",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "[::1]80",
        "[::1",
        "host:80",
        "::1]",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_probe_has_what_its_protocol_has() {
    let tcp = probe(TCP);
    assert_eq!((tcp.protocol, tcp.source_port, tcp.destination_port), (6, CLIENT_PORT, 80));
    assert_eq!((tcp.tcp_flags, tcp.with_state), (2, false));
    let ack = probe(&format!("{TCP} --tcp-flags syn,ack --state"));
    assert_eq!((ack.tcp_flags, ack.with_state), (0x12, true));
    let ping = probe("eth0 egress --protocol icmpv6 --source ::1 --destination ::2");
    assert_eq!((ping.icmp_type, ping.icmp_code, ping.source_port), (128, 0, 0));
    let gre = probe("eth0 egress --protocol 47 --source 10.0.0.1 --destination 10.0.0.2");
    assert_eq!((gre.protocol, gre.source_port, gre.icmp_type), (47, 0, 0));
    let null = probe(&format!("{TCP} --tcp-flags none"));
    assert_eq!(null.tcp_flags, 0);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let mixed = "eth0 ingress --protocol tcp --source ::1 --destination 192.0.2.1:80";
    assert!(refused(mixed).contains("one family"));
    let portless = "eth0 ingress --protocol udp --source 10.0.0.1 --destination 10.0.0.2";
    assert!(refused(portless).contains("destination port"));
    let gre = "eth0 ingress --protocol 47 --source 10.0.0.1 --destination 10.0.0.2:80";
    assert!(refused(gre).contains("no ports"));
    assert!(refused(&format!("{TCP} --icmp-type 8")).contains("no ICMP type"));
    assert!(args(&TCP.replace("tcp", "all")).is_err());
    assert!(args(&format!("{TCP} --tcp-flags syn,fun")).is_err());
}

#[test]
fn an_implicit_deny_names_no_rule_and_the_nearest_only_as_a_hint() {
    let explanation = Explanation {
        // What a lookup may have found must not take the blame.
        deciding: Some(rule("web", 0)),
        near_miss: Some((rule("web", 0), "it is for port 80, 8000-8100, not 81".into())),
        reverse: Some((true, Some(rule("admin", 0)))),
        notes: vec!["judged as a first packet".into()],
        ..explained(Reason::ImplicitDeny, Mode::Enforce)
    };
    let answer = Answer::new(&probe(&TCP.replace(":80", ":81")), explanation);
    assert!(answer.rule.is_none());
    golden("explain_implicit_deny", &answer);
}

#[test]
fn a_rule_that_decides_is_named_with_its_group() {
    let explanation = Explanation {
        deciding: Some(rule("web", 0)),
        others: vec![rule("db", 0)],
        ..explained(Reason::Rule, Mode::Enforce)
    };
    golden("explain_allow", &Answer::new(&probe(TCP), explanation));
}

#[test]
fn monitor_mode_is_said_and_the_verdict_is_that_of_enforcement() {
    let explanation = Explanation {
        deciding: Some(rule("admin", 0)),
        generation: None,
        ..explained(Reason::Deny, Mode::Monitor)
    };
    let answer = Answer::new(&probe(TCP), explanation);
    assert_eq!((answer.verdict, answer.passes, answer.mode), ("deny", true, "monitor"));
    golden("explain_monitor", &answer);
}

#[test]
fn a_block_that_decides_is_called_so() {
    let id = RuleId::of_block(None, Direction::Ingress);
    let block = Rule {
        action: Action::Deny,
        priority: 0,
        cidrs: vec!["198.51.100.0/24".parse().unwrap()],
        ..Rule::default()
    };
    let deciding = ExplainedRule { group: None, direction: Direction::Ingress, id, rule: block };
    let why = format!("the block {id} has precedence over every rule");
    let explanation = Explanation {
        deciding: Some(deciding),
        near_miss: Some((rule("web", 0), why)),
        ..explained(Reason::Deny, Mode::Enforce)
    };
    golden("explain_block", &Answer::new(&probe(TCP), explanation));
}
