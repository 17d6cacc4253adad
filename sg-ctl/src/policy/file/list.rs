//! List files: one prefix or address a line.
//!
//! `#` and `;` begin a comment, also behind an entry. Blanks around an entry and empty lines do not
//! count. Lines end with a line feed, a carriage return before it is allowed.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::super::cidr;
use super::super::text::Malformed;
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::{FILE_MAX, excerpt, refuse_utf16, too_large};

/// The entries of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Prefixes.
    pub nets: Vec<IpNet>,
}

impl Entries {
    /// Sorts and drops doubles; how many there were.
    pub fn sort(&mut self) -> usize {
        self.nets.sort_unstable();
        let all = self.nets.len();
        self.nets.dedup();
        all - self.nets.len()
    }
}

/// Reads the bytes of a list file, in its order and with doubles.
///
/// # Errors
/// Any line that is no entry; then nothing of the file counts.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Entries, Diagnostics> {
    if bytes.len() > FILE_MAX {
        return Err(too_large(name).into());
    }
    refuse_utf16(name, bytes)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let name: Arc<str> = name.into();
    let mut nets = Vec::with_capacity(bytes.len() / 20);
    let mut errors = Diagnostics { list: Vec::new(), more: 0 };
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = line.iter().position(|b| matches!(b, b'#' | b';')).unwrap_or(line.len());
        let entry = line[..end].trim_ascii();
        // Also inside a comment: a file with carriage returns alone would be one long comment.
        let lone_return = line.contains(&b'\r');
        if entry.is_empty() && !lone_return {
            continue;
        }
        let error = match self::entry(entry) {
            _ if lone_return => None,
            Ok(net) => {
                nets.push(net);
                continue;
            }
            Err(error) => Some(error),
        };
        if errors.list.len() >= Diagnostics::MOST {
            errors.more += 1;
            continue;
        }
        errors.list.push(match error {
            None => lone_return_at(&name, index, line),
            Some(error) => explain(&name, index, line, entry, error),
        });
    }
    if errors.list.is_empty() { Ok(Entries { nets }) } else { Err(errors) }
}

fn entry(bytes: &[u8]) -> Result<IpNet, Malformed> {
    if let Some(net) = plain_ipv4(bytes) {
        return Ok(net);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => cidr::parse(text),
        Err(_) => cidr::parse(&String::from_utf8_lossy(bytes)),
    }
}

/// The usual entry, quickly; `None` leaves the judgement to [`cidr::parse`].
fn plain_ipv4(bytes: &[u8]) -> Option<IpNet> {
    let mut rest = bytes;
    let mut number = || {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (head, tail) = rest.split_at_checked(digits)?;
        rest = tail.split_first().map_or(&[][..], |(_, tail)| tail);
        if head.is_empty() || head.len() > 3 || (head.len() > 1 && head[0] == b'0') {
            return None;
        }
        let value = head.iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
        Some((u8::try_from(value).ok()?, tail.first().copied()))
    };
    let mut octets = [0; 4];
    for (i, octet) in octets.iter_mut().enumerate() {
        let (value, behind) = number()?;
        *octet = value;
        match (i, behind) {
            (0..=2, Some(b'.')) | (3, Some(b'/')) => {}
            (3, None) => return Some(IpNet::V4(Ipv4Net::from(Ipv4Addr::from(octets)))),
            _ => return None,
        }
    }
    let (length, None) = number()? else { return None };
    let net = Ipv4Net::new(Ipv4Addr::from(octets), length).ok()?;
    (net.addr() == net.network()).then_some(IpNet::V4(net))
}

fn lone_return_at(name: &Arc<str>, index: usize, line: &[u8]) -> Diagnostic {
    let at = line.iter().position(|b| *b == b'\r').unwrap_or(0);
    let head = String::from_utf8_lossy(&line[..at]);
    let text = format!("{head}{}", String::from_utf8_lossy(&line[at..]));
    let help = "end each line with a line feed";
    let mut error = Diagnostic::new(Severity::Error, "a carriage return stands alone", help);
    error.locations.push(excerpt(name, index, &text, head.len(), 1, ""));
    error
}

fn explain(
    name: &Arc<str>,
    index: usize,
    line: &[u8],
    entry: &[u8],
    error: Malformed,
) -> Diagnostic {
    let line_text = String::from_utf8_lossy(line);
    let entry_text = String::from_utf8_lossy(entry);
    let before = line.len() - line.trim_ascii_start().len();
    let mut diagnostic = Diagnostic::new(Severity::Error, error.message, error.help);
    let (mut start, mut width) = (before, entry_text.len());
    let byte = |wanted: u8| entry_text.bytes().position(|b| b == wanted);
    if let Some(at) = byte(0) {
        diagnostic.message = "the text holds a NUL byte".into();
        diagnostic.help = "remove it: this is not plain text".into();
        (start, width) = (before + at, 1);
    } else if let Some(at) = entry_text.find('\u{feff}') {
        diagnostic.message = "a byte-order mark (U+FEFF) stands in the middle of the file".into();
        diagnostic.help = "remove it: it was perhaps left by joining two files".into();
        (start, width) = (before + at, '\u{feff}'.len_utf8());
    } else if let Some((first, _)) = entry_text.split_once(|c: char| c.is_whitespace() || c == ',')
        && cidr::parse(first).is_ok()
    {
        diagnostic.message = format!("more text behind the entry {first}");
        diagnostic.help = "write one entry a line; a comment begins with # or ;".into();
        let gap = entry_text[first.len()..].trim_start().len();
        start = before + entry_text.len() - gap;
        width = gap;
    }
    diagnostic.locations.push(excerpt(name, index, &line_text, start, width, ""));
    diagnostic
}
