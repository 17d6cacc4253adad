//! `sg-ctl restore`.

use std::sync::Arc;

use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};
use crate::error::refuse;
use crate::host::Restored;
use crate::policy::text;

/// Bring the stored state back into force, after a reboot or for an interface that came late
///
/// Run at boot by sg-ctl.service and for late interfaces by a udev rule. Where everything is in
/// force already, nothing is done. Where the state cannot be read, the `[options]` of its last good
/// copy count and interfaces get no group; without such a copy nothing is attached and this fails.
/// It fails, too, where an interface cannot be attached; the others are.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl restore
  sg-ctl restore eth7                do nothing unless eth7 is in the state")]
pub(crate) struct Args {
    /// The interface that came; without it, all
    #[arg(value_name = "IFACE", value_parser = text::interface_name)]
    interface: Option<Arc<str>>,
}

#[derive(Serialize)]
struct Answer {
    generation: u64,
    attached: Vec<Arc<str>>,
    absent: Vec<Arc<str>>,
    warnings: Vec<String>,
}

impl Listing for Answer {
    fn text(&self, _: &Style) -> String {
        let mut out = format!("generation {} is in force", self.generation);
        for (word, names) in [("attached", &self.attached), ("absent", &self.absent)] {
            if !names.is_empty() {
                out.push_str(&format!("; {word}: {}", names.join(", ")));
            }
        }
        out
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let restored = context.host()?.restore(args.interface.as_deref())?;
    let Restored { generation, attached, absent, failed, warnings } = restored;
    context.warn(&warnings);
    if !failed.is_empty() {
        // The unit has to fail, loudly: these interfaces are open.
        return Err(refuse(
            format!(
                "{} could not be attached and is not filtered; generation {generation} is in force elsewhere",
                failed.join(", ")
            ),
            "mend what the warnings name, and run `sg-ctl restore` again",
        ));
    }
    context.reply(&Answer { generation, attached, absent, warnings })
}
