//! A state survives its documents, one change touches few of them, and no bytes make it panic.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::policy::model::{
    Action, Hook, Interface, Mode, Options, Policy, PortRange, Protocol, Rule, Side,
};
use crate::store::state::NamespaceId;

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9._-]{0,8}".prop_map(|text| Name(text.into()))
}

fn net() -> impl Strategy<Value = IpNet> {
    // Both forms of IPv6, and bits of the host: nothing may be lost, whatever validation lets in.
    prop_oneof![
        (any::<u32>(), 0..=32_u8).prop_map(|(a, l)| (std::net::Ipv4Addr::from(a).into(), l)),
        (any::<u128>(), 0..=128_u8).prop_map(|(a, l)| (std::net::Ipv6Addr::from(a).into(), l)),
        (any::<u64>(), 0..=128_u8)
            .prop_map(|(a, l)| (std::net::Ipv6Addr::from(u128::from(a) << 64).into(), l)),
    ]
    .prop_map(|(address, length): (std::net::IpAddr, u8)| IpNet::new(address, length).unwrap())
}

fn rule() -> impl Strategy<Value = Rule> {
    let range = (any::<u16>(), any::<u16>())
        .prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) });
    let head = (
        prop_oneof![Just(Action::Allow), Just(Action::Deny)],
        any::<u16>(),
        prop_oneof![Just(Protocol::All), any::<u8>().prop_map(Protocol::Number)],
        vec(range, 0..3),
        option::of(any::<u8>()),
        option::of(any::<u8>()),
    );
    (head, vec(net(), 0..3), vec(name(), 0..2), vec(name(), 0..2), "\\PC{0,20}").prop_map(
        |(head, cidrs, prefix_lists, groups, description)| {
            let (action, priority, protocol, ports, icmp_type, icmp_code) = head;
            Rule {
                action,
                priority,
                protocol,
                ports,
                icmp_type,
                icmp_code,
                cidrs,
                prefix_lists,
                groups,
                description,
            }
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    ("\\PC{0,20}", vec(net(), 0..3), vec(rule(), 0..6), vec(rule(), 0..3)).prop_map(
        |(description, members, ingress, egress)| Group {
            description,
            members,
            ingress: ingress.into(),
            egress: egress.into(),
        },
    )
}

fn interface() -> impl Strategy<Value = Interface> {
    let kind = (
        prop_oneof![Just(Mode::Enforce), Just(Mode::Monitor)],
        prop_oneof![Just(Side::Host), Just(Side::Guest)],
        prop_oneof![Just(Hook::Auto), Just(Hook::Xdp), Just(Hook::XdpGeneric), Just(Hook::Tc)],
        any::<bool>(),
        any::<bool>(),
    );
    (vec(name(), 0..3), kind, vec(any::<std::net::IpAddr>(), 0..3)).prop_map(
        |(groups, (mode, side, hook, guest_servers, wait), addresses)| Interface {
            groups,
            mode,
            side,
            hook,
            addresses,
            guest_servers,
            wait,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let list = ("\\PC{0,20}", vec(net(), 0..20))
        .prop_map(|(description, nets)| PrefixList { description, entries: nets.into() });
    let interface_name = "[a-zA-Z0-9@.*_-]{1,15}".prop_map(Arc::from);
    (
        any::<u32>(),
        any::<u32>(),
        vec(any::<u16>(), 0..4),
        btree_map(name(), list, 0..3),
        btree_map(name(), group(), 0..4),
        btree_map(interface_name, interface(), 0..4),
        (vec(net(), 0..20), btree_set(name(), 0..3)),
    )
        .prop_map(
            |(conntrack_max, icmp, ether_types, prefix_lists, groups, interfaces, blocks)| {
                let mut options = Options { conntrack_max, ether_types, ..Options::default() };
                options.timeouts.icmp = icmp;
                let blocks = Blocks { entries: blocks.0.into(), lists: blocks.1 };
                Policy { options, prefix_lists, groups, interfaces, blocks }
            },
        )
}

/// A state in which everything has been given places twice, so that some of them rest.
fn state() -> impl Strategy<Value = State> {
    let ids = || vec(any::<u128>().prop_map(|id| RuleId(id >> 60)), 0..700);
    let keys = || vec(any::<[u8; 32]>().prop_map(ImageKey), 0..5);
    (policy(), policy(), ids(), ids(), keys(), keys(), vec(net(), 0..5), any::<u64>()).prop_map(
        |(former, policy, old_ids, ids, old_keys, keys, members, inode)| {
            let sides = |policy: &Policy| -> Vec<_> {
                policy.interfaces.iter().map(|(name, i)| (name.clone(), i.side)).collect()
            };
            let mut state = State { policy, ..State::default() };
            for (generation, ids) in [(7, old_ids), (8, ids)] {
                state.assign_slots(ids, generation).unwrap();
            }
            state.endpoints.assign(sides(&former), 7).unwrap();
            state.endpoints.assign(sides(&state.policy), 8).unwrap();
            for (generation, keys) in [(7, old_keys), (8, keys)] {
                if !keys.is_empty() {
                    state.images.entry(3).or_default().assign(keys, 0..99, generation).unwrap();
                }
            }
            let names = state.policy.groups.keys().cloned();
            state.members = names.map(|name| (name, members.clone().into())).collect();
            let boot_id = "9a6f".to_owned();
            state.namespace = Some(NamespaceId { label: "netns a/b".into(), boot_id, inode });
            state
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_state_survives_its_documents(state in state()) {
        let documents = encode(&state);
        prop_assert_eq!(decode(&documents), Ok(state));
    }

    #[test]
    fn damaged_documents_are_errors_or_states(
        state in state(), which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut documents = encode(&state);
        let key = documents.keys().nth(which.index(documents.len())).unwrap().clone();
        let value = documents.get_mut(&key).unwrap();
        if !value.is_empty() {
            let place = place.index(value.len());
            if cut { value.truncate(place) } else { value[place] = byte }
        }
        let _ = decode(&documents);
    }
}

/// A state with a group of many rules and their counters.
fn large(rules: u32) -> State {
    let rule = |n: u32| Rule {
        protocol: Protocol::Number(6),
        ports: vec![PortRange { first: 80, last: 80 }],
        cidrs: vec![IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap()],
        ..Rule::default()
    };
    let group = Group { ingress: (0..rules).map(rule).collect(), ..Group::default() };
    let mut state = State::default();
    state.policy.groups.insert(Name("web".into()), group);
    state.assign_slots((0..rules).map(|n| RuleId(n.into())), 1).unwrap();
    state
}

fn written(before: &State, after: &State) -> usize {
    let former = encode(before);
    let documents = encode(after);
    documents.iter().filter(|(key, value)| former.get(*key) != Some(value)).map(|d| d.1.len()).sum()
}

#[test]
fn one_rule_of_many_is_a_small_write() {
    let before = large(20_000);
    for position in [0, 7_000, 19_999] {
        let mut after = before.clone();
        let group = after.policy.groups.get_mut("web").unwrap();
        let rule = Rule { priority: 5, ..group.ingress[position].clone() };
        group.ingress.replace(position, rule);
        let ids = (0..20_000).filter(|n| *n != position).map(|n| RuleId(n as u128));
        after.assign_slots(ids.chain([RuleId(1 << 67)]), 2).unwrap();
        let bytes = written(&before, &after);
        assert!(bytes < 40_000, "{bytes} bytes for the rule at {position}");
    }
}

#[test]
fn one_entry_of_many_is_a_small_write() {
    let list = |skip: u32| {
        let nets = (0..200_000_u32).filter(|n| *n != skip);
        let nets = nets.map(|n| IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap());
        let entries: Arc<[IpNet]> = nets.collect();
        let mut state = State::default();
        let list = PrefixList { description: String::new(), entries };
        state.policy.prefix_lists.insert(Name("office".into()), list);
        state
    };
    let bytes = written(&list(u32::MAX), &list(100_000));
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[test]
fn one_address_among_many_blocked_is_a_small_write() {
    let blocked = |skip: u32| {
        let nets = (0..200_000_u32).filter(|n| *n != skip);
        let nets = nets.map(|n| IpNet::from(std::net::IpAddr::from((n << 8).to_be_bytes())));
        let mut state = State::default();
        state.policy.blocks.entries = nets.collect();
        state
    };
    let bytes = written(&blocked(u32::MAX), &blocked(100_000));
    assert!(bytes < 200_000, "{bytes} bytes");
    // Without blocks there is no document of them, so that an earlier version reads the store.
    assert!(encode(&State::default()).keys().all(|key| !key.starts_with("blocks")));
}

#[test]
fn what_is_unknown_missing_or_twice_is_an_error() {
    let good = encode(&large(500));
    let bad = |edit: &dyn Fn(&mut Documents)| {
        let mut documents = good.clone();
        edit(&mut documents);
        decode(&documents).unwrap_err()
    };
    let unknown = bad(&|documents| drop(documents.insert("spells/x".into(), vec![])));
    assert_eq!(unknown.detail, "a document of an unknown kind");
    let chunk = good.keys().find(|key| key.starts_with("groups/web/")).unwrap();
    assert_eq!(
        bad(&|documents| drop(documents.remove(chunk))),
        BadDocument { key: chunk.to_string(), detail: "it is missing".into() }
    );
    let twice = bad(&|documents| {
        let page = documents["slots/000000"].clone();
        documents.insert("slots/000001".into(), page);
    });
    assert_eq!(twice.key, "slots");
    let field = bad(&|documents| drop(documents.insert("options".into(), b"{\"x\":1}".to_vec())));
    assert_eq!(field.key, "options");
}
