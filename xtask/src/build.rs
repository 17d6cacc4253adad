//! `cargo xtask build`.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, provision, workspace};

/// Build sg-ctl, with the kernel programs inside.
///
/// Does what `cargo build` does, after installing the tools for it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build without optimisation (the kernel programs are always optimised)
    #[arg(long)]
    debug: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<PathBuf> {
    let program = sg_ctl(!args.debug)?;
    println!("Built {}", program.display());
    Ok(program)
}

/// Builds `sg-ctl` and returns where it is.
pub(crate) fn sg_ctl(release: bool) -> Result<PathBuf> {
    provision::for_build()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--locked", "--package", "sg-ctl"]);
    if release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    let profile = if release { "release" } else { "debug" };
    Ok(workspace::target_dir().join(profile).join("sg-ctl"))
}
