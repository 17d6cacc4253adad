//! The typed content of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sg_common::tables::{ENDPOINTS, RULE_SLOTS};

use super::pool::{Assigned, Pool, PoolFull};
use crate::policy::block;
use crate::policy::model::{Name, Policy, RuleId, Side};

/// Everything about one host that outlives a command: what it is asked to enforce, and how that is
/// placed in the kernel's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is asked for.
    pub policy: Policy,
    /// Counter slot of each rule.
    pub slots: Pool<RuleId>,
    /// Attached interfaces.
    pub endpoints: Endpoints,
    /// Addresses of each group's members as the last write resolved them, static ones included.
    /// Sorted, without doubles.
    pub members: BTreeMap<Name, Arc<[IpNet]>>,
    /// Places of the images, by size class.
    pub images: BTreeMap<u32, Pool<ImageKey>>,
    /// The network namespace that all this belongs to.
    pub namespace: Option<NamespaceId>,
}

impl State {
    /// Gives each rule of `rules` a counter slot, for the state that becomes `generation`.
    ///
    /// # Errors
    /// [`PoolFull`] where there are more rules than slots.
    pub fn assign_slots(
        &mut self,
        rules: impl IntoIterator<Item = RuleId>,
        generation: u64,
    ) -> Result<Assigned<RuleId>, PoolFull> {
        self.slots.assign(rules, 1..RULE_SLOTS, generation)
    }

    /// Gives every rule and block of the policy a counter slot, for the state that becomes
    /// `generation`. Afterwards every piece of the policy's lists knows the ids and slots of its
    /// rules.
    ///
    /// Work is done for the pieces that are new; of the others each rule's slot is looked up, and
    /// has to stand for that rule.
    ///
    /// # Errors
    /// [`PoolFull`] where there are more rules than slots.
    pub fn assign_all_slots(&mut self, generation: u64) -> Result<Assigned<RuleId>, PoolFull> {
        let slots = &self.slots;
        for (name, group) in &mut self.policy.groups {
            for (direction, list) in group.lists_mut() {
                list.own(name, direction);
                let wrong: Vec<bool> = list
                    .piece_ids(name, direction)
                    .map(|(piece, ids)| {
                        let own = |(id, slot): (&RuleId, &u32)| slots.key_of(*slot) == Some(id);
                        piece.slots().is_some_and(|slots| !ids.iter().zip(slots).all(own))
                    })
                    .collect();
                list.forget_slots(&wrong);
            }
        }
        let lists = || {
            let groups = self.policy.groups.iter();
            groups.flat_map(|(name, group)| group.lists().map(|(way, list)| (name, way, list)))
        };
        let pieces = || lists().flat_map(|(name, way, list)| list.piece_ids(name, way));
        let known = pieces().filter_map(|(piece, _)| piece.slots()).flatten().copied();
        let new = pieces().filter(|(piece, _)| piece.slots().is_none());
        let new = new.flat_map(|(_, ids)| ids.into_owned());
        let blocks = block::ids(&self.policy.blocks);
        let (known, wanted): (Vec<u32>, Vec<RuleId>) =
            (known.collect(), blocks.chain(new).collect());
        let assigned = self.slots.assign_besides(known, wanted, 1..RULE_SLOTS, generation)?;
        for (piece, ids) in pieces().filter(|(piece, _)| piece.slots().is_none()) {
            piece.note_slots(ids.iter().map(|id| assigned.number(id).unwrap_or(0)).collect());
        }
        Ok(assigned)
    }
}

/// What identifies an image: a digest of everything that it was compiled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageKey(pub [u8; 32]);

/// The attached interfaces, by the names that they have in the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Endpoint numbers.
    pub(super) numbers: Pool<Arc<str>>,
    /// The rest about each.
    pub(super) entries: BTreeMap<Arc<str>, Endpoint>,
    /// The last zone that a guest-side interface was given.
    pub(super) last_zone: u32,
}

/// What the kernel's tables know an interface by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// Its number in the directories, below [`ENDPOINTS`].
    pub number: u32,
    /// Zone of its connections (spec §2.8): 0 on the host side, on the guest side one that no other
    /// interface ever had.
    pub zone: u32,
    /// Side for which the zone was given.
    pub side: Side,
    /// The device that carries its filter; none while it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Carrier>,
}

/// A device that carries a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Carrier {
    /// Its index when it was attached.
    pub ifindex: u32,
    /// The generation in which it was attached: a device that comes back is another carrier, even
    /// if it comes with the same index.
    pub since: u64,
}

