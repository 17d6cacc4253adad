//! What can go wrong between the controller and the kernel.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An operation on the kernel failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatapathError {
    /// A map could not be made.
    #[error("cannot make the map {name} of {bytes} bytes: {source}")]
    CreateMap {
        /// Name of the map.
        name: String,
        /// Memory that it would take.
        bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// A pin leads to something that this program did not make.
    #[error("{} is pinned by something else, or by another version", path.display())]
    ForeignPin {
        /// The pin.
        path: PathBuf,
    },
    /// The maps have another layout.
    #[error("the loaded maps have layout {found}, this program knows {expected}")]
    LayoutVersion {
        /// Layout of the maps.
        found: u32,
        /// Layout of this program.
        expected: u32,
    },
    /// An operation on a path or object failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program could not be loaded or attached.
    #[error("cannot {what} on {interface}: {reason}")]
    Program {
        /// What was tried.
        what: String,
        /// The interface.
        interface: String,
        /// What the kernel or the driver said.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// The interface cannot be attached to.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// More of something than there is room for.
    #[error("{what}: {wanted} wanted, the limit is {limit} ({culprit})")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How many were wanted.
        wanted: u64,
        /// How many there can be.
        limit: u64,
        /// What wanted them.
        culprit: String,
    },
    /// A fault point fired.
    #[error(transparent)]
    Fault(#[from] io::Error),
}

impl DatapathError {
    /// The mend, where there is one to name.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Program { help, .. } | Self::Refused { help, .. } => Some(help.clone()),
            Self::CreateMap { source, .. } => Some(match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => {
                    "run as root, or with the capabilities BPF, NET_ADMIN and PERFMON".to_owned()
                }
                _ => "free memory, or lower `conntrack-max` in [options]".to_owned(),
            }),
            Self::ForeignPin { path } => Some(format!(
                "choose another directory with --bpffs, or remove {} if nothing uses it",
                path.display()
            )),
            Self::LayoutVersion { .. } => {
                Some("use the sg-ctl that attached the filter, or detach with it first".to_owned())
            }
            Self::Limit { .. } => Some("split the policy, or remove what is not used".to_owned()),
            _ => None,
        }
    }
}

/// Wraps an I/O error with what was tried and on what.
pub(super) fn io_context<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> DatapathError + 'a {
    move |source| DatapathError::Io { what, path: path.to_owned(), source }
}
