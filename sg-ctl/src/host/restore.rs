//! Bringing the enforced state back after a reboot, and interfaces that come late.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::enforcer::Known;
use super::facts::Facts;
use super::placement::place;
use super::{Host, Restored, WriteOptions};
use crate::datapath::devices;
use crate::policy::model::Interface;
use crate::store::last_good::LastGood;
use crate::store::{Note, Snapshot, State, Store, StoreError};

impl Host {
    /// Enforces the committed state where the kernel does not, and attaches interfaces whose devices
    /// have come since. With `only`, does nothing unless that interface is in the policy.
    ///
    /// # Errors
    /// As [`Host::change`].
    pub fn restore(&mut self, only: Option<&str>) -> anyhow::Result<Restored> {
        self.session.note = Note { time: super::write::now(), command: "restore".to_owned() };
        self.session.kernel.lenient = true;
        let before = self.attached()?;
        let state = match self.stored() {
            Err(error) if error.is_unreadable() => return Err(self.close(error)),
            other => other?,
        };
        if only.is_some_and(|name| !state.policy.interfaces.contains_key(name)) {
            return Ok(Restored {
                generation: self.kernel().generation().unwrap_or_default(),
                attached: Vec::new(),
                absent: Vec::new(),
                failed: Vec::new(),
                warnings: Vec::new(),
            });
        }
        let view = self.session.restore()?;
        let mut warnings: Vec<String> = view.warnings.iter().map(ToString::to_string).collect();
        // Devices that came, or came back, since the state was enforced.
        if self.has_unattached()? {
            let written = self.refresh_attachments()?;
            warnings.extend(written.warnings);
        }
        let after = self.attached()?;
        let (generation, state) = self.committed()?;
        let mut restored = Restored {
            generation,
            attached: Vec::new(),
            absent: Vec::new(),
            failed: Vec::new(),
            warnings,
        };
        let known = self.session.kernel.known.borrow();
        for (name, endpoint) in state.endpoints.iter() {
            match (before.get(&endpoint.number), after.get(&endpoint.number)) {
                (_, None) if devices::by_name(&known.facts.devices, name).is_some() => {
                    restored.failed.push(Arc::clone(name));
                }
                (_, None) => restored.absent.push(Arc::clone(name)),
                (was, Some(is)) if was != Some(is) => restored.attached.push(Arc::clone(name)),
                _ => {}
            }
        }
        drop(known);
        Ok(restored)
    }

    /// Devices that endpoints are attached to now.
    fn attached(&mut self) -> anyhow::Result<BTreeMap<u32, u32>> {
        self.session.kernel.look()?;
        Ok(self.session.kernel.known.borrow().attached.clone())
    }

    fn stored(&mut self) -> Result<State, StoreError> {
        let path = self.session.store.location().to_owned();
        Ok(Snapshot::committed(self.session.store.read()?, &path)?.state)
    }

    /// What is done where no state can be read (spec §5). A kernel that enforces something goes on
    /// with it. After a reboot the interfaces of the last good copy are attached without a group, so
    /// that what always passes by its `[options]` does and nothing else. Without a copy nothing is
    /// known and nothing attached. It is an error in each case, so that the unit fails.
    fn close(&mut self, error: StoreError) -> anyhow::Error {
        if self.kernel().generation().is_some() {
            return anyhow::Error::new(error).context(
                "the stored state cannot be read; the kernel goes on with what it enforces",
            );
        }
        let copy = match LastGood::read(&self.session.directory) {
            Ok(Some(copy)) => copy,
            Ok(None) => {
                return anyhow::Error::new(error).context(
                    "the stored state cannot be read and there is no last good copy: nothing is attached",
                );
            }
            Err(second) => {
                return anyhow::Error::new(error).context(format!(
                    "the stored state cannot be read, nor the last good copy ({second}): nothing is attached"
                ));
            }
        };
        match self.attach_closed(copy) {
            Ok(names) => anyhow::Error::new(error).context(format!(
                "the stored state cannot be read; by the last good copy only always-passed traffic passes on {}",
                names.join(", ")
            )),
            Err(second) => anyhow::Error::new(error)
                .context(format!("the stored state cannot be read, and closing its interfaces failed: {second:#}")),
        }
    }

    fn attach_closed(&mut self, copy: LastGood) -> anyhow::Result<Vec<String>> {
        let mut state = State::default();
        state.policy.options = copy.options;
        for (name, interface) in copy.interfaces {
            let closed = Interface { groups: Vec::new(), wait: true, ..interface };
            state.policy.interfaces.insert(name.into(), closed);
        }
        let names = state.policy.interfaces.keys().map(ToString::to_string).collect();
        let facts = Facts::gather()?;
        let (_, placed) = place(&State::default(), state, 1, &facts, |_| None)?;
        let kernel = &mut self.session.kernel.kernel;
        kernel.prepare(&placed.enforcement, true)?;
        kernel.flip_without_generation(placed.enforcement.generation);
        Ok(names)
    }

    /// Whether an interface of the state has a device that carries no filter.
    fn has_unattached(&mut self) -> anyhow::Result<bool> {
        let (_, state) = self.committed()?;
        self.session.kernel.look()?;
        let Known { facts, attached } = &*self.session.kernel.known.borrow();
        Ok(state.endpoints.iter().any(|(name, endpoint)| {
            !attached.contains_key(&endpoint.number)
                && devices::by_name(&facts.devices, name).is_some()
        }))
    }

    fn refresh_attachments(&mut self) -> anyhow::Result<super::Written> {
        let options = WriteOptions { force: true, ..WriteOptions::default() };
        self.change_or_renew("restore", &options, true, &mut |_| Ok(()))
    }
}
