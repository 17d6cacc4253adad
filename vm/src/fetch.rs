//! Getting kernels, emulator and user space, without installing anything on the host.
//!
//! apt is given lists, caches and (for kernels) sources of its own, so that it verifies signatures
//! as ever, but leaves the host's state alone and takes no root. The packages are unpacked, never
//! installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::kernel::Kernel;

/// The key that Debian signs its archive with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where Debian's archive is.
const ARCHIVE: &str = "http://deb.debian.org/debian";

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What [`fetch`] would get, in words; empty if everything is there.
pub fn missing() -> Vec<String> {
    let mut missing: Vec<String> = Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.image().is_err())
        .map(|kernel| format!("Linux {} of Debian {}", kernel.version(), kernel.suite()))
        .collect();
    if host_qemu().is_none() && !unpacked(&tools_dir(), QEMU) {
        missing.push(QEMU.to_owned());
    }
    if !unpacked(&tools_dir(), "busybox") {
        missing.push("busybox".to_owned());
    }
    missing
}

/// Gets what is missing, and calls `progress` before each step.
///
/// # Errors
/// The network, apt or the disk failed. What was got completely is kept.
pub fn fetch(mut progress: impl FnMut(&str)) -> Result<()> {
    let own = crate::dir();
    fs::create_dir_all(&own).with_context(|| format!("{} could not be created", own.display()))?;

    let kernels: Vec<Kernel> =
        Kernel::ALL.into_iter().filter(|kernel| kernel.image().is_err()).collect();
    if !kernels.is_empty() {
        progress("reading Debian's package lists");
        let apt = Apt::for_kernels(&own, &kernels)?;
        apt.update()?;
        for kernel in kernels {
            let package = apt.image_package(kernel)?;
            progress(&format!("fetching {package}"));
            let archives = fresh(&own.join("download"))?;
            apt.run(Command::new("apt-get").current_dir(&archives).args(["download", &package]))?;
            unpack(&archives, &kernel.dir())?;
        }
    }

    let qemu = host_qemu().is_none();
    if (qemu && !unpacked(&tools_dir(), QEMU)) || !unpacked(&tools_dir(), "busybox") {
        progress("reading the package lists of this host's release");
        let apt = Apt::for_host(&own)?;
        apt.update()?;
        let mut packages = vec!["busybox-static"];
        if qemu {
            packages.push("qemu-system-x86");
        }
        progress(&format!("fetching {} and what they need", packages.join(" and ")));
        fresh(&own.join("tools-apt/archives/partial"))?;
        apt.run(
            Command::new("apt-get")
                .args(["install", "--download-only", "-y", "--no-install-recommends"])
                .args(["--reinstall"])
                .args(&packages),
        )?;
        unpack(&own.join("tools-apt/archives"), &tools_dir())?;
    }
    Ok(())
}

/// Where the emulator and busybox are unpacked.
pub(crate) fn tools_dir() -> PathBuf {
    crate::dir().join("tools")
}

/// The emulator of the host, if it has one.
pub(crate) fn host_qemu() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(QEMU))
        .find(|program| program.is_file())
}

/// A program below `root`, wherever its package put it.
pub(crate) fn program(root: &Path, name: &str) -> Option<PathBuf> {
    ["usr/bin", "bin"]
        .iter()
        .map(|folder| root.join(folder).join(name))
        .find(|program| program.is_file())
}

fn unpacked(root: &Path, name: &str) -> bool {
    program(root, name).is_some()
}

/// Empties a folder, or makes it.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} could not be emptied", folder.display()))?;
    }
    fs::create_dir_all(folder)
        .with_context(|| format!("{} could not be created", folder.display()))?;
    Ok(folder.to_owned())
}

