//! Runs as root of a virtual machine with an older kernel, and checks there what depends on the
//! kernel, and interfaces of kinds that the host's may lack. `tests/kernels.rs` boots it.
//!
//! Prints a line for each check; the exit status is the number of checks that failed.

mod datapath;
mod filter;
mod stacked;
mod tunnel;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// A check and what it claims. It fails by its result or by a panic.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: &[Check] = &[
    ("images of every size class are placed, many at a time", datapath::place_images),
    ("every program loads and attaches, at every hook", datapath::attach),
    ("allowed services work and others do not, at every hook", filter::services),
    ("bench measures a packet's cost", filter::bench),
    ("rules change live, and nothing is left after a detach", filter::changes),
    ("the filter comes back after its pins are lost", filter::restore),
    ("tagged frames are judged by the parent and by the VLAN device", stacked::vlan),
    ("a VLAN device and its parent both have to allow", stacked::vlan_and_parent),
    ("a bond is filtered, its ports are refused", stacked::bond),
    ("VRF devices are refused, their ports are filtered, their states apart", stacked::vrf),
    ("devices without an Ethernet header are filtered", tunnel::without_ethernet),
    ("a tunnel is judged at its device, its carrier by the outer header", tunnel::carrier),
];

fn main() -> ExitCode {
    let mut failed = 0;
    for (claim, check) in CHECKS {
        let start = Instant::now();
        // The panic itself was printed where it happened.
        let result = catch_unwind(check).unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
        match result {
            Ok(()) => println!("ok: {claim} ({} ms)", start.elapsed().as_millis()),
            Err(error) => {
                failed += 1;
                println!("FAILED: {claim}: {error:#}");
            }
        }
    }
    ExitCode::from(failed)
}
