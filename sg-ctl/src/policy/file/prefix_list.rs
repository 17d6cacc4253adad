//! `[prefix-lists.NAME]`.

use std::path::Path;
use std::sync::Arc;

use super::super::cidr;
use super::super::model::{Name, PrefixList};
use super::diagnostic::Severity;
use super::draft::Draft;
use super::list::{self, Entries};
use super::reader::{Reader, Shape};
use super::source::Source;
use super::tree::{Entry, find};

/// The keys of a prefix list.
pub(super) const KEYS: [&str; 3] = ["description", "entries", "entries-file"];

/// Reads a file: the bytes of a path, or why not.
pub type ReadFile<'f> = dyn FnMut(&Path) -> std::io::Result<Vec<u8>> + 'f;

/// Reads one prefix list into the draft.
pub(super) fn read(
    reader: &mut Reader<'_>,
    source: &Source,
    name: &Name,
    entry: &Entry<'_>,
    files: &mut ReadFile<'_>,
    draft: &mut Draft,
) {
    let what = format!("the prefix list \"{name}\"");
    let help = "write [prefix-lists.NAME] and its keys below";
    let Some(table) = reader.table(&entry.node, &what, help) else { return };
    let shape = Shape::new("a prefix list", &KEYS).named("prefix-lists", name.as_str());
    reader.known_keys(table, &shape);
    let description = reader.description(table);
    let mut entries = Entries::default();
    if let Some(inline) = find(table, "entries") {
        for item in reader.list(inline, "\"203.0.113.0/24\"").unwrap_or(&[]) {
            let help = "write \"203.0.113.0/24\"";
            let text = reader.item(item, "an entry", "a text", help);
            entries.nets.extend(text.and_then(|t| reader.parsed(item.span, cidr::parse(t))));
        }
    }
    if let Some(entry) = find(table, "entries-file") {
        from_file(reader, source, entry, files, &mut entries);
    }
    if find(table, "entries").or(find(table, "entries-file")).is_none() {
        let message = format!("{what} has neither `entries` nor `entries-file`");
        reader.error(entry.key_span, message, "write entries = [] for an empty list");
    }
    let doubles = entries.sort();
    if doubles > 0 {
        let message = match doubles {
            1 => format!("{what} names 1 entry twice; it is stored once"),
            _ => format!("{what} names {doubles} entries again; each is stored once"),
        };
        reader.report(Severity::Note, reader.here(entry.key_span), message, "", Vec::new());
    }
    let list = PrefixList { description, entries: Arc::from(entries.nets) };
    draft.policy.prefix_lists.insert(name.clone(), list);
}

fn from_file(
    reader: &mut Reader<'_>,
    source: &Source,
    entry: &Entry<'_>,
    files: &mut ReadFile<'_>,
    entries: &mut Entries,
) {
    let Some(text) = reader.text(entry, "\"blocklist.txt\"") else { return };
    if text.is_empty() || text.contains('\0') {
        reader.error(entry.node.span, "`entries-file` is not a path", "name a file");
        return;
    }
    let path = source.folder.join(text);
    match files(&path) {
        Ok(bytes) => match list::parse(&path.display().to_string(), &bytes) {
            Ok(mut read) => entries.nets.append(&mut read.nets),
            Err(errors) => {
                reader.adopt(errors.list);
                reader.count_more(errors.more);
            }
        },
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            let help = "a relative path starts at the folder of this policy file";
            reader.error(entry.node.span, message, help);
        }
    }
}
