//! The command line.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use crate::measure::Effort;
use crate::peers::{Peer, floors};
use crate::styles::Style;
use crate::{machine, memory, packets, scaling, sockets};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// What a packet costs, over the number of rules
    Packets,
    /// What real sockets reach behind stateful filters
    Sockets,
    /// What a second CPU gains
    Scaling,
    /// What memory the filter takes
    Memory,
}

/// This filter and its peers, measured.
#[derive(Debug, Parser)]
#[command(name = "sg-bench")]
pub(crate) struct Args {
    /// What is measured
    #[arg(value_enum, default_value_t = What::Packets)]
    what: What,
    /// Fewer rounds and, unless they are named, fewer rules (and of packets one style)
    #[arg(long)]
    pub(crate) quick: bool,
    /// Numbers of rules [default: packets 10,100,1000,10000,100000; sockets 10,1000,10000; scaling
    /// 10000; memory 10,100000]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    rules: Vec<usize>,
    /// Styles, of packets: random, web, blocklist, acl, fw, ipc [default: all]
    #[arg(long, value_name = "STYLE,…", value_delimiter = ',')]
    pub(crate) style: Vec<Style>,
    /// Filters besides this one and the floors, of packets and sockets [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peer: Vec<String>,
    /// Folder for tables, JSON and plots
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    pub(crate) out: PathBuf,
    /// The command to name in the report
    #[arg(long, hide = true, value_name = "TEXT")]
    command: Option<String>,
    /// The command as it was given, unless another is to be named
    #[arg(skip)]
    given: String,
}

impl Args {
    /// The command to name in the report.
    pub(crate) fn command(&self) -> &str {
        self.command.as_deref().unwrap_or(&self.given)
    }

    /// Numbers of rules: those asked for, or these for a quick or a full run.
    pub(crate) fn sizes(&self, quick: &[usize], full: &[usize]) -> Vec<usize> {
        match (&self.rules[..], self.quick) {
            ([], true) => quick.to_vec(),
            ([], false) => full.to_vec(),
            (asked, _) => asked.to_vec(),
        }
    }

    /// Loads, rounds of each, and milliseconds of a turn; of a quick and a full run.
    pub(crate) fn effort(
        &self,
        loads: [usize; 2],
        rounds: [usize; 2],
        milliseconds: [u32; 2],
    ) -> Effort {
        let run = usize::from(!self.quick);
        Effort {
            loads: loads[run],
            rounds: rounds[run],
            milliseconds: milliseconds[run],
            wall: machine::softirqs_apart(),
        }
    }

    /// Those of some filters that were asked for, those that are always measured, and the floors of
    /// their ways.
    ///
    /// # Errors
    /// If there is none of a name that was asked for.
    pub(crate) fn chosen(
        &self,
        all: Vec<Box<dyn Peer>>,
        always: &[&str],
    ) -> Result<Vec<Box<dyn Peer>>> {
        let asked = |peer: &dyn Peer| self.peer.iter().any(|name| name == peer.name());
        for name in &self.peer {
            if !all.iter().any(|peer| peer.name() == name) {
                let known: Vec<&str> = all.iter().map(|peer| peer.name()).collect();
                bail!("there is no filter \"{name}\"; known: {}", known.join(", "));
            }
        }
        let floors: Vec<_> =
            all.iter().filter(|peer| asked(&***peer)).map(|peer| floors::of(peer.way())).collect();
        let wanted = |peer: &dyn Peer| {
            self.peer.is_empty()
                || asked(peer)
                || floors.contains(&peer.name())
                || always.contains(&peer.name())
        };
        Ok(all.into_iter().filter(|peer| wanted(&**peer)).collect())
    }

    /// Refuses what has no meaning for what is measured.
    fn check(&self) -> Result<()> {
        let (what, only) = (self.what, |whats: &[What]| whats.contains(&self.what));
        if !self.style.is_empty() && !only(&[What::Packets]) {
            bail!("{what:?} is measured with random rules: leave out --style");
        }
        if !self.peer.is_empty() && !only(&[What::Packets, What::Sockets]) {
            bail!("{what:?} is measured of this filter: leave out --peer");
        }
        Ok(())
    }
}

/// Parses the command line of this process and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().collect()) {
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

fn run(arguments: Vec<OsString>) -> Result<()> {
    let shown = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let args = Args { given: shown, ..Args::parse_from(arguments) };
    args.check()?;
    if !rustix::process::geteuid().is_root() {
        bail!("measuring takes root: it makes network namespaces and loads programs");
    }
    if std::env::var_os("SG_CTL").is_none() {
        bail!("SG_CTL has to name the program sg-ctl; `cargo xtask bench` sees to all that");
    }
    match args.what {
        What::Packets => packets::run(&args),
        What::Sockets => sockets::run(&args),
        What::Scaling => scaling::run(&args),
        What::Memory => memory::run(&args),
    }
}

/// Says on a terminal what is being done, each time in place of the last.
pub(crate) fn progress(title: &str, what: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let separator = if title.is_empty() { "" } else { ": " };
        let _ = write!(stderr, "\r\x1b[K{title}{separator}{what}");
        let _ = stderr.flush();
    }
}
