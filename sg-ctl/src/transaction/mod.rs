//! Changing store and kernel together.
//!
//! Under the host's lock a change of generation N goes through these steps:
//!
//! 1. **stage**: everything gets its place, and generation N+1 is stored as pending, synced;
//! 2. **prepare**: images, links, seeds, the idle directory: everything in the kernel but the flip;
//! 3. **flip**: one word in the kernel; from here on N+1 is in force;
//! 4. **commit**: the pending generation becomes the committed one, synced;
//! 5. **finish**: links, pins and images that left are removed.
//!
//! Whoever comes next after an interruption, reads included, brings the change to its end. If it
//! finds a pending change, it looks at the kernel's word: N+1, and it does 4 and 5; N or none, and
//! it removes what step 2 left and drops what step 1 stored. So until the commit the word alone
//! decides which state counts, and the store has both; that is why nothing is removed before it, as
//! with the last interface the word goes too. If nothing is pending but something is left that the
//! state does not have, it does 5.
//!
//! After a restart of the host the kernel holds no word, the committed state counts, and the next
//! write or [`Session::restore`] enforces it as a change from nothing.

mod change;
mod error;
mod kernel;
mod settle;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{TransactionError, Warning};
pub use kernel::{BoxError, Kernel};

use crate::store::lock::{Holder, Lock, LockError, Patience};
use crate::store::{NamespaceId, Note, Snapshot, State, Store};

/// A command's access to store and kernel.
pub struct Session<'a, S, K> {
    /// Where the state is kept.
    pub store: S,
    /// What enforces it.
    pub kernel: K,
    /// The state directory: place of the lock and the last good copy.
    pub directory: PathBuf,
    /// The namespace in which the command works.
    pub namespace: NamespaceId,
    /// Who works, for the history and for others who wait.
    pub note: Note,
    /// How long a busy lock is waited for.
    pub timeout: Duration,
    /// Called when the wait lasts.
    pub waiting: Box<dyn FnMut(&Holder) + 'a>,
}

/// Conditions of a write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Refuse unless this is the committed generation.
    pub if_generation: Option<u64>,
    /// Only say what would be.
    pub dry_run: bool,
    /// Bring the kernel to the state even if that stays the same: devices may have come since.
    pub renew: bool,
    /// Go on where kernel and store do not fit together: the new state replaces whatever the kernel
    /// enforces.
    pub mend: bool,
}

/// What a plan starts from.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The committed generation.
    pub generation: u64,
    /// The generation that the change will make.
    pub next: u64,
    /// The committed state.
    pub state: &'a State,
}

/// A consistent view of store and kernel.
#[derive(Debug)]
pub struct View {
    /// The state that counts.
    pub snapshot: Snapshot,
    /// The generation that the kernel enforces: the snapshot's, or none after a restart.
    pub enforced: Option<u64>,
    /// What should be told.
    pub warnings: Vec<Warning>,
}

/// Result of a write.
#[derive(Debug)]
pub struct Outcome {
    /// The generation now in force; of a dry run the one that would be.
    pub generation: u64,
    /// Whether there was anything to change.
    pub changed: bool,
    /// The state before.
    pub before: State,
    /// The state now, or as it would be.
    pub state: State,
    /// What should be told.
    pub warnings: Vec<Warning>,
}

