//! Any sequence of small changes, each made as a command makes it (read, edit, place, compare,
//! write), comes to what is made from nothing: the same documents, ids and slots.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::policy::check;
use crate::policy::edit;
use crate::policy::model::{Policy, PortRange, Protocol, Rule};
use crate::store::{Snapshot, Stored};

#[derive(Clone, Debug)]
enum Step {
    Add(bool, bool, u16),
    AddSeveral(bool, u16, usize),
    Modify(Index, u16),
    Describe(Index, String),
    Remove(Index),
    /// Removes a rule and adds the same one again, in the same or in the next change.
    Return(Index, bool),
    Delete(bool),
    /// One group gets the very lists of the other, as far as the other has one.
    Copy(bool),
    /// The two directions of a group change places.
    Swap(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let place = any::<Index>;
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), any::<u16>())
            .prop_map(|(a, way, port)| Step::Add(a, way, port)),
        1 => (any::<bool>(), any::<u16>(), 1..700_usize)
            .prop_map(|(a, first, count)| Step::AddSeveral(a, first, count)),
        3 => (place(), any::<u16>()).prop_map(|(at, priority)| Step::Modify(at, priority)),
        1 => (place(), "[a-z]{0,5}").prop_map(|(at, text)| Step::Describe(at, text)),
        3 => place().prop_map(Step::Remove),
        2 => (place(), any::<bool>()).prop_map(|(at, now)| Step::Return(at, now)),
        1 => any::<bool>().prop_map(Step::Delete),
        1 => any::<bool>().prop_map(Step::Copy),
        1 => any::<bool>().prop_map(Step::Swap),
    ]
}

fn named(first: bool) -> Name {
    Name(if first { "a".into() } else { "b".into() })
}

fn rule(port: u16) -> Rule {
    Rule {
        protocol: Protocol::Number(6),
        ports: vec![PortRange { first: port, last: port }],
        ..Rule::default()
    }
}

fn all_ids(policy: &Policy) -> Vec<RuleId> {
    policy.groups.iter().flat_map(|(name, group)| group.ids(name)).map(|(_, id)| id).collect()
}

/// Makes a step; what is left for the next change, if anything.
fn make(policy: &mut Policy, step: Step) -> Option<(Name, Direction, Rule)> {
    let ids = all_ids(policy);
    let chosen = |at: &Index| ids.get(at.index(ids.len().max(1))).copied();
    let group = |policy: &mut Policy, first| {
        policy.groups.entry(named(first)).or_default();
        named(first)
    };
    match step {
        Step::Add(first, way, port) => {
            let name = group(policy, first);
            let way = if way { Direction::Ingress } else { Direction::Egress };
            let _ = edit::add_rule(policy, &name, way, rule(port));
        }
        Step::AddSeveral(first, port, count) => {
            let name = group(policy, first);
            for n in 0..count as u16 {
                let rule = rule(port.wrapping_add(n));
                let _ = edit::add_rule(policy, &name, Direction::Ingress, rule);
            }
        }
        Step::Modify(at, priority) => {
            let change = edit::RuleChange { priority: Some(priority), ..Default::default() };
            let _ = chosen(&at).map(|id| edit::modify_rule(policy, id, &change));
        }
        Step::Describe(at, text) => {
            let change = edit::RuleChange { description: Some(text), ..Default::default() };
            let _ = chosen(&at).map(|id| edit::modify_rule(policy, id, &change));
        }
        Step::Remove(at) => {
            let _ = chosen(&at).map(|id| edit::remove_rule(policy, id));
        }
        Step::Return(at, now) => {
            let (place, rule) = edit::remove_rule(policy, chosen(&at)?).ok()?;
            if !now {
                return Some((place.group, place.direction, rule));
            }
            let _ = edit::add_rule(policy, &place.group, place.direction, rule);
        }
        Step::Delete(first) => {
            policy.groups.remove(&named(first));
        }
        Step::Copy(first) => {
            let other = policy.groups.get(&named(!first)).cloned();
            policy.groups.insert(named(first), other.unwrap_or_default());
        }
        Step::Swap(first) => {
            if let Some(group) = policy.groups.get_mut(&named(first)) {
                std::mem::swap(&mut group.ingress, &mut group.egress);
            }
        }
    }
    None
}

