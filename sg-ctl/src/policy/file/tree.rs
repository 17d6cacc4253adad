//! What TOML and JSON have in common: a tree of values that know where they stand.

use std::borrow::Cow;

use super::source::Span;

/// Deepest nesting that is read. A policy file needs six.
pub(super) const DEPTH: usize = 64;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node<'s> {
    /// Place of the value; of a TOML table, its header.
    pub span: Span,
    /// The value.
    pub value: Value<'s>,
}

/// A value.
#[derive(Debug)]
pub(super) enum Value<'s> {
    /// A string.
    Text(Cow<'s, str>),
    /// A number as it is written.
    Number(&'s str),
    /// `true` or `false`.
    Bool(bool),
    /// What the policy language has no use for.
    Other(&'static str),
    /// An array.
    List(Vec<Node<'s>>),
    /// A table (TOML) or object (JSON).
    Table(Vec<Entry<'s>>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry<'s> {
    /// The key.
    pub key: Cow<'s, str>,
    /// Its place.
    pub key_span: Span,
    /// The value.
    pub node: Node<'s>,
}

/// A text that is no TOML or JSON: place, what is wrong, what would be right.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
    /// The tree is whole all the same (a repeated key, of which one counts).
    pub harmless: bool,
    /// The first of two.
    pub first: Option<Span>,
}

impl Value<'_> {
    /// What it is, with its article, for messages.
    #[must_use]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Other(kind) => kind,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The entry of a key.
#[must_use]
pub(super) fn find<'t, 's>(table: &'t [Entry<'s>], key: &str) -> Option<&'t Entry<'s>> {
    table.iter().find(|entry| entry.key == key)
}
