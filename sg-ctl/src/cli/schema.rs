//! `sg-ctl schema`.

use anyhow::Context as _;

use super::context::{Context, Reply};
use crate::policy::schema::schema;

/// Print the JSON Schema of policy files
///
/// TOML and JSON files have the same schema. Editors use it to complete and check what is typed.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl schema > sg-policy.schema.json")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Context, _: &Args) -> anyhow::Result<Reply> {
    let text = serde_json::to_string_pretty(&schema()).context("cannot write the schema")?;
    Ok(Reply { text, code: 0 })
}
