//! Network namespaces, entered by threads and by child processes.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

/// What the names of all namespaces begin with; the process id follows.
const PREFIX: &str = "sgt";

/// A name that no other run and no other test uses.
#[must_use]
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether `name` is one of [`unique`]'s whose process is gone.
fn is_stale(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('x'))
        .and_then(|(pid, _)| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes what a run left that was killed.
fn sweep() {
    static ONCE: Once = Once::new();
    let names = |folder: &str| {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect::<Vec<_>>()
    };
    ONCE.call_once(|| {
        for name in names("/run/netns").iter().filter(|name| is_stale(name)) {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
        for name in names("/sys/fs/bpf") {
            if name.strip_prefix("sg-test-").is_some_and(is_stale) {
                let _ = fs::remove_dir_all(format!("/sys/fs/bpf/{name}"));
            }
        }
    });
}

/// Mounts the bpffs at its usual place if the machine has not, once however many tests run.
///
/// # Panics
/// If it cannot be mounted.
pub(crate) fn mount_bpffs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lock = File::create(std::env::temp_dir().join("sg-test-mount.lock")).expect("a lock");
        lock.lock().expect("a lock");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        if !mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
            run(Command::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]));
        }
    });
}

/// Moves the calling thread, and nothing else, into a network namespace.
fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as the caller holds the namespace; the call changes
    // only the calling thread.
    if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A named network namespace, deleted on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes a namespace with its loopback up and without duplicate address detection.
    ///
    /// # Panics
    /// If `ip` fails.
    #[must_use]
    pub fn create() -> Self {
        sweep();
        let name = unique();
        run(Command::new("ip").args(["netns", "add", &name]));
        let file = File::open(format!("/run/netns/{name}")).expect("namespace just made");
        let namespace = Self { name, file };
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace.sysctl("net/ipv6/conf/default/router_solicitations", "0");
        namespace.ip("link set lo up");
        namespace
    }

    /// Name as in `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread in this namespace and waits for it. Sockets that it opens stay in
    /// the namespace wherever they are used later.
    ///
    /// # Panics
    /// If the namespace cannot be entered, and with the panic of `work`.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.file.as_raw_fd();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(namespace).expect("enter the network namespace");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts `work` on a thread in this namespace.
    ///
    /// # Panics
    /// On the thread, if the namespace cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let file = self.file.try_clone().expect("duplicate a descriptor");
        std::thread::spawn(move || {
            enter(file.as_raw_fd()).expect("enter the network namespace");
            work()
        })
    }

    /// A child process in this namespace and otherwise in the caller's: `ip netns exec` would give
    /// it a `/sys` of its own, and with it another bpffs.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = self.file.as_raw_fd();
        // SAFETY: `setns` is the only call between fork and exec, and it allocates nothing.
        unsafe {
            command.pre_exec(move || enter(namespace));
        }
        command
    }

    /// Runs `ip` with these arguments, separated by blanks, in this namespace.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, arguments: &str) -> String {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Runs `tc` likewise.
    ///
    /// # Panics
    /// If it fails.
    pub fn tc(&self, arguments: &str) -> String {
        run(Command::new("tc").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Sets `/proc/sys/<key>` as this namespace sees it.
    ///
    /// # Panics
    /// If there is no such setting.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/{key}"), value))
            .unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
    }

    /// Index of one of its interfaces.
    ///
    /// # Panics
    /// If there is no such interface.
    #[must_use]
    pub fn index(&self, interface: &str) -> u32 {
        let name = std::ffi::CString::new(interface).expect("no NUL in an interface's name");
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        let index = self.run(|| unsafe { libc::if_nametoindex(name.as_ptr()) });
        assert_ne!(index, 0, "no interface {interface}");
        index
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

/// Runs a command that has to succeed and returns its standard output.
///
/// # Panics
/// If it fails, with what it wrote.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{text}{}", String::from_utf8_lossy(&stderr));
    text
}
