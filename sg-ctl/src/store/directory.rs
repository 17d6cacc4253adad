//! The state directory: made for its owner alone, refused where others could change it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::StoreError;

/// Makes the directory and what leads to it if it is missing, mode 0700, durably.
///
/// # Errors
/// [`StoreError::Insecure`] if it exists and others may write to it.
pub fn create(directory: &Path) -> Result<(), StoreError> {
    match check(directory) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.exists()
    {
        create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => sync(parent.unwrap_or(Path::new("."))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check(directory),
        Err(error) => Err(StoreError::io("create the directory", directory, error)),
    }
}

/// Checks that the directory is there and that only its owner can change it: root, or the user who
/// runs this process.
///
/// # Errors
/// [`StoreError::Insecure`] otherwise; [`StoreError::Io`] of kind `NotFound` if it is missing.
pub fn check(directory: &Path) -> Result<(), StoreError> {
    let metadata = fs::metadata(directory)
        .map_err(|error| StoreError::io("look at the directory", directory, error))?;
    if !metadata.is_dir() {
        let error = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(StoreError::io("use as the state directory", directory, error));
    }
    let owner = metadata.uid();
    let foreign = owner != 0 && owner != rustix::process::geteuid().as_raw();
    if foreign || metadata.mode() & 0o022 != 0 {
        return Err(StoreError::Insecure {
            path: directory.to_path_buf(),
            mode: metadata.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Makes the directory's entries durable.
pub(super) fn sync(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io("sync the directory", directory, error))
}
