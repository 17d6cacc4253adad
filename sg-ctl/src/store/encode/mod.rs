//! State as documents, and back.
//!
//! | key | content |
//! | --- | --- |
//! | `options` | `[options]`, JSON |
//! | `namespace` | the network namespace, JSON |
//! | `prefix-lists/NAME` | description and keys of the chunks, JSON |
//! | `prefix-lists/NAME/CHUNK` | networks |
//! | `groups/NAME` | description, members and keys of the chunks, JSON |
//! | `groups/NAME/CHUNK` | rules |
//! | `blocks` | names of the blocked prefix lists and keys of the chunks, JSON; absent if nothing is blocked |
//! | `blocks/CHUNK` | blocked networks |
//! | `interfaces/NAME` | an interface of the policy, JSON |
//! | `endpoints` | numbers of endpoints that rest, the last zone, JSON |
//! | `endpoints/NAME` | an endpoint, JSON |
//! | `members/GROUP` | networks |
//! | `slots/PAGE` | counter slots of rules, 256 to a page |
//! | `images/CLASS/PAGE` | places of images, 256 to a page |

mod bytes;
mod chunks;
mod headers;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::bytes::{Malformed, Reader, net, put_count, put_net};
use self::headers::{BlocksDocument, EndpointsDocument, GroupDocument, PrefixListDocument};
use super::Documents;
use super::pool::Pool;
use super::state::{Endpoint, ImageKey, State};
use crate::policy::block::Blocks;
use crate::policy::model::{Group, Name, PrefixList, RuleId};

/// Numbers on one page of a pool.
const PAGE: u32 = 256;

/// A document that does not mean anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadDocument {
    /// Its key.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// The documents of a state.
pub(super) fn encode(state: &State) -> Documents {
    let State { policy, slots, endpoints, members, images, namespace } = state;
    let mut documents = Documents::new();
    let mut put = |key: String, value: Vec<u8>| {
        documents.insert(key.into(), value);
    };
    put("options".into(), to_json(&policy.options));
    if let Some(namespace) = namespace {
        put("namespace".into(), to_json(namespace));
    }
    for (name, list) in &policy.prefix_lists {
        let PrefixList { description, entries } = list;
        let entries = chunks::divide(entries, chunks::NETS, put_net, |chunk, value| {
            put(format!("prefix-lists/{}/{chunk}", name.0), value);
        });
        let document = PrefixListDocument { description: description.clone(), entries };
        put(format!("prefix-lists/{}", name.0), to_json(&document));
    }
    for (name, group) in &policy.groups {
        let Group { description, members, ingress, egress } = group;
        let mut divide = |rules: &[_]| {
            chunks::divide(rules, chunks::RULES, rules::put_rule, |chunk, value| {
                put(format!("groups/{}/{chunk}", name.0), value);
            })
        };
        let document = GroupDocument {
            description: description.clone(),
            members: members.clone(),
            ingress: divide(ingress),
            egress: divide(egress),
        };
        put(format!("groups/{}", name.0), to_json(&document));
    }
    if !policy.blocks.is_empty() {
        let Blocks { entries, lists } = &policy.blocks;
        let entries = chunks::divide(entries, chunks::NETS, put_net, |chunk, value| {
            put(format!("blocks/{chunk}"), value);
        });
        let prefix_lists = lists.iter().map(|name| name.0.to_string()).collect();
        put("blocks".into(), to_json(&BlocksDocument { prefix_lists, entries }));
    }
    for (name, interface) in &policy.interfaces {
        put(format!("interfaces/{name}"), to_json(interface));
    }
    let left = endpoints.numbers.parts().into_iter();
    let left = left.filter_map(|(number, name, since)| Some((number, (name.to_string(), since?))));
    let document = EndpointsDocument { last_zone: endpoints.last_zone, left: left.collect() };
    if document.last_zone != 0 || !document.left.is_empty() {
        put("endpoints".into(), to_json(&document));
    }
    for (name, endpoint) in &endpoints.entries {
        put(format!("endpoints/{name}"), to_json(endpoint));
    }
    for (group, nets) in members {
        let mut value = Vec::new();
        nets.iter().for_each(|net| put_net(&mut value, net));
        put(format!("members/{}", group.0), value);
    }
    pages(slots, "slots", &mut put, |out, id: &RuleId| out.extend(id.0.to_be_bytes()));
    for (class, pool) in images {
        let prefix = format!("images/{class}");
        pages(pool, &prefix, &mut put, |out, key: &ImageKey| out.extend(key.0));
    }
    documents
}

