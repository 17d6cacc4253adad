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
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::bytes::{Malformed, Reader, net, put_count, put_net};
use self::headers::{BlocksDocument, EndpointsDocument, GroupDocument, PrefixListDocument};
use self::rules::{has_slots, put_rule};
use super::pool::{PAGE, Page, Place, Pool};
use super::state::{Endpoint, ImageKey, State};
use super::{Change, Documents};
use crate::aside;
use crate::policy::block::Blocks;
use crate::policy::model::{Direction, Group, Name, PrefixList, RuleId, Rules};
use crate::policy::rules::Piece;
use crate::quick::Map;

/// A document that does not mean anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadDocument {
    /// Its key.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// The documents of a state.
#[cfg(test)]
pub(super) fn encode(state: &State) -> Documents {
    let mut out = Writer { documents: Documents::new(), kept: Vec::new(), former: None };
    out.state(state);
    out.documents
}

/// What has to be written so that a store with the documents `documents` of the state `former` has
/// those of `state`. What the two states share is not looked at.
pub(super) fn change(former: &State, documents: &Documents, state: &State) -> Change {
    let mut out = Writer {
        documents: Documents::new(),
        kept: Vec::new(),
        former: Some(Former { state: former, documents }),
    };
    out.state(state);
    let Writer { documents: new, mut kept, .. } = out;
    kept.sort_unstable();
    let mut change = Change::new();
    let stays = |key: &str| {
        new.contains_key(key) || kept.binary_search_by(|kept| kept.as_str().cmp(key)).is_ok()
    };
    for key in documents.keys().filter(|key| !stays(key)) {
        change.insert(key.clone(), None);
    }
    for (key, value) in new {
        if documents.get(&key) != Some(&value) {
            change.insert(key, Some(value));
        }
    }
    change
}

/// What a store has.
#[derive(Clone, Copy)]
struct Former<'a> {
    state: &'a State,
    documents: &'a Documents,
}

impl Former<'_> {
    /// The header at a key.
    fn header<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.documents.get(key)?).ok()
    }
}

/// Writes documents, those aside that the store has.
struct Writer<'a> {
    documents: Documents,
    /// Keys of documents that stay as they are.
    kept: Vec<String>,
    former: Option<Former<'a>>,
}

