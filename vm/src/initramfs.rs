//! The guest's file system: a cpio archive that the kernel unpacks into memory.
//!
//! The format is "newc" of the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// An archive under construction.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    /// Numbers the files; two with one number would be hard links of each other.
    inode: u32,
    /// The folders that are there.
    folders: Vec<String>,
}

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const SYMLINK: u32 = 0o120_777;

impl Archive {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), inode: 0, folders: Vec::new() }
    }

    /// Adds a folder and those above it. Paths are absolute.
    pub(crate) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.iter().any(|known| known == path) {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.folders.push(path.to_owned());
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// Adds an executable file and the folders above it.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.parent(path);
        self.entry(path.trim_matches('/'), FILE, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entry(path.trim_matches('/'), SYMLINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.parent(path);
        self.entry(path.trim_matches('/'), CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.trim_matches('/').rsplit_once('/') {
            self.folder(parent);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        // Sizes fit in 32 bits: the archive has to fit in the guest's memory.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            self.inode, mode, 0, 0, // inode, mode, user, group
            1, 0, size, // links, time, size
            0, 0, device.0, device.1, // the device it lies on, the device it is
            name_size, 0, // the name's length with its zero byte, no checksum
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents each end at a multiple of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let mut archive = Archive::new();
        archive.file("/a/b/c", b"12345");
        archive.file("/a/b/d", b"");
        let bytes = archive.finish();
        let names: Vec<String> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, window)| *window == b"070701")
            .map(|(at, _)| {
                let name = &bytes[at + 110..];
                let end = name.iter().position(|byte| *byte == 0).unwrap();
                String::from_utf8(name[..end].to_vec()).unwrap()
            })
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
    }
}
