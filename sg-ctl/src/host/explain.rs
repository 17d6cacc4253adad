//! `explain`: the verdict of the kernel's own code on the loaded maps, and the rules around it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context;
use sg_common::classifier::Kind;
use sg_common::verdict::{Direction, Reason};

use super::enforcer::Known;
use super::facts::{Facts, members};
use super::placement::{group_set, place, resolve_for};
use super::{ExplainedRule, Explanation, Host, Probe};
use crate::compile::{self, reference};
use crate::datapath::explain::{Asked, Verdict};
use crate::error::refuse;
use crate::policy::check;
use crate::policy::model::{Action, Mode, Name, Policy, RuleId};
use crate::store::State;

impl Host {
    /// Asks the kernel's code about a packet: on the maps in force, or on those of a candidate
    /// policy, which live apart and are gone afterwards. Nothing is counted and nothing learned.
    ///
    /// # Errors
    /// An interface that is not in the policy; a kernel that holds nothing; a probe that no packet
    /// can stand for.
    pub fn explain(
        &mut self,
        probe: &Probe,
        candidate: Option<&Policy>,
    ) -> anyhow::Result<Explanation> {
        let (generation, committed) = self.committed()?;
        let (state, verdict) = match candidate {
            None => {
                let endpoint = endpoint_of(&committed, &probe.interface)?;
                let asked = self.asked(&committed, probe, endpoint)?;
                let verdict = self.kernel().explain(probe, &asked)?;
                (committed, verdict)
            }
            Some(policy) => {
                self.session.kernel.look()?;
                let Known { facts, attached } = self.session.kernel.known.borrow().clone();
                // What is blocked stays so, whatever is applied.
                let blocks = committed.policy.blocks.clone();
                let policy = Policy { blocks, ..policy.clone() };
                if let Some(finding) = check::references(&policy).into_iter().next() {
                    return Err(refuse(finding.message, finding.help));
                }
                let mut state = State { policy, ..State::default() };
                state.members = members(&state.policy, &facts, |name| {
                    committed.endpoints.get(name).and_then(|e| attached.get(&e.number)).copied()
                });
                let (state, placed) = place(&State::default(), state, 1, &facts, |_| None)?;
                let endpoint = endpoint_of(&state, &probe.interface)?;
                let asked = self.asked(&state, probe, endpoint)?;
                let verdict =
                    self.kernel().explain_candidate(probe, &asked, &placed.enforcement)?;
                (state, verdict)
            }
        };
        let mut explanation = describe(&state, probe, &verdict);
        explanation.generation = candidate.is_none().then_some(generation);
        Ok(explanation)
    }

    fn asked(&self, state: &State, probe: &Probe, endpoint: u32) -> anyhow::Result<Asked> {
        let interface =
            state.policy.interfaces.get(probe.interface.as_str()).context("no such interface")?;
        let facts = Facts::gather()?;
        let hooks = self.kernel().hooks(&facts.devices)?;
        let ingress = hooks.get(&endpoint).and_then(|hooks| hooks.ingress);
        Ok(Asked { endpoint, side: interface.side, ingress, with_state: probe.with_state })
    }
}

fn endpoint_of(state: &State, interface: &str) -> anyhow::Result<u32> {
    state.endpoints.get(interface).map(|endpoint| endpoint.number).ok_or_else(|| {
        let known: Vec<&str> = state.endpoints.iter().map(|(name, _)| &**name).collect();
        let help = if known.is_empty() {
            "no interface is attached; `sg-ctl attach IFACE --group G`".to_owned()
        } else {
            format!("attached: {}", known.join(", "))
        };
        refuse(format!("{interface} is not an interface of the policy"), help)
    })
}

impl Probe {
    /// The far end's address.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        match self.direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }

    /// Kind and key by which the packet is looked up.
    #[must_use]
    pub fn key(&self) -> (Kind, u16) {
        key_of(self, self.protocol, (self.icmp_type, self.icmp_code), self.destination_port)
    }
}

/// Kind and key by which a packet is looked up.
fn key_of(probe: &Probe, protocol: u8, icmp: (u8, u8), port: u16) -> (Kind, u16) {
    let v6 = probe.source.is_ipv6();
    match protocol {
        6 => (Kind::Tcp, port),
        17 => (Kind::Udp, port),
        132 => (Kind::Sctp, port),
        1 if !v6 => (Kind::Icmp, u16::from(icmp.0) << 8 | u16::from(icmp.1)),
        58 if v6 => (Kind::Icmp, u16::from(icmp.0) << 8 | u16::from(icmp.1)),
        other => (Kind::Other, other.into()),
    }
}

/// The answering ICMP type (spec §1, F and R).
fn counterpart(kind: u8, v6: bool) -> Option<u8> {
    const PAIRS: [(u8, u8); 4] = [(0, 8), (13, 14), (15, 16), (17, 18)];
    const PAIRS6: [(u8, u8); 2] = [(128, 129), (139, 140)];
    let pairs: &[(u8, u8)] = if v6 { &PAIRS6 } else { &PAIRS };
    pairs.iter().find_map(|(a, b)| match kind {
        k if k == *a => Some(*b),
        k if k == *b => Some(*a),
        _ => None,
    })
}

