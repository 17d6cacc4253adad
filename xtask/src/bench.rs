//! `cargo xtask bench`.

use std::path::PathBuf;

use anyhow::Result;

use crate::{build, command, provision, workspace};

/// Compare what a packet costs with other filters, over the number of rules.
///
/// Installs the others first (nftables, iptables, ipset, xdp-filter, and bpfilter where Debian's
/// configured suites have it), builds everything with optimisation, and runs it as root in network
/// namespaces of its own; no interface of this machine is touched. All of it takes about an hour on
/// a quiet machine. A table, JSON and plots are written to docs/bench.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer rounds and, unless they are named, only 10 and 1000 rules of one style: two minutes
    #[arg(long)]
    quick: bool,
    /// Numbers of rules [default: 10,100,1000,10000,100000]
    #[arg(long, value_name = "N,…")]
    rules: Option<String>,
    /// Styles: random, web, blocklist, acl, fw, ipc [default: all]
    #[arg(long, value_name = "STYLE,…")]
    style: Option<String>,
    /// Filters besides this one and the floors, as the table names them [default: all]
    #[arg(long, value_name = "NAME,…")]
    peer: Option<String>,
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    out: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    provision::for_bench()?;
    let sg_ctl = build::sg_ctl(true)?;
    let mut cargo = workspace::cargo();
    // Apart from the product: what the tests need of its library must not come into the program.
    cargo.args(["build", "--locked", "--release", "--package", "sg-bench"]);
    command::run(&mut cargo)?;

    let mut chosen = Vec::new();
    if args.quick {
        chosen.push("--quick".to_owned());
    }
    for (name, value) in [("rules", &args.rules), ("style", &args.style), ("peer", &args.peer)] {
        if let Some(value) = value {
            chosen.extend([format!("--{name}"), value.clone()]);
        }
    }
    let shown = ["cargo xtask bench"].into_iter().chain(chosen.iter().map(String::as_str));
    let shown = shown.collect::<Vec<_>>().join(" ");
    let program = workspace::target_dir().join("release/sg-bench");
    command::run(
        std::process::Command::new(program)
            .current_dir(workspace::root())
            .env("SG_CTL", sg_ctl)
            .args(&chosen)
            .arg("--out")
            .arg(std::path::absolute(&args.out)?)
            .args(["--command", &shown]),
    )
}
