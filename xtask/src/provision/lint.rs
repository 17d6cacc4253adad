//! What `.ci/run` checks with.

use std::process::Command;

use ebpf_build::toolchain_dir;

use super::{Need, Remedy, Step};
use crate::command;
use crate::workspace;

/// The version of cargo-deny: the newest that the workspace's compiler builds.
const CARGO_DENY: &str = "0.20.2";

/// cargo-deny, in the project's own folder or on the `PATH`.
pub(super) fn cargo_deny() -> Need {
    let runs = |program| {
        command::output(Command::new(program).arg("--version"))
            .is_ok_and(|output| output.status.success())
    };
    let there = runs(toolchain_dir().join("bin/cargo-deny")) || runs("cargo-deny".into());
    let mut install = workspace::cargo();
    install
        .args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--root"])
        .arg(toolchain_dir());
    Need {
        what: format!("cargo-deny {CARGO_DENY}"),
        why: "checks the licences and the origin of every dependency",
        missing: (!there).then(|| Remedy::Step(Step::of(install))),
    }
}
