//! `sg-ctl completions`.

use clap_complete::Shell;
use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};

/// Print shell completions
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl completions bash > /usr/share/bash-completion/completions/sg-ctl
  sg-ctl completions zsh > /usr/share/zsh/site-functions/_sg-ctl")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Serialize)]
struct Script {
    shell: String,
    script: String,
}

impl Listing for Script {
    fn text(&self, _: &Style) -> String {
        self.script.clone()
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "sg-ctl", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    context.reply(&Script { shell: args.shell.to_string(), script })
}
