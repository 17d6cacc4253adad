//! No input makes the reader panic, run away or accept what is no TOML or JSON.

use proptest::prelude::*;
use sg_ctl::policy::file::diagnostic::Diagnostics;
use sg_ctl::policy::file::source::{Format, Source};
use sg_ctl::policy::file::{Loaded, list, read};

fn attempt(bytes: &[u8], format: Format) -> Result<Loaded, Diagnostics> {
    let source = Source::new("p", bytes.to_vec(), Some(format), "".into())?;
    let result = read(&[source], &mut |_| Err(std::io::ErrorKind::NotFound.into()));
    if let Err(errors) = &result {
        assert!(!errors.list.is_empty());
        // Rendering is part of what must not fail, and every error has a place and a mend.
        for error in &errors.list {
            assert!(!error.to_string().is_empty());
            assert!(error.file().is_some() && !error.help.is_empty(), "{error}");
            for location in &error.locations {
                let shown = location.text.chars().count() + 1;
                let end = location.marker_start + location.marker_width;
                assert!(end as usize <= shown, "the mark lies beside the text: {error}");
            }
        }
    }
    result
}

const TOML: &str = r#"
[options]
conntrack-max = 1_000_000
timeouts = { tcp-established = 432000, icmp = 5 }
ethertypes = ["lldp", 0x9000]
[prefix-lists."of.fice"]
entries = ["203.0.113.0/24", "2001:db8:10::/48", '198.51.100.7']
[groups.web]
description = """Public"""
[[groups.web.ingress]]
protocol = "tcp"
port = [80, "443-444"]
cidr = ["0.0.0.0/0", "::/0"]
[[groups.web.ingress]]
protocol = "icmp"
icmp-type = 8
group = "web"
[interfaces.eth0]
groups = ["web"]
"#;

const JSON: &str = r#"{"options": {"timeouts": {"icmp": 5}, "always-pass": {"dhcp": false}},
 "prefix-lists": {"office": {"entries": ["203.0.113.0\/24", "2001:db8::1"], "description": "\u00e4\ud83d\ude00"}},
 "groups": {"web": {"ingress": [{"protocol": 6, "port": [80, "443-444"], "priority": 0},
 {"action": "deny", "prefix-list": "office"}], "egress": []}},
 "interfaces": {"eth0": {"groups": ["web"], "mode": "monitor"}}}"#;

/// A text with some bytes replaced, removed, repeated or swapped for others that mean something.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "",
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        "[[",
        "]]",
        "=",
        ",",
        ":",
        ".",
        "-",
        "+",
        "0",
        "\\",
        "\\u",
        "\n",
        "\r",
        "\t",
        "#",
        "\0",
        "\u{feff}",
        "ä",
        "\u{1F600}",
        "nan",
        "null",
        "1e9",
        "/",
        "%",
    ]);
    prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, piece), 1..5).prop_map(
        move |edits| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, removed, piece) in edits {
                let at = at.index(bytes.len() + 1);
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, piece.bytes());
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_toml(bytes in mutated(TOML)) {
        let _ = attempt(&bytes, Format::Toml);
    }

    #[test]
    fn mutated_json(bytes in mutated(JSON)) {
        let _ = attempt(&bytes, Format::Json);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = attempt(&bytes, Format::Toml);
        let _ = attempt(&bytes, Format::Json);
        if let Err(errors) = list::parse("l", &bytes) {
            let _ = errors.to_string();
        }
    }

    /// What another parser does not take for JSON is not taken here either.
    #[test]
    fn only_json_is_json(bytes in mutated(JSON)) {
        if attempt(&bytes, Format::Json).is_ok() {
            let text = String::from_utf8(bytes).unwrap();
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{}", text);
        }
    }

    /// Texts mean the same to both parsers.
    #[test]
    fn json_texts_are_read_right(description in "[ -~äß漢\u{1F600}]{0,40}", escape in any::<bool>()) {
        let mut text = serde_json::to_string(&description).unwrap();
        if escape {
            let units = description.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            text = format!("\"{}\"", units.collect::<String>());
        }
        let file = format!("{{\"groups\": {{\"g\": {{\"description\": {text}}}}}}}");
        let policy = attempt(file.as_bytes(), Format::Json).unwrap().policy;
        prop_assert_eq!(&policy.groups.values().next().unwrap().description, &description);
    }

    /// The quick way for IPv4 agrees with the strict one.
    #[test]
    fn list_entries_are_read_as_cidrs(text in "[0-9]{1,4}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(/[0-9]{1,3})?") {
        let strict = sg_ctl::policy::cidr::parse(&text);
        let quick = list::parse("l", text.as_bytes());
        prop_assert_eq!(quick.ok().map(|e| e.nets), strict.ok().map(|net| vec![net]));
    }
}

#[test]
fn the_unchanged_texts_are_accepted() {
    attempt(TOML.as_bytes(), Format::Toml).unwrap();
    attempt(JSON.as_bytes(), Format::Json).unwrap();
}

#[test]
fn nesting_is_bounded() {
    for depth in [60, 70, 100, 1_000, 200_000] {
        let open = format!("{{\"groups\": {}", "[".repeat(depth));
        assert!(attempt(open.as_bytes(), Format::Json).is_err());
        let closed = format!("{{\"groups\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(attempt(closed.as_bytes(), Format::Json).is_err());
        let objects = "{\"a\":".repeat(depth);
        assert!(attempt(objects.as_bytes(), Format::Json).is_err());
        let toml = format!("groups = {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(attempt(toml.as_bytes(), Format::Toml).is_err());
        let dotted = format!("groups{} = 1", ".a".repeat(depth));
        assert!(attempt(dotted.as_bytes(), Format::Toml).is_err());
        let tables = format!("[groups{}]", ".a".repeat(depth));
        assert!(attempt(tables.as_bytes(), Format::Toml).is_err());
        // Dotted keys inside inline tables multiply.
        let keys = "a.".repeat(70);
        let both = format!(
            "groups = {}1{}",
            format!("{{{keys}a=").repeat(depth.min(79)),
            "}".repeat(depth.min(79))
        );
        assert!(attempt(both.as_bytes(), Format::Toml).is_err());
    }
    let error = attempt(format!("{{\"groups\": {}", "[".repeat(100)).as_bytes(), Format::Json);
    assert!(error.unwrap_err().list[0].message.contains("nested deeper than 64"));
}

#[test]
fn a_file_of_one_huge_line_is_quoted_in_part() {
    let text =
        format!("{{\"groups\": {{\"g\": {{\"description\": \"{}\"}}}}}}", "x".repeat(5_000_000));
    let errors = attempt(text.as_bytes(), Format::Json).unwrap_err();
    assert!(errors.to_string().len() < 1_000);
    let text = format!("[groups.{}]", "x".repeat(1_000_000));
    let errors = attempt(text.as_bytes(), Format::Toml).unwrap_err();
    assert!(errors.to_string().len() < 1_000, "{errors}");
    let text = format!("{{\"{}\": 1, \"{}\": 1}}", "y".repeat(1_000_000), "y".repeat(1_000_000));
    let errors = attempt(text.as_bytes(), Format::Json).unwrap_err();
    assert!(errors.to_string().len() < 3_000);
}
