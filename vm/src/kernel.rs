//! Debian's kernels and their modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::fetch::finish;

/// A kernel that sg is tested on besides the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Linux 6.1 of Debian 12, the oldest supported one: no TCX, and many checks that later kernels
    /// have relaxed.
    V6_1,
    /// Linux 6.12 of Debian 13.
    V6_12,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// The kernel's version, `6.1`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// The Debian release that it comes from.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
        }
    }

    /// The package that depends on the newest image of this kernel: the one for clouds, which is
    /// small and has all that matters here.
    pub(crate) fn package(self) -> &'static str {
        "linux-image-cloud-amd64"
    }

    /// Where the image and its modules are unpacked.
    pub(crate) fn dir(self) -> PathBuf {
        crate::dir().join(format!("linux-{}", self.version()))
    }

    /// The bootable image.
    pub(crate) fn image(self) -> Result<PathBuf> {
        let boot = self.dir().join("boot");
        let entries = fs::read_dir(&boot)
            .with_context(|| format!("Linux {} is not in {}", self.version(), boot.display()))?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.starts_with("vmlinuz-"))
            })
            .with_context(|| format!("there is no kernel in {}", boot.display()))
    }

    /// The modules `wanted` and all that they need, unpacked, in an order in which they can be
    /// loaded. What the kernel has built in is left out.
    ///
    /// # Errors
    /// The kernel has no such module.
    pub(crate) fn modules(self, wanted: &[&str]) -> Result<Vec<Module>> {
        let tree = self.modules_dir()?;
        let built_in: BTreeSet<String> = fs::read_to_string(tree.join("modules.builtin"))
            .context("the list of the kernel's built-in modules is missing")?
            .lines()
            .filter_map(|line| module_name(Path::new(line)))
            .collect();
        let mut files = BTreeMap::new();
        index(&tree.join("kernel"), &mut files)?;

        let mut order: Vec<Module> = Vec::new();
        for name in wanted {
            self.load(name, &files, &built_in, &mut order)?;
        }
        Ok(order)
    }

    fn modules_dir(self) -> Result<PathBuf> {
        let dir = self.dir();
        ["usr/lib/modules", "lib/modules"]
            .iter()
            .filter_map(|folder| fs::read_dir(dir.join(folder)).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .next()
            .with_context(|| format!("there are no modules in {}", dir.display()))
    }

    /// Appends a module to `order`, after those that it needs. Kernel modules have no circular
    /// dependencies: the kernel's build refuses them.
    fn load(
        self,
        name: &str,
        files: &BTreeMap<String, PathBuf>,
        built_in: &BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<()> {
        if built_in.contains(name) || order.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(path) = files.get(name) else {
            bail!("Linux {} has no module {name}", self.version());
        };
        let content = read(path)?;
        for dependency in dependencies(&content) {
            self.load(&dependency, files, built_in, order)?;
        }
        order.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

/// A kernel module.
pub(crate) struct Module {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// The file, not compressed.
    pub(crate) content: Vec<u8>,
}

/// The name of the module in a file: file names have dashes where names have underscores.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".xz").unwrap_or(name).strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some(name) = module_name(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("{} is unreadable", path.display()));
    }
    let output =
        Command::new("xz").arg("-dc").arg(path).output().context("xz could not be started")?;
    if !output.status.success() {
        bail!("{} could not be unpacked", path.display());
    }
    Ok(output.stdout)
}

/// The modules that a module needs, from its `.modinfo` section: strings that end with a zero byte,
/// one of which is `depends=a,b`.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let list = &module[at + key.len()..];
    let end = list.iter().position(|byte| *byte == 0).unwrap_or(list.len());
    String::from_utf8_lossy(&list[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// Runs `ldd`: the shared libraries of a program and the loader, by their absolute paths.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let text = finish(Command::new("ldd").arg(program))?;
    // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)"
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_underscores_whatever_the_file_is_called() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("kernel/net/sched/sch_ingress.ko").as_deref(), Some("sch_ingress"));
        assert_eq!(name("a/nf-conntrack.ko.xz").as_deref(), Some("nf_conntrack"));
        assert_eq!(name("modules.order"), None);
    }

    #[test]
    fn dependencies_end_at_the_zero_byte() {
        let info = b"\x7fELF\0license=GPL\0depends=ipv6,udp-tunnel\0name=x\0depends=no\0";
        assert_eq!(dependencies(info), ["ipv6", "udp_tunnel"]);
        assert!(dependencies(b"license=GPL\0depends=\0name=x\0").is_empty());
        assert!(dependencies(b"license=GPL\0").is_empty());
    }
}
