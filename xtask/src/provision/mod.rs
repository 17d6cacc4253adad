//! Installing what a verb needs: what and why before it is done, and nothing a second time.
//!
//! Whether a tool is there is found out by looking for it each time, never by a note that it was
//! installed once.

mod bench;
mod ebpf;
mod lint;
mod packages;
mod tests;

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::command;

/// Install the tools that building needs.
///
/// These are a Rust compiler with the sources of its own core library (rustup's nightly with the
/// component rust-src, if it is there; else Debian's packages rustc-web and rust-web-src) and
/// bpf-linker, which is built into SG_TOOLCHAIN_DIR (default: sg/toolchain in the user's cache
/// folder). Debian packages are installed system-wide and can be removed with apt; rustup's
/// toolchains are left as they are.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also install what the tests need
    #[arg(long)]
    tests: bool,
    /// Also install what .ci/run checks with (cargo-deny)
    #[arg(long)]
    lint: bool,
}

/// Runs `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<()> {
    for_build()?;
    if args.tests {
        for_tests()?;
    }
    if args.lint {
        provide("checking", vec![lint::cargo_deny()])?;
    }
    println!("Everything needed is there.");
    Ok(())
}

/// Sees to it that the eBPF object can be built.
pub(crate) fn for_build() -> Result<()> {
    // Which linker is needed is known only when the compiler is there, so these are two steps.
    provide("building", vec![ebpf::compiler()])?;
    provide("building", vec![ebpf::linker()])
}

/// Sees to it that the tests can run.
pub(crate) fn for_tests() -> Result<()> {
    provide("the tests", tests::all())
}

/// Sees to it that the demonstration can run.
pub(crate) fn for_demo() -> Result<()> {
    provide("the demonstration", tests::network())
}

/// Sees to it that the comparison with other filters can run.
pub(crate) fn for_bench() -> Result<()> {
    provide("the comparison", bench::all())
}

/// Something that may be missing.
struct Need {
    /// What it is.
    what: String,
    /// What it is needed for.
    why: &'static str,
    /// How to get it; `None` if it is there.
    missing: Option<Remedy>,
}

/// How to get what is missing.
enum Remedy {
    /// Debian packages.
    Packages(&'static [&'static str]),
    /// Something that takes no privileges.
    Step(Step),
    /// Nothing that could be run: the sentence says what to do.
    Advice(String),
}

/// One thing to do.
struct Step {
    /// The command, as one would type it.
    shown: String,
    /// Does it.
    act: Box<dyn FnOnce() -> Result<()>>,
}

impl Step {
    /// Runs a command.
    fn of(mut command: Command) -> Self {
        Self { shown: command::shown(&command), act: Box::new(move || command::run(&mut command)) }
    }

    /// Does `first` before it.
    fn after(self, first: fn() -> Result<()>) -> Self {
        let act = self.act;
        Self { shown: self.shown, act: Box::new(move || first().and_then(|()| act())) }
    }
}

/// Says what of `needs` is missing and why it is needed, and gets it. `purpose` completes "Needed
/// for".
fn provide(purpose: &str, needs: Vec<Need>) -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    let mut commands = Vec::new();
    let mut advice = Vec::new();
    let mut announced = false;
    for need in needs {
        let Some(remedy) = need.missing else { continue };
        if !announced {
            println!("Needed for {purpose}, and not there:");
            announced = true;
        }
        println!("  {}: {}", need.what, need.why);
        match remedy {
            Remedy::Packages(names) => {
                for name in names {
                    if !packages.contains(name) {
                        packages.push(name);
                    }
                }
            }
            Remedy::Step(step) => commands.push(step),
            Remedy::Advice(sentence) => advice.push(sentence),
        }
    }
    if let Some(sentence) = advice.first() {
        bail!("{sentence}");
    }

    let mut steps = Vec::new();
    if !packages.is_empty() {
        let install = packages::install(&packages);
        if let Err(obstacle) = packages::possible() {
            // What takes no privileges is done when the command is repeated.
            let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
            let list =
                [packages::update(), install].map(|it| format!("{sudo}{}", command::shown(&it)));
            bail!("{obstacle}; run this, then repeat the command:\n  {}", list.join("\n  "));
        }
        steps.push(Step::of(install).after(packages::refresh));
    }
    steps.extend(commands);
    if steps.is_empty() {
        return Ok(());
    }
    println!("Installing it:");
    for (number, step) in steps.iter().enumerate() {
        println!("  {}. {}", number + 1, step.shown);
    }
    let count = steps.len();
    for (number, step) in steps.into_iter().enumerate() {
        let start = Instant::now();
        println!("[{}/{count}] {}", number + 1, step.shown);
        (step.act)()?;
        println!("[{}/{count}] done in {} s", number + 1, start.elapsed().as_secs());
    }
    Ok(())
}
