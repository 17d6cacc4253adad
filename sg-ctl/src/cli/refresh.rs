//! `sg-ctl refresh`.

use super::context::{Context, Reply};
use super::write::{self, Done, Options};

/// Renew the members of groups from the addresses of interfaces
///
/// A rule that names a group as its peer stands for the addresses of that group's interfaces. Every
/// write looks at them anew; this does nothing else.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl refresh                     after an address came or went")]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let written = context.host()?.refresh(&args.options.of_host())?;
    let done = Done::said("members of groups renewed");
    write::answer(context, "refresh", &args.options, &written, done, Vec::new())
}