/// The same state without anything that could be shared or remembered.
fn anew(state: &State) -> State {
    let mut state = state.clone();
    for group in state.policy.groups.values_mut() {
        for (_, list) in group.lists_mut() {
            *list = list.iter().cloned().collect();
        }
    }
    let parts = state
        .slots
        .places()
        .map(|(number, place)| (number, place.key, (place.since != 0).then_some(place.since)));
    state.slots = Pool::from_parts(parts.collect::<Vec<_>>()).unwrap();
    state
}

fn stored(documents: &Documents) -> Snapshot {
    let stored = Stored { generation: 1, documents: documents.clone(), pending: None };
    Snapshot::committed(stored, std::path::Path::new("test")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn small_changes_come_to_what_is_made_from_nothing(
        start in vec(any::<u16>(), 0..3000), steps in vec(step(), 1..14),
    ) {
        let mut first = State::default();
        let name = named(true);
        first.policy.groups.insert(name.clone(), Group::default());
        let mut start = start;
        start.sort_unstable();
        start.dedup();
        first.policy.groups.get_mut(&name).unwrap().ingress = start.into_iter().map(rule).collect();
        first.assign_all_slots(1).unwrap();
        let mut documents = encode(&first);
        // By another way, which shares nothing with itself or with the first.
        let mut other = anew(&first);
        let mut left: Option<(Name, Direction, Rule)> = None;
        for (step, generation) in steps.into_iter().zip(2..) {
            let snapshot = stored(&documents);
            prop_assert_eq!(&snapshot.state, &other);
            let mut state = snapshot.state.clone();
            if let Some((name, way, rule)) = left.take() {
                let _ = edit::add_rule(&mut state.policy, &name, way, rule);
            }
            left = make(&mut state.policy, step);
            let findings = check::errors_since(&snapshot.state.policy, &state.policy);
            prop_assert_eq!(&findings, &check::errors(&state.policy));
            prop_assert_eq!(findings, []);

            other = anew(&State { policy: state.policy.clone(), ..other });
            let plain = other.assign_slots(all_ids(&state.policy), generation).unwrap();
            let shared = state.assign_all_slots(generation).unwrap();
            prop_assert_eq!(&shared.fresh, &plain.fresh);
            prop_assert_eq!(&shared.returned, &plain.returned);
            prop_assert_eq!(&shared.freed, &plain.freed);
            prop_assert_eq!(&state, &other);

            // Every id is that of its rule, and every slot that of the id.
            for (name, group) in &state.policy.groups {
                for (way, list) in group.lists() {
                    let ids: Vec<RuleId> = list.ids(name, way).collect();
                    let made = list.iter().map(|rule| RuleId::of(name, way, rule));
                    prop_assert_eq!(&ids, &made.collect::<Vec<_>>());
                    let slots = list.pieces().iter().flat_map(|piece| piece.slots().unwrap());
                    let right = ids.iter().map(|id| state.slots.get(id).unwrap());
                    prop_assert!(slots.copied().eq(right));
                }
            }

            // What is written makes of the documents those that are made from nothing.
            for (key, value) in snapshot.change_to(&state) {
                match value {
                    Some(value) => documents.insert(key, value),
                    None => documents.remove(&key),
                };
            }
            prop_assert_eq!(&documents, &encode(&anew(&state)));
        }
        prop_assert_eq!(stored(&documents).state, other);
    }
}

#[test]
fn a_store_whose_rules_have_no_slots_is_read_and_gets_them() {
    let mut state = State::default();
    let group = Group { ingress: (0..2000).map(rule).collect(), ..Group::default() };
    state.policy.groups.insert(named(true), group);
    // As format 2 had them: encoded before anybody had a slot, beside the slots.
    let mut documents = encode(&state);
    let placed = state.assign_slots(all_ids(&state.policy), 1).unwrap();
    assert_eq!(placed.fresh.len(), 2000);
    documents.extend(encode(&state).into_iter().filter(|(key, _)| key.starts_with("slots/")));
    let snapshot = stored(&documents);
    assert_eq!(snapshot.state, state);
    let mut next = snapshot.state.clone();
    let assigned = next.assign_all_slots(2).unwrap();
    assert!(assigned.fresh.is_empty() && assigned.returned.is_empty() && assigned.freed.is_empty());
    for (key, value) in snapshot.change_to(&next) {
        match value {
            Some(value) => documents.insert(key, value),
            None => documents.remove(&key),
        };
    }
    assert_eq!(documents, encode(&next));
    let known = stored(&documents).state;
    let pieces = known.policy.groups[&named(true)].ingress.pieces();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.slots().is_some()));
}
