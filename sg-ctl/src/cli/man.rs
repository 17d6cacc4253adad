//! `sg-ctl man`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man;
use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};

/// Section of the manual: commands of the administrator.
const SECTION: &str = "8";

/// Write the man pages into a folder
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl man /usr/local/share/man/man8")]
pub(crate) struct Args {
    /// The folder, which is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Pages {
    files: Vec<PathBuf>,
}

impl Listing for Pages {
    fn text(&self, _: &Style) -> String {
        self.files.iter().map(|file| format!("{}\n", file.display())).collect()
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let folder = &args.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut files = Vec::new();
    let mut command = super::command();
    command.build();
    write(&command, "sg-ctl", folder, &mut files)?;
    context.reply(&Pages { files })
}

fn write(
    command: &clap::Command,
    name: &str,
    folder: &Path,
    files: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    Man::new(command.clone()).section(SECTION).render(&mut text)?;
    let path = folder.join(format!("{name}.{SECTION}"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    files.push(path);
    let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(shown) {
        write(sub, &format!("{name}-{}", sub.get_name()), folder, files)?;
    }
    Ok(())
}
