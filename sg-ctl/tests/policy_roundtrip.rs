//! Exported policies read back as the same policies, and differences are those of meaning.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sg_ctl::policy::canonical;
use sg_ctl::policy::check;
use sg_ctl::policy::diff::{Change, Diff};
use sg_ctl::policy::export::export;
use sg_ctl::policy::file::read;
use sg_ctl::policy::file::source::{Format, Source};
use sg_ctl::policy::model::*;
use sg_ctl::policy::valid;

const NAMES: [&str; 6] = ["a", "web", "0.9", "x_y-z", "db.example", "long-name"];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from(bits))),
        // Runs of zeros, for the short forms of IPv6.
        (0..8u32, any::<u16>())
            .prop_map(|(at, word)| { IpAddr::from(Ipv6Addr::from(u128::from(word) << (at * 16))) }),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 0..=128u8).prop_map(|(ip, len)| {
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        IpNet::new(ip, len.min(longest)).unwrap().trunc()
    })
}

fn description() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~äß漢\"\\\\'#]{0,20}"]
}

fn port() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), prop_oneof![Just(0), any::<u16>()])
        .prop_map(|(first, more)| PortRange { first, last: first.saturating_add(more) })
}

fn rule() -> impl Strategy<Value = Rule> {
    let protocol = prop_oneof![
        Just(Protocol::All),
        select(vec![1u8, 6, 17, 47, 58, 132, 136, 255]).prop_map(Protocol::Number),
    ];
    let names = || subsequence(NAMES.map(name).to_vec(), 0..3);
    let head = (any::<bool>(), any::<u16>(), protocol, vec(port(), 0..4), description());
    let icmp = option::of((any::<u8>(), option::of(any::<u8>())));
    (head, icmp, vec(net(), 0..12), names(), names()).prop_map(
        |((deny, priority, protocol, ports, description), icmp, cidrs, prefix_lists, groups)| {
            let mut rule = Rule {
                action: if deny { Action::Deny } else { Action::Allow },
                priority,
                protocol,
                ports: if protocol.has_ports() { ports } else { vec![] },
                cidrs,
                prefix_lists,
                groups,
                description,
                ..Rule::default()
            };
            if protocol.is_icmp() {
                rule.icmp_type = icmp.map(|(kind, _)| kind);
                rule.icmp_code = icmp.and_then(|(_, code)| code);
                let v4 = protocol == Protocol::ICMP;
                rule.cidrs.retain(|cidr| matches!(cidr, IpNet::V4(_)) == v4);
            }
            rule
        },
    )
}

/// Drops rules that are the same as an earlier one of the list.
fn distinct(mut rules: Vec<Rule>) -> Vec<Rule> {
    let mut seen: Vec<Rule> = Vec::new();
    rules.retain(|rule| {
        let canonical = canonical::rule(rule);
        let new = !seen.contains(&canonical);
        seen.push(canonical);
        new
    });
    rules
}

fn group() -> impl Strategy<Value = Group> {
    let egress = (vec(rule(), 0..4), option::of((0..4usize, description())));
    (description(), vec(net(), 0..3), vec(rule(), 0..5), egress).prop_map(
        |(description, mut members, ingress, (mut egress, default))| {
            if let Some((at, description)) = default {
                let default = Rule { description, ..Rule::default_egress() };
                egress.insert(at.min(egress.len()), default);
            }
            let mut seen = BTreeSet::new();
            members.retain(|net| seen.insert(*net));
            let (ingress, egress) = (distinct(ingress).into(), distinct(egress).into());
            Group { description, members, ingress, egress }
        },
    )
}

fn prefix_list() -> impl Strategy<Value = PrefixList> {
    (description(), vec(net(), 0..15)).prop_map(|(description, mut entries)| {
        entries.sort();
        entries.dedup();
        PrefixList { description, entries: entries.into() }
    })
}

fn interface() -> impl Strategy<Value = Interface> {
    (
        subsequence(NAMES.map(name).to_vec(), 0..4),
        select(vec![Mode::Enforce, Mode::Monitor]),
        select(vec![Hook::Auto, Hook::Xdp, Hook::XdpGeneric, Hook::Tc]),
        option::of((prop::collection::btree_set(address(), 0..3), any::<bool>())),
        any::<bool>(),
    )
        .prop_map(|(groups, mode, hook, guest, wait)| {
            let mut interface = Interface { groups, mode, hook, wait, ..Interface::default() };
            if let Some((addresses, guest_servers)) = guest {
                interface.side = Side::Guest;
                interface.addresses = addresses.into_iter().collect();
                interface.guest_servers = guest_servers;
            }
            interface
        })
}

