//! Network namespaces: entering one, and telling which one this is.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::DatapathError;

/// Where named network namespaces lie (`ip-netns(8)`).
const NAMED: &str = "/run/netns";

/// Inode of the first network namespace from kernel 6.18 on (`NET_NS_INIT_INO` of linux/nsfs.h;
/// before, it was whatever number was free at boot).
const FIRST: u64 = 0xefff_fff9;

/// The network namespace of the calling thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// That of the first process.
    Init,
    /// One with a name in `/run/netns`.
    Named(String),
    /// One without.
    Unnamed,
}

impl Namespace {
    /// How the store calls it: `init`, its name, or the inode where it has no name.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Init => "init".to_owned(),
            Self::Named(name) => format!("netns {name}"),
            Self::Unnamed => format!("unnamed {}", inode().unwrap_or_default()),
        }
    }
}

/// Inode of the calling thread's network namespace.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn inode() -> io::Result<u64> {
    fs::metadata("/proc/thread-self/ns/net").map(|m| m.ino())
}

/// Moves the calling thread, and those that it starts later, into a network namespace given by its
/// name or by a path.
///
/// # Errors
/// [`DatapathError::Refused`] if there is none, or for lack of the right.
pub fn enter(namespace: &str) -> Result<(), DatapathError> {
    let path = if namespace.contains('/') {
        PathBuf::from(namespace)
    } else {
        Path::new(NAMED).join(namespace)
    };
    let refused = |error: io::Error, help: &str| DatapathError::Refused {
        reason: format!("cannot enter the network namespace {}: {error}", path.display()),
        help: help.to_owned(),
    };
    let file = File::open(&path)
        .map_err(|e| refused(e, "`ip netns list` shows the named ones; a path works too"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| refused(e.into(), "run as root; the path must be one of a network namespace"))
}

/// Tells which namespace the calling thread is in.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn current() -> io::Result<Namespace> {
    let own = fs::metadata("/proc/thread-self/ns/net")?;
    let same = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| m.dev() == own.dev() && m.ino() == own.ino())
    };
    // A hardened host may hide the first process.
    if same(Path::new("/proc/1/ns/net")) || own.ino() == FIRST {
        return Ok(Namespace::Init);
    }
    let Ok(names) = fs::read_dir(NAMED) else { return Ok(Namespace::Unnamed) };
    let mut found: Vec<String> = names
        .filter_map(Result::ok)
        .filter(|entry| same(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    found.sort();
    Ok(found.into_iter().next().map_or(Namespace::Unnamed, Namespace::Named))
}
