//! The two hosts of the demonstration: network namespaces that a veth pair joins.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command;

/// The network namespace of the host that is protected.
pub(super) const SERVER: &str = "sg-demo-server";
/// The network namespace of everybody else.
pub(super) const WORLD: &str = "sg-demo-world";
/// The protected host's end of the veth pair, which stands for its NIC.
pub(super) const NIC: &str = "eth0";

/// Everything that the demonstration puts on this machine. Dropping it removes all of that.
pub(super) struct Place {
    /// Where sg-ctl keeps its state meanwhile.
    pub(super) state: PathBuf,
    /// Where it pins what is in the kernel.
    pub(super) bpffs: PathBuf,
    /// Held while the demonstration runs; the kernel lets go of it however the process ends.
    _lock: File,
}

impl Place {
    /// Creates the namespaces and joins them, with `server` and `world` as the addresses at each
    /// end, in the form `192.0.2.1/24`.
    pub(super) fn new(server: &[&str], world: &[&str]) -> Result<Self> {
        let lock = File::create("/run/sg-demo.lock").context("no lock in /run")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another demonstration is running"),
            Err(TryLockError::Error(error)) => return Err(error).context("no lock in /run"),
        }
        let place =
            Self { state: "/run/sg-demo".into(), bpffs: "/sys/fs/bpf/sg-demo".into(), _lock: lock };
        // What one that was killed has left.
        place.remove();

        for namespace in [SERVER, WORLD] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        ip(&["-n", SERVER, "link", "add", NIC, "type", "veth", "peer", NIC, "netns", WORLD])?;
        for (namespace, addresses) in [(SERVER, server), (WORLD, world)] {
            for address in addresses {
                let mut add = vec!["-n", namespace, "address", "add", *address, "dev", NIC];
                if address.contains(':') {
                    // Usable at once: nobody else is on this link.
                    add.push("nodad");
                }
                ip(&add)?;
            }
            ip(&["-n", namespace, "link", "set", NIC, "up"])?;
        }
        Ok(place)
    }

    /// Removes everything, whatever of it is there.
    fn remove(&self) {
        for namespace in [SERVER, WORLD] {
            if namespace_path(namespace).exists() {
                // Either end takes the other along, and the filter with it.
                let _ = ip(&["-n", namespace, "link", "delete", NIC]);
                if let Err(error) = ip(&["netns", "delete", namespace]) {
                    eprintln!("note: {error:#}");
                }
            }
        }
        for folder in [&self.bpffs, &self.state] {
            if folder.exists()
                && let Err(error) = fs::remove_dir_all(folder)
            {
                eprintln!("note: {} could not be removed: {error}", folder.display());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

fn namespace_path(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// Runs `ip`. In a process group of its own, so that Ctrl-C does not end the cleaning up.
fn ip(arguments: &[&str]) -> Result<()> {
    command::quiet(Command::new("ip").args(arguments).process_group(0)).map(drop)
}

/// A command that runs in a namespace.
pub(super) fn command_in(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// Does `work` on a thread of its own inside a namespace.
pub(super) fn inside<T: Send + 'static>(
    namespace: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    thread::spawn(move || {
        let path = namespace_path(namespace);
        let file = File::open(&path).with_context(|| format!("no {}", path.display()))?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )
        .with_context(|| format!("{} cannot be entered", path.display()))?;
        work()
    })
}

/// The result of a thread.
pub(super) fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread of the demonstration ended early"))
}
