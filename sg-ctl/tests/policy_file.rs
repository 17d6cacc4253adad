//! Policy files that are accepted, and what they mean.

use std::collections::HashMap;
use std::path::Path;

use sg_ctl::policy::egress::DEFAULT_EGRESS_PRIORITY;
use sg_ctl::policy::file::diagnostic::{Diagnostics, Severity};
use sg_ctl::policy::file::source::{Format, Source};
use sg_ctl::policy::file::{Loaded, read};
use sg_ctl::policy::model::*;

/// Reads texts as files of the given names; list files come from `lists`.
fn read_with(files: &[(&str, &str)], lists: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
    let lists: HashMap<&str, &str> = lists.iter().copied().collect();
    let mut sources = Vec::new();
    for (name, text) in files {
        let format = if name.ends_with("json") { Format::Json } else { Format::Toml };
        sources.push(Source::new(name, text.as_bytes().to_vec(), Some(format), "".into())?);
    }
    read(&sources, &mut |path: &Path| {
        let text = lists.get(path.to_str().unwrap());
        text.map(|t| t.as_bytes().to_vec()).ok_or(std::io::ErrorKind::NotFound.into())
    })
}

fn toml(text: &str) -> Loaded {
    read_with(&[("policy.toml", text)], &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn json(text: &str) -> Loaded {
    read_with(&[("policy.json", text)], &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

const EXAMPLE: &str = r#"
[options]                          # all optional
conntrack-max = 1000000
established = "recheck"            # or "keep"
timeouts = { tcp-established = 432000 }

[prefix-lists.office]
description = "Office networks"
entries = ["203.0.113.0/24", "2001:db8:10::/48", "198.51.100.7"]   # a bare address is /32 or /128
[prefix-lists.blocklist]
entries-file = "blocklist.txt"     # one a line, # and ; comments; relative to this file

[groups.web]
description = "Public web tier"
[[groups.web.ingress]]
protocol = "tcp"
port = [80, 443]                   # 443, "8000-8100", or a list of both; absent = all ports
cidr = ["0.0.0.0/0", "::/0"]       # absent together with the other peers = anywhere
description = "HTTP and HTTPS"
[[groups.web.ingress]]
protocol = "icmp"
icmp-type = 8                      # icmp-code too, if wanted; "icmpv6" likewise
[[groups.web.ingress]]
action = "deny"                    # default "allow"
priority = 10                      # default 1000
prefix-list = "blocklist"          # protocol absent = all

[groups.db]
members = ["192.0.2.10"]           # besides its interfaces' addresses
egress = []                        # default-egress = true|false says it outright
[[groups.db.ingress]]
protocol = "tcp"
port = 5432
group = "web"

[interfaces.eth0]
groups = ["web", "db"]
mode = "enforce"
side = "host"
hook = "auto"
[interfaces.tap7]
side = "guest"
addresses = ["10.0.0.7", "2001:db8::7"]
groups = ["web"]
"#;

#[test]
fn the_example_of_the_specification_is_read_whole() {
    let lists = [("blocklist.txt", "# bad\n192.0.2.0/24\n")];
    let loaded = read_with(&[("p.toml", EXAMPLE)], &lists).unwrap_or_else(|e| panic!("{e}"));
    let policy = loaded.policy;
    assert_eq!(policy.options, Options::default());
    assert_eq!(policy.prefix_lists[&name("office")].entries.len(), 3);
    assert_eq!(policy.prefix_lists[&name("blocklist")].entries.len(), 1);
    let web = &policy.groups[&name("web")];
    assert_eq!(web.ingress.len(), 3);
    assert_eq!(web.ingress[0].ports, [PortRange::one(80), PortRange::one(443)]);
    assert_eq!((web.ingress[1].icmp_type, web.ingress[1].icmp_code), (Some(8), None));
    assert_eq!((web.ingress[2].action, web.ingress[2].priority), (Action::Deny, 10));
    assert_eq!(web.egress, [Rule::default_egress()]);
    let db = &policy.groups[&name("db")];
    assert_eq!(db.members, ["192.0.2.10/32".parse().unwrap()]);
    assert_eq!(db.egress, []);
    assert_eq!(db.ingress[0].groups, [name("web")]);
    assert_eq!(policy.interfaces["eth0"].groups, [name("web"), name("db")]);
    assert_eq!(policy.interfaces["tap7"].side, Side::Guest);
    // The default egress of web undoes what db says (spec §2.6).
    assert_eq!(loaded.notes.len(), 1);
    assert_eq!(loaded.notes[0].severity, Severity::Warning);
    assert!(loaded.notes[0].message.contains("\"db\" lets nothing out"));
    assert_eq!(DEFAULT_EGRESS_PRIORITY, 65535);
}

#[test]
fn json_has_the_same_schema() {
    let a = toml(
        "[options]\nalways-pass = { dhcp = false }\nethertypes = [\"lldp\", 0x88cc, \"0x9000\"]\n\
         [groups.g]\ndefault-egress = false\nmembers = [\"10.0.0.0/8\"]\n\
         [[groups.g.ingress]]\nprotocol = 6\nport = [\"1-2\", 9]\ncidr = \"::/0\"\npriority = 0\n\
         [interfaces.nic0]\ngroups = [\"g\"]\nmode = \"monitor\"\nwhen-absent = \"wait\"\n",
    );
    let b = json(
        r#"{"options": {"always-pass": {"dhcp": false}, "ethertypes": [35020, "0x9000"]},
            "groups": {"g": {"default-egress": false, "members": ["10.0.0.0/8"], "ingress": [
              {"protocol": "tcp", "port": ["1-2", "9"], "cidr": ["::\/0"], "priority": 0}]}},
            "interfaces": {"nic0": {"groups": ["g"], "mode": "monitor", "when-absent": "wait"}}}"#,
    );
    assert_eq!(a.policy, b.policy);
    assert!(a.policy.interfaces["nic0"].wait);
    assert_eq!(a.policy.options.ether_types, [0x88cc, 0x9000]);
}

/// The rule of a text, in a group of its own.
fn one_rule(text: &str) -> Rule {
    let policy = toml(&format!("[[groups.g.ingress]]\n{text}")).policy;
    policy.groups[&name("g")].ingress[0].clone()
}

fn id(rule: &Rule) -> RuleId {
    RuleId::of(&name("g"), Direction::Ingress, rule)
}

#[test]
fn one_protocol_has_one_identity_in_every_spelling() {
    for spellings in [
        [
            "protocol = \"tcp\"\nport = 22",
            "protocol = 6\nport = \"22\"",
            "protocol = \"6\"\nport = [\"22-22\"]",
        ],
        ["protocol = \"udp\"", "protocol = 17", "protocol = \"17\""],
        [
            "protocol = \"sctp\"\nport = 5",
            "protocol = 132\nport = 5",
            "protocol = \"132\"\nport = 5",
        ],
        [
            "protocol = \"icmp\"\nicmp-type = 8",
            "protocol = 1\nicmp-type = 8",
            "protocol = \"1\"\nicmp-type = 8",
        ],
        ["protocol = \"icmpv6\"", "protocol = 58", "protocol = \"58\""],
        ["", "protocol = \"all\"", "priority = 1000\naction = \"allow\""],
        [
            "cidr = \"2001:DB8:0:0::/32\"",
            "cidr = \"2001:db8:0:0:0:0:0:0/32\"",
            "cidr = [\"2001:0db8::/33\", \"2001:db8:8000::/33\"]",
        ],
        ["cidr = \"0.0.0.0\"", "cidr = \"0.0.0.0/32\"", "cidr = [\"0.0.0.0\"]"],
        [
            "protocol = \"tcp\"\nport = [80, 81]",
            "protocol = \"tcp\"\nport = \"80-81\"",
            "protocol = \"tcp\"\nport = [\"81\", \"80-80\", 81]",
        ],
    ] {
        let rules = spellings.map(one_rule);
        assert_eq!(id(&rules[0]), id(&rules[1]), "{spellings:?}");
        assert_eq!(id(&rules[0]), id(&rules[2]), "{spellings:?}");
    }
    // Absent and zero are different things.
    assert_ne!(id(&one_rule("protocol = \"tcp\"")), id(&one_rule("protocol = \"tcp\"\nport = 0")));
    let icmp = one_rule("protocol = \"icmp\"");
    assert_ne!(id(&icmp), id(&one_rule("protocol = \"icmp\"\nicmp-type = 0")));
}

#[test]
fn rules_are_listed_as_they_were_entered() {
    let rule =
        one_rule("protocol = \"tcp\"\nport = [81, 80]\ncidr = [\"10.1.0.0/16\", \"10.0.0.0/8\"]");
    assert_eq!(rule.ports, [PortRange::one(81), PortRange::one(80)]);
    assert_eq!(rule.cidrs.len(), 2);
}

#[test]
fn a_mark_and_windows_line_ends_are_accepted() {
    let text = "\u{feff}[groups.web]\r\ndescription = \"a\"\r\n\r\n[[groups.web.ingress]]\r\nprotocol = \"tcp\"\r\n";
    let policy = toml(text).policy;
    assert_eq!(policy.groups[&name("web")].description, "a");
    let text = "\u{feff}{\r\n\"groups\": {\"web\": {\"description\": \"a\", \"ingress\": [{\"protocol\": \"tcp\"}]}}}\r\n";
    assert_eq!(json(text).policy, policy);
}

#[test]
fn columns_do_not_count_the_mark() {
    let error = read_with(&[("p.toml", "\u{feff}grups = 5")], &[]).unwrap_err();
    assert_eq!((error.list[0].line(), error.list[0].column()), (1, 1));
    let error = read_with(&[("p.json", "\u{feff}{\"grups\": 5}")], &[]).unwrap_err();
    assert_eq!((error.list[0].line(), error.list[0].column()), (1, 2));
}

#[test]
fn doubles_and_overlaps_of_a_list_are_stored_once_and_noted() {
    let list = "5.188.10.0/23\n5.188.11.0/24\n5.188.10.0/23\n2001:db8::/32\n2001:DB8::/32\n";
    let text = "[prefix-lists.bl]\nentries-file = \"bl.txt\"\nentries = [\"5.188.11.0/24\"]";
    let loaded = read_with(&[("p.toml", text)], &[("bl.txt", list)]).unwrap();
    let entries = &loaded.policy.prefix_lists[&name("bl")].entries;
    let shown: Vec<String> = entries.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["5.188.10.0/23", "5.188.11.0/24", "2001:db8::/32"]);
    assert_eq!(loaded.notes.len(), 1);
    assert_eq!(loaded.notes[0].severity, Severity::Note);
    assert!(loaded.notes[0].message.contains("names 3 entries again"), "{}", loaded.notes[0]);
}

#[test]
fn lists_may_have_comments_blanks_and_no_end() {
    let list =
        "\u{feff}1.1.1.1/32 # dns\r\n\r\n\t\n  2001:db8::/32\r\n; old\n#\n10.0.0.0/8;x\n\t9.9.9.9";
    let text = "[prefix-lists.bl]\nentries-file = \"bl.txt\"";
    let loaded = read_with(&[("p.toml", text)], &[("bl.txt", list)]).unwrap();
    let entries = &loaded.policy.prefix_lists[&name("bl")].entries;
    let shown: Vec<String> = entries.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["1.1.1.1/32", "9.9.9.9/32", "10.0.0.0/8", "2001:db8::/32"]);
    assert!(loaded.notes.is_empty());
    let empty = read_with(&[("p.toml", text)], &[("bl.txt", "# none\n")]).unwrap();
    assert!(empty.policy.prefix_lists[&name("bl")].entries.is_empty());
}

#[test]
fn files_are_put_together() {
    let files = [
        ("a.toml", "[options]\nconntrack-max = 2000\n[interfaces.e]\ngroups = [\"g\"]\n"),
        ("b.json", r#"{"options": {"timeouts": {"icmp": 5}}, "groups": {"g": {"egress": []}}}"#),
    ];
    let policy = read_with(&files, &[]).unwrap().policy;
    assert_eq!((policy.options.conntrack_max, policy.options.timeouts.icmp), (2000, 5));
    // The order of files does not matter, not even for references.
    assert_eq!(read_with(&[files[1], files[0]], &[]).unwrap().policy, policy);
}

#[test]
fn default_egress_is_decided_when_the_file_is_read() {
    let egress =
        |text: &str| toml(&format!("[groups.g]\n{text}")).policy.groups[&name("g")].egress.clone();
    let default = Rule::default_egress();
    let deny = "egress = [{ action = \"deny\", protocol = \"tcp\", port = 25 }]";
    assert_eq!(egress(""), Rules::from(vec![default.clone()]));
    assert_eq!(egress("egress = []"), []);
    let said = egress("egress = []\ndefault-egress = true");
    assert_eq!(said, Rules::from(vec![default.clone()]));
    assert_eq!(egress("default-egress = false"), []);
    assert_eq!(egress(deny).len(), 2);
    assert_eq!(egress(deny)[1], default);
    assert_eq!(egress(&format!("{deny}\ndefault-egress = false")).len(), 1);
    assert_eq!(egress("egress = [{ protocol = \"udp\" }]").len(), 1);
    assert_eq!(egress("egress = [{ protocol = \"udp\" }]\ndefault-egress = true").len(), 2);
    // Written out it is the default itself, not a second one.
    let written =
        egress("egress = [{ priority = 65535, description = \"x\" }]\ndefault-egress = true");
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].description, "x");
}

