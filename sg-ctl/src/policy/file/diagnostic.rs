//! What is wrong with a policy file, and where.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The files are refused.
    Error,
    /// They are accepted, but hardly do what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Path as it was given, or `<stdin>`.
    pub file: Arc<str>,
    /// Line, from 1; 0 = the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 = the file as a whole. A byte-order mark at the start of the
    /// file is not counted.
    pub column: u32,
    /// The line's text, cut around the place where it is long, control characters replaced.
    pub text: String,
    /// Characters of `text` in front of the marked ones.
    pub marker_start: u32,
    /// Marked characters, at least 1.
    pub marker_width: u32,
    /// What is there, where a diagnostic names several places.
    pub label: String,
}

/// One finding about a policy file or list file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where; the place itself first, then the others that it depends on.
    pub locations: Vec<Location>,
    /// What would be right; empty only for notes.
    pub help: String,
}

impl Diagnostic {
    /// A finding without a place in a file.
    #[must_use]
    pub fn new(severity: Severity, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity, message: message.into(), locations: Vec::new(), help: help.into() }
    }

    /// A finding about a file as a whole.
    #[must_use]
    pub fn about(file: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let mut diagnostic = Self::new(Severity::Error, message, help);
        diagnostic.locations.push(Location {
            file: file.into(),
            line: 0,
            column: 0,
            text: String::new(),
            marker_start: 0,
            marker_width: 1,
            label: String::new(),
        });
        diagnostic
    }

    /// File of the place, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.locations.first().map(|l| &*l.file)
    }

    /// Line of the place, 0 if there is none.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.locations.first().map_or(0, |l| l.line)
    }

    /// Column of the place, 0 if there is none.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.locations.first().map_or(0, |l| l.column)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cause: {}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.label.is_empty() {
            write!(f, ": {}", self.label)?;
        }
        if self.line > 0 {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            let before = " ".repeat(self.marker_start as usize);
            let marker = "^".repeat(self.marker_width as usize);
            write!(f, "\n  {number} | {}\n  {gutter} | {before}{marker}", self.text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    /// `error: what`, then `cause:` lines with the text, then `help:` with the mend.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{word}: {}", self.message)?;
        for location in &self.locations {
            write!(f, "\n{location}")?;
        }
        if !self.help.is_empty() {
            write!(f, "\nhelp: {}", self.help)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a set of files: at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The findings, in the order of files and lines; at most [`Diagnostics::MOST`].
    pub list: Vec<Diagnostic>,
    /// Errors beyond that number, which are only counted.
    pub more: usize,
}

impl Diagnostics {
    /// Findings that are kept; a file that is wrong in more places is hardly a policy file.
    pub const MOST: usize = 100;

    /// One error.
    #[must_use]
    pub fn one(diagnostic: Diagnostic) -> Self {
        Self { list: vec![diagnostic], more: 0 }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::one(diagnostic)
    }
}

impl fmt::Display for Diagnostics {
    /// The first twenty findings, one below the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        for (i, diagnostic) in self.list.iter().take(SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        let more = self.more + self.list.len().saturating_sub(SHOWN);
        if more > 0 {
            write!(f, "\n\nnote: {more} more errors are not shown")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
