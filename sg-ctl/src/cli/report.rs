//! Errors, warnings and notes, on standard error.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::context::{Context, json};
use crate::error;
use crate::policy::file::diagnostic::{Diagnostic, Diagnostics};
use crate::policy::text::Malformed;

/// Exit code of a command that failed.
const FAILED: u8 = 1;
/// Exit code of a command line that is none.
const WRONG_USAGE: u8 = 2;

/// A command line whose parts do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    message: String,
    help: String,
}

/// An error that ends with the exit code for wrong usage.
pub(crate) fn wrong_usage(message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    Usage { message: message.into(), help: help.into() }.into()
}

/// An error, ready to be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// What failed.
    pub(crate) error: String,
    /// Why, from the outside in.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) help: Option<String>,
    /// What is wrong with the files, if that is it.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Failure {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let usage = error.downcast_ref::<Usage>();
        let files = files(error);
        Self {
            error: error.to_string().lines().next().unwrap_or_default().to_owned(),
            causes: if files.is_some() { Vec::new() } else { error::causes(error) },
            help: usage.map(|usage| usage.help.clone()).or_else(|| error::help(error)),
            diagnostics: files.map(|files| files.list.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", one_line(&self.error))?;
        for cause in &self.causes {
            write!(f, "\ncause: {}", one_line(cause))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {}", one_line(help))?;
        }
        Ok(())
    }
}

fn files(error: &anyhow::Error) -> Option<&Diagnostics> {
    error.chain().find_map(|cause| cause.downcast_ref::<Diagnostics>())
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("; ")
}

/// Shows why a command failed; the exit code.
pub(crate) fn failure(context: &Context, error: &anyhow::Error) -> ExitCode {
    let failure = Failure::of(error);
    match files(error) {
        Some(files) => block(context.colours(), &files.to_string()),
        None => block(context.colours(), &failure.to_string()),
    }
    if context.json() {
        print_json(&failure);
    }
    ExitCode::from(if error.is::<Usage>() { WRONG_USAGE } else { FAILED })
}

/// Shows what is wrong with a command line, or the help that it asks for; the exit code.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nothing is left to do if nobody can read it.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        block(false, &format!("{error}\n"));
    }
    let failure = of_usage(error, arguments);
    block(false, &failure.to_string());
    if asks_for_json(arguments) {
        print_json(&failure);
    }
    ExitCode::from(WRONG_USAGE)
}

/// What the parser complains of in these arguments (the first is the program's name), in the form
/// of all errors.
pub(crate) fn of_usage(error: &clap::Error, arguments: &[OsString]) -> Failure {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand as Bare, MissingSubcommand};
    let command = named(arguments);
    if matches!(error.kind(), Bare | MissingSubcommand) {
        // The parser's own list has the hidden commands, too.
        let subs: Vec<&str> = (command.get_subcommands())
            .filter(|sub| !sub.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        let name = bin_name(&command);
        return Failure {
            error: format!("`{name}` needs a command"),
            causes: Vec::new(),
            help: Some(format!("one of {}; see `{name} --help`", subs.join(", "))),
            diagnostics: Vec::new(),
        };
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let (mut help, mut causes) = (Vec::new(), Vec::new());
    let mut message = message.to_owned();
    if let Some(malformed) =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Malformed>())
    {
        let invalid = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        let (value, argument) =
            (invalid(ContextKind::InvalidValue), invalid(ContextKind::InvalidArg));
        message = format!("invalid value '{value}' for '{argument}'");
        causes.push(malformed.message.clone());
        help.push(malformed.help.clone());
    } else {
        for line in lines {
            if let Some(tip) = line.strip_prefix("tip: ") {
                help.push(tip.to_owned());
            } else if let Some(values) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                help.push(values.to_owned());
            } else if let Some(usage) = line.strip_prefix("Usage: ") {
                help.push(format!("usage: {usage}"));
            } else if !line.is_empty() && !line.starts_with("For more information") {
                // Names of arguments that are missing or in conflict.
                causes.push(line.to_owned());
            }
        }
    }
    if help.is_empty() {
        help.push(format!("see `{} --help`", bin_name(&command)));
    }
    Failure { error: message, causes, help: Some(help.join("; ")), diagnostics: Vec::new() }
}

