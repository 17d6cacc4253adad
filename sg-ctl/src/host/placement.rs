//! From a policy to what the kernel is to enforce: counters, endpoints and images get their places,
//! and what is not in the kernel yet is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sg_common::tables::{
    DirectoryEntry, ENTRY_ACTIVE, ENTRY_GUEST, ENTRY_GUEST_SERVERS, ENTRY_MONITOR, ETHER_TYPES,
    IMAGES_PER_CLASS, Settings, image_slot,
};
use sg_common::verdict::Direction;

use super::facts::Facts;
use crate::aside;
use crate::compile::{self, Image, Peers, Rule};
use crate::datapath::connections::SeedRules;
use crate::datapath::enforcement::{Enforcement, NewImage, Wanted};
use crate::datapath::images::split_slot;
use crate::datapath::{DatapathError, devices};
use crate::policy::model::{
    Action, Interface, Mode, Name, Options, Policy, Protocol, RuleId, Side,
};
use crate::policy::resolve::{Resolved, resolve_noted};
use crate::store::{Carrier, Endpoint, ImageKey, PoolFull, State};

/// What the kernel is to enforce for a state that has everything in its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) enforcement: Enforcement,
    /// Rules by which connections of the host's sockets are seeded: those of each host-side policy
    /// that changes.
    pub(super) seeds: Vec<SeedRules>,
}

/// Rules of every group, by identity.
pub(super) fn rule_ids(policy: &Policy) -> impl Iterator<Item = (&Name, Direction, RuleId)> {
    let groups = policy.groups.iter();
    groups.flat_map(|(name, group)| group.ids(name).map(move |(way, id)| (name, way, id)))
}

/// The groups of an interface, sorted, without doubles: what a policy is named by.
pub(super) fn group_set(interface: &Interface) -> Vec<Name> {
    let set: BTreeSet<&Name> = interface.groups.iter().collect();
    set.into_iter().cloned().collect()
}

/// The rules of an interface's policy, blocks included, with the counter slots of a state.
pub(super) fn resolve_for<'s>(state: &'s State, groups: &[Name]) -> Resolved<'s> {
    let slot = |id: RuleId, noted: Option<u32>| {
        let noted = noted.filter(|slot| state.slots.key_of(*slot) == Some(&id));
        noted.or_else(|| state.slots.get(&id)).unwrap_or(0)
    };
    resolve_noted(&state.policy, groups, &state.members, slot)
}

/// Digests of everything that the images of a policy are compiled from, ingress first.
fn image_keys(resolved: &Resolved<'_>) -> [ImageKey; 2] {
    let [ingress, egress] = [&resolved.ingress, &resolved.egress].map(|rules| rules_digest(rules));
    [(Direction::Ingress, &ingress, &egress), (Direction::Egress, &egress, &ingress)].map(
        |(direction, own, other)| {
            let mut hasher = blake3::Hasher::new_derive_key("sg 2026 classifier image 3");
            hasher.update(&[direction as u8]);
            hasher.update(&sg_common::tables::LAYOUT_VERSION.to_le_bytes());
            hasher.update(own.as_bytes());
            hasher.update(other.as_bytes());
            ImageKey(*hasher.finalize().as_bytes())
        },
    )
}

