//! TOML text -> tree.

use std::borrow::Cow;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::super::text::quoted;
use super::source::Span;
use super::tree::{DEPTH, Entry, Node, SyntaxError, Value};

/// Parses a document. With errors the tree is what could be made of it.
pub(super) fn parse(text: &str) -> (Node<'_>, Vec<SyntaxError>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<SyntaxError> = errors.iter().map(|e| explain(e, text)).collect();
    errors.sort_by_key(|error| error.span);
    // Further errors of the same line are mostly echoes of the first.
    errors.dedup_by(|next, kept| {
        let range = kept.span.start.min(next.span.start)..next.span.start.max(kept.span.start);
        let between = text.as_bytes().get(range.start as usize..range.end as usize);
        between.is_some_and(|bytes| !bytes.contains(&b'\n')) && !next.harmless
    });
    let table = table(root.into_inner(), text, DEPTH, &mut errors);
    (Node { span: Span::default(), value: table }, errors)
}

fn table<'s>(
    table: DeTable<'s>,
    text: &'s str,
    depth: usize,
    errors: &mut Vec<SyntaxError>,
) -> Value<'s> {
    let entry = |(key, value): (Spanned<Cow<'s, str>>, Spanned<DeValue<'s>>)| Entry {
        key_span: key.span().into(),
        key: key.into_inner(),
        node: node(value, text, depth, errors),
    };
    Value::Table(table.into_iter().map(entry).collect())
}

fn node<'s>(
    value: Spanned<DeValue<'s>>,
    text: &'s str,
    depth: usize,
    errors: &mut Vec<SyntaxError>,
) -> Node<'s> {
    let span: Span = value.span().into();
    let raw = text.get(value.span()).unwrap_or("");
    let Some(deeper) = depth.checked_sub(1) else {
        errors.push(too_deep(span));
        // Dotted keys in inline tables nest thousands deep, and dropping that recurses: on this
        // path, which ends in an error, leaking it is the lesser evil.
        std::mem::forget(value);
        return Node { span, value: Value::Other("a value that is nested too deeply") };
    };
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(_) | DeValue::Float(_) => Value::Number(raw),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(array) => {
            Value::List(array.into_iter().map(|v| node(v, text, deeper, errors)).collect())
        }
        DeValue::Table(t) => table(t, text, deeper, errors),
    };
    Node { span, value }
}

/// The error for a value below the deepest level.
pub(super) fn too_deep(span: Span) -> SyntaxError {
    SyntaxError {
        span,
        message: format!("nested deeper than {DEPTH} levels"),
        help: "a policy file needs no more than six".into(),
        harmless: false,
        first: None,
    }
}

fn explain(error: &::toml::de::Error, text: &str) -> SyntaxError {
    let range = error.span().unwrap_or(text.len()..text.len());
    let span = Span::from(range.clone());
    let raw = text.get(range).unwrap_or("");
    let (message, help) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message.to_owned(), format!("write {expected} here")),
        None => (error.message().to_owned(), String::new()),
    };
    if message == "duplicate key" {
        return SyntaxError {
            span,
            message: format!("the key {} is given twice", quoted(raw.trim_matches('"'))),
            help: "keep one of them; for one more entry of a list of tables, double the brackets: \
                   [[groups.NAME.ingress]]"
                .into(),
            harmless: true,
            first: None,
        };
    }
    let help = if text.trim_start().starts_with('{') {
        "this looks like JSON: name the file *.json or say --format json".into()
    } else {
        match (message.as_str(), help.as_str()) {
            ("string values must be quoted", _) => {
                format!("write it in double quotes: {}", quoted(raw))
            }
            ("unexpected leading zero", _) => "write the number without leading zeros".into(),
            (_, "" | "write nothing here" | "write key here") => {
                "a line is `key = value` or `[table]`; texts stand in double quotes".into()
            }
            _ => help,
        }
    };
    SyntaxError {
        span,
        message: format!("not TOML: {message}"),
        help,
        harmless: false,
        first: None,
    }
}
