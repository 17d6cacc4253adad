//! The kernel side of a transaction: places what is asked for, and brings the kernel to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use anyhow::Context;

use super::facts::Facts;
use super::placement::{Placed, place};
use crate::datapath::DatapathError;
use crate::datapath::kernel::Kernel;
use crate::store::State;
use crate::transaction;

/// The kernel of one network namespace, as transactions see it.
#[derive(Debug)]
pub(super) struct Enforcer {
    pub(super) kernel: Kernel,
    /// What was found of the host, renewed under the lock. The plan of a write sees it too.
    pub(super) known: Rc<RefCell<Known>>,
    /// An interface that cannot be attached is a warning: at boot the others must not stay open for
    /// it.
    pub(super) lenient: bool,
}

/// The host, and which devices its endpoints are attached to.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) facts: Facts,
    pub(super) attached: BTreeMap<u32, u32>,
}

impl Enforcer {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self { kernel, known: Rc::default(), lenient: false }
    }

    /// Asks the kernel for devices, addresses and attachments.
    pub(super) fn look(&self) -> anyhow::Result<()> {
        let facts = Facts::gather()?;
        let hooks = self.kernel.hooks(&facts.devices)?;
        let attached =
            hooks.into_iter().filter_map(|(n, hooks)| Some((n, hooks.device?))).collect();
        *self.known.borrow_mut() = Known { facts, attached };
        Ok(())
    }
}

/// An error of this layer on its way through a transaction.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) anyhow::Error);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.chain().nth(1)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl From<DatapathError> for Failure {
    fn from(error: DatapathError) -> Self {
        Self(error.into())
    }
}

fn endpoints(state: &State) -> BTreeSet<u32> {
    state.endpoints.iter().map(|(_, endpoint)| endpoint.number).collect()
}

impl transaction::Kernel for Enforcer {
    type Placed = Placed;
    type Error = Failure;

    fn generation(&self) -> Result<Option<u64>, Failure> {
        Ok(self.kernel.generation())
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.kernel.reopen()?;
        Ok(self.look()?)
    }

    fn place(
        &self,
        generation: u64,
        old: &State,
        wanted: State,
    ) -> Result<(State, Placed), Failure> {
        let known = self.known.borrow();
        let attached = |number| known.attached.get(&number).copied();
        Ok(place(old, wanted, generation, &known.facts, attached)?)
    }

    fn prepare(&mut self, placed: Placed) -> Result<Vec<String>, Failure> {
        let mut warnings = self.kernel.prepare(&placed.enforcement, self.lenient)?;
        let seeded = self
            .kernel
            .seed(&placed.seeds, &placed.enforcement.settings.timeouts)
            .context("cannot seed the connection table")?;
        warnings.extend(seeded);
        Ok(warnings)
    }

    fn flip(&mut self, generation: u64) -> Result<(), Failure> {
        Ok(self.kernel.flip(generation)?)
    }

    fn is_finished(&self, state: &State) -> Result<bool, Failure> {
        Ok(self.kernel.holds_only(&endpoints(state))?)
    }

    fn finish(&mut self, state: &State) -> Result<(), Failure> {
        Ok(self.kernel.retain(&endpoints(state))?)
    }

    fn abandon(&mut self, state: &State) -> Result<(), Failure> {
        let stay = match self.kernel.generation() {
            Some(_) => endpoints(state),
            None => BTreeSet::new(),
        };
        Ok(self.kernel.retain(&stay)?)
    }
}
