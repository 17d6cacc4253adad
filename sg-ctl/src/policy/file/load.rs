//! Reading policy files and list files: the only part of the policy layer that does I/O.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::list::{self, Entries};
use super::source::{FILE_MAX, Format, Source};
use super::{Loaded, read};

/// Name of standard input in messages.
pub const STDIN: &str = "<stdin>";

/// Where a policy comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, or a folder whose `*.toml` and `*.json` files are put together in the order of their
    /// names.
    Path(PathBuf),
    /// A text that was read already: its name for messages, and its bytes. Paths in it are relative
    /// to the working directory.
    Bytes(String, Vec<u8>),
}

/// Reads a policy from files, folders and texts, which are put together.
///
/// `format` is that of texts and of files whose name does not tell; without it what begins with `{`
/// is JSON.
///
/// # Errors
/// What cannot be read, and everything that is wrong with what was.
pub fn load(inputs: Vec<Input>, format: Option<Format>) -> Result<Loaded, Diagnostics> {
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for input in inputs {
        let read = match input {
            Input::Bytes(name, bytes) => {
                Source::new(&name, bytes, format, PathBuf::new()).map(|source| sources.push(source))
            }
            Input::Path(path) if path.is_dir() => folder(&path, format, &mut sources, &mut errors),
            Input::Path(path) => file(&path, format).map(|source| sources.push(source)),
        };
        errors.extend(read.err());
    }
    if !errors.is_empty() {
        return Err(Diagnostics { list: errors, more: 0 });
    }
    if sources.is_empty() {
        let error = Diagnostic::about("-f", "no policy file is named", "name one with -f FILE");
        return Err(error.into());
    }
    read(&sources, &mut |path| bytes_of(path))
}

/// Reads a list file: its entries sorted, and how many doubles were dropped.
///
/// # Errors
/// What cannot be read, and every line that is no entry.
pub fn load_list(path: &Path) -> Result<(Entries, usize), Diagnostics> {
    let name = path.display().to_string();
    let bytes = bytes_of(path).map_err(|error| unreadable(&name, &error))?;
    let mut entries = list::parse(&name, &bytes)?;
    let doubles = entries.sort();
    Ok((entries, doubles))
}

fn folder(
    path: &Path,
    format: Option<Format>,
    sources: &mut Vec<Source>,
    errors: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let name = path.display().to_string();
    let listed = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>());
    let mut files = listed.map_err(|error| unreadable(&name, &error))?;
    files.retain(|file| {
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && format_of(file).is_some() && !file.is_dir()
    });
    files.sort();
    if files.is_empty() {
        let message = "the folder holds no policy file";
        return Err(Diagnostic::about(&name, message, "put *.toml or *.json files into it"));
    }
    for path in files {
        match file(&path, format) {
            Ok(source) => sources.push(source),
            Err(error) => errors.push(error),
        }
    }
    Ok(())
}

fn file(path: &Path, format: Option<Format>) -> Result<Source, Diagnostic> {
    let name = path.display().to_string();
    let bytes = bytes_of(path).map_err(|error| unreadable(&name, &error))?;
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    Source::new(&name, bytes, format_of(path).or(format), folder)
}

fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?;
    if extension.eq_ignore_ascii_case("toml") {
        Some(Format::Toml)
    } else if extension.eq_ignore_ascii_case("json") {
        Some(Format::Json)
    } else {
        None
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Diagnostic {
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => "check the path",
        std::io::ErrorKind::PermissionDenied => "check who may read it",
        _ => "name a file or a folder that can be read",
    };
    Diagnostic::about(name, format!("cannot read the file: {error}"), help)
}

/// The bytes of a file, up to one more than the limit.
fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let limit = FILE_MAX as u64 + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
