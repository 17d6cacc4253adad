//! Writes: an edit of the policy, held against the host, guarded, and put in force as one change.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::enforcer::Known;
use super::facts::members;
use super::guard;
use super::placement::{group_set, resolve_for};
use super::{Failure, Host, WriteOptions, Written};
use crate::datapath::{acceptance, devices};
use crate::policy::check;
use crate::policy::model::Policy;
use crate::store::{Note, State};
use crate::transaction::{Base, BoxError, Request, TransactionError};

impl Host {
    /// Changes the policy by `edit` and puts the result in force, all or nothing. `command` is what
    /// the history says of it.
    ///
    /// # Errors
    /// Those of `edit`; a policy that is not valid; interfaces that do not exist or cannot be
    /// attached; the guard of the operator's connection; the store's and the kernel's. Nothing
    /// changed then.
    pub fn change(
        &mut self,
        command: &str,
        options: &WriteOptions,
        edit: &mut dyn FnMut(&mut Policy) -> anyhow::Result<()>,
    ) -> anyhow::Result<Written> {
        self.change_or_renew(command, options, false, edit)
    }

    /// As [`Host::change`]; with `renew` the kernel is brought to the state even if that stays the
    /// same, so that devices which came late are attached.
    pub(super) fn change_or_renew(
        &mut self,
        command: &str,
        options: &WriteOptions,
        renew: bool,
        edit: &mut dyn FnMut(&mut Policy) -> anyhow::Result<()>,
    ) -> anyhow::Result<Written> {
        self.session.note = Note { time: now(), command: command.to_owned() };
        self.session.kernel.look()?;
        let known = Rc::clone(&self.session.kernel.known);
        let force = options.force;
        let request = Request {
            if_generation: options.if_generation,
            dry_run: options.dry_run,
            mend: force,
            renew,
        };
        let outcome = self
            .session
            .write(request, |base: Base<'_>| {
                plan(&base, &known.borrow(), force, edit)
                    .map_err(|error| BoxError::from(Failure::from(error)))
            })
            .map_err(without_carrier)?;
        let warnings = outcome.warnings.iter().map(ToString::to_string).collect();
        let (generation, changed) = (outcome.generation, outcome.changed);
        // The process ends soon: taking states of 100 000 rules apart would only make it later.
        std::mem::forget((outcome.before, outcome.state));
        Ok(Written { generation, changed, warnings })
    }

    /// Resolves group members anew and puts the result in force.
    ///
    /// # Errors
    /// As [`Host::change`].
    pub fn refresh(&mut self, options: &WriteOptions) -> anyhow::Result<Written> {
        self.change("refresh", options, &mut |_| Ok(()))
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The error of a plan as it was, without the layers that carried it.
fn without_carrier(error: TransactionError) -> anyhow::Error {
    match error {
        TransactionError::Plan(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => failure.0,
            Err(inner) => TransactionError::Plan(inner).into(),
        },
        other => other.into(),
    }
}

fn plan(
    base: &Base<'_>,
    Known { facts, attached }: &Known,
    force: bool,
    edit: &mut dyn FnMut(&mut Policy) -> anyhow::Result<()>,
) -> anyhow::Result<State> {
    let mut state = base.state.clone();
    edit(&mut state.policy)?;
    if let Some(finding) = check::errors_since(&base.state.policy, &state.policy).into_iter().next()
    {
        return Err(crate::error::refuse(finding.message, finding.help));
    }
    let device_of =
        |name: &str| base.state.endpoints.get(name).and_then(|e| attached.get(&e.number)).copied();
    for (name, interface) in &state.policy.interfaces {
        if device_of(name).is_some() {
            continue;
        }
        match devices::by_name(&facts.devices, name) {
            Some(device) => acceptance::accept(device, interface.hook, &facts.devices)?,
            None if interface.wait || base.state.policy.interfaces.contains_key(name) => {}
            None => return Err(acceptance::missing(name, &facts.devices).into()),
        }
    }
    state.members = members(&state.policy, facts, device_of);
    let loaded = base.state.policy.options.conntrack_max;
    let wanted = state.policy.options.conntrack_max;
    if loaded != wanted && !attached.is_empty() {
        return Err(crate::error::refuse(
            format!(
                "conntrack-max cannot change from {loaded} to {wanted} while interfaces are attached"
            ),
            "detach the interfaces, apply the file, and attach them again",
        ));
    }
    if !force {
        guard::ssh(base.state, &state, facts, device_of)?;
    }
    Ok(state)
}

/// Rules of an interface, for those who ask about one.
pub(super) fn rules_of<'s>(
    state: &'s State,
    name: &str,
) -> Option<crate::policy::resolve::Resolved<'s>> {
    let interface = state.policy.interfaces.get(name)?;
    Some(resolve_for(state, &group_set(interface)))
}
