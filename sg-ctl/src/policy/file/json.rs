//! JSON text (RFC 8259) -> tree.
//!
//! A parser of our own because every value has to know its place, keys must not repeat, and nesting
//! must be bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::text::quoted;
use super::source::Span;
use super::toml::too_deep;
use super::tree::{DEPTH, Entry, Node, SyntaxError, Value};

/// Parses a document. With errors the tree is what could be made of it.
pub(super) fn parse(text: &str) -> (Node<'_>, Vec<SyntaxError>) {
    let mut parser = Parser { text, at: 0, repeated: Vec::new() };
    let result = parser.document();
    let mut errors = parser.repeated;
    let node = result.unwrap_or_else(|mut error| {
        let start = text.trim_start();
        let first = start.strip_prefix('[').unwrap_or(start).chars().next();
        if first.is_some_and(|c| c.is_ascii_lowercase() || c == '[') {
            error.help = "this looks like TOML: name the file *.toml or say --format toml".into();
        }
        errors.push(error);
        Node { span: Span::default(), value: Value::Table(Vec::new()) }
    });
    (node, errors)
}

struct Parser<'s> {
    text: &'s str,
    at: usize,
    repeated: Vec<SyntaxError>,
}

type Parsed<T> = Result<T, SyntaxError>;

impl<'s> Parser<'s> {
    fn document(&mut self) -> Parsed<Node<'s>> {
        let node = self.value(DEPTH)?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.unexpected("nothing behind the closing brace"));
        }
        Ok(node)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn error(
        &self,
        range: std::ops::Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> SyntaxError {
        SyntaxError {
            span: range.into(),
            message: format!("not JSON: {}", message.into()),
            help: help.into(),
            harmless: false,
            first: None,
        }
    }

    fn unexpected(&self, right: &str) -> SyntaxError {
        let rest = &self.text[self.at..];
        let Some(found) = rest.chars().next() else {
            return self.error(
                self.at..self.at,
                "the text ends too early",
                format!("write {right}"),
            );
        };
        let help = match found {
            '/' | '#' => "JSON has no comments: remove it, or write TOML".into(),
            '\'' => "texts stand in double quotes".into(),
            _ => format!("write {right}"),
        };
        let end = self.at + found.len_utf8();
        self.error(self.at..end, format!("unexpected {found:?}"), help)
    }

    fn value(&mut self, depth: usize) -> Parsed<Node<'s>> {
        self.blanks();
        let start = self.at;
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(too_deep((start..start + 1).into()));
        };
        let value = match self.peek() {
            Some(b'{') => self.object(deeper)?,
            Some(b'[') => self.list(deeper)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { span: (start..self.at).into(), value })
    }

    fn object(&mut self, depth: usize) -> Parsed<Value<'s>> {
        self.at += 1;
        let mut entries: Vec<Entry<'s>> = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(entries));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            let key_span = Span::from(start..self.at);
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon between key and value"));
            }
            self.at += 1;
            let node = self.value(depth)?;
            entries.push(Entry { key, key_span, node });
            if self.comma_or(b'}', "a comma or the closing brace")? {
                break;
            }
        }
        Ok(Value::Table(self.without_repeated(entries)))
    }

    fn list(&mut self, depth: usize) -> Parsed<Value<'s>> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.comma_or(b']', "a comma or the closing bracket")? {
                return Ok(Value::List(items));
            }
        }
    }

    /// Whether the end of the list or object was reached; else a comma was.
    fn comma_or(&mut self, end: u8, right: &str) -> Parsed<bool> {
        self.blanks();
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                let comma = self.at;
                self.at += 1;
                self.blanks();
                if self.peek() == Some(end) {
                    let message = "a comma behind the last value";
                    return Err(self.error(comma..comma + 1, message, "remove it"));
                }
                Ok(false)
            }
            _ => Err(self.unexpected(right)),
        }
    }

    fn without_repeated(&mut self, entries: Vec<Entry<'s>>) -> Vec<Entry<'s>> {
        let mut seen: HashMap<Cow<'s, str>, Span> = HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        // Comparing all pairs is cheaper than hashing for the few keys of a rule.
        let few = entries.len() <= 16;
        for entry in entries {
            let first = if few {
                kept.iter().find(|e: &&Entry<'s>| e.key == entry.key).map(|e| e.key_span)
            } else {
                seen.insert(entry.key.clone(), entry.key_span)
            };
            match first {
                None => kept.push(entry),
                Some(first) => self.repeated.push(SyntaxError {
                    span: entry.key_span,
                    message: format!("the key {} is given twice", quoted(&entry.key)),
                    help: "keep one of them".into(),
                    harmless: true,
                    first: Some(first),
                }),
            }
        }
        kept
    }

    fn word(&mut self) -> Parsed<Value<'s>> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Other("null")),
            word => {
                let message = format!("unexpected word {}", quoted(word));
                let help = format!("put texts in double quotes: {}", quoted(word));
                Err(self.error(start..self.at, message, help))
            }
        }
    }

    fn number(&mut self) -> Parsed<Value<'s>> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
        {
            self.at += 1;
        }
        let raw = &self.text[start..self.at];
        if is_number(raw) {
            return Ok(Value::Number(raw));
        }
        let stripped = raw.trim_start_matches(['+', '0']);
        let help =
            if (1..10).contains(&stripped.len()) && stripped.bytes().all(|b| b.is_ascii_digit()) {
                format!("write {stripped}, without sign and leading zeros")
            } else {
                "write digits alone, or a text in double quotes".into()
            };
        Err(self.error(start..self.at, format!("{} is not a number", quoted(raw)), help))
    }

    fn string(&mut self) -> Parsed<Cow<'s, str>> {
        let open = self.at;
        self.at += 1;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            match self.peek() {
                None => {
                    let message = "a text is not closed";
                    return Err(self.error(open..open + 1, message, "write the closing quote"));
                }
                Some(b'"') => {
                    let part = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(part),
                        Some(text) => Cow::Owned(text + part),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    let c = self.escape()?;
                    owned.get_or_insert_default().push(c);
                    start = self.at;
                }
                Some(b'\n' | b'\r') => {
                    let message = "a text is not closed in its line";
                    return Err(self.error(open..self.at, message, "write the closing quote"));
                }
                Some(byte) if byte < 0x20 => {
                    let message = "a control character in a text";
                    let help = format!("write \\u{byte:04x}, or a blank");
                    return Err(self.error(self.at..self.at + 1, message, help));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        let c = match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(self.bad_escape(start)),
        };
        Ok(c)
    }

    fn unicode(&mut self, start: usize) -> Parsed<char> {
        let Some(first) = self.hex4() else { return Err(self.bad_escape(start)) };
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        // A surrogate: only a high one with a low one behind it is a character.
        let pair = (0xd800..0xdc00).contains(&first)
            && self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
        if pair {
            self.at += 2;
            if let Some(second) = self.hex4()
                && (0xdc00..0xe000).contains(&second)
                && let Some(c) =
                    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            {
                return Ok(c);
            }
        }
        Err(self.bad_escape(start))
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn bad_escape(&self, start: usize) -> SyntaxError {
        self.error(
            start..start + 2,
            "an escape sequence that JSON does not have",
            "write \\\\ for a backslash; else \\\", \\/, \\b, \\f, \\n, \\r, \\t or \\u and four digits",
        )
    }
}

/// RFC 8259 section 6.
fn is_number(raw: &str) -> bool {
    let rest = raw.strip_prefix('-').unwrap_or(raw);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}