fn options() -> impl Strategy<Value = Options> {
    let ether_types = prop::collection::btree_set(0x9000..=0xffffu16, 0..16);
    (1024..=4_000_000u32, 1..=2_678_400u32, 0..64u32, ether_types).prop_map(
        |(conntrack_max, seconds, pass, ether_types)| Options {
            conntrack_max,
            timeouts: Timeouts { udp_answered: seconds, ..Timeouts::default() },
            pass,
            ether_types: ether_types.into_iter().collect(),
        },
    )
}

prop_compose! {
    /// Valid policies whose references all exist.
    fn policy()(
        options in options(),
        prefix_lists in vec(prefix_list(), NAMES.len()),
        groups in vec(group(), NAMES.len()),
        interfaces in btree_map("[a-z0-9.@\"\\\\ä-]{1,7}", interface(), 0..3),
    ) -> Policy {
        let interfaces = interfaces.into_iter().filter(|(name, _)| name != "." && name != "..");
        Policy {
            options,
            prefix_lists: NAMES.map(name).into_iter().zip(prefix_lists).collect(),
            groups: NAMES.map(name).into_iter().zip(groups).collect(),
            interfaces: interfaces.map(|(name, interface)| (name.into(), interface)).collect(),
            ..Policy::default()
        }
    }
}

fn read_back(text: &str, format: Format) -> Policy {
    let source = Source::new("export", text.as_bytes().to_vec(), Some(format), "".into());
    let loaded = read(&[source.unwrap()], &mut |_| panic!("no list files are named"));
    loaded.unwrap_or_else(|e| panic!("{e}\n{text}")).policy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_export_reads_back_as_the_same_policy(policy in policy()) {
        for group in policy.groups.values() {
            for (_, _, rule) in check::rules(group) {
                prop_assert_eq!(valid::faults(rule), []);
            }
        }
        prop_assert_eq!(check::errors(&policy), []);
        for format in [Format::Toml, Format::Json] {
            let text = export(&policy, format);
            prop_assert_eq!(&read_back(&text, format), &policy);
            prop_assert_eq!(export(&read_back(&text, format), format), text);
        }
    }

    #[test]
    fn stored_rules_read_back_and_keep_their_ids(rule in rule()) {
        let stored = serde_json::to_string(&rule).unwrap();
        let back: Rule = serde_json::from_str(&stored).unwrap();
        let id = |rule: &Rule| RuleId::of(&name("g"), Direction::Ingress, rule);
        prop_assert_eq!(id(&back), id(&rule));
        prop_assert_eq!(id(&canonical::rule(&rule)), id(&rule));
        prop_assert_eq!(back, rule);
    }

    #[test]
    fn order_and_spelling_make_no_difference(policy in policy()) {
        let mut other = policy.clone();
        for group in other.groups.values_mut() {
            group.members.reverse();
            for list in [&mut group.ingress, &mut group.egress] {
                let mut rules: Vec<Rule> = list.iter().rev().cloned().collect();
                for rule in &mut rules {
                    rule.ports = canonical::ports(&rule.ports);
                    rule.cidrs.reverse();
                    rule.cidrs.extend(rule.cidrs.first().copied());
                    rule.groups.reverse();
                }
                *list = rules.into();
            }
        }
        for interface in other.interfaces.values_mut() {
            interface.groups.reverse();
            interface.addresses.reverse();
        }
        other.options.ether_types.reverse();
        prop_assert_eq!(Diff::between(&policy, &other), Diff::default());
    }

    #[test]
    fn a_difference_leads_back_as_it_led_there(a in policy(), b in policy()) {
        let (there, back) = (Diff::between(&a, &b), Diff::between(&b, &a));
        let count = |diff: &Diff, sign| diff.changes.iter().filter(|c| c.sign() == sign).count();
        prop_assert_eq!(count(&there, '+'), count(&back, '-'));
        prop_assert_eq!(count(&there, '-'), count(&back, '+'));
        prop_assert_eq!(count(&there, '~'), count(&back, '~'));
        let added: BTreeSet<RuleId> = there.changes.iter().filter_map(|change| match change {
            Change::RuleAdded { id, .. } => Some(*id),
            _ => None,
        }).collect();
        let ids = |policy: &Policy| -> BTreeSet<RuleId> {
            policy.groups.iter().flat_map(|(name, group)| {
                check::rules(group).map(|(direction, _, rule)| RuleId::of(name, direction, rule))
            }).collect()
        };
        prop_assert_eq!(added, ids(&b).difference(&ids(&a)).copied().collect());
    }
}

