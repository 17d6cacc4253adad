//! The compiler and the linker for the kernel programs.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ebpf_build::toolchain::OLDEST;
use ebpf_build::{Compiler, Toolchain, toolchain_dir};

use super::{Need, Remedy, Step};
use crate::workspace;

/// The version of bpf-linker that the programs are built with.
const LINKER: &str = "0.13.0";

/// The LLVM versions that this bpf-linker can be built for.
const LINKER_LLVM: RangeInclusive<u32> = 21..=23;

/// The compiler that a linker can be built for.
fn usable() -> Option<Compiler> {
    Compiler::all().into_iter().find(|compiler| LINKER_LLVM.contains(&compiler.llvm))
}

/// A compiler with the sources of its core library.
pub(super) fn compiler() -> Need {
    Need {
        what: "a Rust compiler with the sources of its core library".to_owned(),
        why: "no toolchain ships that library for the kernel's BPF machine, so it is compiled too",
        missing: usable().is_none().then_some(Remedy::Packages(&["rustc-web", "rust-web-src"])),
    }
}

/// A linker that fits the compiler.
pub(super) fn linker() -> Need {
    Need {
        what: format!("bpf-linker {LINKER}"),
        why: "turns what the compiler writes (LLVM bitcode) into an object that the kernel loads",
        missing: Toolchain::find().is_err().then(remedy),
    }
}

fn remedy() -> Remedy {
    let Some(compiler) = usable() else {
        // There was one when its package had been installed, unless that is too old.
        return Remedy::Advice(format!(
            "no Rust compiler from {OLDEST} on with the sources of its core library and an LLVM \
             between {} and {} was found. The packages rustc-web and rust-web-src have one in the \
             security updates of Debian's releases: see that apt's sources have those (for Debian \
             12, `deb http://deb.debian.org/debian-security bookworm-security main`). Or let \
             rustup install one: `rustup toolchain install nightly --component rust-src`",
            LINKER_LLVM.start(),
            LINKER_LLVM.end(),
        ));
    };
    if compiler.llvm_library().is_none() {
        return Remedy::Advice(format!(
            "the LLVM library that {compiler} runs on was not found; on Debian it is the package \
             libllvm{}",
            compiler.llvm
        ));
    }
    let mut command = workspace::cargo();
    command
        .env("LLVM_PREFIX", llvm_prefix())
        .args(["install", "bpf-linker", "--version", LINKER, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{}", compiler.llvm)])
        .arg("--root")
        .arg(toolchain_dir());
    Remedy::Step(Step::of(command).after(prepare))
}

/// The folder in which the linker's build looks for `lib/libLLVM.so`, and in which the linker
/// itself looks later.
fn llvm_prefix() -> PathBuf {
    toolchain_dir().join("llvm")
}

/// Gives the compiler's LLVM library the name that a linker asks for, without the package of
/// development files, which is ten times as large.
fn prepare() -> Result<()> {
    let library = usable()
        .and_then(|compiler| compiler.llvm_library())
        .context("the compiler or its LLVM library is gone")?;
    let folder = llvm_prefix().join("lib");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("{} could not be emptied", folder.display()))?;
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} could not be created", folder.display()))?;
    let own_name = library.file_name().context("the LLVM library has no name")?;
    for name in ["libLLVM.so".as_ref(), own_name] {
        symlink(&library, folder.join(name))
            .with_context(|| format!("no link to {} in {}", library.display(), folder.display()))?;
    }
    Ok(())
}
