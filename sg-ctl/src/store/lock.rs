//! The lock that lets one writer at a time change store and kernel together.
//!
//! It is an `flock` on a file in the state directory: it dies with its holder, however that ends, so
//! no lock is ever stale. The file's content (process id and command) is there only to tell the
//! next in line whom it waits for.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{StoreError, directory, printable};

/// Name of the lock file in the state directory.
pub const FILE: &str = "lock";

/// How long a busy lock is waited for, unless the caller says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// After how long a wait is reported.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Longest part of the holder's command that is kept and shown, in bytes.
const COMMAND: usize = 200;

/// Who holds the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, if it could leave it.
    pub pid: Option<u32>,
    /// Its command.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) if self.command.is_empty() => write!(f, "pid {pid}"),
            Some(pid) => write!(f, "pid {pid} ({})", self.command),
            None => f.write_str("another process"),
        }
    }
}

/// How to wait for the lock.
pub struct Patience<'a> {
    /// How long at most.
    pub timeout: Duration,
    /// Called once, when the wait has lasted for [`SILENCE`].
    pub waiting: &'a mut dyn FnMut(&Holder),
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process kept it all the time.
    #[error("busy, held by {holder}")]
    Busy {
        /// Who holds it.
        holder: Holder,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LockError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("let it end, then repeat the command".into()),
            Self::Store(error) => error.help(),
        }
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Closing the file frees the lock.
    file: File,
}

impl Lock {
    /// Takes the lock of the state directory, which is made if it is missing. `command` tells others
    /// who holds it.
    ///
    /// # Errors
    /// [`LockError::Busy`] when the patience ends.
    pub fn acquire(
        state_directory: &Path,
        command: &str,
        patience: &mut Patience<'_>,
    ) -> Result<Self, LockError> {
        let path = state_directory.join(FILE);
        directory::create(state_directory)?;
        let file = open(&path)?;
        let file = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => file,
            Err(Errno::WOULDBLOCK | Errno::INTR) => wait(file, &path, patience)?,
            Err(error) => return Err(StoreError::io("lock", &path, error.into()).into()),
        };
        let mut lock = Self { file };
        lock.sign(command);
        Ok(lock)
    }

    /// Leaves this process' name in the file. A failure (a full disk) costs others a name in a
    /// message, so it is no error, but a former holder's name must not stay.
    fn sign(&mut self, command: &str) {
        let mut end = command.len().min(COMMAND);
        while !command.is_char_boundary(end) {
            end -= 1;
        }
        let text = format!("{} {}\n", std::process::id(), &command[..end]);
        let _ = self.file.set_len(0);
        let _ = self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes()));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds it any more: the next waiter must not be told otherwise.
        let _ = self.file.set_len(0);
    }
}

/// Opens the lock file; a read-only file system has to do for a lock whose holder cannot write.
fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        result => result,
    }
    .map_err(|error| StoreError::io("open", path, error))
}

/// Waits in the kernel's queue for the lock: first come, first served, and no polling. A thread
/// waits, so that the wait can be bounded; one that is given up frees the lock as soon as it gets it.
fn wait(file: File, path: &Path, patience: &mut Patience<'_>) -> Result<File, LockError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let result = loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                result => break result,
            }
        };
        // Without a receiver the message, and the file and lock with it, is dropped.
        let _ = sender.send(result.map(|()| file));
    });
    let silence = SILENCE.min(patience.timeout);
    let result = receiver.recv_timeout(silence).or_else(|_| {
        if patience.timeout > silence {
            (patience.waiting)(&holder(path));
        }
        receiver.recv_timeout(patience.timeout - silence)
    });
    match result {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(StoreError::io("lock", path, error.into()).into()),
        Err(_) => Err(LockError::Busy { holder: holder(path), waited: patience.timeout }),
    }
}

/// Who wrote its name into the lock file.
fn holder(path: &Path) -> Holder {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_string(&mut text));
    if read.is_err() {
        return Holder::default();
    }
    let (pid, command) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    Holder { pid: pid.parse().ok(), command: printable(command) }
}

#[cfg(test)]
mod tests;
