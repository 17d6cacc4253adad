//! Where the eBPF build tools are.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian's `rustc-web` package, whose sources are in the package `rust-web-src`.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// The folder that holds the tools which belong to this project alone: `SG_TOOLCHAIN_DIR`, else
/// `sg/toolchain` in the user's cache folder.
pub fn toolchain_dir() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("SG_TOOLCHAIN_DIR") {
        return dir;
    }
    let cache = set("XDG_CACHE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"));
    cache.join("sg/toolchain")
}

/// The oldest compiler that the workspace builds with, as `1.95`.
pub const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A Rust compiler, not older than [`OLDEST`], that has the sources of its own `core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The compiler itself, not rustup's proxy.
    pub rustc: PathBuf,
    /// The cargo that was shipped with it, if any.
    pub cargo: Option<PathBuf>,
    /// Its version, `1.96.0`.
    pub release: String,
    /// Its sysroot.
    pub sysroot: PathBuf,
    /// The major version of the LLVM inside it.
    pub llvm: u32,
}

impl Compiler {
    /// Asks the compiler `program`, run through rustup's proxy with `toolchain` if that is given.
    /// `None` if it does not run, is too old, or has not the sources of its `core`.
    fn probe(program: &str, toolchain: Option<&str>) -> Option<Self> {
        let ask = |question: &[&str]| {
            let output = Command::new(program)
                .args(toolchain)
                .args(question)
                // No toolchain may be downloaded because somebody asked whether it is there.
                .env("RUSTUP_AUTO_INSTALL", "0")
                // Inside a build script this names the toolchain of the outer cargo.
                .env_remove("RUSTUP_TOOLCHAIN")
                .stdin(Stdio::null())
                .output()
                .ok()?;
            output.status.success().then(|| String::from_utf8(output.stdout).ok())?
        };
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
        let text = ask(&["-vV"])?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let release = field("release: ")?.to_owned();
        let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
        if version(&release) < version(OLDEST) {
            return None;
        }
        let rustc = sysroot.join("bin/rustc");
        if !sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
            || !rustc.is_file()
        {
            return None;
        }
        // Below /usr, rustc and cargo are separate packages of unrelated versions.
        let cargo = Some(sysroot.join("bin/cargo"))
            .filter(|cargo| cargo.is_file() && sysroot != Path::new("/usr"));
        Some(Self { rustc, cargo, release, sysroot, llvm })
    }

    /// Every usable compiler, the preferred one first: rustup's nightly, rustup's default, the
    /// distribution's.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for (program, toolchain) in
            [("rustc", Some("+nightly")), ("rustc", None), (DISTRIBUTION_RUSTC, None)]
        {
            if let Some(compiler) = Self::probe(program, toolchain)
                && !found.contains(&compiler)
            {
                found.push(compiler);
            }
        }
        found
    }

    /// The shared LLVM library that this compiler runs on, for a linker to run on too: beside the
    /// compiler, or where the distribution keeps it.
    pub fn llvm_library(&self) -> Option<PathBuf> {
        let wanted = format!("libLLVM.so.{}.", self.llvm);
        let mut folders = vec![self.sysroot.join("lib")];
        if let Ok(entries) = fs::read_dir("/usr/lib") {
            folders.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.to_string_lossy().ends_with("-linux-gnu")),
            );
        }
        let mut found: Vec<PathBuf> = folders
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .filter(|path| {
                path.file_name()
                    .and_then(OsStr::to_str)
                    .is_some_and(|name| name.starts_with(wanted.as_str()))
            })
            .collect();
        // The compiler's own folder was listed first; a stable sort keeps it there.
        found.sort_by_key(|path| !path.starts_with(&folders[0]));
        found.into_iter().next()
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} (LLVM {}, {})", self.release, self.llvm, self.rustc.display())
    }
}

/// Major and minor number of a version.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// A `bpf-linker` that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
    /// The LLVM version that it was built for. `None` if nothing says so, as for one that the user
    /// put on the `PATH`.
    pub llvm: Option<u32>,
}

impl Linker {
    /// Finds the linker in `dir` (see [`toolchain_dir`]), else on the `PATH`.
    pub fn find(dir: &Path) -> Option<Self> {
        let own = dir.join("bin/bpf-linker");
        let on_path = env::var_os("PATH").into_iter().flat_map(|path| {
            env::split_paths(&path).map(|dir| dir.join("bpf-linker")).collect::<Vec<_>>()
        });
        let path = std::iter::once(own.clone()).chain(on_path).find(|path| {
            Command::new(path)
                .arg("--version")
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success())
        })?;
        let llvm = if path == own { installed_feature(dir) } else { None };
        Some(Self { path, llvm })
    }

    /// Whether the linker reads the bitcode that `compiler` writes.
    pub fn fits(&self, compiler: &Compiler) -> bool {
        self.llvm.is_none_or(|llvm| llvm == compiler.llvm)
    }
}

/// The `llvm-N` feature that `cargo install --root DIR bpf-linker` was given, from cargo's own
/// record of what it installed there.
fn installed_feature(dir: &Path) -> Option<u32> {
    let record = fs::read_to_string(dir.join(".crates2.json")).ok()?;
    let linker = &record[record.find("\"bpf-linker ")?..];
    let feature = &linker[linker.find("\"llvm-")? + "\"llvm-".len()..];
    feature.split('"').next()?.parse().ok()
}

/// What it takes to build for the kernel.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Compiles to bitcode.
    pub compiler: Compiler,
    /// Turns bitcode into the object.
    pub linker: Linker,
}

impl Toolchain {
    /// Finds a compiler and a linker that fit each other.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn find() -> Result<Self, Missing> {
        let compilers = Compiler::all();
        let Some(first) = compilers.first().cloned() else {
            return Err(Missing::Compiler);
        };
        let Some(linker) = Linker::find(&toolchain_dir()) else {
            return Err(Missing::Linker { compiler: Box::new(first), unfit: None });
        };
        match compilers.into_iter().find(|compiler| linker.fits(compiler)) {
            Some(compiler) => Ok(Self { compiler, linker }),
            None => Err(Missing::Linker { compiler: Box::new(first), unfit: Some(linker.path) }),
        }
    }
}

/// What is missing to build for the kernel.
#[derive(Clone, Debug)]
pub enum Missing {
    /// No compiler with the sources of its `core`.
    Compiler,
    /// No `bpf-linker`, or none that fits a compiler.
    Linker {
        /// The compiler to build a linker for.
        compiler: Box<Compiler>,
        /// A linker that is there, but was built for another LLVM.
        unfit: Option<PathBuf>,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => write!(
                f,
                "no Rust compiler from {OLDEST} on with the sources of its core library was found \
                 (looked at rustup's nightly and default toolchains and at {DISTRIBUTION_RUSTC})"
            ),
            Self::Linker { compiler, unfit: None } => write!(
                f,
                "bpf-linker was found neither in {} nor on the PATH (needed for {compiler})",
                toolchain_dir().join("bin").display()
            ),
            Self::Linker { compiler, unfit: Some(linker) } => {
                write!(f, "{} was built for another LLVM than that of {compiler}", linker.display())
            }
        }
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Held while programs are written and run: a program that another thread starts meanwhile would
    /// inherit the open file, and one that is open for writing cannot be run.
    static PROGRAMS: Mutex<()> = Mutex::new(());

    /// A folder below the system's for temporary files, removed in the end.
    struct Folder(PathBuf, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("ebpf-build-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path, PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner))
        }

        fn file(&self, path: &str, content: &str) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        /// A program that answers like rustc, installed below this folder.
        fn rustc(&self) -> String {
            self.rustc_of("1.99.0")
        }

        fn rustc_of(&self, release: &str) -> String {
            let sysroot = self.0.display();
            let script = format!(
                "#!/bin/sh\ncase \"$1\" in\n--print) echo {sysroot};;\n*) echo 'rustc'; \
                 echo 'release: {release}'; echo 'LLVM version: 23.1.0';;\nesac\n"
            );
            self.file("bin/rustc", &script).display().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_compiler_counts_only_with_the_sources_of_core() {
        let folder = Folder::new("sources");
        let rustc = folder.rustc();
        assert_eq!(Compiler::probe(&rustc, None), None);
        folder.file("lib/rustlib/src/rust/library/core/Cargo.toml", "");
        let compiler = Compiler::probe(&rustc, None).unwrap();
        assert_eq!((compiler.llvm, compiler.release.as_str()), (23, "1.99.0"));
        assert_eq!(compiler.cargo, None);
        folder.file("bin/cargo", "");
        assert!(Compiler::probe(&rustc, None).unwrap().cargo.is_some());
    }

    #[test]
    fn a_compiler_that_is_too_old_does_not_count() {
        let folder = Folder::new("old");
        folder.file("lib/rustlib/src/rust/library/core/Cargo.toml", "");
        assert_eq!(Compiler::probe(&folder.rustc_of("1.85.0"), None), None);
        assert_eq!(Compiler::probe(&folder.rustc_of("1.9.0"), None), None);
        assert!(Compiler::probe(&folder.rustc_of("1.100.0-nightly"), None).is_some());
    }

    #[test]
    fn a_compiler_runs_on_the_llvm_beside_it() {
        let folder = Folder::new("llvm");
        let rustc = folder.rustc();
        folder.file("lib/rustlib/src/rust/library/core/Cargo.toml", "");
        folder.file("lib/libLLVM.so.22.1", "");
        let library = folder.file("lib/libLLVM.so.23.1-rust-1.99.0-nightly", "");
        let compiler = Compiler::probe(&rustc, None).unwrap();
        assert_eq!(compiler.llvm_library(), Some(library));
    }

    #[test]
    fn a_linker_fits_the_llvm_that_cargo_built_it_for() {
        let folder = Folder::new("linker");
        folder.file("bin/bpf-linker", "#!/bin/sh\nexit 0\n");
        assert_eq!(Linker::find(&folder.0).unwrap().llvm, None);
        folder.file(
            ".crates2.json",
            r#"{"installs":{"cargo-deny 1.0.0 (r)":{"features":["llvm-1"]},
                "bpf-linker 0.13.0 (r)":{"bins":["bpf-linker"],"features":["llvm-22"]}}}"#,
        );
        let linker = Linker::find(&folder.0).unwrap();
        assert_eq!(linker.llvm, Some(22));
        let compiler = |llvm| Compiler {
            rustc: PathBuf::new(),
            cargo: None,
            release: String::new(),
            sysroot: PathBuf::new(),
            llvm,
        };
        assert!(linker.fits(&compiler(22)));
        assert!(!linker.fits(&compiler(23)));
    }
}
