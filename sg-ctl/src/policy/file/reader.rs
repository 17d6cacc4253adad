//! The tools of the typed readers: they take values out of the tree and note what is wrong.

use super::super::text::{Malformed, check_description, number, quoted};
use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::{Source, Span};
use super::tree::{Entry, Node, Value, find};

/// A place in one of several sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) source: u32,
    pub(super) span: Span,
}

/// The keys of a table.
pub(super) struct Shape<'k> {
    /// The table with its article, for messages.
    pub(super) what: &'k str,
    /// Its keys.
    pub(super) keys: &'k [&'k str],
    /// Keys that a later version has.
    pub(super) later: &'k [&'k str],
    /// For a table that has a name of its own: section and name.
    pub(super) header: Option<(&'k str, &'k str)>,
}

impl<'k> Shape<'k> {
    pub(super) fn new(what: &'k str, keys: &'k [&'k str]) -> Self {
        Self { what, keys, later: &[], header: None }
    }

    pub(super) fn named(self, section: &'k str, name: &'k str) -> Self {
        Self { header: Some((section, name)), ..self }
    }

    pub(super) fn later(self, later: &'k [&'k str]) -> Self {
        Self { later, ..self }
    }
}

struct Problem {
    severity: Severity,
    place: Place,
    message: String,
    help: String,
    others: Vec<(Place, String)>,
}

