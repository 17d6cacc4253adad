//! The comparison from end to end, with few rules and the filters that every kernel has.

use std::fs;
use std::process::Command;

use serde_json::Value;

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_quick_run_checks_measures_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sg-bench"))
        .args(["--quick", "--rules", "10", "--style", "random"])
        .args(["--peer", "lpm-trie,memory", "--out"])
        .arg(folder.path())
        .env("SG_CTL", env!("CARGO_BIN_EXE_sg-bench-ctl"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));

    let json = fs::read_to_string(folder.path().join("results.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let results = json["results"].as_array().unwrap();
    for filter in ["empty", "parse", "memory", "sg", "lpm-trie"] {
        let line = results.iter().find(|line| line["filter"] == filter);
        let line = line.unwrap_or_else(|| panic!("no {filter} in {text}"));
        // How much is not asserted: machines are what they are.
        assert!(line["program"]["median"].as_f64().is_some_and(|ns| ns > 0.0), "{line}");
        assert!(line["packets"].as_u64().is_some_and(|packets| packets > 1000), "{line}");
    }
    let svg = fs::read_to_string(folder.path().join("random.svg")).unwrap();
    assert!(svg.contains(">sg</text>"));
    let table = fs::read_to_string(folder.path().join("results.md")).unwrap();
    assert!(table.contains("## random, 10 rules") && table.contains("![random.svg](random.svg)"));
}

#[test]
fn what_is_asked_for_wrongly_is_refused() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sg-bench")).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(&["--style", "none"]).contains("there is no style"));
    assert!(run(&["--rules", "many"]).contains("invalid"));
}
