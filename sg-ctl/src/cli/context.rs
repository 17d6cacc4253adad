//! What a command runs in: the global options, the host, and the way to the terminal.

use std::io::{self, IsTerminal, Write as _};

use anyhow::Context as _;
use serde::Serialize;

use super::global::{Global, Output};
use super::listing::{self, Listing, Style};
use super::report;
use crate::host::{Host, Location};
use crate::policy::file::diagnostic::Diagnostic;
use crate::store::lock::{self, Holder};

/// What a command answers.
pub(crate) struct Reply {
    /// What goes to standard output.
    pub(crate) text: String,
    /// Exit code.
    pub(crate) code: u8,
}

/// Everything that a command needs besides its own arguments.
pub(crate) struct Context {
    pub(crate) global: Global,
    /// How standard output is to look.
    pub(crate) style: Style,
    /// Whether standard error has colours.
    colours: bool,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let plain = global.no_color
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let out = io::stdout().is_terminal();
        let style =
            Style { colours: out && !plain, width: if out { terminal_width() } else { None } };
        let colours = io::stderr().is_terminal() && !plain;
        report::trace(global.verbose, colours);
        Self { global, style, colours }
    }

    /// Whether standard error has colours.
    pub(crate) fn colours(&self) -> bool {
        self.colours
    }

    /// Whether JSON was asked for.
    pub(crate) fn json(&self) -> bool {
        self.global.output == Output::Json
    }

    /// Opens the host, in its network namespace.
    pub(crate) fn host(&self) -> anyhow::Result<Host> {
        let location = Location {
            netns: self.global.netns.clone(),
            state_dir: self.global.state_dir.clone(),
            bpffs: self.global.bpffs.clone(),
            lock_timeout: lock::TIMEOUT,
        };
        let colours = self.colours;
        Host::open(&location, move |holder: &Holder| {
            report::say(
                colours,
                "note",
                &format!("another change is under way, by {holder}; waiting"),
            );
        })
    }

    /// A reply in the form that was asked for.
    pub(crate) fn reply(&self, listing: &impl Listing) -> anyhow::Result<Reply> {
        let text = if self.json() { json(listing)? } else { listing.text(&self.style) };
        Ok(Reply { text, code: 0 })
    }

    /// Shows warnings.
    pub(crate) fn warn<'w>(&self, warnings: impl IntoIterator<Item = &'w String>) {
        for warning in warnings {
            report::say(self.colours, "warning", warning);
        }
    }

    /// Shows a note.
    pub(crate) fn note(&self, text: &str) {
        report::say(self.colours, "note", text);
    }

    /// Shows findings that do not stop anything.
    pub(crate) fn diagnose(&self, findings: &[Diagnostic]) {
        for finding in findings {
            report::block(self.colours, &finding.to_string());
        }
    }

    /// Writes a reply; its exit code.
    pub(crate) fn print(&self, reply: &Reply) -> anyhow::Result<u8> {
        let mut out = io::stdout().lock();
        let newline = !reply.text.is_empty() && !reply.text.ends_with('\n');
        let result = out
            .write_all(reply.text.as_bytes())
            .and_then(|()| if newline { out.write_all(b"\n") } else { Ok(()) })
            .and_then(|()| out.flush());
        match result {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(reply.code),
            other => other.context("cannot write to standard output").map(|()| reply.code),
        }
    }
}

/// A listing as JSON, with the number of its schema in front.
pub(crate) fn json<T: Serialize>(listing: &T) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Envelope<'l, T> {
        schema: u32,
        #[serde(flatten)]
        listing: &'l T,
    }
    let envelope = Envelope { schema: listing::SCHEMA, listing };
    serde_json::to_string_pretty(&envelope).context("cannot write the listing as JSON")
}

/// Columns of the terminal: `COLUMNS` if it is a number, else what the terminal says.
fn terminal_width() -> Option<u16> {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    said.or_else(|| {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(size.ws_col)
    })
    .filter(|width| *width > 0)
}
