//! Builds the programs that the filter is compared with; their object is `SG_PEERS_OBJECT`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ebpf_build::script::tell_root();
    ebpf_build::script::run(ebpf_build::Object::Peers, "SG_PEERS_OBJECT")
}
