//! The store: what a host is asked to enforce, and what of it the kernel was given.
//!
//! Three layers, each in files of its own:
//! - [`Store`] keeps *documents* (bytes under a key) of a committed generation and at most one
//!   pending change. [`Embedded`] is the one of a single host; a distributed one implements the same
//!   trait.
//! - [`State`] is the typed content; [`Snapshot`] is a state together with its documents, so that
//!   only what differs is written.
//! - [`lock`] lets one writer at a time work on store and kernel together, and [`last_good`] is what
//!   remains when the store itself is lost.
//!
//! The protocol that changes store and kernel together is [`crate::transaction`].

pub mod directory;
mod embedded;
mod encode;
mod error;
pub mod last_good;
pub mod lock;
mod pool;
mod snapshot;
mod state;

use std::collections::BTreeMap;
use std::path::Path;

pub use embedded::Embedded;
pub use error::StoreError;
pub use pool::{Assigned, Pool, PoolFull};
pub use snapshot::Snapshot;
pub use state::{Belonging, Carrier, Endpoint, Endpoints, ImageKey, NamespaceId, State};

/// Documents by key.
pub type Documents = BTreeMap<Box<str>, Vec<u8>>;

/// Documents to write (`Some`) and to remove (`None`).
pub type Change = BTreeMap<Box<str>, Option<Vec<u8>>>;

/// Who made a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Seconds since 1970, by the caller's clock.
    pub time: u64,
    /// The command, as a person would type it.
    pub command: String,
}

impl Note {
    /// The command as it can be shown on a terminal.
    #[must_use]
    pub fn shown(&self) -> String {
        printable(&self.command)
    }
}

/// What another process left is shown on a terminal: nothing but text.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A generation in the store's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub generation: u64,
    /// Who made it.
    pub note: Note,
}

/// A change that is stored but not in force yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The generation that it makes.
    pub generation: u64,
    /// Who makes it.
    pub note: Note,
    /// What differs from the committed documents.
    pub change: Change,
}

/// One consistent view of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The committed generation; 0 = nothing was ever stored.
    pub generation: u64,
    /// The documents of that generation.
    pub documents: Documents,
    /// The pending change.
    pub pending: Option<Pending>,
}

/// Generations that a store remembers in its history.
pub const HISTORY: u64 = 50;

/// Where the documents of one host are kept.
///
/// Writes are made only by the holder of the host's [`lock`], except that [`Store::stage`] compares
/// the base in the same atomic step, so that a store that several hosts or programs can write never
/// loses an update. Every write is durable when it returns.
pub trait Store {
    /// What names the store in messages.
    fn location(&self) -> &Path;

    /// The committed documents and the pending change, as one consistent view. Never waits for a
    /// writer longer than its single writes take.
    ///
    /// # Errors
    /// A store that is damaged, of another program or of a later version is an error; one that was
    /// never written is not, it is generation 0.
    fn read(&mut self) -> Result<Stored, StoreError>;

    /// Stores `change` to the documents of generation `base` as the pending one that makes
    /// `generation`. Takes the place of an earlier pending change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the committed generation is not `base`; nothing is stored on any
    /// error.
    fn stage(
        &mut self,
        base: u64,
        generation: u64,
        change: &Change,
        note: &Note,
    ) -> Result<(), StoreError>;

    /// Makes the pending change that makes `generation` the committed one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if that is not what is pending. On any error the change stays
    /// pending.
    fn commit(&mut self, generation: u64) -> Result<(), StoreError>;

    /// Drops the pending change, if there is one.
    ///
    /// # Errors
    /// On any error the change stays pending.
    fn discard(&mut self) -> Result<(), StoreError>;

    /// The last [`HISTORY`] committed generations, newest first.
    ///
    /// # Errors
    /// As [`Store::read`].
    fn history(&mut self) -> Result<Vec<Record>, StoreError>;
}
