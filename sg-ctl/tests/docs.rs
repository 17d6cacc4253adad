//! What the documentation says against what the program is.

use std::process::Command;

use sg_common::verdict::Reason;

#[test]
fn the_reference_is_that_of_this_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_sg-ctl")).arg("reference").output().unwrap();
    let reference = String::from_utf8(output.stdout).unwrap();
    assert!(
        reference == include_str!("../../docs/reference.md"),
        "docs/reference.md is stale: run `cargo xtask docs`"
    );
}

#[test]
fn every_reason_is_documented() {
    let operations = include_str!("../../docs/operations.md");
    for reason in Reason::ALL {
        let verdict = if reason.passes() { "passes" } else { "dropped" };
        let row = format!("| `{}` | {verdict} | {} |", reason.name(), reason.sentence());
        assert!(operations.contains(&row), "docs/operations.md lacks {row}");
    }
}