/// Rules of an interface's groups as they were entered, and the blocks, by identity.
fn entered(state: &State, groups: &[Name], peer: IpAddr) -> BTreeMap<RuleId, ExplainedRule> {
    let mut rules = BTreeMap::new();
    for block in state.policy.blocks.each() {
        let rule = block.shown(&state.policy, peer);
        for direction in [Direction::Ingress, Direction::Egress] {
            let (id, rule) = (block.id(direction), rule.clone());
            rules.insert(id, ExplainedRule { group: None, direction, id, rule });
        }
    }
    for name in groups {
        let Some(group) = state.policy.groups.get(name) else { continue };
        for (direction, list) in group.lists() {
            for (id, rule) in list.ids(name, direction).zip(list.iter()) {
                let (group, rule) = (Some(name.clone()), rule.clone());
                rules.insert(id, ExplainedRule { group, direction, id, rule });
            }
        }
    }
    rules
}

fn describe(state: &State, probe: &Probe, verdict: &Verdict) -> Explanation {
    let interface = state.policy.interfaces.get(probe.interface.as_str());
    let mode = interface.map_or(Mode::Enforce, |i| i.mode);
    let groups = interface.map(group_set).unwrap_or_default();
    let resolved = resolve_for(state, &groups);
    let peer = probe.peer();
    let rules = entered(state, &groups, peer);
    let by_slot = |slot: u32| rules.get(state.slots.key_of(slot)?).cloned();
    let (kind, key) = probe.key();
    let deciding = verdict.forward_slot.and_then(&by_slot);
    let own = resolved.of(probe.direction);
    let others = reference::matching(own, peer, kind, key)
        .into_iter()
        .filter(|rule| deciding.as_ref().is_none_or(|d| d.id != rule.id))
        .filter_map(|rule| rules.get(&rule.id).cloned())
        .collect();
    let near_miss = (!verdict.reason.passes())
        .then(|| near_miss(own, peer, kind, key))
        .flatten()
        .and_then(|(id, difference)| Some((rules.get(&id).cloned()?, difference)));
    let reverse = mirrored(probe, kind).map(|(kind, key)| {
        let rule = reference::decide(resolved.of(probe.direction.reverse()), peer, kind, key);
        let allowed = rule.is_some_and(|rule| rule.action == Action::Allow);
        (allowed, rule.and_then(|rule| rules.get(&rule.id).cloned()))
    });
    Explanation {
        reason: verdict.reason,
        passes: verdict.reason.passes() || mode == Mode::Monitor,
        allowed: verdict.reason.passes(),
        mode,
        deciding,
        others,
        near_miss,
        reverse,
        generation: None,
        notes: notes(probe, verdict.reason, mode),
    }
}

/// Kind and key of the mirrored packet; `None` for an ICMP type without counterpart.
fn mirrored(probe: &Probe, kind: Kind) -> Option<(Kind, u16)> {
    let icmp = match kind {
        Kind::Icmp => counterpart(probe.icmp_type, probe.source.is_ipv6())?,
        _ => 0,
    };
    Some(key_of(probe, probe.protocol, (icmp, 0), probe.source_port))
}

fn notes(probe: &Probe, reason: Reason, mode: Mode) -> Vec<String> {
    let mut notes = Vec::new();
    if mode == Mode::Monitor && !reason.passes() {
        notes.push(
            "the interface is in monitor mode: it passes and is counted as would-deny".to_owned(),
        );
    }
    if probe.with_state {
        notes.push("the connection table was looked at, and not changed".to_owned());
    } else {
        notes.push(
            "judged as a first packet: the connection table was not looked at (--state does)"
                .to_owned(),
        );
    }
    let to_many = probe.destination.is_multicast()
        || matches!(probe.destination, IpAddr::V4(v4) if v4.is_broadcast());
    if to_many {
        notes.push("answers to multicast and broadcast belong to no connection; they need a rule of their own".to_owned());
    }
    notes
}

/// The allow rule that comes nearest, and what keeps it from allowing the packet.
fn near_miss(
    rules: &[compile::Rule],
    peer: IpAddr,
    kind: Kind,
    key: u16,
) -> Option<(RuleId, String)> {
    let matching = reference::matching(rules, peer, kind, key);
    if let Some(allow) = matching.iter().find(|rule| rule.action == Action::Allow) {
        let deny = matching.first()?;
        let why = match deny.block {
            true => format!("the block {} has precedence over every rule", deny.id),
            false => format!("{} has precedence (priority {})", deny.id, deny.priority),
        };
        return Some((allow.id, why));
    }
    let (rule, distance) = reference::near_miss(rules, peer, kind, key)?;
    let mut differences = Vec::new();
    if distance.protocol {
        differences.push(format!("it is for protocol {}", rule.protocol));
    }
    if distance.key.is_some() {
        differences.push(match rule.icmp {
            Some((icmp, Some(code))) => format!("it is for ICMP type {icmp} code {code}"),
            Some((icmp, None)) => format!("it is for ICMP type {icmp}"),
            None => {
                let ports: Vec<String> = rule.ports.iter().map(ToString::to_string).collect();
                format!("it is for port {}, not {key}", ports.join(", "))
            }
        });
    }
    if distance.peer.is_some() {
        differences.push(format!("its peers do not hold {peer}"));
    }
    Some((rule.id, differences.join(", and ")))
}
