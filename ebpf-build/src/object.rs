//! Building the objects of `sg-ebpf`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::toolchain::{Missing, Toolchain};

/// The target file, in the folder of `sg-ebpf`; cargo names the output folder after its stem.
const TARGET: &str = "bpfel-sg";

/// What to build, and where.
#[derive(Clone, Debug)]
pub struct Build {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// The folder for the build's own target folders. It should be shared by all builds of the
    /// workspace, so that `core` is compiled once.
    pub target_dir: PathBuf,
    /// The architecture that the programs will run on, in Rust's spelling. It decides the layout of
    /// the kernel's `pt_regs` in aya's bindings.
    pub arch: String,
    /// Whether to build with the feature `log`.
    pub log: bool,
    /// Which of the objects of `sg-ebpf`.
    pub object: Object,
}

/// An object of `sg-ebpf`: one of its binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The programs of the product.
    Product,
    /// The programs that the product is compared with.
    Peers,
}

impl Object {
    /// Name of the binary.
    const fn name(self) -> &'static str {
        match self {
            Self::Product => "sg-ebpf",
            Self::Peers => "sg-ebpf-peers",
        }
    }
}

/// Builds an object, always optimised, and returns where it lies. Quick when nothing changed.
///
/// # Errors
/// The tools are missing, or the build failed (the compiler's own messages went to standard error).
pub fn build(build: &Build) -> Result<PathBuf, Error> {
    let Toolchain { compiler, linker } = Toolchain::find().map_err(Error::Missing)?;
    if cfg!(target_endian = "big") {
        return Err(Error::BigEndian);
    }

    // A folder for each set of features: two builds at once would otherwise replace each other's
    // object between the end of cargo and the moment its caller reads the file.
    let target_dir = build.target_dir.join(if build.log { "ebpf-log" } else { "ebpf" });
    let outer_cargo = env::var_os("CARGO").map(PathBuf::from);
    let cargo = compiler.cargo.clone().or(outer_cargo).unwrap_or_else(|| PathBuf::from("cargo"));

    let mut command = Command::new(&cargo);
    command.current_dir(&build.workspace);
    for (name, _) in env::vars_os() {
        if describes_outer_build(&name) {
            command.env_remove(name);
        }
    }
    let flags = [
        &*format!("--cfg=bpf_target_arch=\"{}\"", build.arch),
        // BTF is made from debug information.
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // BPF has no vectors; an attempt ends in "stack arguments are not supported".
        "-Cno-vectorize-loops",
        "-Cno-vectorize-slp",
    ];
    command
        .env("RUSTC", &compiler.rustc)
        // `-Z` options with a compiler that is not a nightly.
        .env("RUSTC_BOOTSTRAP", "1")
        // Empty, because a wrapper may also be set in a configuration file.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // The linker does the whole-program optimisation.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("PATH", path_with(linker.path.parent()))
        .args(["build", "--quiet", "--package", "sg-ebpf", "--release", "--locked"])
        .args(["--bin", build.object.name()])
        .args(["-Z", "build-std=core", "-Z", "json-target-spec", "--target"])
        .arg(Path::new("sg-ebpf").join(TARGET).with_extension("json"));
    if build.log {
        command.args(["--features", "log"]);
    }
    let status = command.status().map_err(|source| Error::Run { cargo, source })?;
    if !status.success() {
        return Err(Error::Failed { command: format!("{command:?}") });
    }
    Ok(target_dir.join(TARGET).join("release").join(build.object.name()))
}

/// Whether a variable describes the build that this one is started from, and would mislead it.
/// What says where the registry and its cache are, and how to reach them, stays.
fn describes_outer_build(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    if let Some(rest) = name.strip_prefix("CARGO_") {
        let kept = ["HOME", "HTTP_", "NET_", "REGISTRIES_", "REGISTRY_", "SOURCE_", "TERM_"];
        return rest != "MAKEFLAGS" && !kept.iter().any(|prefix| rest.starts_with(prefix));
    }
    name.starts_with("RUSTC")
        || name.starts_with("RUSTDOC")
        || name.starts_with("DEP_")
        || ["RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CLIPPY_ARGS", "CLIPPY_CONF_DIR", "TARGET", "HOST"]
            .contains(&name)
        || ["OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG"].contains(&name)
}

/// The `PATH` with `first` in front.
fn path_with(first: Option<&Path>) -> OsString {
    let old = env::var_os("PATH").unwrap_or_default();
    let folders = first.map(Path::to_owned).into_iter().chain(env::split_paths(&old));
    env::join_paths(folders).unwrap_or(old)
}

/// Why there is no object.
#[derive(Debug)]
pub enum Error {
    /// The tools are missing.
    Missing(Missing),
    /// The host's byte order has no target file.
    BigEndian,
    /// Cargo could not be started.
    Run {
        /// The cargo that was to be started.
        cargo: PathBuf,
        /// Why it did not start.
        source: io::Error,
    },
    /// Cargo ended with an error.
    Failed {
        /// The command, to repeat it by hand.
        command: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => write!(f, "{missing}"),
            Self::BigEndian => write!(f, "big-endian hosts are not supported"),
            Self::Run { cargo, source } => {
                write!(f, "{} could not be started: {source}", cargo.display())
            }
            Self::Failed { command } => {
                write!(f, "the eBPF programs did not build; the command was {command}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Run { source, .. } => Some(source),
            _ => None,
        }
    }
}
