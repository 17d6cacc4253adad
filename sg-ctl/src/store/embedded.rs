//! The store of one host: a SQLite database in the state directory.
//!
//! ```text
//! head          one row: the committed generation
//! generations   a row for each generation that is remembered, and for the pending one:
//!               digest of its documents, time, command
//! documents     (key, generation) -> value; NULL where that generation removed the document
//! ```
//!
//! A document of a generation is its row with the largest number up to that generation. So staging
//! adds rows and committing changes one number; rows that no generation needs go with the commit, or
//! with a later one if the disk was full.
//!
//! **Why a rollback journal and not a write-ahead log:** reading a database in WAL mode needs space
//! for its shared-memory file, so on a full disk or a read-only file system even `status` and the
//! `restore` at boot would fail. With a journal that stays (`journal_mode=PERSIST`) reading writes
//! nothing, the commit's one small page finds the journal's space already there, and between two
//! commands the one file is complete, so that it can be copied. Every write is synced
//! (`synchronous=FULL`), which costs nine syncs a change where a log would cost three. Readers wait
//! only while a finished change is written to the file.
//!
//! **Why a digest:** SQLite notices a broken structure, but not a flipped bit in a value. The digest
//! of a generation is the sum of a hash of each of its documents, so it follows from the former
//! one and the change alone.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::{
    Change, Documents, HISTORY, Note, Pending, Record, Store, StoreError, Stored, directory,
};
use crate::fault;

/// Name of the database in the state directory.
const FILE: &str = "state.db";

/// `application_id` of the database: "sgct".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"sgct");

/// Format of the tables and documents: the database's `user_version`. The first change gives it to a
/// store of an earlier one.
///
/// - 1: the first.
/// - 2: there may be documents of blocks.
/// - 3: rules carry their counter slots.
const FORMAT: u32 = 3;

/// The earliest format that is read.
const EARLIEST: u32 = 1;

/// How long a single access waits for another process' single write.
const BUSY: Duration = Duration::from_secs(10);

/// Larger journals are cut to this size after use.
const JOURNAL: u32 = 1 << 20;

const SCHEMA: &str = "
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0, 0);
CREATE TABLE generations (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    time INTEGER NOT NULL,
    command TEXT NOT NULL
) STRICT;
CREATE TABLE documents (
    key TEXT NOT NULL,
    generation INTEGER NOT NULL,
    value BLOB,
    UNIQUE (key, generation)
) STRICT;
";

/// The embedded store. It is made by the first write; before that it reads as generation 0.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    path: PathBuf,
    connection: Option<Connection>,
}

/// Sum of the hashes of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest(u128);

impl Digest {
    fn of(key: &str, value: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
        hasher.update(value);
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        Self(u128::from_le_bytes(half))
    }

    fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn remove(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl Embedded {
    /// The store in a state directory. Nothing is opened or made yet.
    #[must_use]
    pub fn new(state_directory: &Path) -> Self {
        Self {
            directory: state_directory.to_path_buf(),
            path: state_directory.join(FILE),
            connection: None,
        }
    }

    /// The connection; `None` if the store was never written.
    fn open(&mut self) -> Result<Option<&mut Connection>, StoreError> {
        if self.connection.is_none() {
            // Not by opening the file: closing it again would drop SQLite's locks on it.
            match fs::metadata(&self.path) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StoreError::io("open", &self.path, error)),
            }
            directory::check(&self.directory)?;
            self.connection = Some(self.connect()?);
        }
        Ok(self.connection.as_mut())
    }

    /// Opens the database, which exists, and checks whose it is.
    fn connect(&self) -> Result<Connection, StoreError> {
        let failed = |error| StoreError::database(&self.path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let number = |pragma| {
            connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(failed)
        };
        let application_id = number("application_id")?;
        if application_id != APPLICATION_ID {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        let found = u32::try_from(number("user_version")?).unwrap_or(0);
        if !(EARLIEST..=FORMAT).contains(&found) {
            let path = self.path.clone();
            return Err(if found > FORMAT {
                StoreError::Newer { path, found, supported: FORMAT }
            } else {
                StoreError::Corrupt { path, detail: format!("there is no format {found}") }
            });
        }
        let set = || {
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // These two answer with a row.
            connection.pragma_update_and_check(None, "journal_mode", "PERSIST", |_| Ok(()))?;
            connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL, |_| Ok(()))
        };
        set().map_err(failed)?;
        Ok(connection)
    }

    /// Makes an empty database under its name in one step: a crash leaves none or a whole one.
    fn create(&self) -> Result<(), StoreError> {
        directory::create(&self.directory)?;
        let new = self.path.with_extension("db.new");
        let failed = |error| StoreError::database(&self.path, error);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &new, error));
            }
            _ => {}
        }
        // SQLite would make it with the permissions of the umask.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(|error| StoreError::io("create", &new, error))?;
        let make = || {
            let mut connection = Connection::open(&new)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()?;
            connection.close().map_err(|(_, error)| error)
        };
        let made = make().map_err(failed).and_then(|()| {
            fs::rename(&new, &self.path)
                .map_err(|error| StoreError::io("create", &self.path, error))
        });
        if made.is_err() {
            let _ = fs::remove_file(&new);
        }
        made?;
        directory::sync(&self.directory)
    }

    /// Runs `work` as one transaction that writes.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        if self.open()?.is_none() {
            self.create()?;
        }
        let path = self.path.clone();
        let Some(connection) = self.open()? else {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(StoreError::io("open", &path, error));
        };
        let run = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|error| match error {
            WriteError::Database(error) => StoreError::database(&path, error),
            WriteError::Store(error) => error,
        })
    }
}