#[test]
fn an_export_is_a_readable_file() {
    let text = r#"
        [options]
        always-pass = { igmp = false }
        [prefix-lists."office.net"]
        entries = ["2001:DB8::/32", "10.0.0.0/8"]
        [groups.web]
        description = "Public \"web\" tier"
        members = ["192.0.2.10"]
        [[groups.web.ingress]]
        protocol = "tcp"
        port = [80, "8000-8100"]
        [[groups.web.ingress]]
        action = "deny"
        priority = 10
        prefix-list = "office.net"
        [groups.db]
        egress = []
        [interfaces."eth0.100"]
        groups = ["web"]
        when-absent = "wait"
    "#;
    let policy = read_back(text, Format::Toml);
    insta::assert_snapshot!("export_toml", export(&policy, Format::Toml));
    insta::assert_snapshot!("export_json", export(&policy, Format::Json));
}

#[test]
fn every_kind_of_change_is_one_line() {
    let before = read_back(
        r#"
        [prefix-lists.gone]
        entries = ["10.0.0.0/8"]
        [prefix-lists.list]
        description = "old"
        entries = ["10.0.0.0/8", "192.0.2.0/24"]
        [groups.gone]
        [groups.web]
        description = "old"
        members = ["192.0.2.1"]
        ingress = [
          { protocol = "tcp", port = 80, description = "old" },
          { protocol = "tcp", port = 443 },
          { protocol = "icmp", icmp-type = 8 },
        ]
        [interfaces.eth0]
        groups = ["web", "gone"]
        [interfaces.eth1]
        groups = []
        "#,
        Format::Toml,
    );
    let after = read_back(
        r#"
        [options]
        conntrack-max = 2000
        timeouts = { icmp = 5 }
        always-pass = { dhcp = false }
        ethertypes = ["lacp"]
        [prefix-lists.new]
        entries = []
        [prefix-lists.list]
        description = "new"
        entries = ["10.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"]
        [groups.new]
        members = ["::1"]
        egress = []
        [groups.web]
        description = "new"
        members = ["192.0.2.2"]
        default-egress = false
        ingress = [
          { protocol = "icmp", icmp-type = 8 },
          { protocol = "tcp", port = "80-80", description = "new" },
          { protocol = "tcp", port = [443, 8443], prefix-list = "list" },
        ]
        [interfaces.eth0]
        groups = ["web"]
        mode = "monitor"
        side = "guest"
        addresses = ["10.0.0.7"]
        guest-servers = true
        hook = "tc"
        when-absent = "wait"
        [interfaces.eth2]
        groups = ["new", "web"]
        "#,
        Format::Toml,
    );
    let diff = Diff::between(&before, &after);
    let json = serde_json::to_string_pretty(&diff).unwrap();
    insta::assert_snapshot!("diff", format!("{diff}\n\n{json}"));
}

#[test]
fn one_edit_in_many_long_lists_is_one_line() {
    let mut text = String::new();
    for list in 0..10 {
        text += &format!("[prefix-lists.l{list}]\ndescription = \"old\"\nentries = [\n");
        for i in 0..10_000 {
            text += &format!("\"10.{list}.{}.{}\",\n", i >> 8, i & 255);
        }
        text += "]\n";
    }
    text += "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 80\n";
    let before = read_back(&text, Format::Toml);
    let rewritten =
        text.replace("port = 80", "port = \"80-80\"").replacen("\"10.0.0.0\",\n", "", 1);
    let rewritten = rewritten.replacen(",\n]\n", ",\n\"10.0.0.0/32\"]\n", 1);
    assert_eq!(Diff::between(&before, &read_back(&rewritten, Format::Toml)), Diff::default());
    let described = read_back(&text.replacen("old", "new", 1), Format::Toml);
    let shown = Diff::between(&before, &described).to_string();
    assert_eq!(shown, "~ prefix list l0: description \"old\" -> \"new\"");
    let grown = read_back(
        &text.replacen("\"10.3.0.0\"", "\"10.3.0.0\", \"192.0.2.0/24\"", 1),
        Format::Toml,
    );
    let shown = Diff::between(&before, &grown).to_string();
    assert_eq!(shown, "~ prefix list l3: 1 added, 0 removed, now 10001 entries");
}

#[test]
fn rules_without_ports_compare_equal_every_time() {
    let text = r#"
        [groups.g]
        ingress = [
          { protocol = "icmp" }, { protocol = "icmpv6" }, { protocol = "all", priority = 5 },
          { protocol = 47 }, { protocol = "sctp" }, { action = "deny" },
        ]
    "#;
    let policy = read_back(text, Format::Toml);
    assert_eq!(Diff::between(&policy, &read_back(text, Format::Toml)), Diff::default());
    for format in [Format::Toml, Format::Json] {
        let again = read_back(&export(&policy, format), format);
        assert_eq!(Diff::between(&policy, &again), Diff::default());
    }
}
