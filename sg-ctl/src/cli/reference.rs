//! `sg-ctl reference`: the reference of all commands, made from the definitions of the help.

use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};

/// Print the reference of all commands (docs/reference.md)
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl reference > docs/reference.md")]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Text {
    text: String,
}

impl Listing for Text {
    fn text(&self, _: &Style) -> String {
        self.text.clone()
    }
}

pub(crate) fn run(context: &Context, _: &Args) -> anyhow::Result<Reply> {
    context.reply(&Text { text: reference() })
}

/// The whole reference, in Markdown.
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Reference of commands\n\n\
         Made by `cargo xtask docs` from the definitions that `sg-ctl --help` is made of. Edit \
         those, not this.\n",
    );
    let mut command = super::command().term_width(96).color(clap::ColorChoice::Never);
    command.build();
    section(&command, "sg-ctl", &mut out);
    out
}

fn section(command: &clap::Command, name: &str, out: &mut String) {
    let help = command.clone().render_long_help().to_string();
    let level = if name == "sg-ctl" { "##" } else { "###" };
    out.push_str(&format!("\n{level} {name}\n\n```text\n"));
    for line in help.trim_end().lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push_str("```\n");
    let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(shown) {
        section(sub, &format!("{name} {}", sub.get_name()), out);
    }
}