impl Endpoints {
    /// Gives exactly the interfaces of `wanted` an endpoint, for the state that becomes
    /// `generation`. One that stays keeps its number; a new one, and one whose side changed, gets on
    /// the guest side a zone of its own.
    ///
    /// # Errors
    /// [`PoolFull`] where there are more than [`ENDPOINTS`].
    pub fn assign(
        &mut self,
        wanted: impl IntoIterator<Item = (Arc<str>, Side)>,
        generation: u64,
    ) -> Result<Assigned<Arc<str>>, PoolFull> {
        let wanted: BTreeMap<Arc<str>, Side> = wanted.into_iter().collect();
        let assigned = self.numbers.assign(wanted.keys().cloned(), 0..ENDPOINTS, generation)?;
        let mut former = std::mem::take(&mut self.entries);
        for (name, side) in wanted {
            let Some(number) = self.numbers.get(&name) else { continue };
            let entry = match former.remove(&name) {
                Some(entry) if entry.side == side => entry,
                former => {
                    let zone = match side {
                        Side::Host => 0,
                        Side::Guest => {
                            self.last_zone += 1;
                            self.last_zone
                        }
                    };
                    let carrier = former.and_then(|entry| entry.carrier);
                    Endpoint { number, zone, side, carrier }
                }
            };
            self.entries.insert(name, entry);
        }
        Ok(assigned)
    }

    /// The endpoint of an interface.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Endpoint> {
        self.entries.get(name)
    }

    /// Notes the device that carries an interface's filter.
    pub fn set_carrier(&mut self, name: &str, carrier: Option<Carrier>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.carrier = carrier;
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Endpoint)> {
        self.entries.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A network namespace as it can be recognised again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NamespaceId {
    /// `init` for the first one, else `netns NAME`, or the path by which an unnamed one was given.
    pub label: String,
    /// Boot in which the inode is meant (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Inode of the namespace; another one may have it after a restart, or after this one ended.
    pub inode: u64,
}

/// How a namespace relates to the one that a state was recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It is that one.
    Same,
    /// It is another one of the same name: the host restarted, or the namespace was made anew. What
    /// the kernel holds for the former one is void.
    Successor,
    /// It is another one.
    Other,
}

impl NamespaceId {
    /// How `self` relates to `recorded`.
    #[must_use]
    pub fn belonging(&self, recorded: &Self) -> Belonging {
        let same_boot = self.boot_id == recorded.boot_id;
        if same_boot && self.inode == recorded.inode {
            Belonging::Same
        } else if self.label == recorded.label {
            Belonging::Successor
        } else {
            Belonging::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[(&'static str, Side)]) -> Vec<(Arc<str>, Side)> {
        names.iter().map(|(name, side)| (Arc::from(*name), *side)).collect()
    }

    #[test]
    fn a_guest_never_gets_the_zone_of_another() {
        let mut endpoints = Endpoints::default();
        endpoints.assign(names(&[("eth0", Side::Host), ("tap1", Side::Guest)]), 1).unwrap();
        assert_eq!(endpoints.get("eth0").map(|e| (e.number, e.zone)), Some((0, 0)));
        assert_eq!(endpoints.get("tap1").map(|e| (e.number, e.zone)), Some((1, 1)));
        endpoints.assign(names(&[("eth0", Side::Host)]), 2).unwrap();
        endpoints.assign(names(&[("tap1", Side::Guest), ("tap2", Side::Guest)]), 9).unwrap();
        assert_eq!(endpoints.get("tap1").map(|e| e.zone), Some(2));
        assert_eq!(endpoints.get("tap2").map(|e| e.zone), Some(3));
        // Another side is another zone.
        endpoints.assign(names(&[("tap1", Side::Host), ("tap2", Side::Guest)]), 10).unwrap();
        assert_eq!(endpoints.get("tap1").map(|e| e.zone), Some(0));
        assert_eq!(endpoints.get("tap2").map(|e| e.zone), Some(3));
    }

    #[test]
    fn a_namespace_is_known_by_inode_in_a_boot_and_by_name_after_it() {
        let id = |label: &str, boot: &str, inode| NamespaceId {
            label: label.into(),
            boot_id: boot.into(),
            inode,
        };
        let recorded = id("netns blue", "b1", 7);
        assert_eq!(recorded.belonging(&recorded), Belonging::Same);
        assert_eq!(id("/proc/9/ns/net", "b1", 7).belonging(&recorded), Belonging::Same);
        assert_eq!(id("netns blue", "b1", 8).belonging(&recorded), Belonging::Successor);
        assert_eq!(id("netns blue", "b2", 7).belonging(&recorded), Belonging::Successor);
        assert_eq!(id("netns red", "b2", 7).belonging(&recorded), Belonging::Other);
        assert_eq!(id("init", "b1", 8).belonging(&recorded), Belonging::Other);
    }
}
