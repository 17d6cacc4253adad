//! The guard of the operator's own SSH connection (spec §5).

use std::net::IpAddr;

use sg_common::classifier::Kind;

use super::facts::Facts;
use super::write::rules_of;
use crate::compile::reference;
use crate::datapath::devices;
use crate::datapath::ssh::{self, SshConnection};
use crate::policy::model::{Action, Mode, RuleId, Side};
use crate::store::State;

/// Refuses a state under which the operator's SSH connection would not pass.
///
/// The peer opened it, so by spec §2.7 it lives exactly if the ingress rules allow what the peer
/// sends: if the egress rules deny the answers, they pass by the entry that the change seeds.
///
/// # Errors
/// Names the interface and the deciding rule.
pub(super) fn ssh(
    old: &State,
    new: &State,
    facts: &Facts,
    device_of: impl Fn(&str) -> Option<u32>,
) -> anyhow::Result<()> {
    let Some(connection) = ssh::current() else { return Ok(()) };
    let SshConnection { client, server } = connection;
    // A connection to another namespace, or to an address that is gone, is not ours to guard.
    let Some(local) = facts.addresses.iter().find(|a| a.address == server.ip()) else {
        return Ok(());
    };
    let mut on = vec![local.device];
    on.extend(devices::route_device(client.ip()).ok().flatten());
    for (name, interface) in &new.policy.interfaces {
        let device =
            device_of(name).or_else(|| devices::by_name(&facts.devices, name).map(|d| d.index));
        let concerned = interface.side == Side::Host
            && interface.mode == Mode::Enforce
            && device.is_some_and(|index| on.contains(&index));
        if !concerned {
            continue;
        }
        let decided = |state: &State| decide(state, name, client.ip(), server.port());
        let verdict = decided(new);
        if verdict.as_ref().is_some_and(Decider::allows) {
            continue;
        }
        // What does not pass now cannot be cut by this change (a session that came another way).
        let enforced = old.policy.interfaces.get(name).is_some_and(|i| i.mode == Mode::Enforce);
        if enforced && !decided(old).is_some_and(|decider| decider.allows()) {
            continue;
        }
        let blocked = verdict.as_ref().is_some_and(|decider| decider.block);
        let by = match verdict {
            None => "implicit deny".to_owned(),
            Some(Decider { id, .. }) if blocked => format!("the block {id}"),
            Some(Decider { id, .. }) => format!("rule {id}"),
        };
        let mend = match blocked {
            true => format!("do not block {}, or repeat with --force", client.ip()),
            false => format!(
                "allow tcp port {} from {} on {name} first, or repeat with --force",
                server.port(),
                client.ip()
            ),
        };
        return Err(crate::error::refuse(
            format!(
                "this change would cut your own SSH connection: {client} to {server} would be dropped on {name} by {by}"
            ),
            mend,
        ));
    }
    Ok(())
}

/// The rule that decides what the peer sends.
struct Decider {
    action: Action,
    block: bool,
    id: RuleId,
}

impl Decider {
    fn allows(&self) -> bool {
        self.action == Action::Allow
    }
}

fn decide(state: &State, interface: &str, client: IpAddr, port: u16) -> Option<Decider> {
    let rules = rules_of(state, interface)?;
    let rule = reference::decide(&rules.ingress, client, Kind::Tcp, port)?;
    Some(Decider { action: rule.action, block: rule.block, id: rule.id })
}
