//! One change, from the wanted state to the committed one.

use super::error::{TransactionError, Warning};
use super::kernel::Kernel;
use super::settle::Settled;
use super::{Outcome, Session, View};
use crate::fault;
use crate::store::last_good::LastGood;
use crate::store::{Belonging, Snapshot, State, Store, StoreError};

impl<S: Store, K: Kernel> Session<'_, S, K> {
    /// Makes `wanted` the state. With `renew` it is enforced even if it is the state already, and
    /// where the kernel holds nothing a store that cannot be written does not stop that: the kernel
    /// is then brought to the committed generation itself.
    pub(super) fn change(
        &mut self,
        settled: Settled,
        wanted: State,
        renew: bool,
    ) -> Result<Outcome, TransactionError> {
        let next = settled.base().next;
        let Settled { view: View { snapshot, enforced, mut warnings }, lost, .. } = settled;
        let nothing = State::default();
        let old = if lost { &nothing } else { &snapshot.state };
        let (mut state, mut placed) = self.place(next, old, wanted)?;
        if state == snapshot.state && !renew {
            let Snapshot { generation, state: before, .. } = snapshot;
            return Ok(Outcome { generation, changed: false, before, state, warnings });
        }
        self.sign(&snapshot.state, &mut state);

        let mut generation = next;
        let mut unstaged = None;
        let change = snapshot.change_to(&state);
        if let Err(error) = self.store.stage(snapshot.generation, next, &change, &self.note) {
            let restore = renew && enforced.is_none() && snapshot.generation > 0;
            if !restore || !error.is_unwritable() {
                // A failed write may have been stored nevertheless; nothing is prepared yet.
                let _ = self.store.discard();
                return Err(error.into());
            }
            generation = snapshot.generation;
            (state, placed) = self.place(generation, old, snapshot.state.clone())?;
            unstaged = Some(error);
        }
        match self.put_in_force(generation, placed) {
            Ok(told) => warnings.extend(told.into_iter().map(Warning::Kernel)),
            Err(failure) => return Err(self.take_back(&snapshot.state, failure)),
        }

        // In force: from here on nothing is an error any more.
        if let Err(error) = fault::point("flipped") {
            warnings.push(Warning::NotFinished(error.into()));
        }
        if let Some(error) = unstaged {
            warnings.push(Warning::NotStored(error));
        } else {
            match self.store.commit(generation) {
                Ok(()) => {
                    self.finish(&state, &mut warnings);
                    self.record(&state, &mut warnings);
                }
                // What left stays until the store knows that it did.
                Err(error) => warnings.push(Warning::NotRecorded { generation, error }),
            }
        }
        Ok(Outcome { generation, changed: true, before: snapshot.state, state, warnings })
    }

    /// Gives everything its place, as the kernel side wants it.
    pub(super) fn place(
        &self,
        generation: u64,
        old: &State,
        wanted: State,
    ) -> Result<(State, K::Placed), TransactionError> {
        self.kernel
            .place(generation, old, wanted)
            .map_err(|error| TransactionError::Plan(error.into()))
    }

    /// Writes into a state whose it is.
    fn sign(&self, former: &State, state: &mut State) {
        state.namespace = match former.namespace.clone() {
            Some(recorded) if self.namespace.belonging(&recorded) == Belonging::Same => {
                Some(recorded)
            }
            _ => Some(self.namespace.clone()),
        };
    }

    /// Everything in the kernel up to the flip. On an error it enforces what it did before.
    fn put_in_force(
        &mut self,
        generation: u64,
        placed: K::Placed,
    ) -> Result<Vec<String>, TransactionError> {
        const FLIP: &str = "put the change in force";
        let told = self
            .kernel
            .prepare(placed)
            .map_err(TransactionError::kernel("prepare the change in the kernel"))?;
        for step in ["prepared", "flip"] {
            fault::point(step).map_err(TransactionError::kernel(FLIP))?;
        }
        match self.kernel.flip(generation) {
            // What counts is the kernel's word, not what the call said.
            Err(error) if self.enforced().ok() != Some(Some(generation)) => {
                Err(TransactionError::kernel(FLIP)(error))
            }
            _ => Ok(told),
        }
    }

    /// Undoes a change that failed before the flip.
    fn take_back(&mut self, state: &State, failure: TransactionError) -> TransactionError {
        match self.kernel.abandon(state) {
            // The next command sees the pending change and tries again.
            Err(undo) => TransactionError::Undo { failure: failure.into(), undo: undo.into() },
            Ok(()) => {
                // If this fails, the next command drops it.
                let _ = self.store.discard();
                failure
            }
        }
    }

    /// Enforces the committed state in a kernel that holds nothing, or nothing that counts.
    pub(super) fn enforce(&mut self, settled: Settled) -> Result<Settled, TransactionError> {
        let mut base = settled.view.snapshot.clone();
        let wanted = base.state.clone();
        let mut outcome = self.change(settled, wanted, true)?;
        let generation = outcome.generation;
        outcome.warnings.push(Warning::Restored { generation });
        let unstored = |warning: &Warning| {
            matches!(warning, Warning::NotRecorded { .. } | Warning::NotStored(_))
        };
        if outcome.warnings.iter().any(unstored) {
            base.state = outcome.state;
            let view =
                View { snapshot: base, enforced: Some(generation), warnings: outcome.warnings };
            return Ok(Settled { view, lost: false, blocked: None });
        }
        let mut settled = self.settle(false)?;
        settled.view.warnings.splice(0..0, outcome.warnings);
        Ok(settled)
    }

    /// Writes the last good copy.
    pub(super) fn record(&self, state: &State, warnings: &mut Vec<Warning>) {
        let written = LastGood::from(state).write(self.directory()).and_then(|()| {
            fault::point("recorded")
                .map_err(|error| StoreError::io("write", self.directory(), error))
        });
        if let Err(error) = written {
            warnings.push(Warning::NoLastGood(error));
        }
    }
}
