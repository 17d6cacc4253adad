//! The last good copy: what decides at boot when the store itself cannot be read.
//!
//! A small file of its own beside the database, replaced in one step after a commit that changed
//! what it holds. It carries a checksum, so that damage to it is noticed too.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::state::{NamespaceId, State};
use super::{StoreError, directory};
use crate::policy::model::{Interface, Options};

/// Name of the file in the state directory.
pub const FILE: &str = "last-good.json";

/// Format of the file.
const FORMAT: u32 = 1;

/// What is known of the last committed state without the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LastGood {
    /// Its options.
    pub options: Options,
    /// Its interfaces.
    pub interfaces: BTreeMap<Box<str>, Interface>,
    /// Its network namespace.
    pub namespace: Option<NamespaceId>,
}

/// What stands around it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Envelope {
    format: u32,
    /// BLAKE3 of the text of `content`.
    checksum: String,
    content: Box<serde_json::value::RawValue>,
}

impl From<&State> for LastGood {
    fn from(state: &State) -> Self {
        let interfaces = state.policy.interfaces.iter();
        Self {
            options: state.policy.options.clone(),
            interfaces: interfaces
                .map(|(name, value)| (name.as_ref().into(), value.clone()))
                .collect(),
            namespace: state.namespace.clone(),
        }
    }
}

impl LastGood {
    /// Reads the copy in a state directory; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Newer`] if it cannot be understood.
    pub fn read(state_directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = state_directory.join(FILE);
        let corrupt = |detail: String| StoreError::Corrupt { path: path.clone(), detail };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let envelope: Envelope =
            serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if envelope.format > FORMAT {
            let found = envelope.format;
            return Err(StoreError::Newer { path, found, supported: FORMAT });
        }
        if checksum(envelope.content.get()) != envelope.checksum {
            return Err(corrupt("its content is not what was written".into()));
        }
        let content = serde_json::from_str(envelope.content.get());
        content.map(Some).map_err(|error| corrupt(error.to_string()))
    }

    /// Replaces the copy in a state directory, durably and in one step, if it differs.
    ///
    /// # Errors
    /// The former copy stays on any error.
    pub fn write(&self, state_directory: &Path) -> Result<(), StoreError> {
        let path = state_directory.join(FILE);
        let text = self.text().map_err(|error| StoreError::io("write", &path, error.into()))?;
        if fs::read(&path).is_ok_and(|former| former == text) {
            return Ok(());
        }
        let new = path.with_extension("json.new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&text)?;
            File::sync_all(&file)?;
            fs::rename(&new, &path)
        };
        if let Err(error) = write() {
            let _ = fs::remove_file(&new);
            return Err(StoreError::io("write", &path, error));
        }
        directory::sync(state_directory)
    }

    /// The file's text.
    fn text(&self) -> serde_json::Result<Vec<u8>> {
        let content = serde_json::value::to_raw_value(self)?;
        let checksum = checksum(content.get());
        serde_json::to_vec(&Envelope { format: FORMAT, checksum, content })
    }
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