/// Reads from one source after the other, and gathers the findings of all.
pub(super) struct Reader<'a> {
    sources: &'a [Source],
    source: u32,
    problems: Vec<Problem>,
    errors: usize,
    ready: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a [Source]) -> Self {
        Self { sources, source: 0, problems: Vec::new(), errors: 0, ready: Vec::new() }
    }

    /// Goes on to another source.
    pub(super) fn turn_to(&mut self, source: usize) {
        self.source = u32::try_from(source).unwrap_or(u32::MAX);
    }

    pub(super) fn here(&self, span: Span) -> Place {
        Place { source: self.source, span }
    }

    pub(super) fn error(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Severity::Error, self.here(span), message, help, Vec::new());
    }

    pub(super) fn report(
        &mut self,
        severity: Severity,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
        others: Vec<(Place, String)>,
    ) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        // Beyond some number findings are only counted: a large file of another kind would give as
        // many as it has lines.
        if self.problems.len() < 4 * Diagnostics::MOST {
            let (message, help) = (message.into(), help.into());
            self.problems.push(Problem { severity, place, message, help, others });
        }
    }

    /// Takes findings about another file.
    pub(super) fn adopt(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            if diagnostic.severity == Severity::Error {
                self.errors += 1;
            }
            if self.ready.len() < Diagnostics::MOST {
                self.ready.push(diagnostic);
            }
        }
    }

    /// Counts errors that are not shown.
    pub(super) fn count_more(&mut self, more: usize) {
        self.errors += more;
    }

    /// Errors so far.
    pub(super) fn error_count(&self) -> usize {
        self.errors
    }

    /// All findings in the order of their places: errors alone if there are any, else the others.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let failed = self.errors > 0;
        let wanted = |severity: Severity| (severity == Severity::Error) == failed;
        self.problems.retain(|p| wanted(p.severity));
        self.ready.retain(|d| wanted(d.severity));
        self.problems.sort_by_key(|p| p.place);
        let located = |p: &Problem| {
            let source = &self.sources[p.place.source as usize];
            let mut diagnostic = source.diagnostic(p.severity, p.place.span, &*p.message, &*p.help);
            for (place, label) in &p.others {
                let source = &self.sources[place.source as usize];
                diagnostic.locations.push(source.locate(place.span, label));
            }
            diagnostic
        };
        let mut list: Vec<Diagnostic> =
            self.problems.iter().take(Diagnostics::MOST).map(located).collect();
        list.append(&mut self.ready);
        list.truncate(Diagnostics::MOST);
        if failed {
            let more = self.errors - list.len();
            return Err(Diagnostics { list, more });
        }
        Ok(list)
    }

    pub(super) fn malformed(&mut self, span: Span, error: Malformed) {
        self.error(span, error.message, error.help);
    }

    /// The value of a parsed text, or a finding.
    pub(super) fn parsed<T>(&mut self, span: Span, result: Result<T, Malformed>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.malformed(span, error);
                None
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node<'_>, what: &str, right: &str, help: &str) {
        let found = node.value.kind();
        self.error(node.span, format!("{what} is {right}, not {found}"), help);
    }

    /// The entries of a table.
    pub(super) fn table<'t, 's>(
        &mut self,
        node: &'t Node<'s>,
        what: &str,
        help: &str,
    ) -> Option<&'t [Entry<'s>]> {
        match &node.value {
            Value::Table(entries) => Some(entries),
            _ => {
                self.wrong_type(node, what, "a table", help);
                None
            }
        }
    }

    /// Reports keys that a table does not have.
    pub(super) fn known_keys(&mut self, table: &[Entry<'_>], shape: &Shape<'_>) {
        let Shape { what, keys, later, header } = shape;
        for entry in table.iter().filter(|entry| !keys.contains(&&*entry.key)) {
            if later.contains(&&*entry.key) {
                let message = format!("this version does not have `{}`", entry.key);
                self.error(entry.key_span, message, "leave it out");
                continue;
            }
            if let (Value::Table(_), Some((section, name))) = (&entry.node.value, header) {
                let message = format!("{what} has no table {}", quoted(&entry.key));
                let help = format!(
                    "if the dot belongs to the name, write it in quotes: [{section}.\"{name}.{}\"]",
                    entry.key
                );
                self.error(entry.key_span, message, help);
                continue;
            }
            let help = match super::super::suggest::nearest(&entry.key, keys.iter().copied()) {
                Some(near) if find(table, near).is_none() => format!("write `{near}`"),
                Some(near) => format!("remove it: `{near}` is there already"),
                None => format!("{what} has the keys {}", keys.join(", ")),
            };
            let key = quoted(&entry.key);
            self.error(entry.key_span, format!("{what} has no key {key}"), help);
        }
    }

    /// A text.
    pub(super) fn text<'t>(&mut self, entry: &'t Entry<'_>, example: &str) -> Option<&'t str> {
        match &entry.node.value {
            Value::Text(text) => Some(text),
            _ => {
                let help = format!("write {} = {example}", entry.key);
                self.wrong_type(&entry.node, &format!("`{}`", entry.key), "a text", &help);
                None
            }
        }
    }

    /// A text that one of the model's types reads.
    pub(super) fn word<T: std::str::FromStr<Err = Malformed>>(
        &mut self,
        entry: &Entry<'_>,
        example: &str,
    ) -> Option<T> {
        let text = self.text(entry, example)?;
        self.parsed(entry.node.span, text.parse())
    }

    /// A description.
    pub(super) fn description(&mut self, table: &[Entry<'_>]) -> String {
        let Some(entry) = find(table, "description") else { return String::new() };
        let Some(text) = self.text(entry, "\"what it is for\"") else { return String::new() };
        match check_description(text) {
            Ok(()) => text.to_owned(),
            Err(error) => {
                self.malformed(entry.node.span, error);
                String::new()
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, entry: &Entry<'_>) -> Option<bool> {
        match &entry.node.value {
            Value::Bool(value) => Some(*value),
            _ => {
                let what = format!("`{}`", entry.key);
                self.wrong_type(&entry.node, &what, "true or false", "write true or false");
                None
            }
        }
    }

    /// A whole number in bounds.
    pub(super) fn number(&mut self, entry: &Entry<'_>, low: u32, high: u32) -> Option<u32> {
        let what = format!("`{}`", entry.key);
        let Value::Number(raw) = &entry.node.value else {
            let help = match &entry.node.value {
                Value::Text(text) if number(text, &what, low, high).is_ok() => {
                    format!("write {text} without quotes")
                }
                _ => format!("write a number from {low} to {high}"),
            };
            self.wrong_type(&entry.node, &what, "a number", &help);
            return None;
        };
        self.parsed(entry.node.span, number(&plain(raw), &what, low, high))
    }

    /// An 8-bit number.
    pub(super) fn byte(&mut self, entry: &Entry<'_>) -> Option<u8> {
        self.number(entry, 0, 255).and_then(|n| u8::try_from(n).ok())
    }

    /// The items of a list, or the one value that stands for a list of one.
    pub(super) fn one_or_list<'t, 's>(
        &mut self,
        entry: &'t Entry<'s>,
        help: &str,
    ) -> &'t [Node<'s>] {
        match &entry.node.value {
            Value::List(items) if items.is_empty() => {
                let message = format!("`{}` is an empty list, which matches nothing", entry.key);
                self.error(entry.node.span, message, help);
                items
            }
            Value::List(items) => items,
            _ => std::slice::from_ref(&entry.node),
        }
    }

    /// The items of a list; a single value is refused.
    pub(super) fn list<'t, 's>(
        &mut self,
        entry: &'t Entry<'s>,
        example: &str,
    ) -> Option<&'t [Node<'s>]> {
        match &entry.node.value {
            Value::List(items) => Some(items),
            _ => {
                let help = format!("write {} = [{example}]", entry.key);
                self.wrong_type(&entry.node, &format!("`{}`", entry.key), "a list", &help);
                None
            }
        }
    }

    /// The text of a list's item.
    pub(super) fn item<'t>(
        &mut self,
        node: &'t Node<'_>,
        what: &str,
        right: &str,
        help: &str,
    ) -> Option<&'t str> {
        match &node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.wrong_type(node, what, right, help);
                None
            }
        }
    }
}

/// A number without the underscores that TOML allows between its digits.
pub(super) fn plain(raw: &str) -> std::borrow::Cow<'_, str> {
    if raw.contains('_') { raw.replace('_', "").into() } else { raw.into() }
}
