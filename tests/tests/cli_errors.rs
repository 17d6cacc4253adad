//! Bad input of every kind: a clear error, the right exit code, nothing changed.

use sg_tests::namespace::Namespace;
use sg_tests::report::list;
use sg_tests::sg::{Answer, Sg};

/// Checks a policy file; needs neither root nor a host.
fn check(name: &str, content: impl AsRef<[u8]>) -> Answer {
    let sg = Sg::here();
    let path = sg.file(name, content);
    sg.run_args(&["check", "-f", path.to_str().expect("a path")])
}

/// Checks what standard input gives.
fn check_stdin(format: &str, content: &str) -> Answer {
    Sg::here().run_with(&format!("check -f - --format {format}"), content)
}

/// A host with a state, in a namespace of its own.
fn a_host() -> (Sg, Namespace) {
    let namespace = Namespace::create();
    (Sg::new(namespace.name()), namespace)
}

/// Runs a line that has to be refused, and shows that nothing changed.
#[track_caller]
fn refused(sg: &Sg, line: &str, input: Option<&str>, words: &[&str]) {
    let before = sg.run("export").ok().stdout;
    let generation = sg.generation();
    sg.run_env(&[], line, input).refuses(words);
    assert_eq!(sg.run("export").ok().stdout, before, "{line}");
    assert_eq!(sg.generation(), generation, "{line}");
}

#[test]
fn errors_point_at_the_key_or_value() {
    let four = |third: &str| {
        let rule = |text: &str| format!("[[groups.g.ingress]]\n{text}\n");
        [
            "protocol = \"tcp\"\nport = 1",
            "protocol = \"tcp\"\nport = 2",
            third,
            "protocol = \"udp\"",
        ]
        .map(rule)
        .concat()
    };
    for (third, place, words) in [
        ("prot = \"tcp\"", "8:1", &["prot", "protocol"][..]),
        ("protocol = \"tcp\"\nport = {a = 1}", "9:8", &["port"]),
        ("protocol = \"tcp\"\nport = [80, \"x\"]", "9:13", &["x"]),
        ("protocol = \"tcp\"\ncidr = 5", "9:8", &["cidr"]),
        ("protocol = \"tcp\"\ncidr = \"10.1.2.3/8\"", "9:8", &["10.1.2.3/8", "10.0.0.0/8"]),
        ("protocol = \"TCP\"", "8:12", &["TCP", "tcp"]),
        ("protocol = \"tcp\"\nport = \"90-80\"", "9:8", &["90-80"]),
        ("protocol = \"tcp\"\nport = \"+80\"", "9:8", &["+80"]),
        ("protocol = \"tcp\"\nport = \"080\"", "9:8", &["080"]),
        ("protocol = \"tcp\"\nport = 65536", "9:8", &["65536", "65535"]),
        ("protocol = \"tcp\"\nport = -1", "9:8", &["-1"]),
        ("protocol = \"tcp\"\nport = []", "9:8", &["empty"]),
        ("protocol = \"icmp\"\nport = 80", "9:", &["port"]),
        ("protocol = \"tcp\"\nicmp-type = 8", "9:", &["icmp"]),
        ("protocol = \"icmp\"\nicmp-code = 8", "9:", &["icmp-type"]),
        ("protocol = \"icmp\"\ncidr = \"::/0\"", "", &["icmpv6"]),
        ("protocol = \"icmpv6\"\ncidr = \"10.0.0.0/8\"", "", &["icmp"]),
        ("protocol = 44", "8:12", &["44"]),
        ("protocol = 256", "8:12", &["256"]),
        ("protocol = \"tcp\"\ngroup = \"nobody\"", "9:9", &["nobody"]),
        ("protocol = \"tcp\"\nprefix-list = \"none\"", "9:15", &["none"]),
        ("protocol = \"tcp\"\npriority = 65536", "9:12", &["65536"]),
        ("protocol = \"tcp\"\naction = \"drop\"", "9:10", &["drop", "deny"]),
        ("protocol = \"tcp\"\ncidr = \"67.221.169.243/0\"", "9:8", &["67.221.169.243/0"]),
        ("protocol = \"tcp\"\nport = 2", "7:1", &["policy.toml:4:1"]),
        ("protocol = \"tcp\"\nprotocol = \"udp\"", "9:1", &["protocol"]),
        ("protocol = \"tcp\"\ndescription = \"a\\nb\"", "9:15", &["description"]),
        ("protocol = 136\nport = 80", "9:", &["port"]),
    ] {
        let file = four(third);
        let answer = check("policy.toml", &file).refuses(words);
        assert!(
            answer.stderr.contains(&format!("policy.toml:{place}")),
            "{third}:\n{}",
            answer.stderr
        );
        let answer = check_stdin("toml", &file).refuses(&[]);
        assert!(answer.stderr.contains(&format!("<stdin>:{place}")), "{third}:\n{}", answer.stderr);
    }
    for (json, place, words) in [
        ("{\"groups\":{\"g\":{\"ingress\":[\n {\"prot\": \"tcp\"}]}}}", "2:3", &["prot"][..]),
        (
            "{\"groups\":{\"g\":{\"ingress\":[\n {\"protocol\": \"tcp\",\n\"port\": [80, \"x\"]}]}}}",
            "3:14",
            &["x"],
        ),
        (
            "{\"groups\":{\"g\":{\"ingress\":[\n {\"protocol\": \"tcp\", \"cidr\": 5}]}}}",
            "2:30",
            &["cidr"],
        ),
        ("{\"groups\":{\"g\":{},\n\"g\":{}}}", "2:1", &["g"]),
        ("{\"groups\":\n", "", &["help:"]),
    ] {
        let answer = check("policy.json", json).refuses(words);
        assert!(
            answer.stderr.contains(&format!("policy.json:{place}")),
            "{json}:\n{}",
            answer.stderr
        );
        let answer = check_stdin("json", json).refuses(words);
        assert!(answer.stderr.contains(&format!("<stdin>:{place}")), "{json}:\n{}", answer.stderr);
    }
}