/// The state that the documents mean.
pub(super) fn decode(documents: &Documents) -> Result<State, BadDocument> {
    let mut state = State::default();
    let mut slots = Vec::new();
    let mut images: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    let mut numbers = Vec::new();
    for (key, value) in documents {
        let bad = |detail: &str| BadDocument { key: key.to_string(), detail: detail.to_owned() };
        let malformed = |Malformed(detail)| bad(detail);
        let mut parts = key.splitn(3, '/');
        match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
            ("options", None, None) => {
                state.policy.options = from_json(key, value)?;
            }
            ("namespace", None, None) => state.namespace = Some(from_json(key, value)?),
            ("prefix-lists", Some(list), None) => {
                state.policy.prefix_lists.insert(name(list), prefix_list(documents, key, value)?);
            }
            ("groups", Some(group_name), None) => {
                state.policy.groups.insert(name(group_name), group(documents, key, value)?);
            }
            ("blocks", None, None) => {
                let BlocksDocument { prefix_lists, entries } = from_json(key, value)?;
                let entries = from_chunks(documents, key, &entries, net)?.into();
                let lists = prefix_lists.iter().map(|list| name(list)).collect();
                state.policy.blocks = Blocks { entries, lists };
            }
            // Chunks are read with the document that names them.
            ("prefix-lists" | "groups", Some(_), Some(_)) | ("blocks", Some(_), None) => {}
            ("interfaces", Some(interface), None) => {
                state.policy.interfaces.insert(interface.into(), from_json(key, value)?);
            }
            ("endpoints", None, None) => {
                let EndpointsDocument { last_zone, left } = from_json(key, value)?;
                state.endpoints.last_zone = last_zone;
                numbers.extend(
                    left.into_iter().map(|(n, (name, since))| (n, Arc::from(name), Some(since))),
                );
            }
            ("endpoints", Some(interface), None) => {
                let endpoint: Endpoint = from_json(key, value)?;
                let interface: Arc<str> = interface.into();
                numbers.push((endpoint.number, interface.clone(), None));
                state.endpoints.entries.insert(interface, endpoint);
            }
            ("members", Some(group), None) => {
                state.members.insert(name(group), nets(value).map_err(malformed)?.into());
            }
            ("slots", Some(page), None) => {
                let key = |reader: &mut Reader<'_>| reader.array().map(u128::from_be_bytes);
                read_page(page, value, &mut slots, |reader| key(reader).map(RuleId))
                    .map_err(malformed)?;
            }
            ("images", Some(class), Some(page)) => {
                let class = class.parse().map_err(|_| bad("an image class that is no number"))?;
                let list = images.entry(class).or_default();
                read_page(page, value, list, |reader| reader.array().map(ImageKey))
                    .map_err(malformed)?;
            }
            _ => return Err(bad("a document of an unknown kind")),
        }
    }
    let twice = |key: &str| BadDocument {
        key: key.to_owned(),
        detail: "a number or an owner appears twice".to_owned(),
    };
    state.slots = Pool::from_parts(slots).ok_or_else(|| twice("slots"))?;
    state.endpoints.numbers = Pool::from_parts(numbers).ok_or_else(|| twice("endpoints"))?;
    for (class, parts) in images {
        let pool = Pool::from_parts(parts).ok_or_else(|| twice("images"))?;
        state.images.insert(class, pool);
    }
    Ok(state)
}

/// A name that was valid when it was stored.
fn name(text: &str) -> Name {
    Name(Arc::from(text))
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Only maps with keys that are no texts and failing writers are errors: neither exists here.
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, BadDocument> {
    serde_json::from_slice(value)
        .map_err(|error| BadDocument { key: key.to_owned(), detail: error.to_string() })
}

/// Networks up to the end of the document.
fn nets(value: &[u8]) -> Result<Vec<IpNet>, Malformed> {
    let mut reader = Reader::new(value);
    let mut nets = Vec::new();
    while !reader.is_empty() {
        nets.push(net(&mut reader)?);
    }
    Ok(nets)
}

/// The items of the chunks of the document at `key`.
fn from_chunks<T>(
    documents: &Documents,
    key: &str,
    chunks: &[String],
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, BadDocument> {
    let mut items = Vec::new();
    for chunk in chunks {
        let key = format!("{key}/{chunk}");
        let Some(value) = documents.get(key.as_str()) else {
            return Err(BadDocument { key, detail: "it is missing".into() });
        };
        let mut reader = Reader::new(value);
        while !reader.is_empty() {
            match item(&mut reader) {
                Ok(item) => items.push(item),
                Err(Malformed(detail)) => {
                    return Err(BadDocument { key, detail: detail.to_owned() });
                }
            }
        }
    }
    Ok(items)
}

fn prefix_list(documents: &Documents, key: &str, value: &[u8]) -> Result<PrefixList, BadDocument> {
    let PrefixListDocument { description, entries } = from_json(key, value)?;
    let entries = from_chunks(documents, key, &entries, net)?;
    Ok(PrefixList { description, entries: entries.into() })
}

fn group(documents: &Documents, key: &str, value: &[u8]) -> Result<Group, BadDocument> {
    let GroupDocument { description, members, ingress, egress } = from_json(key, value)?;
    Ok(Group {
        description,
        members,
        ingress: from_chunks(documents, key, &ingress, rules::rule)?,
        egress: from_chunks(documents, key, &egress, rules::rule)?,
    })
}

/// Writes the pages of a pool: for each number its place on the page, 0 or the first generation
/// without it, and its key.
fn pages<K: Ord + Clone>(
    pool: &Pool<K>,
    prefix: &str,
    put: &mut impl FnMut(String, Vec<u8>),
    put_key: impl Fn(&mut Vec<u8>, &K),
) {
    let parts = pool.parts();
    for page in parts.chunk_by(|a, b| a.0 / PAGE == b.0 / PAGE) {
        let mut value = Vec::new();
        for (number, key, since) in page {
            value.push((number % PAGE) as u8);
            put_count(&mut value, since.unwrap_or(0));
            put_key(&mut value, key);
        }
        // Fixed width, so that pages sort by number.
        put(format!("{prefix}/{:06}", page[0].0 / PAGE), value);
    }
}

/// Reads one page of a pool.
fn read_page<K>(
    page: &str,
    value: &[u8],
    parts: &mut Vec<(u32, K, Option<u64>)>,
    key: impl Fn(&mut Reader<'_>) -> Result<K, Malformed>,
) -> Result<(), Malformed> {
    let page: u32 = page.parse().map_err(|_| Malformed("a page that is no number"))?;
    let start = page.checked_mul(PAGE).ok_or(Malformed("a page beyond all numbers"))?;
    let mut reader = Reader::new(value);
    while !reader.is_empty() {
        let number = start + u32::from(reader.byte()?);
        let since = reader.count()?;
        parts.push((number, key(&mut reader)?, (since != 0).then_some(since)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