/// Unpacks every package in `archives` into `target`, which appears whole or not at all, and
/// removes the packages.
fn unpack(archives: &Path, target: &Path) -> Result<()> {
    let draft = fresh(&target.with_extension("unfinished"))?;
    let mut any = false;
    for entry in fs::read_dir(archives).with_context(|| format!("no {}", archives.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            finish(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&draft))?;
            any = true;
        }
    }
    if !any {
        bail!("apt-get left no package in {}", archives.display());
    }
    if target.exists() {
        fs::remove_dir_all(target)
            .with_context(|| format!("{} could not be replaced", target.display()))?;
    }
    fs::rename(&draft, target)
        .with_context(|| format!("{} could not be put in place", target.display()))?;
    fs::remove_dir_all(archives)
        .with_context(|| format!("{} could not be removed", archives.display()))
}

/// An apt with state of its own.
struct Apt {
    config: PathBuf,
}

impl Apt {
    /// One that knows the suites of `kernels` and nothing of the host.
    fn for_kernels(own: &Path, kernels: &[Kernel]) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is missing, without which Debian's kernels cannot be verified; it is in \
                 the package debian-archive-keyring"
            );
        }
        let dir = own.join("kernel-apt");
        let sources: String = kernels
            .iter()
            .map(|kernel| format!("deb [signed-by={KEYRING}] {ARCHIVE} {} main\n", kernel.suite()))
            .collect();
        let apt = Self::new(
            &dir,
            "Dir::Etc::sourcelist \"@/sources.list\";\n\
             Dir::Etc::sourceparts \"@/none\";\n\
             Dir::Etc::preferencesparts \"@/none\";\n\
             Dir::State::status \"@/status\";\n",
        )?;
        for (name, content) in [("sources.list", sources.as_str()), ("status", "")] {
            let path = dir.join(name);
            fs::write(&path, content)
                .with_context(|| format!("{} could not be written", path.display()))?;
        }
        fs::create_dir_all(dir.join("none"))?;
        Ok(apt)
    }

    /// One that knows the host's sources and what is installed there, so that it gets only what the
    /// host lacks, of the host's own release.
    fn for_host(own: &Path) -> Result<Self> {
        Self::new(&own.join("tools-apt"), "Debug::NoLocking \"true\";\n")
    }

    /// `settings` are lines of apt.conf(5); `@` stands for `dir`.
    fn new(dir: &Path, settings: &str) -> Result<Self> {
        fs::create_dir_all(dir.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(dir.join("archives/partial")))
            .with_context(|| format!("{} could not be created", dir.display()))?;
        let settings = format!(
            "Dir::State::lists \"@/lists\";\n\
             Dir::Cache \"@\";\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             {settings}"
        );
        let config = dir.join("apt.conf");
        let folder = dir.to_str().context("the path of the cache folder is not valid UTF-8")?;
        fs::write(&config, settings.replace('@', folder))
            .with_context(|| format!("{} could not be written", config.display()))?;
        Ok(Self { config })
    }

    /// Reads the package lists anew. That one of several sources cannot be reached is no reason to
    /// give up: the next step tells.
    fn update(&self) -> Result<()> {
        let mut update = Command::new("apt-get");
        update.env("APT_CONFIG", &self.config).args(["-q", "update"]);
        update.stdin(Stdio::null()).output().map(drop).context("apt-get could not be started")
    }

    fn run(&self, command: &mut Command) -> Result<String> {
        finish(command.env("APT_CONFIG", &self.config))
    }

    /// The package behind the name that always means a suite's newest kernel.
    fn image_package(&self, kernel: Kernel) -> Result<String> {
        let name = format!("{}/{}", kernel.package(), kernel.suite());
        let text =
            self.run(Command::new("apt-cache").args(["show", "--no-all-versions", &name]))?;
        text.lines()
            .find_map(|line| line.strip_prefix("Depends: "))
            .and_then(|line| line.split([' ', ',']).find(|word| word.starts_with("linux-image-")))
            .map(str::to_owned)
            .with_context(|| format!("Debian's package {name} names no kernel"))
    }
}

/// Runs a command to its end; what it wrote to standard error becomes part of the error.
pub(crate) fn finish(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} could not be started"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
        bail!(
            "{name} {} failed ({}): {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