impl<S: Store, K: Kernel> Session<'_, S, K> {
    /// The state that counts. Brings an interrupted change to its end; of one that is under way it
    /// sees what is in force at the moment, without waiting for it.
    ///
    /// # Errors
    /// [`TransactionError::Mismatch`] if store and kernel do not fit together.
    pub fn read(&mut self) -> Result<View, TransactionError> {
        let stored = self.store.read()?;
        let enforced = self.enforced()?;
        // A writer may have committed between these two looks; the lock makes them one.
        if stored.pending.is_none() && enforced.is_none_or(|kernel| kernel == stored.generation) {
            let snapshot = Snapshot::committed(stored, self.store.location())?;
            self.belonging(&snapshot.state)?;
            if self.is_finished(&snapshot, enforced)? {
                return Ok(View { snapshot, enforced, warnings: Vec::new() });
            }
        }
        let mut impatient = Patience { timeout: Duration::ZERO, waiting: &mut |_| {} };
        let _lock = match Lock::acquire(&self.directory, &self.note.command, &mut impatient) {
            Err(LockError::Busy { .. }) => match self.under_way()? {
                Some(view) => return Ok(view),
                None => self.lock()?,
            },
            other => other?,
        };
        Ok(self.settle(false)?.view)
    }

    /// What is in force while another process makes a change; `None` where that cannot be told.
    fn under_way(&mut self) -> Result<Option<View>, TransactionError> {
        let stored = self.store.read()?;
        let enforced = self.enforced()?;
        let path = self.store.location().to_path_buf();
        let pending = stored.pending.as_ref().map(|pending| pending.generation);
        let snapshot = match enforced {
            Some(kernel) if Some(kernel) == pending => Snapshot::pending(&stored, &path)?,
            Some(kernel) if kernel != stored.generation => None,
            _ => Some(Snapshot::committed(stored, &path)?),
        };
        let Some(snapshot) = snapshot else { return Ok(None) };
        self.belonging(&snapshot.state)?;
        Ok(Some(View { snapshot, enforced, warnings: Vec::new() }))
    }

    /// Changes the state to the one that `plan` makes of it, all or nothing.
    ///
    /// # Errors
    /// Nothing changed. See [`TransactionError`].
    pub fn write(
        &mut self,
        request: Request,
        plan: impl FnOnce(Base<'_>) -> Result<State, BoxError>,
    ) -> Result<Outcome, TransactionError> {
        if request.dry_run {
            return self.try_out(request, plan);
        }
        let _lock = self.lock()?;
        let mut settled = self.settle(request.mend)?;
        settled.may_write()?;
        check_generation(request, settled.view.snapshot.generation)?;
        if settled.is_lost() && !request.mend {
            settled = self.enforce(settled)?;
            settled.may_write()?;
        }
        let new = plan(settled.base()).map_err(TransactionError::Plan)?;
        self.change(settled, new, request.renew)
    }

    /// Enforces the committed state where the kernel holds none, or one that the store does not
    /// know. Works also while the store cannot be written.
    ///
    /// # Errors
    /// [`TransactionError::Mismatch`] if the store is empty and the kernel is not.
    pub fn restore(&mut self) -> Result<View, TransactionError> {
        let _lock = self.lock()?;
        let settled = self.settle(true)?;
        let mismatch = settled.view.enforced.filter(|_| settled.view.snapshot.generation == 0);
        if let Some(kernel) = mismatch {
            return Err(TransactionError::Mismatch { kernel, store: 0 });
        }
        let settled = if settled.is_lost() { self.enforce(settled)? } else { settled };
        Ok(settled.view)
    }

    /// A write that only says what it would do.
    fn try_out(
        &mut self,
        request: Request,
        plan: impl FnOnce(Base<'_>) -> Result<State, BoxError>,
    ) -> Result<Outcome, TransactionError> {
        let View { snapshot, enforced, warnings } = self.read()?;
        check_generation(request, snapshot.generation)?;
        let next = next_generation(snapshot.generation, enforced);
        let base = Base { generation: snapshot.generation, next, state: &snapshot.state };
        let wanted = plan(base).map_err(TransactionError::Plan)?;
        let nothing = State::default();
        let old = if enforced.is_some() { &snapshot.state } else { &nothing };
        let (state, _) = self.place(next, old, wanted)?;
        let changed = state != snapshot.state;
        let generation = if changed { next } else { snapshot.generation };
        Ok(Outcome { generation, changed, before: snapshot.state, state, warnings })
    }

    fn lock(&mut self) -> Result<Lock, TransactionError> {
        let mut patience = Patience { timeout: self.timeout, waiting: &mut *self.waiting };
        let lock = Lock::acquire(&self.directory, &self.note.command, &mut patience)?;
        self.kernel.reopen().map_err(TransactionError::kernel("look at the kernel's state"))?;
        Ok(lock)
    }

    /// The kernel's word.
    fn enforced(&self) -> Result<Option<u64>, TransactionError> {
        let generation = self.kernel.generation();
        let generation =
            generation.map_err(TransactionError::kernel("read the kernel's generation"))?;
        // The word before it is first set.
        Ok(generation.filter(|generation| *generation != 0))
    }

    /// The state directory.
    fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Refuses what was meant for another generation.
fn check_generation(request: Request, actual: u64) -> Result<(), TransactionError> {
    match request.if_generation {
        Some(expected) if expected != actual => {
            Err(TransactionError::Generation { expected, actual })
        }
        _ => Ok(()),
    }
}

/// The generation after these: larger than both, and of the other directory than the kernel's.
fn next_generation(committed: u64, enforced: Option<u64>) -> u64 {
    match enforced {
        Some(kernel) if kernel < committed && (committed + 1) % 2 == kernel % 2 => committed + 2,
        Some(kernel) => committed.max(kernel) + 1,
        None => committed + 1,
    }
}

#[cfg(test)]
mod tests;
