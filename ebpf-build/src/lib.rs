//! Finds the eBPF build tools and builds the kernel programs of `sg-ebpf` with them.
//!
//! Two parties need this knowledge: `cargo xtask setup`, which installs what is missing, and build
//! scripts, which embed an object ([`script`]): that of `sg-ctl`, and that of `sg-bench`. Nothing here installs or downloads anything.
//!
//! Building for the kernel takes three things (see [`toolchain`]):
//! 1. a Rust compiler together with the sources of its own `core`, since no toolchain ships `core`
//!    for BPF;
//! 2. `bpf-linker`, built against the LLVM version of that compiler, since it reads its bitcode;
//! 3. a target file, `sg-ebpf/bpfel-sg.json`, because the built-in BPF targets have no
//!    compare-and-exchange and an older instruction set.

pub mod object;
pub mod script;
pub mod toolchain;

pub use object::{Build, Object, build};
pub use toolchain::{Compiler, Linker, Missing, Toolchain, toolchain_dir};

/// The command that installs what this crate cannot find.
pub const SETUP: &str = "cargo xtask setup";
