//! Why a transaction failed, and what a successful one has to say.

use super::kernel::BoxError;
use crate::store::StoreError;
use crate::store::lock::LockError;

/// Failure of a transaction. Nothing changed, unless `undo` says what could not be undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock was not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The new state could not be made from the old one.
    #[error(transparent)]
    Plan(BoxError),
    /// `--if-generation` named another generation.
    #[error("generation {expected} was asked for, but the state is at generation {actual}")]
    Generation {
        /// The generation that was asked for.
        expected: u64,
        /// The committed one.
        actual: u64,
    },
    /// The kernel side failed.
    #[error("cannot {step}")]
    Kernel {
        /// What was tried, as a verb.
        step: &'static str,
        /// Why it failed.
        source: BoxError,
    },
    /// A step of a change failed, and undoing it did too. What is left does not change a verdict, and
    /// the next command removes it.
    #[error("the change failed, and what it had prepared could not be removed yet: {undo}")]
    Undo {
        /// Why the change failed.
        #[source]
        failure: Box<TransactionError>,
        /// Why it could not be undone.
        undo: BoxError,
    },
    /// Kernel and store are at different generations, and no interrupted change explains it.
    #[error("the kernel enforces generation {kernel}, the store is at generation {store}")]
    Mismatch {
        /// The kernel's generation.
        kernel: u64,
        /// The store's.
        store: u64,
    },
}

impl TransactionError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Lock(error) => error.help(),
            Self::Generation { actual, .. } => {
                Some(format!("look at generation {actual} and repeat the command"))
            }
            Self::Undo { failure, .. } => failure.help(),
            Self::Mismatch { store: 0, .. } => Some(
                "the kernel goes on filtering; put the state directory back from a backup, or \
                 `sg-ctl apply --force` the policy file"
                    .into(),
            ),
            Self::Mismatch { store, .. } => Some(format!(
                "the kernel goes on filtering; `sg-ctl restore` enforces generation {store} of the \
                 store, `sg-ctl apply --force` a policy file"
            )),
            Self::Plan(_) | Self::Kernel { .. } => None,
        }
    }

    /// A closure that makes a kernel error of a step.
    pub(super) fn kernel<E: Into<BoxError>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Kernel { step, source: error.into() }
    }
}

/// What a command that succeeded should tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// An interrupted change had reached the kernel and was brought to its end.
    #[error("an interrupted command was completed as generation {generation}: {command}")]
    Completed {
        /// The generation that it made.
        generation: u64,
        /// The command.
        command: String,
    },
    /// An interrupted change had not reached the kernel and was undone.
    #[error("an interrupted command had no effect: {command}")]
    Undone {
        /// The command.
        command: String,
    },
    /// The state was enforced again because the kernel held none.
    #[error("the kernel held no state: generation {generation} was enforced")]
    Restored {
        /// The generation now in force.
        generation: u64,
    },
    /// The kernel enforces a generation that the store could not commit.
    #[error(
        "generation {generation} is in force, but a restart of the host would undo it: {error}; \
         mend that and run any sg-ctl command"
    )]
    NotRecorded {
        /// The generation in force.
        generation: u64,
        /// Why the store failed.
        error: StoreError,
    },
    /// What the kernel side has to say.
    #[error("{0}")]
    Kernel(String),
    /// The state was enforced again without a note of it in the store.
    #[error("how the state was enforced could not be stored: {0}")]
    NotStored(StoreError),
    /// Something that left the state is still there.
    #[error(
        "not everything that is no longer needed could be removed (the next command tries again): {0}"
    )]
    NotFinished(BoxError),
    /// An interrupted change could not be undone yet. It changes no verdict.
    #[error("what an interrupted command had prepared could not be removed yet: {0}")]
    NotUndone(BoxError),
    /// The copy for a boot without a readable store is not up to date.
    #[error("the last good copy could not be written: {0}")]
    NoLastGood(StoreError),
}