#[test]
fn warnings_name_their_place() {
    let loaded = toml(
        "[prefix-lists.empty]\nentries = []\n[groups.none]\n[groups.some]\nmembers = [\"10.0.0.1\"]\n\
         [groups.closed]\negress = []\n\
         [[groups.g.ingress]]\naction = \"deny\"\nprefix-list = \"empty\"\ngroup = \"none\"\n\
         [[groups.g.ingress]]\naction = \"deny\"\ngroup = \"some\"\n\
         [[groups.g.ingress]]\nprefix-list = \"empty\"\n\
         [interfaces.e]\n[interfaces.f]\ngroups = [\"closed\", \"g\"]\n",
    );
    let shown: Vec<(u32, &str)> =
        loaded.notes.iter().map(|note| (note.line(), note.message.as_str())).collect();
    assert_eq!(
        shown,
        [
            (8, "a deny rule of the group \"g\" denies nothing: its peers are empty"),
            (17, "the interface \"e\" names no groups: nothing but always-passed traffic passes"),
            (
                18,
                "on f the group \"closed\" lets nothing out, but the default egress rule of \"g\" \
                 lets everything out"
            ),
        ]
    );
}

#[test]
fn what_exceeds_a_limit_is_named_with_its_figure() {
    let refused = |text: &str| read_with(&[("p.toml", text)], &[]).unwrap_err();
    let groups = |count: usize| {
        let mut text: String = (0..count).map(|i| format!("[groups.g{i}]\n")).collect();
        let names: Vec<String> = (0..count).map(|i| format!("\"g{i}\"")).collect();
        text += &format!("[interfaces.eth0]\ngroups = [{}]\n", names.join(", "));
        text
    };
    toml(&groups(64));
    let error = refused(&groups(65));
    assert_eq!(error.list[0].message, "groups of the interface \"eth0\": 65, the limit is 64");
    assert_eq!(error.list[0].line(), 66);

    let interfaces = |count: usize| -> String {
        (0..count).map(|i| format!("[interfaces.i{i}]\ngroups = []\n")).collect()
    };
    toml(&interfaces(1000));
    let error = refused(&interfaces(1001));
    assert_eq!(error.list[0].message, "interfaces: 1001, the limit is 1000");

    let list = |count: u32| -> String {
        (0..count).map(|i| format!("10.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255)).collect()
    };
    let text = "[prefix-lists.a]\nentries-file = \"a\"\n[prefix-lists.b]\nentries-file = \"b\"\n\
                [[groups.g.ingress]]\nprefix-list = [\"a\", \"b\"]\n[[groups.g.egress]]\nprefix-list = \"a\"\n\
                [interfaces.e]\ngroups = [\"g\"]\n";
    let (half, more) = (list(500_000), list(500_001));
    read_with(&[("p.toml", text)], &[("a", &half), ("b", &half)]).unwrap();
    let error = read_with(&[("p.toml", text)], &[("a", &half), ("b", &more)]).unwrap_err();
    assert_eq!(
        error.list[0].message,
        "prefix-list entries of all groups of the interface \"e\": 1000001, the limit is 1000000"
    );
    assert_eq!((error.list.len(), error.list[0].line()), (1, 9));
}

#[test]
fn rules_are_limited_for_each_interface() {
    let rules = |group: &str, count: u32| -> String {
        let rule = |i: u32| {
            format!("{{ protocol = \"tcp\", port = {}, priority = {} }},\n", i & 255, i >> 8)
        };
        let rules: String = (0..count).map(rule).collect();
        format!("[groups.{group}]\ningress = [\n{rules}]\n")
    };
    let text = |a: u32, b: u32| {
        rules("a", a) + &rules("b", b) + "[interfaces.e]\ngroups = [\"a\", \"b\"]\n"
    };
    toml(&text(60_000, 40_000));
    let error = read_with(&[("p.toml", &text(60_000, 40_001))], &[]).unwrap_err();
    assert_eq!(
        error.list[0].message,
        "rules of all groups of the interface \"e\": 100001, the limit is 100000"
    );
    let error = read_with(&[("p.toml", &text(100_001, 1))], &[]).unwrap_err();
    assert_eq!(error.list[0].message, "rules of the group \"a\": 100001, the limit is 100000");
    assert_eq!(error.list.len(), 1, "the culprit is named once");
}

#[test]
fn an_interface_that_the_host_lacks_is_shown_in_its_file() {
    let loaded = toml("[interfaces.eth0]\ngroups = []\n[interfaces.\"eth0.5\"]\ngroups = []\n");
    let error = loaded.missing_interface("eth0.5");
    assert_eq!((error.file(), error.line(), error.column()), (Some("policy.toml"), 3, 13));
    assert!(error.to_string().contains("when-absent"), "{error}");
}

#[test]
fn an_address_that_looks_like_everything_is_warned_about() {
    let loaded = toml("[[groups.g.ingress]]\ncidr = [\"0.0.0.0\", \"::/0\"]\n");
    assert_eq!(loaded.notes.len(), 1);
    assert_eq!((loaded.notes[0].line(), loaded.notes[0].column()), (2, 9));
    assert!(loaded.notes[0].help.contains("\"0.0.0.0/0\""));
}