/// Digest of everything about rules that their image depends on. In another order they have another
/// digest, though their image is the same: at worst it is compiled and loaded once more.
fn rules_digest(rules: &[Rule<'_>]) -> blake3::Hash {
    /// The hash is quick only on long inputs.
    const BUFFER: usize = 1 << 16;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::with_capacity(BUFFER + (1 << 12));
    bytes.extend((rules.len() as u64).to_le_bytes());
    for rule in rules {
        bytes.extend(rule.id.0.to_le_bytes());
        bytes.extend(rule.slot.to_le_bytes());
        bytes.push(u8::from(rule.action == Action::Deny) | u8::from(rule.block) << 1);
        bytes.extend(rule.priority.to_le_bytes());
        bytes.extend(match rule.protocol {
            Protocol::All => 256_u16.to_le_bytes(),
            Protocol::Number(number) => u16::from(number).to_le_bytes(),
        });
        bytes.extend((rule.ports.len() as u64).to_le_bytes());
        for range in rule.ports.iter() {
            bytes.extend(range.first.to_le_bytes());
            bytes.extend(range.last.to_le_bytes());
        }
        bytes.extend(match rule.icmp {
            None => [0, 0, 0],
            Some((kind, None)) => [1, kind, 0],
            Some((kind, Some(code))) => [2, kind, code],
        });
        let parts = rule.peers.as_ref().map_or(u64::MAX, |peers| peers.parts().count() as u64);
        bytes.extend(parts.to_le_bytes());
        for part in rule.peers.iter().flat_map(Peers::parts) {
            bytes.extend((part.len() as u64).to_le_bytes());
            for net in part.iter() {
                match net.addr() {
                    std::net::IpAddr::V4(v4) => bytes.extend(v4.octets()),
                    std::net::IpAddr::V6(v6) => bytes.extend(v6.octets()),
                }
                bytes.push(net.prefix_len());
                bytes.push(u8::from(net.addr().is_ipv6()));
                if bytes.len() >= BUFFER {
                    hasher.update(&bytes);
                    bytes.clear();
                }
            }
        }
        if bytes.len() >= BUFFER {
            hasher.update(&bytes);
            bytes.clear();
        }
    }
    hasher.update(&bytes);
    hasher.finalize()
}

/// Gives everything of `wanted` (its policy and members are what is asked for) a place, for the
/// state that becomes `generation`. What `old`, which the kernel enforces, does not have is compiled
/// and loaded.
pub(super) fn place(
    old: &State,
    wanted: State,
    generation: u64,
    facts: &Facts,
    attached: impl Fn(u32) -> Option<u32>,
) -> anyhow::Result<(State, Placed)> {
    let mut next = wanted;
    let slots = next
        .assign_all_slots(generation)
        .map_err(|full| limit("rules on this host, with a counter each", full, "all groups"))?;
    let sides: Vec<(Arc<str>, Side)> =
        next.policy.interfaces.iter().map(|(name, i)| (Arc::clone(name), i.side)).collect();
    let endpoints = next
        .endpoints
        .assign(sides, generation)
        .map_err(|full| limit("attached interfaces", full, "the interfaces of the policy"))?;

    for (name, endpoint) in next.endpoints.clone().iter() {
        if attached(endpoint.number).is_none() {
            let device = devices::by_name(&facts.devices, name);
            let carrier = device.map(|d| Carrier { ifindex: d.index, since: generation });
            next.endpoints.set_carrier(name, carrier);
        }
    }

    let policies: BTreeSet<Vec<Name>> = next.policy.interfaces.values().map(group_set).collect();
    let mut keys = BTreeMap::new();
    let mut compiled: BTreeMap<ImageKey, Arc<Image>> = BTreeMap::new();
    for groups in policies {
        let resolved = resolve_for(&next, &groups);
        let known = |key: &ImageKey| old.images.values().any(|pool| pool.get(key).is_some());
        // Where the rules are others, so are the images in all likelihood: that is made sure of
        // while they are compiled.
        let (early, pair) = match stays(&old.policy, &next.policy, &groups) {
            true => (None, image_keys(&resolved)),
            false => {
                let compile = || Some(compile_pair(&resolved, &groups));
                aside::both(compile, || image_keys(&resolved))
            }
        };
        // Each of the two depends on the rules of both, so they are new together.
        if !pair.iter().all(known) {
            let images = early.unwrap_or_else(|| compile_pair(&resolved, &groups))?;
            compiled.extend(pair.into_iter().zip(images));
        }
        keys.insert(groups, pair);
    }
    let images = place_images(&mut next, &keys, &compiled, generation)?;
    let place_of = |key: &ImageKey| {
        next.images
            .iter()
            .find_map(|(class, pool)| pool.get(key).map(|place| image_slot(*class, place)))
    };

    let mut interfaces = Vec::new();
    let mut seeds = Vec::new();
    let mut seeded = BTreeSet::new();
    for (name, interface) in &next.policy.interfaces {
        let (Some(endpoint), Some(pair)) =
            (next.endpoints.get(name), keys.get(&group_set(interface)))
        else {
            continue;
        };
        let (Some(ingress), Some(egress)) = (place_of(&pair[0]), place_of(&pair[1])) else {
            continue;
        };
        let zone = zone(endpoint, attached(endpoint.number), facts);
        let changes = compiled.contains_key(&pair[0]) || differs(old, &next, name);
        if interface.side == Side::Host && changes && seeded.insert((zone, pair)) {
            let [ingress, egress] = match (compiled.get(&pair[0]), compiled.get(&pair[1])) {
                (Some(ingress), Some(egress)) => [Arc::clone(ingress), Arc::clone(egress)],
                _ => {
                    let groups = group_set(interface);
                    compile_pair(&resolve_for(&next, &groups), &groups)?
                }
            };
            seeds.push(SeedRules { zone, ingress, egress });
        }
        interfaces.push(Wanted {
            name: Arc::clone(name),
            endpoint: endpoint.number,
            hook: interface.hook,
            wait: interface.wait,
            entry: DirectoryEntry {
                flags: flags(interface),
                zone,
                images: [ingress, egress],
                ..DirectoryEntry::default()
            },
        });
    }
    let enforcement = Enforcement {
        generation,
        interfaces,
        images,
        settings: settings(&next.policy.options),
        conntrack_max: next.policy.options.conntrack_max,
        fresh_rules: slots.fresh.iter().map(|(_, slot)| *slot).collect(),
        fresh_endpoints: endpoints.fresh.iter().map(|(_, number)| *number).collect(),
    };
    Ok((next, Placed { enforcement, seeds }))
}

/// Whether groups have the very rules that they had.
fn stays(old: &Policy, new: &Policy, groups: &[Name]) -> bool {
    groups.iter().all(|name| match (old.groups.get(name), new.groups.get(name)) {
        (Some(old), Some(new)) => {
            old.ingress.shares_all(&new.ingress) && old.egress.shares_all(&new.egress)
        }
        (old, new) => old.is_none() && new.is_none(),
    })
}

fn compile_pair(resolved: &Resolved<'_>, groups: &[Name]) -> anyhow::Result<[Arc<Image>; 2]> {
    let (ingress, egress) = compile::compile_both(&resolved.ingress, &resolved.egress)
        .map_err(|error| in_policy(error, groups))?;
    Ok([ingress, egress].map(Arc::new))
}

/// Whether an interface is new, has a new device, or has other groups than before.
fn differs(old: &State, next: &State, name: &str) -> bool {
    let groups = |state: &State| state.policy.interfaces.get(name).map(group_set);
    let carrier = |state: &State| state.endpoints.get(name).and_then(|e| e.carrier);
    groups(old) != groups(next) || carrier(old) != carrier(next)
}

/// Zone of an interface's connections (spec §2.8): its own on the guest side, on the host side that of
/// the network namespace, or of the VRF that its device belongs to.
fn zone(endpoint: &Endpoint, attached: Option<u32>, facts: &Facts) -> u32 {
    const VRF: u32 = 1 << 31;
    let index = attached.or(endpoint.carrier.map(|carrier| carrier.ifindex));
    let device = |index: u32| facts.devices.iter().find(|device| device.index == index);
    let master = index.and_then(device).and_then(|own| own.master).and_then(device);
    match master.filter(|master| master.kind.as_deref() == Some("vrf")) {
        Some(vrf) if endpoint.side == Side::Host => VRF | vrf.index,
        _ => endpoint.zone,
    }
}

fn place_images(
    next: &mut State,
    keys: &BTreeMap<Vec<Name>, [ImageKey; 2]>,
    compiled: &BTreeMap<ImageKey, Arc<Image>>,
    generation: u64,
) -> anyhow::Result<Vec<NewImage>> {
    let mut wanted: BTreeMap<u32, BTreeSet<ImageKey>> =
        next.images.keys().map(|class| (*class, BTreeSet::new())).collect();
    for key in keys.values().flatten() {
        let class = match compiled.get(key) {
            Some(image) => image.class(),
            None => next.images.iter().find_map(|(class, p)| p.get(key).map(|_| *class)),
        };
        if let Some(class) = class {
            wanted.entry(class).or_default().insert(*key);
        }
    }
    let mut images = Vec::new();
    for (class, keys) in wanted {
        let pool = next.images.entry(class).or_default();
        // The last place is never given to an image: see `Maps::wait_for_readers`.
        pool.assign(keys, 0..IMAGES_PER_CLASS - 1, generation).map_err(|full| {
            limit("different policies of one size class", full, "the interfaces")
        })?;
    }
    for (key, image) in compiled {
        let slot = next
            .images
            .iter()
            .find_map(|(class, pool)| pool.get(key).map(|place| image_slot(*class, place)));
        if let Some(slot) = slot {
            debug_assert_eq!(image.class(), Some(split_slot(slot).0));
            images.push(NewImage { slot, image: Arc::clone(image) });
        }
    }
    Ok(images)
}

fn flags(interface: &Interface) -> u32 {
    let mut flags = ENTRY_ACTIVE;
    if interface.mode == Mode::Monitor {
        flags |= ENTRY_MONITOR;
    }
    if interface.side == Side::Guest {
        flags |= ENTRY_GUEST;
    }
    if interface.guest_servers {
        flags |= ENTRY_GUEST_SERVERS;
    }
    flags
}

/// `[options]` as the programs read them.
pub(super) fn settings(options: &Options) -> Settings {
    let mut ether_types = [0; ETHER_TYPES];
    for (to, from) in ether_types.iter_mut().zip(&options.ether_types) {
        *to = *from;
    }
    Settings {
        timeouts: options.timeouts,
        pass: options.pass,
        ether_type_count: options.ether_types.len().min(ETHER_TYPES) as u32,
        ether_types,
        ..Settings::default()
    }
}

fn limit(what: &'static str, full: PoolFull, culprit: &str) -> DatapathError {
    DatapathError::Limit {
        what,
        wanted: full.wanted.into(),
        limit: full.capacity.into(),
        culprit: format!("{culprit}; {} places rest until the next changes", full.resting),
    }
}

fn in_policy(error: compile::CompileError, groups: &[Name]) -> anyhow::Error {
    let names: Vec<&str> = groups.iter().map(Name::as_str).collect();
    let names = if names.is_empty() { "no group".to_owned() } else { names.join(", ") };
    anyhow::Error::new(error).context(format!("cannot compile the rules of {names}"))
}