impl Writer<'_> {
    fn put(&mut self, key: String, value: Vec<u8>) {
        self.documents.insert(key.into(), value);
    }

    fn state(&mut self, state: &State) {
        let State { policy, slots, endpoints, members, images, namespace } = state;
        self.put("options".into(), to_json(&policy.options));
        if let Some(namespace) = namespace {
            self.put("namespace".into(), to_json(namespace));
        }
        for (name, list) in &policy.prefix_lists {
            let PrefixList { description, entries } = list;
            let key = format!("prefix-lists/{}", name.0);
            let former = self.former.and_then(|former| {
                let list = former.state.policy.prefix_lists.get(name)?;
                let header: PrefixListDocument = former.header(&key)?;
                Some((&list.entries, header.entries))
            });
            let entries = self.nets(&key, entries, former);
            let document = PrefixListDocument { description: description.clone(), entries };
            self.put(key, to_json(&document));
        }
        for (name, group) in &policy.groups {
            self.group(name, group, slots);
        }
        if !policy.blocks.is_empty() {
            let Blocks { entries, lists } = &policy.blocks;
            let former = self.former.and_then(|former| {
                let header: BlocksDocument = former.header("blocks")?;
                Some((&former.state.policy.blocks.entries, header.entries))
            });
            let entries = self.nets("blocks", entries, former);
            let prefix_lists = lists.iter().map(|name| name.0.to_string()).collect();
            self.put("blocks".into(), to_json(&BlocksDocument { prefix_lists, entries }));
        }
        for (name, interface) in &policy.interfaces {
            self.put(format!("interfaces/{name}"), to_json(interface));
        }
        let left = endpoints.numbers.places().filter(|(_, place)| place.since != 0);
        let left = left.map(|(number, place)| (number, (place.key.to_string(), place.since)));
        let document = EndpointsDocument { last_zone: endpoints.last_zone, left: left.collect() };
        if document.last_zone != 0 || !document.left.is_empty() {
            self.put("endpoints".into(), to_json(&document));
        }
        for (name, endpoint) in &endpoints.entries {
            self.put(format!("endpoints/{name}"), to_json(endpoint));
        }
        for (group, nets) in members {
            let mut value = Vec::new();
            nets.iter().for_each(|net| put_net(&mut value, net));
            self.put(format!("members/{}", group.0), value);
        }
        let former = self.former.map(|former| &former.state.slots);
        self.pool(slots, former, "slots", |out, id: &RuleId| out.extend(id.0.to_be_bytes()));
        for (class, pool) in images {
            let former = self.former.and_then(|former| former.state.images.get(class));
            let prefix = format!("images/{class}");
            self.pool(pool, former, &prefix, |out, key: &ImageKey| out.extend(key.0));
        }
    }

    /// The chunks of networks below a key; `former` are the networks there and their chunks.
    fn nets(
        &mut self,
        key: &str,
        nets: &Arc<[IpNet]>,
        former: Option<(&Arc<[IpNet]>, Vec<String>)>,
    ) -> Vec<String> {
        match former {
            Some((former, chunks)) if Arc::ptr_eq(former, nets) => {
                self.kept.extend(chunks.iter().map(|chunk| format!("{key}/{chunk}")));
                chunks
            }
            _ => chunks::divide(nets, chunks::NETS, put_net, |chunk, value| {
                self.put(format!("{key}/{chunk}"), value);
            }),
        }
    }

    fn group(&mut self, name: &Name, group: &Group, slots: &Pool<RuleId>) {
        let key = format!("groups/{}", name.0);
        let header = self.former.and_then(|former| {
            let group = former.state.policy.groups.get(name)?;
            let header: GroupDocument = former.header(&key)?;
            Some((group, header))
        });
        let former = header.as_ref().map(|(group, header)| {
            [(&group.ingress, &header.ingress), (&group.egress, &header.egress)]
        });
        let [(_, ingress), (_, egress)] = group.lists().map(|(direction, list)| {
            let former = former.map(|lists| lists[direction as usize]);
            (direction, self.rules(&key, (name, direction), list, slots, former))
        });
        let document = GroupDocument {
            description: group.description.clone(),
            members: group.members.clone(),
            ingress,
            egress,
        };
        self.put(key, to_json(&document));
    }

    /// The chunks of a list of rules below a key; `former` are the rules there and their chunks.
    fn rules(
        &mut self,
        key: &str,
        (name, direction): (&Name, Direction),
        rules: &Rules,
        slots: &Pool<RuleId>,
        former: Option<(&Rules, &Vec<String>)>,
    ) -> Vec<String> {
        // A list that was read has a piece for each chunk.
        let former = former.filter(|(list, chunks)| list.pieces().len() == chunks.len());
        // A chunk of an earlier format is written anew, with slots.
        let stored_documents = self.former.map(|former| former.documents);
        let is_whole = |chunk: &str| {
            let value = stored_documents.and_then(|all| all.get(format!("{key}/{chunk}").as_str()));
            value.is_some_and(|value| has_slots(value))
        };
        let mut stored: Map<*const Piece, usize> = Map::default();
        if let Some((list, _)) = former {
            stored.extend(list.pieces().iter().map(Arc::as_ptr).zip(0..));
        }
        let (Self { documents, kept, .. }, count) = (self, rules.pieces().len());
        let mut emit = |chunk: &str, value| {
            documents.insert(format!("{key}/{chunk}").into(), value);
        };
        let mut divider = chunks::Divider::new(chunks::RULES);
        for (place, (piece, ids)) in rules.piece_ids(name, direction).enumerate() {
            let chunk = former.zip(stored.get(&Arc::as_ptr(piece)));
            let owns = |(slot, id): (&u32, &RuleId)| slots.key_of(*slot) == Some(id);
            if let Some(((_, chunks), index)) = chunk
                && divider.is_at_border()
                && is_whole(&chunks[*index])
                && piece.slots().is_some_and(|noted| noted.iter().zip(&*ids).all(owns))
                // The last chunk may have ended with the list, and not by its own content.
                && (index + 1 < chunks.len() || place + 1 == count)
            {
                divider.add_chunk(&chunks[*index]);
                kept.push(format!("{key}/{}", chunks[*index]));
                continue;
            }
            for (place, (rule, id)) in piece.rules().iter().zip(&*ids).enumerate() {
                let noted = piece.slots().map(|noted| noted[place]);
                let noted = noted.filter(|slot| slots.key_of(*slot) == Some(id));
                let slot = noted.or_else(|| slots.get(id));
                divider.add(|out| put_rule(out, rule, slot), &mut emit);
            }
        }
        divider.end(&mut emit)
    }

    /// The pages of a pool: for each number its place on the page, 0 or the first generation without
    /// it, and its key.
    fn pool<K: Ord + Clone + Hash>(
        &mut self,
        pool: &Pool<K>,
        former: Option<&Pool<K>>,
        prefix: &str,
        put_key: impl Fn(&mut Vec<u8>, &K),
    ) {
        let former = former.map_or(&[][..], Pool::pages);
        for (number, page) in pool.pages().iter().enumerate().filter(|(_, page)| !page.is_empty()) {
            // Fixed width, so that pages sort by number.
            let key = format!("{prefix}/{number:06}");
            if former.get(number).is_some_and(|former| Arc::ptr_eq(former, page)) {
                self.kept.push(key);
                continue;
            }
            let mut value = Vec::new();
            for (number, place) in page.iter().enumerate() {
                let Some(Place { key, since }) = place else { continue };
                value.push(number as u8);
                put_count(&mut value, *since);
                put_key(&mut value, key);
            }
            self.put(key, value);
        }
    }
}

