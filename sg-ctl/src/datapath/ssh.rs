//! The operator's own SSH connection, which a write must not cut.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// The two ends of an SSH connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshConnection {
    /// The operator's end.
    pub client: SocketAddr,
    /// This host's end.
    pub server: SocketAddr,
}

/// Reads the value of `SSH_CONNECTION`: client address and port, server address and port.
#[must_use]
pub fn parse(value: &str) -> Option<SshConnection> {
    let mut words = value.split_ascii_whitespace();
    let mut end = || {
        // A link-local address carries its zone (`fe80::1%eth0`).
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        Some(SocketAddr::new(address, words.next()?.parse().ok()?))
    };
    Some(SshConnection { client: end()?, server: end()? })
}

/// The SSH connection of this process or of its nearest ancestor that has one: sudo takes the
/// variable out of the environment, but not out of that of the shell above it.
#[must_use]
pub fn current() -> Option<SshConnection> {
    if let Some(own) = std::env::var("SSH_CONNECTION").ok().as_deref().and_then(parse) {
        return Some(own);
    }
    ancestors().find_map(of_process)
}

/// The ancestors of this process, nearest first. A chain longer than this is no login.
pub(super) fn ancestors() -> impl Iterator<Item = u32> {
    let next = |pid: &u32| parent(&pid.to_string()).filter(|pid| *pid != 0);
    std::iter::successors(parent("self").filter(|pid| *pid != 0), next).take(64)
}

fn of_process(pid: u32) -> Option<SshConnection> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION="))
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(parse)
}

fn parent(pid: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read() {
        let v4 = parse("198.51.100.7 50022 203.0.113.9 22");
        assert_eq!(
            v4,
            Some(SshConnection {
                client: "198.51.100.7:50022".parse().unwrap(),
                server: "203.0.113.9:22".parse().unwrap(),
            })
        );
        let v6 = parse("fe80::1%eth0 50022 2001:db8::9 22").unwrap();
        assert_eq!(v6.client, "[fe80::1]:50022".parse().unwrap());
        assert_eq!(
            parse("::ffff:198.51.100.7 1 ::1 22").unwrap().client.ip(),
            IpAddr::from([198, 51, 100, 7])
        );
        assert_eq!(parse("198.51.100.7 50022 203.0.113.9"), None);
        assert_eq!(parse(""), None);
    }
}
