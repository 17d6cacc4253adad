//! The filters that this one is compared with.

use std::process::Command;

use super::Need;
use super::tests::program;
use crate::command;

/// All of them.
pub(super) fn all() -> Vec<Need> {
    let mut needs = vec![
        program("ip", &["iproute2"], "creates network namespaces and the links between them"),
        program("nft", &["nftables"], "a filter to compare with, and counts what others let pass"),
        program("iptables-legacy-restore", &["iptables"], "a filter to compare with"),
        program("ipset", &["ipset"], "a filter to compare with, together with iptables"),
        program("xdp-filter", &["xdp-tools"], "a filter to compare with"),
    ];
    if has_candidate("bpfilter") {
        needs.push(program("bfcli", &["bpfilter"], "a filter to compare with"));
    } else {
        println!("note: no configured suite of Debian has bpfilter, so it is not compared with");
    }
    needs
}

/// Whether apt could install a package.
fn has_candidate(package: &str) -> bool {
    let output = command::output(Command::new("apt-cache").args(["policy", package]));
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().any(|line| {
            line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)")
        })
    })
}