/// The state that the documents mean.
pub(super) fn decode(documents: &Documents) -> Result<State, BadDocument> {
    let mut state = State { slots: slots(documents)?, ..State::default() };
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
                let name = name(group_name);
                let group = group(documents, key, value, &name, &state.slots)?;
                state.policy.groups.insert(name, group);
            }
            ("blocks", None, None) => {
                let BlocksDocument { prefix_lists, entries } = from_json(key, value)?;
                let entries = nets_of_chunks(documents, key, &entries)?;
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
            // Rules are found by them, so they were read first.
            ("slots", Some(_), None) => {}
            ("images", Some(class), Some(page)) => {
                let class = class.parse().map_err(|_| bad("an image class that is no number"))?;
                let page = read_page(page, value, |reader| reader.array().map(ImageKey));
                images.entry(class).or_default().push(page.map_err(malformed)?);
            }
            _ => return Err(bad("a document of an unknown kind")),
        }
    }
    state.endpoints.numbers = Pool::from_parts(numbers).ok_or_else(|| twice("endpoints"))?;
    for (class, pages) in images {
        let pool = Pool::from_pages(pages).ok_or_else(|| twice("images"))?;
        state.images.insert(class, pool);
    }
    Ok(state)
}

fn twice(key: &str) -> BadDocument {
    BadDocument { key: key.to_owned(), detail: "a number or an owner appears twice".to_owned() }
}

