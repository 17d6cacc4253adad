//! A state together with the documents that it came from.

use std::path::Path;

use super::encode::{BadDocument, change, decode};
use super::{Change, Documents, State, StoreError, Stored};

/// A state as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The generation; 0 = nothing was ever stored.
    pub generation: u64,
    /// The state.
    pub state: State,
    /// Its documents, against which a new state is compared.
    documents: Documents,
}

impl Snapshot {
    /// The committed state of a store. `path` names the store in errors.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a document means nothing.
    pub fn committed(stored: Stored, path: &Path) -> Result<Self, StoreError> {
        Self::new(stored.generation, stored.documents, path)
    }

    /// The state that the pending change makes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a document means nothing.
    pub fn pending(stored: &Stored, path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(pending) = &stored.pending else { return Ok(None) };
        let mut documents = stored.documents.clone();
        for (key, value) in &pending.change {
            match value {
                Some(value) => documents.insert(key.clone(), value.clone()),
                None => documents.remove(key),
            };
        }
        Self::new(pending.generation, documents, path).map(Some)
    }

    fn new(generation: u64, documents: Documents, path: &Path) -> Result<Self, StoreError> {
        let state = decode(&documents).map_err(|BadDocument { key, detail }| {
            let path = path.to_path_buf();
            StoreError::Corrupt { path, detail: format!("document `{key}`: {detail}") }
        })?;
        Ok(Self { generation, state, documents })
    }

    /// What has to be written so that the store has `state`. Empty if that is what it has.
    #[must_use]
    pub fn change_to(&self, state: &State) -> Change {
        change(&self.state, &self.documents, state)
    }
}
