//! What is refused, and how the refusal reads: one snapshot of every kind of error.
//!
//! Each case is a broken policy file; the snapshot holds what a person would see.

use std::fmt::Write as _;
use std::path::Path;

use sg_ctl::policy::file::diagnostic::Diagnostics;
use sg_ctl::policy::file::read;
use sg_ctl::policy::file::source::{Format, Source};

/// A case: what it shows, and its files by name and content.
type Case<'c> = (&'c str, &'c [(&'c str, &'c [u8])]);

fn refusal(files: &[(&str, &[u8])]) -> Diagnostics {
    let mut sources = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| !name.ends_with(".txt")) {
        let format = if name.ends_with("json") { Format::Json } else { Format::Toml };
        match Source::new(name, bytes.to_vec(), Some(format), "".into()) {
            Ok(source) => sources.push(source),
            Err(error) => return error.into(),
        }
    }
    let mut lists = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, bytes)| bytes.to_vec()).ok_or(std::io::ErrorKind::NotFound.into())
    };
    match read(&sources, &mut lists) {
        Ok(loaded) => panic!("accepted: {files:?}: {loaded:?}"),
        Err(errors) => errors,
    }
}

fn snapshot(cases: &[Case<'_>]) -> String {
    let mut out = String::new();
    for (what, files) in cases {
        let errors = refusal(files);
        for error in &errors.list {
            // Every error names its place and the mend.
            assert!(!error.help.is_empty(), "{what}: {error}");
            assert!(error.file().is_some(), "{what}: {error}");
        }
        writeln!(out, "=== {what}\n{errors}\n").unwrap();
    }
    out
}

macro_rules! cases {
    ($($what:literal: $($name:literal = $text:expr),+;)*) => {
        &[$(($what, &[$(($name, $text.as_bytes())),+]),)*]
    };
}

/// A group with one rule.
macro_rules! rule {
    ($text:literal) => {
        concat!("[[groups.g.ingress]]\n", $text)
    };
}

#[test]
fn shape() {
    let cases: &[Case<'_>] = cases! {
        "unknown key in the third rule of four":
            "p.toml" = concat!(
                "[[groups.g.ingress]]\nprotocol = \"tcp\"\n",
                "[[groups.g.ingress]]\nprotocol = \"udp\"\n",
                "[[groups.g.ingress]]\nprot = \"tcp\"\n",
                "[[groups.g.ingress]]\nprotocol = \"sctp\"\n");
        "the same in JSON":
            "p.json" = concat!(
                "{\"groups\": {\"g\": {\"ingress\": [\n  {\"protocol\": \"tcp\"},\n",
                "  {\"protocol\": \"udp\"},\n  {\"prot\": \"tcp\"},\n  {\"protocol\": \"sctp\"}]}}}");
        "the same from standard input":
            "<stdin>" = rule!("prot = \"tcp\"");
        "a table as port": "p.toml" = rule!("protocol = \"tcp\"\nport = {a = 1}");
        "a table as port, JSON":
            "p.json" = r#"{"groups": {"g": {"ingress": [{"protocol": "tcp", "port": {"a": 1}}]}}}"#;
        "a word among ports": "p.toml" = rule!("protocol = \"tcp\"\nport = [80, \"x\"]");
        "a word among ports, JSON":
            "p.json" = "{\"groups\": {\"g\": {\"ingress\": [\n\t{\"protocol\": \"tcp\",\n\t\"port\": [80, \"x\"]}]}}}";
        "a number as CIDR": "p.toml" = rule!("cidr = 5");
        "a number as CIDR, JSON": "p.json" = r#"{"groups": {"g": {"ingress": [{"cidr": 5}]}}}"#;
        "null as CIDR": "p.json" = r#"{"groups": {"g": {"ingress": [{"cidr": null}]}}}"#;
        "a date as description": "p.toml" = rule!("description = 2020-01-01");
        "repeated key": "p.toml" = rule!("priority = 1\npriority = 2");
        "repeated key, JSON":
            "p.json" = "{\"groups\": {\"g\": {\"ingress\": [{\"priority\": 1,\n\"priority\": 2}]}}}";
        "repeated table": "p.toml" = "[groups.g]\n[groups.h]\n[groups.g]\n";
        "repeated table, JSON": "p.json" = "{\"groups\": {\"g\": {},\n \"g\": {}}}";
        "a key of another table": "p.toml" = "[groups.g]\ngroups = []\nport = 80\n[interfaces.e]\ngroups=[]\ncidr = \"::/0\"";
        "unknown section": "p.toml" = "[group.g]\n[prefix_lists.x]\n";
        "single brackets": "p.toml" = "[groups.g.ingress]\nprotocol = \"tcp\"";
        "double brackets": "p.toml" = "[[groups]]\nname = \"g\"";
        "a dot in a name": "p.toml" = "[interfaces.eth0.100]\ngroups = []\n[groups.a.b]\n";
        "a list as policy": "p.json" = "[]";
        "texts instead of lists": "p.toml" = "[groups.g]\nmembers = \"192.0.2.1\"\n[interfaces.e]\ngroups = \"g\"";
        "numbers in quotes": "p.toml" = rule!("protocol = \"icmp\"\nicmp-type = \"8\"\npriority = \"x\"");
        "truth values": "p.toml" = "[groups.g]\ndefault-egress = \"no\"\n";
        "description": "p.toml" = "[groups.g]\ndescription = \"a\\u001b[31mb\"\n[groups.h]\ndescription = 5";
        "long description":
            "p.toml" = "[groups.g]\ndescription = \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345\"";
        "names": "p.toml" = "[groups.Web]\n[groups.\"\"]\n[prefix-lists.\"a b\"]\nentries = []\n[interfaces.\"a/b\"]\n";
        "no entries": "p.toml" = "[prefix-lists.p]\ndescription = \"x\"";
    };
    insta::assert_snapshot!(snapshot(cases));
}

#[test]
fn rules() {
    let cases: &[Case<'_>] = cases! {
        "empty selector lists": "p.toml" = rule!("protocol = \"tcp\"\nport = []\ncidr = []\nprefix-list = []\ngroup = []");
        "port without protocol": "p.toml" = rule!("port = 80");
        "port on another protocol": "p.toml" = rule!("protocol = \"icmp\"\nport = 80");
        "port on UDP-Lite": "p.toml" = rule!("protocol = 136\nport = 80");
        "port on DCCP": "p.toml" = rule!("protocol = \"33\"\nport = 80");
        "ICMP type without protocol": "p.toml" = rule!("icmp-type = 8");
        "ICMP type on another protocol": "p.toml" = rule!("protocol = \"tcp\"\nicmp-type = 8");
        "code without type": "p.toml" = rule!("protocol = \"icmp\"\nicmp-code = 0");
        "ICMP type out of range": "p.toml" = rule!("protocol = \"icmp\"\nicmp-type = 256\nicmp-code = -1");
        "icmp with IPv6 peers alone": "p.toml" = rule!("protocol = \"icmp\"\ncidr = \"::/0\"");
        "icmpv6 with IPv4 peers alone": "p.toml" = rule!("protocol = 58\ncidr = [\"10.0.0.0/8\", \"192.0.2.0/24\"]");
        "icmp with both families": "p.toml" = rule!("protocol = \"icmp\"\ncidr = [\"0.0.0.0/0\", \"::/0\"]");
        "icmpv6 with a dead CIDR beside a group": "p.toml" = rule!("protocol = \"icmpv6\"\ncidr = \"10.0.0.0/8\"\ngroup = \"g\"");
        "unknown names": "p.toml" = concat!(
            "[groups.web]\n[prefix-lists.office]\nentries = []\n",
            "[[groups.g.ingress]]\ngroup = [\"web\", \"wep\"]\nprefix-list = \"offices\"\n",
            "[interfaces.e]\ngroups = [\"nothing-like-it\"]");
        "empty range": "p.toml" = rule!("protocol = \"tcp\"\nport = \"90-80\"");
        "numerals": "p.toml" = rule!("protocol = \"tcp\"\nport = [\"080\", \"+80\", \" 80\", \"80 - 90\", \"65536\", +80, -1, 65536, 0x50, 80.0, \"\"]\npriority = 65536");
        "numerals, TOML itself": "p.toml" = rule!("protocol = \"tcp\"\nport = 080");
        "numerals, JSON itself": "p.json" = r#"{"groups": {"g": {"ingress": [{"protocol": "tcp", "port": 080}]}}}"#;
        "numerals, JSON": "p.json" = r#"{"groups": {"g": {"ingress": [{"protocol": "tcp", "port": [80.0, 8e1, -0, 99999999999]}]}}}"#;
        "host bits": "p.toml" = rule!("cidr = [\"67.221.169.243/0\", \"2001:db8::1/64\"]");
        "CIDRs": "p.toml" = rule!("cidr = [\"any\", \"10.0.0.0/33\", \"10.0.0.0/08\", \"10.0.0\", \"fe80::1%eth0\", \"example.org\", \"\", \"10.0.0.0/255.0.0.0\"]");
        "protocols": "p.toml" = "[groups.g]\ningress = [\n{ protocol = \"TCP\" },\n{ protocol = 0 },\n{ protocol = \"43\" },\n{ protocol = 44 },\n{ protocol = 60 },\n{ protocol = 256 },\n{ protocol = \"gre\" },\n{ protocol = \"any\" },\n{ protocol = [\"tcp\"] },\n{ protocol = \"tpc\" },\n]";
        "words": "p.toml" = "[[groups.g.ingress]]\naction = \"Drop\"\n[interfaces.e]\ngroups = []\nmode = \"Monitor\"\nside = \"client\"\nhook = \"generic\"\nwhen-absent = \"ignore\"";
        "the same rule twice": "p.toml" = concat!(
            "[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = [81, 80]\ndescription = \"a\"\n",
            "[[groups.g.ingress]]\nprotocol = 6\nport = \"80-81\"\ncidr = [\"::/0\", \"0.0.0.0/0\"]\ndescription = \"b\"\n");
        "default egress twice said": "p.toml" = "[groups.g]\ndefault-egress = false\negress = [{ priority = 65535 }]";
    };
    insta::assert_snapshot!(snapshot(cases));
}

#[test]
fn interfaces_options_and_files() {
    let cases: &[Case<'_>] = cases! {
        "guest keys on the host side": "p.toml" = "[interfaces.e]\ngroups = []\naddresses = [\"10.0.0.1\"]\nguest-servers = true";
        "addresses": "p.toml" = "[interfaces.e]\ngroups = []\nside = \"guest\"\naddresses = [\"10.0.0.0/8\", 5]";
        "a group twice": "p.toml" = "[groups.g]\n[interfaces.e]\ngroups = [\"g\", \"g\"]";
        "interface patterns": "p.toml" = "[interfaces.\"veth*\"]\ngroups = []";
        "of a later version": "p.toml" = "[options]\nestablished = \"keep\"\n[interfaces.e]\ngroups = []\nconntrack-zone = 5";
        "options": "p.toml" = concat!(
            "[options]\nconntrack-max = 5_000_000\nestablished = \"cut\"\n",
            "timeouts = { tcp = 5, icmp = 0, other = 2678401 }\n",
            "always-pass = { ssh = true, dhcp = 1 }\n",
            "ethertypes = [\"lldp\", 0x0800, 5, \"0xfffff\", \"ldp\"]\nconntrackmax = 5\n");
        "too many EtherTypes": "p.toml" = "[options]\nethertypes = [0x9001,0x9002,0x9003,0x9004,0x9005,0x9006,0x9007,0x9008,0x9009,0x900a,0x900b,0x900c,0x900d,0x900e,0x900f,0x9010,0x9011]";
        "the same in two files":
            "a.toml" = "[options]\nconntrack-max = 2000\n[groups.g]\n[prefix-lists.p]\nentries = []\n[interfaces.e]\ngroups = []",
            "b.json" = "{\"options\": {\"conntrack-max\": 3000},\n \"groups\": {\"g\": {}},\n \"prefix-lists\": {\"p\": {\"entries\": []}},\n \"interfaces\": {\"e\": {\"groups\": []}}}";
        "a list file":
            "p.toml" = "[prefix-lists.p]\nentries-file = \"bl.txt\"",
            "bl.txt" = "\u{feff}1.1.1.1/32 # dns\r\n\r\n\t\n  2001:db8::/32\r\n; old\n10.0.0.1/8\n  1.2.3.4 dns\n1.2.3.4,1.2.3.5\nexample.org # name\n1.2.3.0/024\n1.2.3\rx";
        "a list file that is not there": "p.toml" = "[prefix-lists.p]\nentries-file = \"missing.txt\"";
        "a list file with carriage returns alone":
            "p.toml" = "[prefix-lists.p]\nentries-file = \"bl.txt\"",
            "bl.txt" = "# old Macintosh\r1.1.1.1\r2.2.2.2\r";
        "a mark in the middle": "p.toml" = "[groups.g]\n# ä \u{feff}[groups.h]\n";
        "NUL": "p.toml" = "[groups.g]\ndescription = \"a\0b\"\n";
        "a lone carriage return": "p.toml" = "[groups.g]\r\ndescription = \"a\"\r[groups.h]";
        "a lone carriage return, JSON": "p.json" = "{\r\n\"groups\":\r{}}";
        "TOML syntax": "p.toml" = "[groups.g]\ndescription = Public\nmembers = [\"1.1.1.1\"\n[groups.h\n";
        "JSON syntax: comma": "p.json" = "{\"groups\": {\"g\": {},}}";
        "JSON syntax: comment": "p.json" = "{\"groups\": {} // all\n}";
        "JSON syntax: quotes": "p.json" = "{'groups': {}}";
        "JSON syntax: word": "p.json" = "{\"groups\": {\"g\": {\"description\": web}}}";
        "JSON syntax: end": "p.json" = "{\"groups\": {\"g\": {\"description\": \"web\"";
        "JSON syntax: open text": "p.json" = "{\"groups\": {\"g\": {\"description\": \"web}}}\n";
        "JSON syntax: escape": "p.json" = "{\"groups\": {\"g\": {\"description\": \"\\x \\ud800\"}}}";
        "JSON syntax: two values": "p.json" = "{}\n{}";
        "JSON syntax: nothing": "p.json" = "";
        "TOML in a JSON file": "p.json" = "[groups.g]\n";
        "JSON in a TOML file": "p.toml" = "{\"groups\": {}}\n";
        "a long line": "p.json" = "{\"groups\": {\"g\": {\"members\": [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\", \"10.0.0.4\", \"10.0.0.5\", \"10.0.0.6\", \"10.0.0.7/1\", \"10.0.0.8\", \"10.0.0.9\", \"10.0.0.10\", \"10.0.0.11\", \"10.0.0.12\"]}}}";
        "a wide character in front": "p.toml" = "[groups.g]\ningress = [{ description = \"ä漢\", port = 5 }]";
    };
    let mut out = snapshot(cases);
    let utf16: Vec<u8> = "[groups.g]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut utf16_marked = vec![0xfe, 0xff];
    utf16_marked.extend("[groups.g]\n".encode_utf16().flat_map(u16::to_be_bytes));
    out += &snapshot(&[
        ("UTF-16", &[("p.toml", &utf16)]),
        ("UTF-16 with a mark", &[("p.json", &utf16_marked)]),
        ("Latin-1", &[("p.toml", b"[groups.g]\ndescription = \"B\xfcro\"\n")]),
        (
            "a list in UTF-16",
            &[("p.toml", b"[prefix-lists.p]\nentries-file = \"l.txt\""), ("l.txt", &utf16)],
        ),
        (
            "a list with odd bytes",
            &[
                ("p.toml", b"[prefix-lists.p]\nentries-file = \"l.txt\""),
                ("l.txt", b"1.1.1.1 # B\xfcro\nB\xfcro\n1.1.1\x00.1\n \xef\xbb\xbf1.1.1.1\n"),
            ],
        ),
    ]);
    insta::assert_snapshot!(out);
}
