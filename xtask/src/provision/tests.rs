//! What the tests and the demonstration run besides this workspace's own programs.

use super::{Need, Remedy, Step};
use crate::command;

/// A program on the `PATH`, and the package that has it.
pub(super) fn program(name: &str, packages: &'static [&'static str], why: &'static str) -> Need {
    Need {
        what: name.to_owned(),
        why,
        missing: command::find(name).is_none().then_some(Remedy::Packages(packages)),
    }
}

/// What network namespaces with real clients take.
pub(super) fn network() -> Vec<Need> {
    vec![
        program("ip", &["iproute2"], "creates network namespaces and the links between them"),
        program("ping", &["iputils-ping"], "a real ICMP and ICMPv6 client"),
    ]
}

/// What all tests together take.
pub(super) fn all() -> Vec<Need> {
    let mut needs = network();
    needs.extend([
        program("tc", &["iproute2"], "shows which filters are attached"),
        program(
            "systemd-analyze",
            &["systemd"],
            "checks that the systemd units are valid and free of ordering cycles",
        ),
        program("xz", &["xz-utils"], "unpacks the modules of other kernels"),
        kernels(),
    ]);
    needs
}

/// Other kernels and a virtual machine. On a host that cannot have them the tests that boot them
/// skip themselves.
fn kernels() -> Need {
    let missing = if sg_vm::unsupported().is_some() { Vec::new() } else { sg_vm::missing() };
    let step = Step {
        shown: format!("fetch these into {} (nothing is installed)", sg_vm::dir().display()),
        act: Box::new(|| sg_vm::fetch(|progress| println!("      {progress}"))),
    };
    Need {
        what: missing.join(", "),
        why: "the oldest supported kernels, and kinds of interface that this one may lack, in a \
              virtual machine",
        missing: (!missing.is_empty()).then_some(Remedy::Step(step)),
    }
}
