//! The command line: one file per command, each an `Args` struct whose comments are the help, and
//! the function that runs it.
//!
//! Commands call [`crate::host`] and print. Nothing is printed before a command has its result, so
//! standard output holds one listing, or one JSON value, or nothing.

mod apply;
mod attach;
mod batch;
mod bench;
mod block;
mod block_view;
mod check;
mod completions;
mod context;
mod detach;
mod explain;
mod export;
mod files;
mod global;
mod group;
mod listing;
mod man;
mod memory;
mod plan;
mod prefix_list;
mod reference;
mod refresh;
mod report;
mod restore;
mod rule;
mod rule_view;
mod schema;
mod stats;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod update;
mod words;
mod write;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use context::{Context, Reply};
use global::Global;
use write::Write;

/// Security groups for any Linux network interface
///
/// A security group is a named set of rules for what may come in and go out. An interface has any
/// number of groups, and what no rule of them allows is dropped, in the kernel, before the host's
/// stack or its guests see it. Replies to what one direction allows pass by themselves.
///
/// Every write is one change: the stored state and the kernel both change, or neither does. Filters
/// stay in force when this program ends; only `sg-ctl detach` removes one.
#[derive(Parser)]
#[command(
    name = "sg-ctl",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  sg-ctl check -f policy.toml                        look a policy file over; needs no rights\n",
        "  sg-ctl plan -f policy.toml                         what would change on this host\n",
        "  sg-ctl apply -f policy.toml                        make it so\n",
        "  sg-ctl attach eth0 --group web --mode monitor      count, and drop nothing yet\n",
        "  sg-ctl stats                                       what would have been dropped\n",
        "  sg-ctl update eth0 --mode enforce                  drop it\n",
        "  sg-ctl detach eth0                                 undo\n",
        "\n",
        "Exit codes:\n",
        "  0  done\n",
        "  1  failed, and nothing changed\n",
        "  2  wrong usage\n",
        "  3  with --exit-code: there are changes (plan), or the packet is denied (explain)",
    )
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 failed, and nothing changed; 2 wrong usage; 3 see --exit-code";

#[derive(Subcommand)]
enum Command {
    Apply(Write<apply::Args>),
    Plan(plan::Args),
    Check(check::Args),
    Export(export::Args),
    Batch(Write<batch::Args>),
    #[command(subcommand)]
    Group(group::Command),
    #[command(subcommand)]
    Rule(rule::Command),
    #[command(subcommand)]
    PrefixList(prefix_list::Command),
    Block(Write<block::Args>),
    Unblock(Write<block::Unblock>),
    Attach(Write<attach::Args>),
    Update(Write<update::Args>),
    Detach(Write<detach::Args>),
    Status(status::Args),
    Explain(explain::Args),
    Stats(stats::Args),
    Bench(bench::Args),
    Restore(restore::Args),
    Refresh(refresh::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(man::Args),
    #[command(hide = true)]
    Reference(reference::Args),
}

/// The definition of the whole command line, from which help, man pages, completions and the
/// reference are made.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs a command line; the first argument is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    memory::keep();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error, &arguments),
    };
    let context = Context::new(cli.global);
    let outcome = run(&context, cli.command).and_then(|reply| context.print(&reply));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => report::failure(&context, &error),
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn run(context: &Context, command: Command) -> anyhow::Result<Reply> {
    match command {
        Command::Apply(write) => apply::run(context, &write),
        Command::Plan(args) => plan::run(context, &args),
        Command::Check(args) => check::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Batch(write) => batch::run(context, &write),
        Command::Group(command) => group::run(context, command),
        Command::Rule(command) => rule::run(context, command),
        Command::PrefixList(command) => prefix_list::run(context, command),
        Command::Block(write) => block::run(context, &write),
        Command::Unblock(write) => write.run(context),
        Command::Attach(write) => write.run(context),
        Command::Update(write) => write.run(context),
        Command::Detach(write) => write.run(context),
        Command::Status(args) => status::run(context, &args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Stats(args) => stats::run(context, &args),
        Command::Bench(args) => bench::run(context, &args),
        Command::Restore(args) => restore::run(context, &args),
        Command::Refresh(args) => refresh::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
        Command::Completions(args) => completions::run(context, &args),
        Command::Man(args) => man::run(context, &args),
        Command::Reference(args) => reference::run(context, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    /// Calls `look` on a command and everything below it.
    fn walk(command: &clap::Command, look: &mut impl FnMut(&clap::Command)) {
        look(command);
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            walk(sub, look);
        }
    }

    #[test]
    fn every_command_is_described_with_examples_and_every_argument_explained() {
        walk(&command(), &mut |command| {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} is not described");
            if !command.has_subcommands() {
                let examples = command.get_after_help().map(ToString::to_string);
                assert!(examples.unwrap_or_default().contains("sg-ctl "), "{name} has no examples");
            }
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {} is bare", argument.get_id());
            }
        });
    }
}