fn bin_name(command: &clap::Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// The innermost command that the arguments name.
fn named(arguments: &[OsString]) -> clap::Command {
    let mut command = super::command();
    command.build();
    for word in arguments.iter().skip(1) {
        // Options and their values are no commands.
        if let Some(sub) = command.find_subcommand(word) {
            command = sub.clone();
        }
    }
    command
}

/// Whether a command line that could not be parsed asks for JSON.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(word) = words.next() {
        match word {
            "--" => return false,
            "-o" | "--output" if words.next() == Some("json") => return true,
            "-ojson" | "-o=json" | "--output=json" => return true,
            _ => {}
        }
    }
    false
}

fn print_json(failure: &Failure) {
    if let Ok(text) = json(failure) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}

/// Shows one line with its word in front.
pub(crate) fn say(colours: bool, word: &str, text: &str) {
    block(colours, &format!("{word}: {}", one_line(text)));
}

/// Shows lines, some of which begin with `error:`, `warning:` and so on.
pub(crate) fn block(colours: bool, text: &str) {
    let mut out = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        out.push_str(&painted(colours, line));
        out.push('\n');
    }
    // Nobody is left to be told that nobody reads this.
    let _ = io::stderr().lock().write_all(out.as_bytes());
}

fn painted(colours: bool, line: &str) -> String {
    const WORDS: [(&str, u8); 5] =
        [("error:", 31), ("warning:", 33), ("note:", 36), ("cause:", 1), ("help:", 32)];
    let word = WORDS.iter().find(|(word, _)| line.starts_with(word)).filter(|_| colours);
    match word {
        Some((word, colour)) => format!("\x1b[1;{colour}m{word}\x1b[0m{}", &line[word.len()..]),
        None => line.to_owned(),
    }
}

/// Sends what the library traces to standard error: warnings always, more with `-v`.
pub(crate) fn trace(verbose: u8, colours: bool) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    // A second one in the same process (tests) leaves the first in place.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .event_format(Lines { colours })
        .try_init();
}

/// Events as lines of the same form as everything else on standard error.
struct Lines {
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0.insert_str(0, &format!("{value:?}"));
                } else {
                    self.0.push_str(&format!(" {}={value:?}", field.name()));
                }
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let word = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "note",
        };
        let line = painted(self.colours, &format!("{word}: {}", one_line(&text.0)));
        writeln!(writer, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::refuse;
    use crate::policy::edit::EditError;

    #[test]
    fn an_error_names_its_causes_and_its_mend() {
        let error = refuse("no such thing", "make one").context("line 3: rule add");
        let text = Failure::of(&error).to_string();
        assert_eq!(text, "error: line 3: rule add\ncause: no such thing\nhelp: make one");
    }

    #[test]
    fn what_stands_in_the_way_is_one_cause_each() {
        let edit = EditError {
            message: "in use".into(),
            causes: vec!["a".into(), "b".into()],
            help: "first a, then b".into(),
        };
        let text = Failure::of(&anyhow::Error::from(edit)).to_string();
        assert_eq!(text, "error: in use\ncause: a\ncause: b\nhelp: first a, then b");
    }

    #[test]
    fn no_line_breaks_get_into_a_line() {
        let error = anyhow::anyhow!("a\nb");
        assert!(!Failure::of(&error).to_string().contains('\n'));
    }

    #[test]
    fn json_is_recognised_where_nothing_else_was() {
        let asks =
            |line: &str| asks_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asks("sg-ctl status -o json --wrong"));
        assert!(asks("sg-ctl --output=json x"));
        assert!(!asks("sg-ctl -o table x json"));
        assert!(!asks("sg-ctl x -- -o json"));
    }

    #[test]
    fn colours_are_on_the_word_alone() {
        assert_eq!(painted(true, "error: x"), "\x1b[1;31merror:\x1b[0m x");
        assert_eq!(painted(false, "error: x"), "error: x");
        assert_eq!(painted(true, "other"), "other");
    }
}
