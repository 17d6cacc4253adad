//! Raw frames: sent and seen by packet sockets.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::frame;
use crate::namespace::Namespace;
use crate::wait::LIMIT;

/// `ETH_P_ALL` in network byte order.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
/// `PACKET_IGNORE_OUTGOING` of <linux/if_packet.h>.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
}

impl Wire {
    /// Opens the interface. What the socket sees is what arrives there, not what is sent.
    ///
    /// A packet socket sees a frame before TC ingress and after XDP.
    ///
    /// # Panics
    /// If there is no such interface.
    #[must_use]
    pub fn open(namespace: &Namespace, interface: &str) -> Self {
        let index = namespace.index(interface);
        namespace
            .run(|| Self::try_open(index))
            .unwrap_or_else(|error| panic!("{interface}: {error}"))
    }

    fn try_open(index: u32) -> io::Result<Self> {
        let check = |result: libc::c_int| {
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
        };
        // SAFETY: no pointer is passed, and the result is checked.
        let socket = check(unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: the descriptor was just made and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        for (level, name, value) in [
            (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 64 << 20),
            (libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1),
        ] {
            let value: libc::c_int = value;
            // SAFETY: `value` is an int that outlives the call, and its size is passed.
            check(unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    level,
                    name,
                    (&raw const value).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            })?;
        }
        // SAFETY: all zero is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ALL;
        address.sll_ifindex = index as i32;
        // SAFETY: the pointer and the size are those of a local `sockaddr_ll`.
        check(unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        })?;
        Ok(Self { socket })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The kernel's, for example for a frame without a whole Ethernet header.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of `frame`.
        let sent =
            unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame that arrives within `limit`.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut poll =
            libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one structure, as the count says.
        if unsafe { libc::poll(&raw mut poll, 1, limit.as_millis() as libc::c_int) } <= 0 {
            return None;
        }
        let mut bytes = vec![0; 1 << 16];
        // SAFETY: the pointer and the length are those of `bytes`.
        let length = unsafe {
            libc::recv(self.socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0)
        };
        bytes.truncate(usize::try_from(length).ok()?);
        Some(bytes)
    }
}

/// Keeps the calling thread on one CPU: frames that it sends to a veth peer then arrive in order.
fn stay_on_this_cpu() {
    // SAFETY: the set is a local of the size passed; 0 is the calling thread. That it fails only
    // means that the order is as before.
    unsafe {
        let cpu = libc::sched_getcpu();
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu.max(0) as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Sends frames and tells which of them came through.
///
/// Each frame's source address is replaced by a mark. An LLDP frame, which always passes, follows
/// the last one; when it has arrived so have all others that will.
///
/// # Panics
/// If a frame cannot be sent, or the last one does not arrive.
#[must_use]
pub fn passed(from: &Wire, to: &Wire, frames: &[Vec<u8>]) -> Vec<bool> {
    static RUN: AtomicU32 = AtomicU32::new(1);
    let run = RUN.fetch_add(1, Ordering::Relaxed) as u16;
    let mark = |number: usize| {
        let [high, low] = run.to_be_bytes();
        let [first, second] = (number as u16).to_be_bytes();
        [2, 0x5e, high, low, first, second]
    };
    let last = frame::ethernet([1, 0x80, 0xc2, 0, 0, 0x0e], 0x88cc, &[0; 46]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on_this_cpu();
            for (number, frame) in frames.iter().chain([&last]).enumerate() {
                let mut frame = frame.clone();
                frame[6..12].copy_from_slice(&mark(number));
                // A frame that is dropped at egress is answered so.
                let dropped = |error: &io::Error| error.raw_os_error() == Some(libc::ENOBUFS);
                if let Err(error) =
                    from.send(&frame).or_else(|e| if dropped(&e) { Ok(()) } else { Err(e) })
                {
                    panic!("frame {number}: {error}");
                }
            }
        });
    });
    let end = mark(frames.len());
    let mut seen = HashSet::new();
    let start = Instant::now();
    while !seen.contains(&end) {
        assert!(start.elapsed() < LIMIT, "the frame that always passes did not arrive");
        if let Some(frame) = to.receive(Duration::from_millis(100))
            && let Some(source) = frame.get(6..12)
            && let Ok(source) = <[u8; 6]>::try_from(source)
        {
            seen.insert(source);
        }
    }
    (0..frames.len()).map(|number| seen.contains(&mark(number))).collect()
}

/// Diverts what passes the filter at an interface's ingress away from the network stack, and shows
/// it: the place behind the hook.
///
/// It is a classifier of its own behind the filter, so it also proves that the filter hands on what
/// it allows. Behind XDP a packet socket on the interface itself shows the frames: diverted ones lack
/// their Ethernet header, because generic XDP forgets its length (`skb->mac_len`, seen on Linux
/// 6.18).
#[must_use]
pub fn behind(namespace: &Namespace, interface: &str, hook: &str) -> Wire {
    let (near, far) = ("tap-near", "tap-far");
    namespace.ip(&format!("link add {near} type veth peer name {far}"));
    for name in [near, far] {
        namespace.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
        namespace.ip(&format!("link set {name} mtu 9500 up"));
    }
    namespace.tc(&format!("qdisc add dev {interface} clsact"));
    // A classic program that returns -1: every frame, however short, belongs to the class.
    crate::namespace::run(
        std::process::Command::new("tc")
            .args(["-n", namespace.name()])
            .args(["filter", "add", "dev", interface, "ingress", "protocol", "all", "bpf"])
            .args(["bytecode", "1,6 0 0 4294967295"])
            .args(["action", "mirred", "egress", "redirect", "dev", near]),
    );
    Wire::open(namespace, if hook.starts_with("xdp") { interface } else { far })
}
