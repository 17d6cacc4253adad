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
        if verdict.is_some_and(|(action, _)| action == Action::Allow) {
            continue;
        }
        // What does not pass now cannot be cut by this change (a session that came another way).
        let enforced = old.policy.interfaces.get(name).is_some_and(|i| i.mode == Mode::Enforce);
        if enforced && decided(old).is_none_or(|(action, _)| action != Action::Allow) {
            continue;
        }
        let by = verdict.map_or_else(|| "implicit deny".to_owned(), |(_, id)| format!("rule {id}"));
        return Err(crate::error::refuse(
            format!(
                "this change would cut your own SSH connection: {client} to {server} would be dropped on {name} by {by}"
            ),
            format!(
                "allow tcp port {} from {} on {name} first, or repeat with --force",
                server.port(),
                client.ip()
            ),
        ));
    }
    Ok(())
}

fn decide(state: &State, interface: &str, client: IpAddr, port: u16) -> Option<(Action, RuleId)> {
    let rules = rules_of(state, interface)?;
    reference::decide(&rules.ingress, client, Kind::Tcp, port).map(|rule| (rule.action, rule.id))
}
