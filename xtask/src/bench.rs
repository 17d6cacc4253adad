//! `cargo xtask bench`.

use std::path::PathBuf;

use anyhow::Result;

use crate::{build, command, provision, workspace};

/// What is measured.
#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// What a packet costs, with other filters, over the number of rules: an hour
    Packets,
    /// What real sockets reach behind stateful filters: ten minutes
    Sockets,
    /// What a second CPU gains: two minutes
    Scaling,
    /// What memory the filter takes of the kernel: seconds
    Memory,
}

/// Compare the filter with others, and measure what it takes.
///
/// Installs the others first (nftables, iptables, ipset, xdp-filter, and bpfilter where Debian's
/// configured suites have it), builds everything with optimisation, and runs it as root in network
/// namespaces of its own; no interface of this machine is touched. Times are those of a quiet
/// machine. Tables, JSON and plots are written to docs/bench, each under a name of its own.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is measured
    #[arg(value_enum, default_value = "packets")]
    what: What,
    /// Fewer rounds and, unless they are named, fewer rules (and of packets one style): two minutes
    /// at most
    #[arg(long)]
    quick: bool,
    /// Numbers of rules [default: packets 10,100,1000,10000,100000; sockets 10,1000,10000; scaling
    /// 10000; memory 10,100000]
    #[arg(long, value_name = "N,…")]
    rules: Option<String>,
    /// Styles, of packets: random, web, blocklist, acl, fw, ipc [default: all]
    #[arg(long, value_name = "STYLE,…")]
    style: Option<String>,
    /// Filters besides this one and the floors, as the tables name them, of packets and sockets
    /// [default: all]
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

    let mut chosen = match args.what {
        What::Packets => Vec::new(),
        What::Sockets => vec!["sockets".to_owned()],
        What::Scaling => vec!["scaling".to_owned()],
        What::Memory => vec!["memory".to_owned()],
    };
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