#[test]
fn marks_and_line_ends_of_other_systems_are_read_or_refused_clearly() {
    let policy =
        "[groups.g]\r\ndescription = \"x\"\r\n[[groups.g.ingress]]\r\nprotocol = \"tcp\"\r\n";
    check("bom.toml", format!("\u{feff}{policy}")).ok();
    check("bom.json", "\u{feff}{\r\n\"groups\": {\"g\": {}}}\r\n").ok();
    // The column behind the mark is that of an editor.
    let answer = check("bom.toml", "\u{feff}grups = 1\r\n").refuses(&["grups"]);
    assert!(answer.stderr.contains("bom.toml:1:1"), "{}", answer.stderr);
    for (name, bytes) in [
        ("middle.toml", "[groups.g]\n\u{feff}description = \"x\"\n".as_bytes().to_vec()),
        ("utf16.toml", policy.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("nul.toml", b"[groups.g]\ndescription = \"a\0b\"\n".to_vec()),
        ("cr.toml", b"[groups.g]\rdescription = \"x\"\r".to_vec()),
        ("latin1.toml", b"[groups.g]\ndescription = \"\xe4\"\n".to_vec()),
    ] {
        check(name, bytes).refuses(&[name]);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let sg = Sg::here();
    for line in [
        "",
        "no-such-command",
        "rule add",
        "rule add g sideways --cidr any",
        "check",
        "status --no-such-option",
        "-o xml status",
        "explain nic0 ingress --protocol tcp",
        "attach nic0 --mode observe",
    ] {
        let answer = sg.run(line).exits(2);
        assert_eq!(answer.stdout, "", "{line}");
        assert!(!answer.stderr.is_empty(), "{line}");
    }
    sg.run("check -f /no/such/file.toml").refuses(&["/no/such/file.toml"]);
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    for text in ["[options]\nestablished = \"keep\"\n", "[options]\nestablished = \"cut\"\n"] {
        check("policy.toml", text).refuses(&["established"]);
    }
    check("policy.toml", "[options]\nestablished = \"recheck\"\n").ok();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn what_is_not_built_yet_is_refused_on_a_host_too() {
    let (sg, _namespace) = a_host();
    let policy = "[groups.g]\n";
    sg.run_with("apply -f -", policy).ok();
    refused(&sg, "apply --established cut -f -", Some(policy), &["established"]);
}

#[test]
fn names_and_texts_have_limits() {
    let long = "a".repeat(63);
    check("policy.toml", format!("[groups.{long}]\n")).ok();
    for name in [format!("{long}a"), "Upper".to_owned(), "-a".to_owned(), "\"a b\"".to_owned()] {
        check("policy.toml", format!("[groups.{name}]\n")).refuses(&["policy.toml:1:"]);
    }
    let text = |count| format!("[groups.g]\ndescription = \"{}\"\n", "ä".repeat(count));
    check("policy.toml", text(127)).ok();
    check("policy.toml", text(128)).refuses(&["255"]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn lists_from_the_internet_are_read_with_their_flaws() {
    let (sg, _namespace) = a_host();
    sg.run("prefix-list create bl").ok();
    let add = |content: &str| {
        let path = sg.file("list.txt", content);
        sg.run_args(&["prefix-list", "add", "bl", "--file", path.to_str().expect("a path")])
    };
    // Doubles, overlaps, comments, blanks, other spellings, no line end.
    add("1.1.1.1/32 # dns\n\n\t\n  2001:db8::/32\r\n; old\n5.188.10.0/23\n5.188.11.0/24\n\
         5.188.10.0/23\n2001:DB8:0::/32\n198.51.100.7")
    .ok();
    let shown = sg.run("prefix-list show bl -o json").ok().json();
    let entries: Vec<_> = list(&shown, "entries").iter().filter_map(|e| e.as_str()).collect();
    assert_eq!(
        entries,
        ["1.1.1.1/32", "5.188.10.0/23", "5.188.11.0/24", "198.51.100.7/32", "2001:db8::/32"]
    );
    // One bad line, and nothing of the file is added.
    let mut many: String =
        (0..5_000).map(|i| format!("10.{}.{}.0/24\n", i / 256, i % 256)).collect();
    many.insert_str(many.match_indices('\n').nth(4_709).expect("a line").0 + 1, "10.1.2.3.4\n");
    let answer = add(&many).refuses(&["10.1.2.3.4"]);
    assert!(answer.stderr.contains("list.txt:4711:1"), "{}", answer.stderr);
    assert_eq!(sg.run("prefix-list show bl -o json").ok().json(), shown);
    // Removing what is not there changes nothing.
    refused(&sg, "prefix-list remove bl 192.0.2.0/24", None, &["192.0.2.0/24"]);
    sg.run("prefix-list remove bl 2001:db8:0:0:0:0:0:0/32").ok();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn large_lists_change_in_one_step() {
    let (sg, _namespace) = a_host();
    let entries = |network: u8, count: u32| -> String {
        (0..count)
            .map(|i| {
                let [_, a, b, c] = i.to_be_bytes();
                format!("{}.{a}.{b}.{c}\n", network + a)
            })
            .collect()
    };
    sg.run("prefix-list create a").ok();
    let file = sg.file("a.txt", entries(20, 150_000));
    let generation = sg.generation();
    sg.run_args(&["prefix-list", "add", "a", "--file", file.to_str().expect("a path")]).ok();
    assert_eq!(sg.generation(), generation + 1);
    // Grow one, shrink another, delete a third with its last reference.
    let policy = |a: u32, b: u32, third: bool| {
        let _ = sg.file("a.txt", entries(20, a));
        let _ = sg.file("b.txt", entries(40, b));
        let mut text = "[prefix-lists.a]\nentries-file = \"a.txt\"\n[prefix-lists.b]\n\
                        entries-file = \"b.txt\"\n[groups.g]\n"
            .to_owned();
        for list in ["a", "b", "c"].into_iter().take(if third { 3 } else { 2 }) {
            text += &format!("[[groups.g.ingress]]\nprefix-list = \"{list}\"\n");
        }
        if third {
            text += "[prefix-lists.c]\nentries = [\"192.0.2.0/24\"]\n";
        }
        let path = sg.file("policy.toml", text);
        sg.run_args(&["apply", "--prune", "-f", path.to_str().expect("a path")]).ok();
    };
    policy(100, 2_000, true);
    let generation = sg.generation();
    policy(3_000, 50, false);
    assert_eq!(sg.generation(), generation + 1);
    let lists = sg.run("prefix-list list -o json").ok().stdout;
    assert!(!lists.contains("\"c\""), "{lists}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn output_depends_on_nothing_around_it() {
    let (sg, _namespace) = a_host();
    sg.run_with(
        "apply -f -",
        "[groups.web]\n[[groups.web.ingress]]\nprotocol = \"tcp\"\nport = 80\n[groups.iii]\n[groups.a]\n",
    )
    .ok();
    for line in ["group list", "rule list", "status"] {
        let json = format!("{line} -o json");
        let expected = sg.run(&json).ok().stdout;
        for variables in [
            &[("LANG", "de_DE.UTF-8"), ("LC_ALL", "de_DE.UTF-8")][..],
            &[("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")],
            &[("LC_ALL", "C"), ("TERM", "dumb")],
            &[("COLUMNS", "20")],
        ] {
            assert_eq!(sg.run_env(variables, &json, None).ok().stdout, expected, "{variables:?}");
            let table = sg.run_env(variables, line, None).ok().stdout;
            assert!(!table.is_empty() && !table.contains('\u{1b}'), "{line}: {table}");
        }
    }
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_fresh_host_has_empty_lists() {
    let (sg, _namespace) = a_host();
    for (line, field) in [
        ("group list", "groups"),
        ("rule list", "rules"),
        ("prefix-list list", "prefix_lists"),
        ("stats", "rules"),
        ("status", "interfaces"),
    ] {
        let answer = sg.run(&format!("{line} -o json")).ok();
        let value = answer.json();
        assert_eq!(list(&value, field).len(), 0, "{line}: {value}");
        assert!(!answer.stdout.contains("null,"), "{line}: {}", answer.stdout);
    }
    assert!(!sg.run("export").ok().stdout.contains("[groups"));
    // After an error too there is one value.
    assert!(sg.run("group show nobody -o json").refuses(&["nobody"]).json()["error"].is_string());
    assert_eq!(sg.run("group show nobody").refuses(&["nobody"]).stdout, "");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn what_is_referred_to_is_not_deleted_and_the_referrers_are_named() {
    let net = sg_tests::net::Net::new();
    let sg = &net.sg;
    sg.run_with(
        "apply -f -",
        "[prefix-lists.office]\nentries = [\"192.0.2.0/24\"]\n[groups.web]\n[groups.db]\n\
         [[groups.db.ingress]]\nprotocol = \"tcp\"\nport = 5432\ngroup = \"web\"\n\
         [[groups.db.ingress]]\nprotocol = \"tcp\"\nport = 22\ngroup = \"web\"\nprefix-list = \"office\"\n\
         [groups.own]\n[[groups.own.ingress]]\nprotocol = \"udp\"\ngroup = \"own\"\n\
         [interfaces.nic0]\ngroups = [\"web\"]\n",
    )
    .ok();
    let before = sg.run("export").ok().stdout;
    let answer = sg.run("group delete web").refuses(&["web", "db", "nic0", "sgr-", "help:"]);
    let causes =
        answer.stderr.lines().filter(|line| line.trim_start().starts_with("cause:")).count();
    assert!(causes >= 3, "one line for each referrer:\n{}", answer.stderr);
    refused(sg, "prefix-list delete office", None, &["office", "db", "sgr-"]);
    assert_eq!(sg.run("export").ok().stdout, before);
    sg.run("group delete own").ok();
}

#[test]
fn equal_rules_are_refused_with_their_ids_and_lines() {
    let twice = |a: &str, b: &str| {
        let rule = |text| format!("[[groups.g.ingress]]\nprotocol = \"tcp\"\n{text}\n");
        rule(a) + &rule(b)
    };
    for (a, b) in [
        ("port = 80\ndescription = \"one\"", "port = 80\ndescription = \"two\""),
        ("port = [80, 81]", "port = \"80-81\""),
        ("cidr = \"2001:DB8:0:0::/32\"", "cidr = \"2001:db8::/32\""),
        ("cidr = \"198.51.100.7\"", "cidr = \"198.51.100.7/32\""),
    ] {
        let answer = check("policy.toml", twice(a, b)).refuses(&["policy.toml:"]);
        let first = answer.stderr.contains(":1:") || answer.stderr.contains("line 1");
        assert!(first, "both lines are named:\n{}", answer.stderr);
    }
    check("policy.toml", twice("port = 80", "port = \"80-80\"\npriority = 9")).ok();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_rule_that_exists_is_named_and_not_added_twice() {
    let (sg, _namespace) = a_host();
    sg.run("group create g").ok();
    let id = sg.run("rule add g ingress --protocol tcp --port 80 --port 81 --cidr any").ok().stdout;
    let again = "rule add g ingress --protocol 6 --port 80-81 --cidr any --description other";
    refused(&sg, again, None, &[id.trim()]);
    sg.run("rule add g ingress --protocol tcp --port 90").exits(2);
    refused(&sg, "rule remove sgr-00000000000000000", None, &["sgr-00000000000000000"]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn ids_depend_on_content_alone_and_rewrites_change_nothing() {
    let rule = |port: u16, text: &str| {
        format!(
            "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = {port}\ndescription = \"{text}\"\n"
        )
    };
    let straight: String = (1..=200).map(|port| rule(port, "x")).collect();
    let shuffled: String = (1..=200).map(|i| rule((i * 77) % 201, "x")).collect();
    let ids = |sg: &Sg| {
        let rules = sg.run("rule list -o json").ok().json();
        let mut ids: Vec<_> =
            list(&rules, "rules").iter().map(|rule| rule["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let (one, _first) = a_host();
    let (two, _second) = a_host();
    one.apply(&straight);
    two.apply(&shuffled);
    let expected = ids(&one);
    assert_eq!(expected.len(), 201, "with the default egress rule");
    assert_eq!(ids(&two), expected);
    let generation = one.generation();
    one.apply(&straight);
    assert_eq!(one.generation(), generation, "the same again is no change");
    let described = straight.replacen("\"x\"", "\"y\"", 1);
    let plan = one.run_with("plan -f - --exit-code", &described).exits(3);
    let changed = |answer: &Answer| {
        answer
            .stdout
            .lines()
            .filter(|line| matches!(line.trim_start().chars().next(), Some('+' | '-' | '~')))
            .count()
    };
    assert_eq!(changed(&plan), 1, "{}", plan.stdout);
    one.apply(&described);
    assert_eq!(ids(&one), expected);
    // Other spellings of the same.
    let respelled = described
        .replace("protocol = \"tcp\"", "protocol = 6")
        .replace("port = 80\n", "port = [\"80-80\"]\n");
    let plan = one.run_with("plan -f - --exit-code", &respelled).exits(0);
    assert_eq!(changed(&plan), 0, "{}", plan.stdout);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn an_export_applied_is_no_change() {
    let net = sg_tests::net::Net::new();
    net.sg.apply(
        "[options]\nconntrack-max = 50000\ntimeouts = { icmp = 31 }\n\
         [prefix-lists.office]\ndescription = \"Offices\"\nentries = [\"203.0.113.0/24\", \"2001:db8:10::/48\"]\n\
         [groups.web]\ndescription = \"Tier \\\"one\\\"\"\nmembers = [\"192.0.2.10\"]\n\
         [[groups.web.ingress]]\nprotocol = \"tcp\"\nport = [443, \"8000-8100\"]\ncidr = [\"0.0.0.0/0\", \"::/0\"]\n\
         [[groups.web.ingress]]\nprotocol = \"icmp\"\nicmp-type = 3\nicmp-code = 4\n\
         [[groups.web.ingress]]\naction = \"deny\"\npriority = 10\nprefix-list = \"office\"\n\
         [[groups.web.ingress]]\nprotocol = 47\n[[groups.web.ingress]]\nprotocol = \"sctp\"\n\
         [groups.db]\ndefault-egress = true\n\
         [[groups.db.egress]]\nprotocol = \"icmpv6\"\nicmp-type = 0\ngroup = \"web\"\n\
         [interfaces.nic0]\ngroups = [\"web\", \"db\"]\nmode = \"monitor\"\nhook = \"tc\"\n",
    );
    let generation = net.sg.generation();
    let toml = net.sg.run("export").ok().stdout;
    let json = net.sg.run("export -o json").ok().stdout;
    net.sg.run_with("plan -f - --exit-code", &toml).exits(0);
    net.sg.run_with("apply -f -", &toml).ok();
    net.sg.run_with("apply -f - --format json", &json).ok();
    assert_eq!(net.sg.generation(), generation);
    assert_eq!(net.sg.run("export").ok().stdout, toml);
    assert!(toml.contains("default-egress"), "{toml}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn what_a_file_does_not_name_is_pruned_only_when_asked() {
    let net = sg_tests::net::Net::new();
    let sg = &net.sg;
    sg.apply(
        "[prefix-lists.l]\nentries = []\n[groups.a]\n[groups.b]\n[interfaces.nic0]\ngroups = [\"a\"]\n",
    );
    refused(sg, "apply -f -", Some("[groups.a]\n"), &["b", "l", "nic0", "--prune"]);
    let before = sg.run("export").ok().stdout;
    let dry = sg.run_with("apply --prune --dry-run -f -", "[groups.a]\n").ok();
    assert!(dry.stdout.contains("nic0"), "{}", dry.stdout);
    assert_eq!(sg.run("export").ok().stdout, before);
    for line in
        ["group create c --dry-run", "detach nic0 --dry-run", "update nic0 --groups b --dry-run"]
    {
        sg.run(line).ok();
        assert_eq!(sg.run("export").ok().stdout, before, "{line}");
    }
    sg.run_with("apply --prune -f -", "[groups.a]\n").ok();
    assert!(sg.pins().is_empty(), "{:?}", sg.pins());
}

#[test]
fn the_schema_and_completions_come_without_a_host() {
    let sg = Sg::here();
    let schema = sg.run("schema").ok().json();
    for name in ["groups", "interfaces", "prefix-lists", "options"] {
        assert!(schema["properties"].get(name).is_some(), "{name}: {schema}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(sg.run(&format!("completions {shell}")).ok().stdout.contains("sg-ctl"));
    }
}

#[test]
fn any_protocol_spelling_means_its_number() {
    for (one, other) in [
        ("protocol = \"tcp\"\nport = 22", "protocol = 6\nport = 22"),
        ("protocol = \"icmp\"\nicmp-type = 8", "protocol = 1\nicmp-type = 8"),
        ("protocol = \"icmpv6\"", "protocol = 58"),
        ("protocol = \"sctp\"\nport = 1", "protocol = 132\nport = 1"),
        ("protocol = \"all\"", ""),
    ] {
        // Equal content is an equal rule, so the two together are refused.
        let text = format!("[[groups.g.ingress]]\n{one}\n[[groups.g.ingress]]\n{other}\n");
        check("policy.toml", text).refuses(&["policy.toml:"]);
    }
    for number in ["0", "43", "44", "60", "136\nport = 5", "33\nport = 5"] {
        check("policy.toml", format!("[[groups.g.ingress]]\nprotocol = {number}\n"))
            .refuses(&["policy.toml:"]);
    }
}
