//! What can go wrong with the store, each with its mend.

use std::io;
use std::path::{Path, PathBuf};

/// Failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The user may not read or write the state.
    #[error("no permission to use the state in {}", path.display())]
    Permission {
        /// What was refused.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could replace the state.
    #[error("the state directory {} can be changed by other users (mode {mode:04o})", path.display())]
    Insecure {
        /// The state directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The disk is full.
    #[error("no space left for the state in {}", path.display())]
    NoSpace {
        /// The state directory.
        path: PathBuf,
    },
    /// The file system does not take writes.
    #[error("the state in {} is on a file system that is read-only", path.display())]
    ReadOnly {
        /// The state directory.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the state file {} is damaged: {detail}", path.display())]
    Corrupt {
        /// The file, or the document inside it.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is a database of another program.
    #[error("{} is not a state file of sg-ctl", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of sg-ctl wrote the file.
    #[error(
        "the state file {} has format {found}, this sg-ctl knows formats up to {supported}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this build reads.
        supported: u32,
    },
    /// The state belongs to another network namespace.
    #[error("the state in {} belongs to network namespace {recorded}, not to {asked}", path.display())]
    Namespace {
        /// The state directory.
        path: PathBuf,
        /// Whose state it is.
        recorded: String,
        /// Where the command works.
        asked: String,
    },
    /// Something else holds the database for longer than a command takes.
    #[error("the state file {} is locked by another program", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Another change came first.
    #[error("generation {expected} was expected, but the state is at generation {actual}")]
    Conflict {
        /// The generation that the change was made for.
        expected: u64,
        /// The committed generation.
        actual: u64,
    },
    /// Any other failure of the system.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the database.
    #[error("the database {} failed", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Permission { .. } => "run sg-ctl as root".into(),
            Self::Insecure { path, .. } => format!("chmod go-w {}", path.display()),
            Self::NoSpace { .. } => "free disk space and repeat the command".into(),
            Self::ReadOnly { .. } => {
                "mount it writable, or name another place with --state-dir".into()
            }
            Self::Corrupt { path, .. } => format!(
                "the kernel goes on filtering as before; put a backup in place of {0}, or move it \
                 away and `sg-ctl apply` the policy file again",
                path.display()
            ),
            Self::Foreign { .. } => "name the right directory with --state-dir".into(),
            Self::Newer { .. } => {
                "install the sg-ctl that wrote it, or a later one; the kernel goes on filtering"
                    .into()
            }
            Self::Namespace { .. } => {
                "name the namespace with --netns, or another directory with --state-dir".into()
            }
            Self::Locked { .. } => "end the program that has the file open for writing".into(),
            Self::Conflict { actual, .. } => {
                format!("look at generation {actual} and repeat the command")
            }
            Self::Io { .. } | Self::Database { .. } => return None,
        })
    }

    /// Whether the store can be read but not written now: the disk is full or read-only.
    #[must_use]
    pub fn is_unwritable(&self) -> bool {
        matches!(self, Self::NoSpace { .. } | Self::ReadOnly { .. })
    }

    /// Whether there is a state that cannot be understood (damaged, foreign or newer).
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Foreign { .. } | Self::Newer { .. })
    }

    /// The error of a failed system call on `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { action, path, source },
        }
    }

    /// The error of a failed database call on `path`.
    pub(crate) fn database(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(Code::DiskFull) => Self::NoSpace { path },
            Some(Code::ReadOnly) => Self::ReadOnly { path },
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
                Self::Corrupt { path, detail: source.to_string() }
            }
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Locked { path },
            Some(Code::PermissionDenied) => Self::Permission {
                path,
                source: io::Error::new(io::ErrorKind::PermissionDenied, source),
            },
            Some(Code::CannotOpen) => {
                let access = rustix::fs::access(
                    &path,
                    rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
                );
                match access {
                    Err(rustix::io::Errno::ACCESS) => {
                        Self::Permission { path, source: rustix::io::Errno::ACCESS.into() }
                    }
                    _ => Self::Database { path, source },
                }
            }
            _ => Self::Database { path, source },
        }
    }
}
