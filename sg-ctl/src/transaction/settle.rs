//! What the next command does about an interrupted one.

use super::error::{TransactionError, Warning};
use super::kernel::{BoxError, Kernel};
use super::{Base, Session, View, next_generation};
use crate::fault;
use crate::store::{Belonging, Pending, Snapshot, State, Store, StoreError};

/// Store and kernel as the holder of the lock found them, or brought them to.
pub(super) struct Settled {
    /// What there is.
    pub(super) view: View,
    /// Whether what the kernel holds is void or unknown: it enforces nothing, something of a
    /// namespace that is gone, or a generation that the store does not know.
    pub(super) lost: bool,
    /// Why the store or the kernel is not ready for another change.
    pub(super) blocked: Option<TransactionError>,
}

impl Settled {
    /// Whether the state has to be enforced anew.
    pub(super) fn is_lost(&self) -> bool {
        let unknown = self.view.enforced.is_some();
        self.lost && (unknown || !self.view.snapshot.state.endpoints.is_empty())
    }

    /// Refuses where an interrupted change could not be brought to its end.
    pub(super) fn may_write(&mut self) -> Result<(), TransactionError> {
        self.blocked.take().map_or(Ok(()), Err)
    }

    /// What a plan starts from.
    pub(super) fn base(&self) -> Base<'_> {
        let View { snapshot, enforced, .. } = &self.view;
        let next = next_generation(snapshot.generation, *enforced);
        Base { generation: snapshot.generation, next, state: &snapshot.state }
    }
}

impl<S: Store, K: Kernel> Session<'_, S, K> {
    /// Brings an interrupted change to its end, under the lock. With `mend` a kernel that does not
    /// fit the store is no error.
    pub(super) fn settle(&mut self, mend: bool) -> Result<Settled, TransactionError> {
        let mut stored = self.store.read()?;
        let enforced = self.enforced()?;
        let path = self.store.location().to_path_buf();
        let forward = match &stored.pending {
            Some(pending) if enforced == Some(pending.generation) => {
                Snapshot::pending(&stored, &path)?
            }
            _ => None,
        };
        let pending = stored.pending.take();
        let committed = Snapshot::committed(stored, &path)?;
        let belonging = self.belonging(&committed.state)?;
        match (pending, forward) {
            (Some(pending), Some(snapshot)) => self.complete(&pending, snapshot),
            (pending, _) => {
                let unknown = enforced.filter(|kernel| *kernel != committed.generation);
                if let (Some(kernel), false) = (unknown, mend) {
                    return Err(TransactionError::Mismatch { kernel, store: committed.generation });
                }
                let void = enforced.is_none() || belonging == Belonging::Successor;
                let view = View { snapshot: committed, enforced, warnings: Vec::new() };
                let mut settled = Settled { view, lost: void || unknown.is_some(), blocked: None };
                if let Some(pending) = pending {
                    self.undo(&pending, &mut settled);
                }
                if !self.is_finished(&settled.view.snapshot, enforced)? {
                    self.finish_late(&mut settled)?;
                }
                Ok(settled)
            }
        }
    }

    /// Rolls an interrupted change forward: the kernel enforces it already.
    fn complete(
        &mut self,
        pending: &Pending,
        snapshot: Snapshot,
    ) -> Result<Settled, TransactionError> {
        let generation = pending.generation;
        let view = View { snapshot, enforced: Some(generation), warnings: Vec::new() };
        let mut settled = Settled { view, lost: false, blocked: None };
        let warnings = &mut settled.view.warnings;
        match self.store.commit(generation) {
            Ok(()) => {
                let command = pending.note.shown();
                warnings.push(Warning::Completed { generation, command });
                self.finish_late(&mut settled)?;
                let View { snapshot, warnings, .. } = &mut settled.view;
                self.record(&snapshot.state, warnings);
            }
            Err(error) => {
                settled.blocked = Some(self.again(&error));
                warnings.push(Warning::NotRecorded { generation, error });
            }
        }
        Ok(settled)
    }

    /// Finishes what an interrupted command did not. With the last interface the word goes too.
    fn finish_late(&mut self, settled: &mut Settled) -> Result<(), TransactionError> {
        let View { snapshot, enforced, warnings } = &mut settled.view;
        self.finish(&snapshot.state, warnings);
        *enforced = self.enforced()?;
        settled.lost |= enforced.is_none();
        Ok(())
    }

    /// Whether the kernel holds nothing that a committed state does not have. Where it enforces
    /// nothing although there is something to enforce, that is no question of finishing.
    pub(super) fn is_finished(
        &self,
        committed: &Snapshot,
        enforced: Option<u64>,
    ) -> Result<bool, TransactionError> {
        let applies = match enforced {
            Some(kernel) => kernel == committed.generation,
            None => committed.generation > 0 && committed.state.endpoints.is_empty(),
        };
        let asked = || self.kernel.is_finished(&committed.state);
        let failed = TransactionError::kernel("look at what is attached");
        if applies { asked().map_err(failed) } else { Ok(true) }
    }

    /// Removes what a committed state does not have.
    pub(super) fn finish(&mut self, state: &State, warnings: &mut Vec<Warning>) {
        let finished = self.kernel.finish(state).map_err(Into::into);
        let finished = finished.and_then(|()| fault::point("detached").map_err(BoxError::from));
        if let Err(error) = finished {
            warnings.push(Warning::NotFinished(error));
        }
    }

    /// Drops an interrupted change: the kernel never enforced it.
    fn undo(&mut self, pending: &Pending, settled: &mut Settled) {
        if let Err(error) = self.kernel.abandon(&settled.view.snapshot.state) {
            let error = error.into();
            settled.blocked = Some(TransactionError::Kernel {
                step: "remove what an interrupted command left",
                source: error.to_string().into(),
            });
            settled.view.warnings.push(Warning::NotUndone(error));
        } else if self.store.discard().is_ok() {
            // A pending change that stays is dropped, or replaced, by the next one that can write.
            let command = pending.note.shown();
            settled.view.warnings.push(Warning::Undone { command });
        }
    }

    /// An error like `error`, which itself goes into a warning.
    fn again(&self, error: &StoreError) -> TransactionError {
        let path = self.directory().to_path_buf();
        match error {
            StoreError::NoSpace { .. } => StoreError::NoSpace { path }.into(),
            StoreError::ReadOnly { .. } => StoreError::ReadOnly { path }.into(),
            error => TransactionError::Kernel {
                step: "commit an interrupted command",
                source: error.to_string().into(),
            },
        }
    }

    /// Refuses the state of another namespace.
    pub(super) fn belonging(&self, state: &State) -> Result<Belonging, TransactionError> {
        let Some(recorded) = &state.namespace else { return Ok(Belonging::Same) };
        match self.namespace.belonging(recorded) {
            Belonging::Other => Err(StoreError::Namespace {
                path: self.directory().to_path_buf(),
                recorded: recorded.label.clone(),
                asked: self.namespace.label.clone(),
            }
            .into()),
            belonging => Ok(belonging),
        }
    }
}
