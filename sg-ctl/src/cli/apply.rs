//! `sg-ctl apply`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::context::{Context, Reply};
use super::files::Files;
use super::listing::count;
use super::write::{self, Done, Edit, Verb, Write};
use crate::error::refuse;
use crate::policy::edit::EditError;
use crate::policy::merge::merge;
use crate::policy::model::Policy;

/// Make the host match policy files
///
/// All or nothing: where a file is wrong, an interface missing or the kernel refuses, nothing
/// changes. A group that the files name gets exactly the rules that they give it. What the host has
/// and the files do not name is listed and refused, unless --prune removes it.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl apply -f policy.toml
  sg-ctl apply -f groups/ hosts/web1.toml --prune
  sg-ctl export | sg-ctl apply -f -                  changes nothing
  sg-ctl apply -f policy.toml --if-generation 41     only if nobody was faster")]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,

    /// Remove groups, prefix lists and interfaces that the files do not name
    #[arg(long)]
    prune: bool,

    /// What becomes of established connections that the new rules would not let start
    ///
    /// `recheck`: each packet is judged by the rules of now. `cut` would forget their state; this
    /// version refuses it.
    #[arg(long, value_enum, default_value = "recheck", value_name = "HOW")]
    established: Established,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Established {
    /// Judge each packet by the rules of now.
    Recheck,
    /// Not in this version.
    Cut,
}

impl Args {
    /// Whether the files come from standard input.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.files.reads_stdin()
    }
}

/// The policy after `apply`.
///
/// # Errors
/// Without `prune`, one cause for each thing that would vanish.
pub(crate) fn merged(current: &Policy, file: Policy, prune: bool) -> anyhow::Result<Policy> {
    merge(current, file, prune).map_err(|unnamed| {
        EditError {
            message: "the host has more than the files name".to_owned(),
            causes: unnamed.iter().map(ToString::to_string).collect(),
            help: "add it to the files, or repeat with --prune to remove it".to_owned(),
        }
        .into()
    })
}

impl Verb for Args {
    const NAME: &'static str = "apply";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let wanted = self.files.load(context)?;
        if self.established == Established::Cut {
            return Err(refuse(
                "this version does not have --established cut",
                "leave it out: the next packet of a connection is judged by the new rules anyway",
            ));
        }
        Ok(Box::new(move |policy| {
            *policy = merged(policy, wanted.clone(), self.prune)?;
            Ok(summary(policy))
        }))
    }
}

fn summary(policy: &Policy) -> Done {
    let rules = policy.groups.values().map(|g| g.ingress.len() + g.egress.len()).sum::<usize>();
    let entries = policy.prefix_lists.values().map(|list| list.entries.len()).sum::<usize>();
    let text = format!(
        "{} with {}, {} with {}, {}",
        count(policy.groups.len(), "group", "groups"),
        count(rules, "rule", "rules"),
        count(policy.prefix_lists.len(), "prefix list", "prefix lists"),
        count(entries, "entry", "entries"),
        count(policy.interfaces.len(), "interface", "interfaces"),
    );
    Done::said(text)
        .with("groups", policy.groups.len())
        .with("rules", rules)
        .with("prefix_lists", policy.prefix_lists.len())
        .with("prefix_entries", entries)
        .with("interfaces", policy.interfaces.len())
}

pub(crate) fn run(context: &Context, write: &Write<Args>) -> anyhow::Result<Reply> {
    let edit = write.args.prepare(context)?;
    let progress = Progress::start("applying the policy");
    let outcome = write::run(context, Args::NAME, &write.options, &*edit);
    progress.end();
    outcome
}

/// Shows on a terminal that a command is at work, once that has lasted for a second.
struct Progress {
    over: std::sync::mpsc::Sender<()>,
    shows: Option<thread::JoinHandle<()>>,
}

impl Progress {
    fn start(what: &'static str) -> Self {
        let (over, ended) = channel();
        let shows = std::io::IsTerminal::is_terminal(&std::io::stderr())
            .then(|| thread::spawn(move || show(what, &ended)));
        Self { over, shows }
    }

    fn end(self) {
        drop(self.over);
        if let Some(thread) = self.shows {
            // It only draws; if it died, there is nothing to clean up.
            let _ = thread.join();
        }
    }
}

fn show(what: &'static str, ended: &Receiver<()>) {
    if ended.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(what);
    while ended.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
        bar.tick();
    }
    bar.finish_and_clear();
}
