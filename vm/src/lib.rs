//! Boots one of Debian's kernels in a virtual machine and runs a program inside.
//!
//! The oldest kernels that sg supports are not those that developers run, and some kinds of
//! interface exist only as modules that their machines lack. So the tests boot the real kernels:
//! [`fetch`] brings kernels, an emulator and a user space into a folder of this project's own
//! ([`dir`]) and installs nothing on the host; [`Guest`] runs a program of the host, with its
//! shared libraries and the modules it asks for, as root of such a kernel.
//!
//! No hardware virtualisation is needed: QEMU translates the instructions, which is some ten times
//! slower than the host and takes a few seconds for a boot.

mod fetch;
mod guest;
mod initramfs;
mod kernel;

pub use fetch::{fetch, missing};
pub use guest::{Guest, Outcome};
pub use kernel::Kernel;

use std::path::PathBuf;

/// The folder that kernels, emulator and user space are kept in.
pub fn dir() -> PathBuf {
    ebpf_build::toolchain_dir().join("vm")
}

/// Why no virtual machine can be run on this host, if none can.
pub fn unsupported() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the virtual machine runs programs of an x86_64 host only");
    }
    if !std::path::Path::new("/usr/bin/apt-get").exists() {
        return Some("kernels for the virtual machine are fetched with apt-get, which is not here");
    }
    None
}
