//! Builds the kernel programs and tells the library where their object is, as `SG_EBPF_OBJECT`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ebpf_build::script::tell_root();
    ebpf_build::script::run(ebpf_build::Object::Product, "SG_EBPF_OBJECT")
}
