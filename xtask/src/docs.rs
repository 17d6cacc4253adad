//! `cargo xtask docs`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{build, command, workspace};

/// Renew the generated documentation.
///
/// Writes docs/reference.md, the reference of all commands, and the man pages, from the definitions
/// that `sg-ctl --help` is made of. A test fails while the checked-in reference is stale.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the man pages
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = build::sg_ctl(false)?;
    let reference = workspace::root().join("docs/reference.md");
    let text = command::quiet(Command::new(&program).arg("reference"))?;
    fs::write(&reference, text)
        .with_context(|| format!("{} could not be written", reference.display()))?;
    println!("wrote {}", reference.display());

    let pages = args.man.clone().unwrap_or_else(|| workspace::target_dir().join("man"));
    fs::create_dir_all(&pages)
        .with_context(|| format!("{} could not be created", pages.display()))?;
    command::quiet(Command::new(&program).arg("man").arg(&pages))?;
    println!("wrote the man pages to {}", pages.display());
    Ok(())
}
