//! The text of one file, and the way from a byte in it to line and column.

use std::cell::OnceCell;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::text::is_control;
use super::diagnostic::{Diagnostic, Location, Severity};

/// Largest file that is read, in bytes.
pub const FILE_MAX: usize = 512 << 20;

/// The two forms of a policy file. Both have the same schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON (RFC 8259).
    Json,
}

/// A range of bytes of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte behind the last.
    pub end: u32,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        // Sources are smaller than FILE_MAX, so both fit.
        let cast = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: cast(range.start), end: cast(range.end) }
    }
}

/// A file that was read: its name for messages and its text.
#[derive(Debug)]
pub struct Source {
    /// Path as it was given, or `<stdin>`.
    pub name: Arc<str>,
    /// Text behind the byte-order mark.
    pub text: String,
    /// Form of the text.
    pub format: Format,
    /// Folder to which paths in the file are relative.
    pub folder: PathBuf,
    lines: OnceCell<Vec<u32>>,
}

impl Source {
    /// Takes the bytes of a file. Without a format, a text that begins with `{` is JSON.
    ///
    /// # Errors
    /// The bytes are not UTF-8 text: UTF-16, NUL bytes, a byte-order mark in the middle, carriage
    /// returns that end no line, or too many.
    pub fn new(
        name: &str,
        bytes: Vec<u8>,
        format: Option<Format>,
        folder: PathBuf,
    ) -> Result<Self, Diagnostic> {
        if bytes.len() > FILE_MAX {
            return Err(too_large(name));
        }
        refuse_utf16(name, &bytes)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let bytes = error.as_bytes();
            let at = error.utf8_error().valid_up_to();
            let mut end = at;
            while bytes.get(end).is_some_and(|b| *b != b'\n') {
                end += 1;
            }
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            Self::raw(name, text, Format::Toml).diagnostic(
                Severity::Error,
                Span::from(at..at + 1),
                "the text is not UTF-8",
                "save the file as UTF-8",
            )
        })?;
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        let format = format.unwrap_or_else(|| {
            if text.trim_start().starts_with('{') { Format::Json } else { Format::Toml }
        });
        let source = Self { folder, ..Self::raw(name, text, format) };
        source.refuse_odd_characters()?;
        Ok(source)
    }

    fn raw(name: &str, text: String, format: Format) -> Self {
        Self { name: name.into(), text, format, folder: PathBuf::new(), lines: OnceCell::new() }
    }

    fn refuse_odd_characters(&self) -> Result<(), Diagnostic> {
        let bytes = self.text.as_bytes();
        // One pass over the bytes; 0xef begins the byte-order mark in UTF-8.
        for (at, byte) in bytes.iter().enumerate() {
            let (message, help, width) = match byte {
                0 => ("the text holds a NUL byte", "remove it: this is not plain text", 1),
                b'\r' if bytes.get(at + 1) != Some(&b'\n') => (
                    "a carriage return stands alone",
                    "end lines with a line feed, or with a carriage return and a line feed",
                    1,
                ),
                0xef if bytes[at..].starts_with(b"\xef\xbb\xbf") => (
                    "a byte-order mark (U+FEFF) stands in the middle of the file",
                    "remove it: it was perhaps left by joining two files",
                    3,
                ),
                _ => continue,
            };
            let span = Span::from(at..at + width);
            return Err(self.diagnostic(Severity::Error, span, message, help));
        }
        Ok(())
    }

    /// The text of a span.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// A finding at a place of this source.
    #[must_use]
    pub fn diagnostic(
        &self,
        severity: Severity,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(severity, message, help);
        diagnostic.locations.push(self.locate(span, ""));
        diagnostic
    }

    /// Line, column and text of a place.
    #[must_use]
    pub fn locate(&self, span: Span, label: &str) -> Location {
        let lines = self.lines.get_or_init(|| line_starts(self.text.as_bytes()));
        let mut start = (span.start as usize).min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let index = lines.partition_point(|line| *line as usize <= start).saturating_sub(1);
        let line_start = lines.get(index).map_or(0, |l| *l as usize);
        let rest = &self.text[line_start..];
        let line = rest.split('\n').next().unwrap_or("");
        let line = line.strip_suffix('\r').unwrap_or(line);
        let before = start - line_start;
        let width = (span.end as usize).saturating_sub(start);
        excerpt(&self.name, index, line, before, width, label)
    }
}

/// Builds a location from one line.
pub(super) fn excerpt(
    name: &Arc<str>,
    index: usize,
    line: &str,
    before: usize,
    width: usize,
    label: &str,
) -> Location {
    // A file in one line would make every message as long as the file.
    const BEFORE: usize = 60;
    const AFTER: usize = 60;
    let before = before.min(line.len());
    let mut end = before.saturating_add(width).min(line.len());
    while !line.is_char_boundary(end) {
        end += 1;
    }
    let head = line.get(..before).unwrap_or("");
    let column = head.chars().count();
    let show = |c: char| if is_control(c) { ' ' } else { c };
    let mut text = String::new();
    let hidden = column.saturating_sub(BEFORE);
    if hidden > 0 {
        text.push('…');
    }
    text.extend(head.chars().skip(hidden).map(show));
    let marker_start = text.chars().count();
    let tail = line.get(before..).unwrap_or("");
    text.extend(tail.chars().take(AFTER).map(show));
    if tail.chars().nth(AFTER).is_some() {
        text.push('…');
    }
    let marked = line.get(before..end).unwrap_or("").chars().take(AFTER).count().max(1);
    let cast = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Location {
        file: name.clone(),
        line: cast(index + 1),
        column: cast(column + 1),
        text,
        marker_start: cast(marker_start),
        marker_width: cast(marked),
        label: label.into(),
    }
}

fn line_starts(bytes: &[u8]) -> Vec<u32> {
    let behind = |(at, byte): (usize, &u8)| (*byte == b'\n').then_some(at + 1);
    std::iter::once(0)
        .chain(bytes.iter().enumerate().filter_map(behind))
        .map(|at| u32::try_from(at).unwrap_or(u32::MAX))
        .collect()
}

/// The error for a file that is too large to be read.
pub(super) fn too_large(name: &str) -> Diagnostic {
    Diagnostic::about(
        name,
        format!("the file is larger than the limit of {} MiB", FILE_MAX >> 20),
        "split it into several files",
    )
}

/// Refuses UTF-16, with its byte-order mark or without.
pub(super) fn refuse_utf16(name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
    let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let shaped = matches!(bytes, [a, 0, b, 0, ..] if *a != 0 && *b != 0)
        || matches!(bytes, [0, a, 0, b, ..] if *a != 0 && *b != 0);
    if !marked && !shaped {
        return Ok(());
    }
    let mut diagnostic =
        Diagnostic::about(name, "the text is UTF-16, not UTF-8", "save the file as UTF-8");
    if let Some(location) = diagnostic.locations.first_mut() {
        let pairs = bytes.get(if marked { 2.. } else { 0.. }).unwrap_or(&[]).chunks_exact(2);
        let big = bytes.first().is_some_and(|b| matches!(b, 0xfe | 0));
        let units = pairs.take(60).map(|p| {
            if big { u16::from_be_bytes([p[0], p[1]]) } else { u16::from_le_bytes([p[0], p[1]]) }
        });
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect();
        let first = text.lines().next().unwrap_or("");
        *location = excerpt(&location.file, 0, first, 0, 1, "");
    }
    Err(diagnostic)
}
