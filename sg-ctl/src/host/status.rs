//! `status` and `stats`: what is enforced, and what it counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use sg_common::tables::{Counter, RuleCounter};
use sg_common::verdict::{Direction, Reason};

use super::placement::{group_set, resolve_for, rule_ids};
use super::{Health, Host, InterfaceStatus, ReasonStats, RuleStats, Stats, Status};
use crate::datapath::acceptance::stacking_notes;
use crate::datapath::devices::{self, Device};
use crate::datapath::images::slot_bytes;
use crate::datapath::kernel::Hooks;
use crate::datapath::programs::{Attachment, ForeignProgram, foreign_in_front};
use crate::policy::model::{Interface, RuleId};
use crate::store::State;

impl Host {
    /// What the kernel enforces and holds.
    ///
    /// # Errors
    /// Where the store, the pins or the devices cannot be read.
    pub fn status(&mut self) -> anyhow::Result<Status> {
        let (generation, state) = self.committed()?;
        let all = devices::devices().context("cannot list the network devices")?;
        let hooks = self.kernel().hooks(&all)?;
        let mut interfaces = Vec::new();
        let mut open = Vec::new();
        let mut notes = Vec::new();
        let enforced = self.kernel().generation();
        let attached: Vec<u32> = hooks.values().filter_map(|hook| hook.device).collect();
        for (name, interface) in &state.policy.interfaces {
            let hook = state
                .endpoints
                .get(name)
                .and_then(|e| hooks.get(&e.number))
                .copied()
                .unwrap_or_default();
            let status = interface_status(&state, name, interface, hook, &attached, &all);
            if status.device_ingress.is_none() || status.device_egress.is_none() {
                let waits = interface.wait && devices::by_name(&all, name).is_none();
                if waits {
                    notes.push(format!("{name} is waited for: there is no such device yet"));
                } else {
                    open.push(format!("{name} is not filtered"));
                }
            }
            notes.extend(status.notes.iter().map(|note| format!("{name}: {note}")));
            interfaces.push(status);
        }
        if !state.policy.interfaces.is_empty() {
            match enforced {
                None => open.push("nothing is loaded; `sg-ctl restore` brings it back".to_owned()),
                Some(other) if other != generation => open.push(format!(
                    "the kernel enforces generation {other}, the store holds {generation}"
                )),
                Some(_) => {}
            }
        }
        let health = if !open.is_empty() {
            Health::NotEnforced(open.into_iter().chain(notes).collect())
        } else if !notes.is_empty() {
            Health::Degraded(notes)
        } else {
            Health::Good
        };
        let slots: BTreeSet<u32> = state
            .images
            .iter()
            .flat_map(|(class, pool)| {
                pool.iter().map(|(_, place)| sg_common::tables::image_slot(*class, place))
            })
            .collect();
        Ok(Status {
            generation,
            health,
            interfaces,
            rules: state.policy.groups.values().map(|g| g.ingress.len() + g.egress.len()).sum(),
            groups: state.policy.groups.len(),
            prefix_lists: state.policy.prefix_lists.len(),
            blocked_addresses: state.policy.blocks.entries.len(),
            blocked_lists: state.policy.blocks.lists.len(),
            prefix_entries: state.policy.prefix_lists.values().map(|l| l.entries.len()).sum(),
            image_bytes: slots.into_iter().map(slot_bytes).sum(),
            map_bytes: self.kernel().map_bytes(),
            connections: self.kernel().connections()?,
            connections_max: u64::from(
                self.kernel().conntrack_max().unwrap_or(state.policy.options.conntrack_max),
            ),
        })
    }

    /// Counters of every rule and block, and of every reason that counted something.
    ///
    /// # Errors
    /// Where the store or the pins cannot be read.
    pub fn stats(&mut self) -> anyhow::Result<Stats> {
        let (generation, state) = self.committed()?;
        let rules = rule_ids(&state.policy)
            .map(|(group, direction, id)| RuleStats {
                group: group.clone(),
                direction,
                id,
                counter: self.rule_counter(&state, id),
            })
            .collect();
        let blocks = self.block_stats(&state);
        let mut interfaces = Vec::new();
        for (name, endpoint) in state.endpoints.iter() {
            for direction in [Direction::Ingress, Direction::Egress] {
                for reason in Reason::ALL {
                    for would in [false, true] {
                        let counter = self.kernel().reason_counter(
                            endpoint.number,
                            direction,
                            would,
                            *reason,
                        );
                        if counter != Counter::default() {
                            interfaces.push(ReasonStats {
                                interface: Arc::clone(name),
                                direction,
                                reason: *reason,
                                would,
                                counter,
                            });
                        }
                    }
                }
            }
        }
        Ok(Stats { generation, rules, blocks, interfaces })
    }

    /// What a rule or block counted.
    pub(super) fn rule_counter(&self, state: &State, id: RuleId) -> RuleCounter {
        state.slots.get(&id).map(|slot| self.kernel().rule_counter(slot)).unwrap_or_default()
    }
}

fn interface_status(
    state: &State,
    name: &Arc<str>,
    interface: &Interface,
    hook: Hooks,
    attached: &[u32],
    all: &[Device],
) -> InterfaceStatus {
    let device = hook.device.and_then(|index| all.iter().find(|d| d.index == index));
    let mut notes = Vec::new();
    if let Some(device) = device {
        if *device.name != **name && !device.alternative_names.iter().any(|n| **n == **name) {
            notes.push(format!(
                "the filter followed its device, which is named {} now",
                device.name
            ));
            if devices::by_name(all, name).is_some() {
                notes.push(format!(
                    "another device is named {name} now and is not filtered; attach it under another name, or detach {name} and attach again"
                ));
            }
        }
        notes.extend(stacking_notes(device, attached, all));
        for foreign in foreign_in_front(device, hook) {
            notes.push(match foreign {
                ForeignProgram::Tcx { direction, id } => format!(
                    "a foreign TC program (id {id}) is in front on {}: what it accepts finally is not judged",
                    match direction {
                        Direction::Ingress => "ingress",
                        Direction::Egress => "egress",
                    }
                ),
                ForeignProgram::Xdp { id } => {
                    format!("a foreign XDP program (id {id}) is in front")
                }
            });
        }
    }
    let resolved = resolve_for(state, &group_set(interface));
    InterfaceStatus {
        name: Arc::clone(name),
        device: device.map(|d| d.name.clone()),
        index: hook.device,
        groups: interface.groups.clone(),
        mode: interface.mode,
        side: interface.side,
        hook: interface.hook,
        device_ingress: hook.ingress.map(Attachment::name),
        device_egress: hook.egress.map(Attachment::name),
        rules: resolved.of_groups(),
        notes,
    }
}
