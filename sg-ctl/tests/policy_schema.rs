//! The JSON Schema agrees with the reader, and every policy in the documentation is one.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;
use sg_ctl::policy::export::export;
use sg_ctl::policy::file::load::{Input, load};
use sg_ctl::policy::file::read;
use sg_ctl::policy::file::source::{Format, Source};
use sg_ctl::policy::model::Policy;
use sg_ctl::policy::schema::schema;

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

/// Reads a text; list files are empty.
fn reader_accepts(text: &str, format: Format) -> Result<Policy, String> {
    let bytes = text.as_bytes().to_vec();
    let source =
        Source::new("p", bytes, Some(format), "".into()).map_err(|error| error.to_string())?;
    read(&[source], &mut |_| Ok(Vec::new())).map(|l| l.policy).map_err(|error| error.to_string())
}

#[track_caller]
fn both_accept(text: &str, what: &str) {
    let policy = reader_accepts(text, Format::Toml).unwrap_or_else(|e| panic!("{what}:\n{e}"));
    let value: Value = toml::from_str(text).unwrap();
    let validator = validator();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {errors:?}");
    let exported = export(&policy, Format::Json);
    assert!(validator.is_valid(&serde_json::from_str(&exported).unwrap()), "{what}:\n{exported}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(&schema()).unwrap();
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema()).unwrap());
}

#[test]
fn every_policy_of_the_documentation_is_accepted() {
    let text = std::fs::read_to_string(root().join("docs/policy.md")).unwrap();
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|b| b.split("```").next()).collect();
    assert!(blocks.len() > 5, "the page shows policies");
    for block in blocks {
        both_accept(block, block);
    }
}

#[test]
fn every_example_is_accepted() {
    let mut examples = 0;
    for file in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            examples += 1;
            both_accept(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string());
            // With its list files, too.
            let inputs = vec![Input::Path(path.clone())];
            load(inputs, None).unwrap_or_else(|e| panic!("{}:\n{e}", path.display()));
        }
    }
    assert!(examples > 0);
}

#[test]
fn both_forms_of_every_key_are_accepted() {
    both_accept(
        r#"
        [options]
        conntrack-max = 1024
        established = "recheck"
        timeouts = { tcp-opening = 1, tcp-established = 2678400, tcp-closing = 1, udp-one-way = 1,
                     udp-answered = 1, icmp = 1, sctp-established = 1, other = 1 }
        always-pass = { arp = true, nd = true, mld = true, igmp = true, dhcp = false, stp = true }
        ethertypes = ["lldp", "eapol", "ptp", "lacp", 0x9000, "0x9001", "36866", 36867]
        [prefix-lists.p]
        description = "p"
        entries = ["10.0.0.0/8", "::1"]
        [prefix-lists.q]
        entries-file = "q.txt"
        [groups.g]
        description = "g"
        members = ["192.0.2.1", "2001:db8::/32"]
        default-egress = true
        [[groups.g.ingress]]
        action = "allow"
        priority = 0
        protocol = "sctp"
        port = 0
        cidr = "::/0"
        prefix-list = "p"
        group = "g"
        description = "r"
        [[groups.g.ingress]]
        action = "deny"
        priority = 65535
        protocol = 255
        cidr = ["0.0.0.0/0", "::ffff:10.0.0.1"]
        prefix-list = ["p", "q"]
        group = ["g"]
        [[groups.g.egress]]
        protocol = "47"
        [[groups.g.egress]]
        protocol = 58
        icmp-type = 0
        icmp-code = 255
        [[groups.g.egress]]
        protocol = "udp"
        port = ["1-65535", "0", 5]
        [interfaces.eth0]
        groups = ["g"]
        mode = "monitor"
        side = "guest"
        hook = "xdp-generic"
        addresses = ["10.0.0.7", "2001:db8::7"]
        guest-servers = true
        when-absent = "wait"
        [interfaces."eth0.100"]
        "#,
        "all keys",
    );
    both_accept("", "an empty file");
}