/// Failure inside a write transaction.
enum WriteError {
    Database(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store for Embedded {
    fn location(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> Result<Stored, StoreError> {
        let path = self.path.clone();
        let Some(connection) = self.open()? else { return Ok(Stored::default()) };
        let failed = |error| StoreError::database(&path, error);
        let corrupt =
            |detail: &str| StoreError::Corrupt { path: path.clone(), detail: detail.to_owned() };
        let transaction = connection.transaction().map_err(failed)?;
        let generation = head(&transaction).map_err(failed)?;
        let mut stored = documents(&transaction, generation).map_err(failed)?;

        let mut digest = Digest::default();
        for (key, value) in &stored.documents {
            digest.add(Digest::of(key, value));
        }
        let recorded = recorded_digest(&transaction, generation).map_err(failed)?;
        if recorded != Some(digest) && (generation, digest) != (0, Digest::default()) {
            return Err(corrupt("its content is not what was written"));
        }
        if let Some(pending) = &mut stored.pending {
            let recorded = pending_generation(&transaction, generation).map_err(failed)?;
            let Some((number, note)) = recorded else {
                return Err(corrupt("a change of no generation"));
            };
            (pending.generation, pending.note) = (number, note);
            for (key, value) in &pending.change {
                if let Some(former) = stored.documents.get(key) {
                    digest.remove(Digest::of(key, former));
                }
                if let Some(value) = value {
                    digest.add(Digest::of(key, value));
                }
            }
            if recorded_digest(&transaction, number).map_err(failed)? != Some(digest) {
                return Err(corrupt("the pending change is not what was written"));
            }
        }
        Ok(stored)
    }

    fn stage(
        &mut self,
        base: u64,
        generation: u64,
        change: &Change,
        note: &Note,
    ) -> Result<(), StoreError> {
        point("stage", &self.path)?;
        self.write(|transaction| {
            let actual = head(transaction)?;
            if actual != base || generation <= base {
                return Err(StoreError::Conflict { expected: base, actual }.into());
            }
            drop_pending(transaction, base)?;
            // In the same transaction, so that no earlier version reads what it does not know.
            transaction.pragma_update(None, "user_version", FORMAT)?;
            let mut digest = recorded_digest(transaction, base)?.unwrap_or_default();
            let mut former = transaction.prepare(
                "SELECT value FROM documents WHERE key = ?1 AND generation <= ?2
                 ORDER BY generation DESC LIMIT 1",
            )?;
            let mut insert = transaction
                .prepare("INSERT INTO documents (key, generation, value) VALUES (?1, ?2, ?3)")?;
            for (key, value) in change {
                let former: Option<Option<Vec<u8>>> =
                    former.query_row(params![key, base as i64], |row| row.get(0)).optional()?;
                if let Some(former) = former.flatten() {
                    digest.remove(Digest::of(key, &former));
                }
                if let Some(value) = value {
                    digest.add(Digest::of(key, value));
                }
                insert.execute(params![key, generation as i64, value])?;
            }
            transaction.execute(
                "INSERT INTO generations VALUES (?1, ?2, ?3, ?4)",
                params![
                    generation as i64,
                    digest.0.to_be_bytes(),
                    i64::try_from(note.time).unwrap_or(i64::MAX),
                    note.command
                ],
            )?;
            Ok(())
        })?;
        point("staged", &self.path)
    }

    fn commit(&mut self, generation: u64) -> Result<(), StoreError> {
        point("commit", &self.path)?;
        match self.mark(generation, true) {
            // Tidying up needs more space in the journal than the mark alone.
            Err(StoreError::NoSpace { .. }) => self.mark(generation, false)?,
            result => result?,
        }
        point("committed", &self.path)
    }

    fn discard(&mut self) -> Result<(), StoreError> {
        if self.open()?.is_none() {
            return Ok(());
        }
        self.write(|transaction| {
            let generation = head(transaction)?;
            Ok(drop_pending(transaction, generation)?)
        })
    }

    fn history(&mut self) -> Result<Vec<Record>, StoreError> {
        let path = self.path.clone();
        let Some(connection) = self.open()? else { return Ok(Vec::new()) };
        let read = || {
            let mut query = connection.prepare(
                "SELECT number, time, command FROM generations
                 WHERE number <= (SELECT generation FROM head) ORDER BY number DESC LIMIT ?1",
            )?;
            let rows = query.query_map([HISTORY as i64], |row| {
                Ok(Record {
                    generation: row.get::<_, i64>(0)? as u64,
                    note: Note { time: row.get::<_, i64>(1)? as u64, command: row.get(2)? },
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| StoreError::database(&path, error))
    }
}

impl Embedded {
    /// Makes the pending generation the committed one; `tidy` removes what it made superfluous.
    fn mark(&mut self, generation: u64, tidy: bool) -> Result<(), StoreError> {
        self.write(|transaction| {
            let actual = head(transaction)?;
            match pending_generation(transaction, actual)? {
                Some((pending, _)) if pending == generation => {}
                _ => return Err(StoreError::Conflict { expected: generation, actual }.into()),
            }
            let number = generation as i64;
            transaction.execute("UPDATE head SET generation = ?1", [number])?;
            if tidy {
                transaction.execute(
                    "DELETE FROM documents WHERE generation < (
                         SELECT max(generation) FROM documents AS later
                         WHERE later.key = documents.key)",
                    [],
                )?;
                transaction.execute("DELETE FROM documents WHERE value IS NULL", [])?;
                transaction.execute(
                    "DELETE FROM generations WHERE number <= ?1",
                    [number - HISTORY as i64],
                )?;
            }
            Ok(())
        })
    }
}

/// Passes a fault point of the store.
fn point(step: &str, path: &Path) -> Result<(), StoreError> {
    fault::point(step).map_err(|error| StoreError::io("write", path, error))
}

/// The committed generation.
fn head(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row("SELECT generation FROM head", [], |row| row.get::<_, i64>(0).map(|n| n as u64))
}

/// The generation that is pending after the committed one.
fn pending_generation(
    connection: &Connection,
    committed: u64,
) -> rusqlite::Result<Option<(u64, Note)>> {
    connection
        .query_row(
            "SELECT number, time, command FROM generations WHERE number > ?1",
            [committed as i64],
            |row| {
                let note = Note { time: row.get::<_, i64>(1)? as u64, command: row.get(2)? };
                Ok((row.get::<_, i64>(0)? as u64, note))
            },
        )
        .optional()
}

/// The digest that was written with a generation.
fn recorded_digest(connection: &Connection, generation: u64) -> rusqlite::Result<Option<Digest>> {
    connection
        .query_row("SELECT digest FROM generations WHERE number = ?1", [generation as i64], |row| {
            row.get(0).map(|bytes| Digest(u128::from_be_bytes(bytes)))
        })
        .optional()
}

/// Documents of the committed generation, and the pending change if there is one (its generation
/// and note left out).
fn documents(connection: &Connection, committed: u64) -> rusqlite::Result<Stored> {
    let mut newest: std::collections::BTreeMap<Box<str>, (i64, Option<Vec<u8>>)> =
        std::collections::BTreeMap::new();
    let mut change = Change::new();
    let mut query = connection.prepare("SELECT key, generation, value FROM documents")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let key: Box<str> = row.get_ref(0)?.as_str()?.into();
        let generation: i64 = row.get(1)?;
        let value: Option<Vec<u8>> = row.get(2)?;
        if generation > committed as i64 {
            change.insert(key, value);
        } else if newest.get(&key).is_none_or(|(other, _)| *other < generation) {
            newest.insert(key, (generation, value));
        }
    }
    let documents: Documents =
        newest.into_iter().filter_map(|(key, (_, value))| Some((key, value?))).collect();
    let pending = pending_generation(connection, committed)?.is_some() || !change.is_empty();
    let pending = pending.then(|| Pending { generation: 0, note: Note::default(), change });
    Ok(Stored { generation: committed, documents, pending })
}

/// Removes whatever lies after the committed generation.
fn drop_pending(transaction: &Transaction<'_>, committed: u64) -> rusqlite::Result<()> {
    let committed = [committed as i64];
    transaction.execute("DELETE FROM documents WHERE generation > ?1", committed)?;
    transaction.execute("DELETE FROM generations WHERE number > ?1", committed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
