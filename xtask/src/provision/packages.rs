//! Debian packages.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// The program that installs them.
const APT: &str = "apt-get";

/// An apt that waits for another one, and never asks.
fn apt() -> Command {
    let mut command = Command::new(APT);
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Use-Pty=0",
        "-q",
    ]);
    command
}

/// The command that reads the package lists anew.
pub(super) fn update() -> Command {
    let mut command = apt();
    command.arg("update");
    command
}

/// The command that installs `packages`.
pub(super) fn install(packages: &[&str]) -> Command {
    let mut command = apt();
    // Whatever else is on this host stays there: rather no tests than no editor.
    command.args(["install", "-y", "--no-remove", "--no-install-recommends"]).args(packages);
    command
}

/// Reads the package lists anew; old ones name files that mirrors have dropped. That one of
/// several sources cannot be reached is no reason to give up: the installation tells.
pub(super) fn refresh() -> Result<()> {
    if let Err(error) = command::quiet(&mut update()) {
        println!("note: not every package list could be renewed: {error}");
    }
    Ok(())
}

/// Whether packages can be installed, or why not.
pub(super) fn possible() -> std::result::Result<(), &'static str> {
    if command::find(APT).is_none() {
        return Err("this is not Debian or one of its derivatives (there is no apt-get), so the \
                    packages have to be installed by their names there");
    }
    if !rustix::process::geteuid().is_root() {
        return Err("installing packages takes root");
    }
    Ok(())
}
