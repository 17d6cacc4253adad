//! The same program on the oldest supported kernels, each in a virtual machine.

use std::time::Duration;

use sg_vm::{Guest, Kernel};

/// Kinds of interface and filters that those kernels have as modules.
const MODULES: [&str; 14] = [
    "veth",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "8021q",
    "bonding",
    "vrf",
    "dummy",
    "tun",
    "ipip",
    "ip_gre",
    "vxlan",
    "tcp_diag",
    "udp_diag",
];

/// A program of the host, for the guest to run.
fn program(name: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("there is no program {name}"))
}

fn check(kernel: Kernel) {
    let missing = sg_vm::missing();
    let missing = missing.join(", ");
    assert!(missing.is_empty(), "not there: {missing}; `cargo xtask setup --tests` fetches it");
    let outcome = Guest::new(kernel, env!("CARGO_BIN_EXE_vm-guest"))
        .modules(MODULES)
        // Where the fixture looks for it, beside the folder of the running program.
        .file(sg_tests::sg::binary(), "/sg-ctl-faults")
        .file(program("ip"), "/test/ip")
        .file(program("tc"), "/test/tc")
        .file(program("ping"), "/test/ping")
        .memory(2048)
        .timeout(Duration::from_secs(1200))
        .run()
        .unwrap_or_else(|error| panic!("{error:#}"));
    println!(
        "Linux {}: booted in {:?}, done in {:?}\n{}",
        kernel.version(),
        outcome.boot,
        outcome.total,
        outcome.output
    );
    assert_eq!(outcome.status, 0, "the kernel's last words:\n{}", outcome.kernel_log);
    assert!(outcome.output.contains("ok: "), "no check ran");
}

#[test]
#[cfg_attr(not(root), ignore = "needs what `cargo xtask setup --tests` installs as root")]
fn linux_6_1() {
    check(Kernel::V6_1);
}

#[test]
#[cfg_attr(not(root), ignore = "needs what `cargo xtask setup --tests` installs as root")]
fn linux_6_12() {
    check(Kernel::V6_12);
}
