//! The same program on the oldest supported kernels, each in a virtual machine.

use std::time::Duration;

use sg_vm::{Guest, Kernel};

/// Kinds of interface and filters that those kernels have as modules.
const MODULES: [&str; 13] = [
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

fn check(kernel: Kernel, every: bool) {
    if let Some(reason) = sg_vm::unsupported() {
        println!("skipped: {reason}");
        return;
    }
    let missing = sg_vm::missing();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let message = format!("not there: {missing}; `cargo xtask setup --tests` fetches it");
        // `cargo xtask test` has fetched it, and nothing is skipped unseen there.
        assert!(std::env::var_os("SG_SKIP_NOTHING").is_none(), "{message}");
        println!("skipped: {message}");
        return;
    }
    let mut guest = Guest::new(kernel, env!("CARGO_BIN_EXE_vm-guest"));
    if every {
        guest = guest.file(program("true"), "/every-check");
    }
    let outcome = guest
        .modules(MODULES)
        // Where the fixture looks for it, beside the folder of the running program.
        .file(sg_tests::sg::binary(), "/sg-ctl-faults")
        .file(program("ip"), "/test/ip")
        .file(program("tc"), "/test/tc")
        .file(program("ping"), "/test/ping")
        .memory(2048)
        .timeout(Duration::from_secs(if every { 1800 } else { 600 }))
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
fn linux_6_1() {
    check(Kernel::V6_1, false);
}

#[test]
fn linux_6_12() {
    check(Kernel::V6_12, false);
}

#[test]
#[ignore = "takes ten minutes; bonds and VRFs do not pass yet"]
fn every_check_on_linux_6_12() {
    check(Kernel::V6_12, true);
}
