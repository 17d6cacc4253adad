//! `sg-ctl detach`.

use std::sync::Arc;

use super::context::Context;
use super::write::{Done, Edit, Verb};
use crate::policy::edit;
use crate::policy::text;

/// Remove the filter from interfaces
///
/// Everything passes afterwards, and nothing is left behind: no program, pin, table or queueing
/// discipline. Groups and prefix lists stay in the state.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl detach eth0")]
pub(crate) struct Args {
    /// The interfaces
    #[arg(required = true, value_name = "IFACE", value_parser = text::interface_name)]
    interfaces: Vec<Arc<str>>,
}

impl Verb for Args {
    const NAME: &'static str = "detach";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            for interface in &self.interfaces {
                edit::detach(policy, interface)?;
            }
            let names: Vec<&str> = self.interfaces.iter().map(|name| &**name).collect();
            let text = format!("{} detached", names.join(", "));
            Ok(Done::said(text).with("interfaces", names))
        }))
    }
}
