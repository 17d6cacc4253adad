//! What a build script does that embeds an object.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::object::{Build, Error, Object, build};
use crate::toolchain::Toolchain;

/// Builds an object and tells the crate where it is, as `variable` in its environment.
#[must_use]
pub fn run(object: Object, variable: &str) -> ExitCode {
    let var = |name| env::var(name).unwrap_or_default();
    let package = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(&package).to_owned();
    let out_dir = PathBuf::from(var("OUT_DIR"));

    let mut watched: Vec<PathBuf> =
        ["sg-ebpf", "sg-common/src", "sg-common/Cargo.toml", "Cargo.toml", "Cargo.lock"]
            .iter()
            .map(|path| workspace.join(path))
            .collect();
    // After a change of tools the programs are built with the new ones.
    if let Ok(tools) = Toolchain::find() {
        watched.push(tools.compiler.rustc);
        watched.push(tools.linker.path);
    }
    for path in watched {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    for name in ["SG_TOOLCHAIN_DIR", "XDG_CACHE_HOME", "PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }

    // One folder for all profiles, so that `core` is compiled for the kernel once: OUT_DIR is
    // somewhere below TARGET/PROFILE/build.
    let target_dir = out_dir
        .ancestors()
        .find(|folder| folder.ends_with("build"))
        .and_then(|folder| folder.ancestors().nth(2))
        .unwrap_or(&out_dir)
        .to_owned();
    let what = Build {
        workspace,
        target_dir,
        arch: var("CARGO_CFG_TARGET_ARCH"),
        log: env::var_os("CARGO_FEATURE_EBPF_LOG").is_some(),
        object,
    };
    match build(&what) {
        Ok(path) => {
            println!("cargo:rustc-env={variable}={}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            if let Error::Missing(_) = error {
                eprintln!("help: run `{}`, which installs what is missing", crate::SETUP);
            }
            ExitCode::FAILURE
        }
    }
}

/// Tells the crate whether it is built by root, as `cfg(root)`: tests that need root are ignored
/// without.
pub fn tell_root() {
    use std::os::unix::fs::MetadataExt;

    println!("cargo:rustc-check-cfg=cfg(root)");
    // Another user has another home; nothing else of a build changes with the user.
    println!("cargo:rerun-if-env-changed=HOME");
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        println!("cargo:rustc-cfg=root");
    }
}