/// The counter slots.
fn slots(documents: &Documents) -> Result<Pool<RuleId>, BadDocument> {
    const PREFIX: &str = "slots/";
    let mut pages = Vec::new();
    let from = documents.range::<str, _>((Bound::Included(PREFIX), Bound::Unbounded));
    for (key, value) in from.take_while(|(key, _)| key.starts_with(PREFIX)) {
        let page = read_page(&key[PREFIX.len()..], value, |reader| {
            reader.array().map(|id| RuleId(u128::from_be_bytes(id)))
        });
        pages.push(page.map_err(|Malformed(detail)| BadDocument {
            key: key.to_string(),
            detail: detail.to_owned(),
        })?);
    }
    Pool::from_pages(pages).ok_or_else(|| twice("slots"))
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

/// The items of each of the chunks of the document at `key`.
fn each_chunk<T>(
    documents: &Documents,
    key: &str,
    chunks: &[String],
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
    mut each: impl FnMut(Vec<T>),
) -> Result<(), BadDocument> {
    for chunk in chunks {
        let key = format!("{key}/{chunk}");
        let Some(value) = documents.get(key.as_str()) else {
            return Err(BadDocument { key, detail: "it is missing".into() });
        };
        let mut reader = Reader::new(value);
        /// Bytes that rules usually have at least.
        const ITEM: usize = 16;
        let mut items = Vec::with_capacity(value.len() / ITEM);
        while !reader.is_empty() {
            match item(&mut reader) {
                Ok(item) => items.push(item),
                Err(Malformed(detail)) => {
                    return Err(BadDocument { key, detail: detail.to_owned() });
                }
            }
        }
        each(items);
    }
    Ok(())
}

/// The networks of the chunks of the document at `key`.
fn nets_of_chunks(
    documents: &Documents,
    key: &str,
    chunks: &[String],
) -> Result<Arc<[IpNet]>, BadDocument> {
    let mut nets = Vec::new();
    each_chunk(documents, key, chunks, net, |chunk| nets.extend(chunk))?;
    Ok(nets.into())
}

/// The rules of the chunks of the document at `key`, a piece for each.
fn rules_of_chunks(
    documents: &Documents,
    key: &str,
    chunks: &[String],
    (name, direction): (&Name, Direction),
    slots: &Pool<RuleId>,
) -> Result<Rules, BadDocument> {
    /// Chunks that are worth a thread of their own.
    const MANY: usize = 64;
    let pieces = |chunks| pieces_of_chunks(documents, key, chunks, (name, direction), slots);
    if chunks.len() < 2 * MANY {
        return Ok(Rules::from_pieces(pieces(chunks)?));
    }
    let (first, second) = chunks.split_at(chunks.len() / 2);
    let (first, second) = aside::both(|| pieces(first), || pieces(second));
    Ok(Rules::from_pieces(first?.into_iter().chain(second?)))
}

fn pieces_of_chunks(
    documents: &Documents,
    key: &str,
    chunks: &[String],
    (name, direction): (&Name, Direction),
    slots: &Pool<RuleId>,
) -> Result<Vec<Piece>, BadDocument> {
    let mut pieces = Vec::with_capacity(chunks.len());
    let mut wrong = false;
    each_chunk(documents, key, chunks, rules::rule, |chunk| {
        let mut rules = Vec::with_capacity(chunk.len());
        let (mut own, mut ids) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
        for (rule, slot) in chunk {
            rules.push(rule);
            let Some(slot) = slot else { continue };
            match slots.key_of(slot) {
                Some(id) => {
                    own.push(slot);
                    ids.push(*id);
                }
                None => wrong = true,
            }
        }
        // Of a state that was not placed yet some may have none.
        pieces.push(match own.len() == rules.len() {
            true => Piece::known(rules, name, direction, ids.into(), own.into()),
            false => Piece::new(rules),
        });
    })?;
    match wrong {
        true => Err(BadDocument {
            key: key.to_owned(),
            detail: "a rule with a counter slot that nobody has".to_owned(),
        }),
        false => Ok(pieces),
    }
}

fn prefix_list(documents: &Documents, key: &str, value: &[u8]) -> Result<PrefixList, BadDocument> {
    let PrefixListDocument { description, entries } = from_json(key, value)?;
    let entries = nets_of_chunks(documents, key, &entries)?;
    Ok(PrefixList { description, entries })
}

fn group(
    documents: &Documents,
    key: &str,
    value: &[u8],
    name: &Name,
    slots: &Pool<RuleId>,
) -> Result<Group, BadDocument> {
    let GroupDocument { description, members, ingress, egress } = from_json(key, value)?;
    let rules = |chunks: &[String], direction| {
        rules_of_chunks(documents, key, chunks, (name, direction), slots)
    };
    Ok(Group {
        description,
        members,
        ingress: rules(&ingress, Direction::Ingress)?,
        egress: rules(&egress, Direction::Egress)?,
    })
}

/// Reads one page of a pool, and its number.
fn read_page<K>(
    page: &str,
    value: &[u8],
    key: impl Fn(&mut Reader<'_>) -> Result<K, Malformed>,
) -> Result<(u32, Page<K>), Malformed> {
    let page: u32 = page.parse().map_err(|_| Malformed("a page that is no number"))?;
    let mut places = Page::with_capacity(PAGE as usize);
    let mut reader = Reader::new(value);
    while !reader.is_empty() {
        let number = usize::from(reader.byte()?);
        let since = reader.count()?;
        let place = Place { key: key(&mut reader)?, since };
        if places.len() > number {
            return Err(Malformed("a number twice, or before a smaller one"));
        }
        places.resize_with(number, || None);
        places.push(Some(place));
    }
    Ok((page, places))
}

#[cfg(test)]
mod incremental_tests;
#[cfg(test)]
mod tests;
