//! `cargo xtask test`.

use anyhow::Result;

use crate::{command, provision, workspace};

/// Run all tests of the workspace.
///
/// Installs what they need first. Those that attach filters work in network namespaces of their
/// own and never touch the interfaces of this machine; without root they are ignored, and shown so.
/// Those on older kernels run in a virtual machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `cargo test`, for example `-p sg-common`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    provision::for_build()?;
    provision::for_tests()?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked"]);
    if !rustix::process::geteuid().is_root() {
        println!("note: not root, so the tests that attach filters will be ignored");
    }
    if args.arguments.is_empty() {
        cargo.args(["--workspace", "--no-fail-fast"]);
    } else {
        cargo.args(&args.arguments);
    }
    command::run(&mut cargo)
}
