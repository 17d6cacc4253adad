//! `sg-ctl export`.

use super::context::{Context, Reply};
use crate::policy::export::export;
use crate::policy::file::source::Format;

/// Print the current state as a policy file
///
/// TOML, or JSON with `-o json`. Applying it changes nothing, here; on another host it makes the
/// same policy, with the same ids.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl export > policy.toml
  sg-ctl export -o json | jq .groups")]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: &Args) -> anyhow::Result<Reply> {
    let format = if context.json() { Format::Json } else { Format::Toml };
    let view = context.host()?.view()?;
    Ok(Reply { text: export(&view.policy, format), code: 0 })
}
