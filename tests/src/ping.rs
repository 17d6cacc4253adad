//! The `ping` program.

use std::net::IpAddr;

use crate::namespace::Namespace;

/// Whether one echo request from `from` to `to` is answered within a second.
///
/// # Panics
/// If there is no `ping`.
#[must_use]
pub fn answers(from: &Namespace, to: impl Into<IpAddr>) -> bool {
    from.command("ping")
        .args(["-n", "-q", "-c", "1", "-W", "1"])
        .arg(to.into().to_string())
        .output()
        .expect("the program `ping` (package iputils-ping)")
        .status
        .success()
}
