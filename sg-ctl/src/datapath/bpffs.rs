//! The file system that pins lie in: mounted if it is not, refused if it would not outlive the
//! command.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};

use super::error::{DatapathError, io_context};

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0xcafe_4a11;

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|s| s.f_type as u64 == MAGIC)
}

/// The nearest existing directory of a path.
fn existing_ancestor(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"))
}

/// Whether pins below `directory` can exist: false without a bpffs there.
#[must_use]
pub fn is_mounted(directory: &Path) -> bool {
    is_bpffs(existing_ancestor(directory))
}

/// Makes `directory` on a bpffs, mounting one if there is none.
///
/// # Errors
/// Where it cannot be made, and where the mount is private to this process: `ip netns exec` gives
/// its command a `/sys` of its own, and what is pinned there ends with the command.
pub fn prepare(directory: &Path) -> Result<(), DatapathError> {
    let ancestor = existing_ancestor(directory).to_owned();
    if !is_bpffs(&ancestor) {
        let target = mount_point(directory);
        if outsider().is_some() {
            return Err(private(&target));
        }
        fs::create_dir_all(&target).map_err(io_context("make the directory", &target))?;
        mount(
            "bpf",
            &target,
            "bpf",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            Some(c"mode=0700"),
        )
        .map_err(|e| io_context("mount a bpffs at", &target)(e.into()))?;
    } else if !outlives(&ancestor) {
        return Err(private(&ancestor));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io_context("make the directory", directory))
}

/// Where to mount: the usual place if the directory lies below it, else the directory itself.
fn mount_point(directory: &Path) -> PathBuf {
    let usual = Path::new("/sys/fs/bpf");
    if directory.starts_with(usual) { usual.to_owned() } else { directory.to_owned() }
}

/// The nearest ancestor of this process that has another mount namespace. The first process may
/// hide its own, so those between are asked too.
fn outsider() -> Option<u32> {
    let own = fs::read_link("/proc/self/ns/mnt").ok()?;
    super::ssh::ancestors()
        .find(|pid| fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|other| other != own))
}

/// Whether who stays when this command ends sees the same file system at the same path.
fn outlives(path: &Path) -> bool {
    let Some(outsider) = outsider() else { return true };
    let Ok(relative) = path.strip_prefix("/") else { return false };
    let seen = fs::metadata(Path::new(&format!("/proc/{outsider}/root")).join(relative));
    match (fs::metadata(path), seen) {
        (Ok(own), Ok(other)) => own.dev() == other.dev() && own.ino() == other.ino(),
        _ => false,
    }
}

fn private(path: &Path) -> DatapathError {
    DatapathError::Refused {
        reason: format!(
            "what is pinned at {} would vanish when this command ends: its mounts are its own (as \
             under `ip netns exec`)",
            path.display()
        ),
        help: "use `sg-ctl --netns NAME …`, or enter only the network namespace \
               (`nsenter --net=/run/netns/NAME sg-ctl …`), or name a bpffs that stays with --bpffs"
            .to_owned(),
    }
}

/// Removes a directory of pins and the empty ones above it that this program made.
pub(super) fn remove_empty(directory: &Path, children: &[&str]) -> io::Result<()> {
    for path in children.iter().map(|c| directory.join(c)).chain([directory.to_owned()]) {
        match fs::remove_dir(&path) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::ResourceBusy
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}
