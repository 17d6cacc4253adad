//! Large policies: how long reading, comparing and writing them takes.
//!
//! `cargo test --release -p sg-ctl --test policy_speed -- --ignored --nocapture` prints the times;
//! the other tests only show that large inputs are read right.

use std::fmt::Write as _;
use std::time::Instant;

use sg_ctl::policy::diff::Diff;
use sg_ctl::policy::export::export;
use sg_ctl::policy::file::source::{Format, Source};
use sg_ctl::policy::file::{Loaded, list, read};
use sg_ctl::policy::model::Policy;

fn rules(count: u32) -> String {
    let mut text = String::new();
    for i in 0..count {
        let (a, b, c) = (i >> 16 & 255, i >> 8 & 255, i & 255);
        writeln!(
            text,
            "[[groups.web.ingress]]\nprotocol = \"tcp\"\nport = [{}, \"8000-8100\"]\n\
             cidr = [\"10.{a}.{b}.{c}/32\", \"2001:db8:{a:x}:{b:x}:{c:x}::/80\"]\n\
             description = \"rule {i}\"",
            i % 65536
        )
        .unwrap();
    }
    text += "[interfaces.eth0]\ngroups = [\"web\"]\n";
    text
}

fn entries(count: u32) -> String {
    let mut text = String::new();
    for i in 0..count {
        let (a, b, c) = (i >> 16 & 255, i >> 8 & 255, i & 255);
        if i % 8 == 0 {
            writeln!(text, "2001:db8:{a:x}:{b:x}:{c:x}::/80 # note").unwrap();
        } else {
            writeln!(text, "10.{a}.{b}.{c}").unwrap();
        }
    }
    text
}

fn loaded(text: &str, format: Format, list: &str) -> Loaded {
    let source = Source::new("p", text.as_bytes().to_vec(), Some(format), "".into()).unwrap();
    read(&[source], &mut |_| Ok(list.as_bytes().to_vec())).unwrap_or_else(|e| panic!("{e}"))
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    let taken = start.elapsed();
    println!("{what}: {taken:.0?}");
    result
}

#[test]
#[ignore = "measures time, so it wants a release build on a quiet machine"]
fn large_policies_are_read() {
    let text = rules(100_000);
    println!("{} MB of TOML", text.len() >> 20);
    let policy = timed("100 000 rules, TOML", || loaded(&text, Format::Toml, "")).policy;
    let json = timed("export as JSON", || export(&policy, Format::Json));
    let toml = timed("export as TOML", || export(&policy, Format::Toml));
    let other = timed("100 000 rules, JSON", || loaded(&json, Format::Json, "")).policy;
    timed("the export, TOML", || loaded(&toml, Format::Toml, ""));
    let same = timed("diff of equal policies", || Diff::between(&policy, &other));
    assert!(same.is_empty());
    let diff = timed("diff with nothing", || Diff::between(&Policy::default(), &policy));
    assert_eq!(diff.changes.len(), 100_003);

    let text = entries(1_000_000);
    println!("{} MB of entries", text.len() >> 20);
    let list = timed("1 000 000 entries", || list::parse("l", text.as_bytes()).unwrap());
    assert_eq!(list.nets.len(), 1_000_000);
    let file = "[prefix-lists.l]\nentries-file = \"l.txt\"";
    let policy = timed("the same by a policy", || loaded(file, Format::Toml, &text)).policy;
    let toml = timed("export of the entries", || export(&policy, Format::Toml));
    timed("entries in a TOML file", || loaded(&toml, Format::Toml, ""));
}

#[test]
fn many_errors_are_counted_not_kept() {
    let text = rules(3_000).replace("tcp", "tpc");
    let source = Source::new("p", text.into_bytes(), Some(Format::Toml), "".into()).unwrap();
    let errors = read(&[source], &mut |_| Ok(Vec::new())).unwrap_err();
    assert_eq!((errors.list.len(), errors.more), (100, 2_900));
    assert!(errors.to_string().ends_with("note: 2980 more errors are not shown"));
}

#[test]
fn a_broken_line_deep_in_a_list_is_found_and_nothing_is_kept() {
    let mut text: Vec<String> = entries(10_000).lines().map(str::to_owned).collect();
    text[4710] = " 10.0.0.256 ".into();
    let errors = list::parse("bl.txt", text.join("\n").as_bytes()).unwrap_err();
    let error = &errors.list[0];
    assert_eq!(errors.list.len(), 1);
    assert_eq!((error.file(), error.line(), error.column()), (Some("bl.txt"), 4711, 2));
}
