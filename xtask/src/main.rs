//! `cargo xtask`: sets up, builds, demonstrates, tests and installs sg.
//!
//! Everything about the product itself lives in `sg-ctl`; this only prepares, calls and packs.

mod bench;
mod build;
mod command;
mod demo;
mod docs;
mod install;
mod provision;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the sg workspace.
///
/// A verb that needs tools which are not there says which and why, and installs them (root on
/// Debian or a derivative; elsewhere it ends with the list of commands to run). A second run finds
/// them and does no set-up work.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(provision::Args),
    Build(build::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Install(install::InstallArgs),
    Uninstall(install::UninstallArgs),
    Docs(docs::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Setup(args) => provision::run(&args),
        Verb::Build(args) => build::run(&args).map(drop),
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Install(args) => install::install(&args),
        Verb::Uninstall(args) => install::uninstall(&args),
        Verb::Docs(args) => docs::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("cause: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
