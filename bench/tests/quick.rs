//! The comparison from end to end, with few rules and the filters that every kernel has.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs `sg-bench` quickly, and returns its results and what it printed.
fn quick(folder: &Path, name: &str, arguments: &[&str]) -> (Vec<Value>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sg-bench"))
        .args(arguments)
        .args(["--quick", "--out"])
        .arg(folder)
        .env("SG_CTL", env!("CARGO_BIN_EXE_sg-bench-ctl"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let json = fs::read_to_string(folder.join(name)).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    (json["results"].as_array().unwrap().clone(), text)
}

/// Whether each of some figures of a line has a positive median. How much is not asserted: machines
/// are what they are.
fn positive(line: &Value, figures: &[&str]) -> bool {
    figures.iter().all(|figure| line[figure]["median"].as_f64().is_some_and(|it| it > 0.0))
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_quick_run_checks_measures_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--rules", "10", "--style", "random", "--peer", "lpm-trie,memory"];
    let (results, text) = quick(folder.path(), "results.json", &arguments);
    for filter in ["empty", "parse", "memory", "sg", "lpm-trie"] {
        let line = results.iter().find(|line| line["filter"] == filter);
        let line = line.unwrap_or_else(|| panic!("no {filter} in {text}"));
        assert!(positive(line, &["program"]), "{line}");
        assert!(line["packets"].as_u64().is_some_and(|packets| packets > 1000), "{line}");
    }
    let svg = fs::read_to_string(folder.path().join("random.svg")).unwrap();
    assert!(svg.contains(">sg</text>"));
    let table = fs::read_to_string(folder.path().join("results.md")).unwrap();
    assert!(table.contains("## random, 10 rules") && table.contains("![random.svg](random.svg)"));
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn sockets_get_through_filters() {
    let folder = tempfile::tempdir().unwrap();
    // The others are those that every kernel has.
    let (results, text) = quick(folder.path(), "sockets.json", &["sockets", "--peer", "sg-xdp"]);
    assert_eq!(results.len(), 4 * 3, "{text}");
    for line in &results {
        assert!(positive(line, &["rate", "rate_over_none", "cpu", "cpu_over_none"]), "{line}");
    }
    let table = fs::read_to_string(folder.path().join("sockets.md")).unwrap();
    assert!(table.contains("| TCP connections ") && table.contains("- **sg-auto**: "), "{table}");
    assert!(!folder.path().join("results.json").exists());
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn a_second_cpu_is_used() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("skipped: this machine has one CPU");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (results, text) = quick(folder.path(), "scaling.json", &["scaling", "--rules", "10"]);
    assert!([6, 12].contains(&results.len()), "{text}");
    for line in &results {
        assert!(positive(line, &["one", "both", "gain", "gain_over_parse"]), "{line}");
    }
    let table = fs::read_to_string(folder.path().join("scaling.md")).unwrap();
    assert!(table.contains("| one hot rule ") && table.contains("| many rules "), "{table}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn memory_is_found_in_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let (results, text) = quick(folder.path(), "memory.json", &["memory", "--rules", "10,5000"]);
    let bytes = |rules: u64, part: &str, of: &str| {
        let line = results.iter().find(|line| line["rules"] == rules && line["part"] == part);
        line.and_then(|line| line[of].as_u64()).unwrap_or_else(|| panic!("no {part} in {text}"))
    };
    for part in ["images", "connection table", "directory and settings", "the programs' own maps"] {
        assert!(bytes(10, part, "here") > 0, "{text}");
    }
    // Rules take memory in images alone, and 40 bytes each at least.
    assert!(bytes(5000, "images", "here") > bytes(10, "images", "here") + 40 * 4990, "{text}");
    for part in ["counters of rules", "programs, two for an interface"] {
        assert_eq!(bytes(5000, part, "here"), bytes(10, part, "here"), "{text}");
    }
    assert!(bytes(10, "counters of rules", "many") >= bytes(10, "counters of rules", "here"));
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
    assert!(run(&["memory", "--peer", "none"]).contains("leave out --peer"));
}
