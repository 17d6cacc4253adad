//! Builds the kernel programs and tells the library where their object is, as `SG_EBPF_OBJECT`.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
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
    if let Ok(tools) = ebpf_build::Toolchain::find() {
        watched.push(tools.compiler.rustc);
        watched.push(tools.linker.path);
    }
    for path in watched {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    for name in ["SG_TOOLCHAIN_DIR", "XDG_CACHE_HOME", "PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }

    // Tests that mount a file system are ignored without root.
    println!("cargo:rustc-check-cfg=cfg(root)");
    println!("cargo:rerun-if-env-changed=HOME");
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        println!("cargo:rustc-cfg=root");
    }

    // One folder for all profiles, so that `core` is compiled for the kernel once: OUT_DIR is
    // somewhere below TARGET/PROFILE/build.
    let target_dir = out_dir
        .ancestors()
        .find(|folder| folder.ends_with("build"))
        .and_then(|folder| folder.ancestors().nth(2))
        .unwrap_or(&out_dir)
        .to_owned();
    let build = ebpf_build::Build {
        workspace,
        target_dir,
        arch: var("CARGO_CFG_TARGET_ARCH"),
        log: env::var_os("CARGO_FEATURE_EBPF_LOG").is_some(),
    };
    match ebpf_build::build(&build) {
        Ok(object) => {
            println!("cargo:rustc-env=SG_EBPF_OBJECT={}", object.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            if let ebpf_build::object::Error::Missing(_) = error {
                eprintln!("help: run `{}`, which installs what is missing", ebpf_build::SETUP);
            }
            ExitCode::FAILURE
        }
    }
}
