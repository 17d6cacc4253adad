//! `-f FILE…`: where a policy is read from.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use ipnet::IpNet;

use super::context::Context;
use super::listing::count;
use super::report::wrong_usage;
use crate::policy::file::list;
use crate::policy::file::load::{Input, STDIN, load, load_list};
use crate::policy::file::source::{FILE_MAX, Format};
use crate::policy::model::Policy;

/// Form of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Toml => Self::Toml,
            Form::Json => Self::Json,
        }
    }
}

// No comment on the struct: it would become the help of every command that it is part of.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Files {
    /// Policy files, or folders of them, which are put together; `-` is standard input
    ///
    /// Of a folder all `*.toml` and `*.json` files count.
    #[arg(short, long = "file", required = true, num_args = 1.., value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Form of standard input and of files whose name does not tell
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
}

impl Files {
    /// Reads the files; warnings and notes about them are shown.
    pub(crate) fn load(&self, context: &Context) -> anyhow::Result<Policy> {
        let loaded = load(inputs(&self.file)?, self.format.map(Format::from))?;
        context.diagnose(&loaded.notes);
        Ok(loaded.policy)
    }

    /// Reads the files; warnings and notes are the caller's.
    pub(crate) fn load_quietly(&self) -> anyhow::Result<crate::policy::file::Loaded> {
        Ok(load(inputs(&self.file)?, self.format.map(Format::from))?)
    }

    /// Whether standard input is one of them.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.file.iter().any(|path| is_stdin(path))
    }
}

/// Reads one file, whose form its name or its first character tells.
pub(crate) fn load_one(context: &Context, path: &Path) -> anyhow::Result<Policy> {
    let loaded = load(inputs(std::slice::from_ref(&path.to_owned()))?, None)?;
    context.diagnose(&loaded.notes);
    Ok(loaded.policy)
}

/// Reads a file of entries (`-` is standard input), sorted; a note says how many of them are there
/// twice.
pub(crate) fn load_entries(context: &Context, path: &Path) -> anyhow::Result<Vec<IpNet>> {
    let (read, doubles) = if is_stdin(path) {
        let mut read = list::parse(STDIN, &read_stdin()?)?;
        let doubles = read.sort();
        (read, doubles)
    } else {
        load_list(path)?
    };
    if doubles > 0 {
        let entries = count(doubles, "entry is", "entries are");
        context.note(&format!("{entries} in the file again; each is stored once"));
    }
    Ok(read.nets)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(wrong_usage("standard input is named twice", "name `-` once"));
    }
    paths
        .iter()
        .map(|path| match is_stdin(path) {
            true => Ok(Input::Bytes(STDIN.to_owned(), read_stdin()?)),
            false => Ok(Input::Path(path.clone())),
        })
        .collect()
}

/// All of standard input, up to one byte more than a policy file may have.
pub(crate) fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(FILE_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    Ok(bytes)
}