#[test]
fn both_refuse_the_same_slips() {
    let rule = |rule: &str| format!(r#"{{"groups": {{"g": {{"ingress": [{rule}]}}}}}}"#);
    let group = |group: &str| format!(r#"{{"groups": {{"g": {group}}}}}"#);
    let list = |list: &str| format!(r#"{{"prefix-lists": {{"p": {list}}}}}"#);
    let options = |options: &str| format!(r#"{{"options": {options}}}"#);
    let interface = |interface: &str| format!(r#"{{"interfaces": {{"e": {interface}}}}}"#);
    let slips = [
        "[]".to_owned(),
        r#"{"group": {}}"#.into(),
        r#"{"groups": []}"#.into(),
        r#"{"groups": {"Web": {}}}"#.into(),
        r#"{"interfaces": {"veth*": {}}}"#.into(),
        r#"{"interfaces": {"sixteen-bytes-xx": {}}}"#.into(),
        rule("5"),
        rule(r#"{"prot": "tcp"}"#),
        rule(r#"{"action": "drop"}"#),
        rule(r#"{"protocol": "TCP"}"#),
        rule(r#"{"protocol": 43}"#),
        rule(r#"{"protocol": "44"}"#),
        rule(r#"{"protocol": 0}"#),
        rule(r#"{"protocol": 256}"#),
        rule(r#"{"protocol": null}"#),
        rule(r#"{"port": 80}"#),
        rule(r#"{"protocol": "tcp", "port": {"a": 1}}"#),
        rule(r#"{"protocol": "tcp", "port": [80, "x"]}"#),
        rule(r#"{"protocol": "tcp", "port": []}"#),
        rule(r#"{"protocol": "tcp", "port": 65536}"#),
        rule(r#"{"protocol": "tcp", "port": -1}"#),
        rule(r#"{"protocol": "tcp", "port": 80.5}"#),
        rule(r#"{"protocol": "tcp", "port": "080"}"#),
        rule(r#"{"protocol": "tcp", "port": "80 - 90"}"#),
        rule(r#"{"protocol": "icmp", "icmp-type": "8"}"#),
        rule(r#"{"protocol": "icmp", "icmp-code": 8}"#),
        rule(r#"{"protocol": "icmp", "icmp-type": 256}"#),
        rule(r#"{"icmp-type": 8}"#),
        rule(r#"{"cidr": 5}"#),
        rule(r#"{"cidr": "any"}"#),
        rule(r#"{"cidr": "10.0.0.0/08"}"#),
        rule(r#"{"cidr": []}"#),
        rule(r#"{"group": "A"}"#),
        rule(r#"{"prefix-list": [5]}"#),
        rule(r#"{"priority": "10"}"#),
        rule(r#"{"priority": 65536}"#),
        rule(r#"{"description": 5}"#),
        rule(r#"{"description": "a\u0007b"}"#),
        group("5"),
        group(r#"{"members": "10.0.0.1"}"#),
        group(r#"{"ingress": {}}"#),
        group(r#"{"default-egress": "no"}"#),
        group(&format!(r#"{{"description": "{}"}}"#, "x".repeat(256))),
        list("{}"),
        list(r#"{"entries": "10.0.0.0/8"}"#),
        list(r#"{"entries": [5]}"#),
        list(r#"{"entries-file": 5}"#),
        list(r#"{"entries-file": ""}"#),
        options(r#"{"conntrack-max": 1023}"#),
        options(r#"{"conntrack-max": 4000001}"#),
        options(r#"{"established": "keep"}"#),
        options(r#"{"timeouts": {"icmp": 0}}"#),
        options(r#"{"timeouts": {"tcp": 5}}"#),
        options(r#"{"always-pass": {"dhcp": 1}}"#),
        options(r#"{"always-pass": ["dhcp"]}"#),
        options(r#"{"ethertypes": "lldp"}"#),
        options(r#"{"ethertypes": [5]}"#),
        options(r#"{"ethertypes": ["ldp"]}"#),
        interface("[]"),
        interface(r#"{"groups": "g"}"#),
        interface(r#"{"mode": "Monitor"}"#),
        interface(r#"{"hook": "native"}"#),
        interface(r#"{"addresses": ["10.0.0.1"]}"#),
        interface(r#"{"side": "guest", "addresses": ["10.0.0.0/8"]}"#),
        interface(r#"{"side": "host", "guest-servers": true}"#),
        interface(r#"{"when-absent": "ignore"}"#),
        interface(r#"{"conntrack-zone": 5}"#),
    ];
    let validator = validator();
    for text in slips {
        assert!(reader_accepts(&text, Format::Json).is_err(), "the reader accepts {text}");
        let value = serde_json::from_str(&text).unwrap();
        assert!(!validator.is_valid(&value), "the schema accepts {text}");
    }
}
