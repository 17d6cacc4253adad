//! Interfaces without an Ethernet header, made through `/dev/net/tun`.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::namespace::Namespace;

/// Of linux/if_tun.h: frames go through NAPI,
const IFF_NAPI: libc::c_int = 0x10;
/// and each piece of a vectored write becomes a fragment.
const IFF_NAPI_FRAGS: libc::c_int = 0x20;

/// A tun or tap device, gone on drop.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// Makes a tun device `name` whose packets begin with the IP header.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn create(namespace: &Namespace, name: &str) -> Self {
        Self::make(namespace, name, libc::IFF_TUN)
    }

    /// Makes a tap device, whose packets are Ethernet frames.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn tap(namespace: &Namespace, name: &str) -> Self {
        Self::make(namespace, name, libc::IFF_TAP)
    }

    /// Makes a tap device of which [`Tun::send_in_pieces`] decides what lies in a frame's linear part.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn tap_of_pieces(namespace: &Namespace, name: &str) -> Self {
        Self::make(namespace, name, libc::IFF_TAP | IFF_NAPI | IFF_NAPI_FRAGS)
    }

    fn make(namespace: &Namespace, name: &str, kind: libc::c_int) -> Self {
        let file = namespace.run(|| -> io::Result<File> {
            let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
            // SAFETY: all zero is a valid `ifreq`.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
            // SAFETY: the request is a local that the kernel reads and writes during the call.
            if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(file)
        });
        Self { file: file.unwrap_or_else(|error| panic!("{name}: {error}")) }
    }

    /// Gives the device, which must be down, another link type (`ARPHRD_*`).
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn set_link_type(&self, kind: u16) {
        // SAFETY: this request takes an integer, no pointer.
        let result = unsafe {
            libc::ioctl(self.file.as_raw_fd(), libc::TUNSETLINK, libc::c_ulong::from(kind))
        };
        assert_eq!(result, 0, "link type {kind}: {}", io::Error::last_os_error());
    }

    /// Lets the kernel receive a packet on the device.
    ///
    /// # Panics
    /// If it refuses.
    pub fn send(&self, packet: &[u8]) {
        (&self.file).write_all(packet).expect("write to the device");
    }

    /// Lets the kernel receive a frame whose first piece alone is linear; the others are fragments of
    /// the socket buffer.
    ///
    /// # Panics
    /// If it refuses.
    pub fn send_in_pieces(&self, pieces: &[&[u8]]) {
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let written = (&self.file).write_vectored(&slices).expect("write to the device");
        assert_eq!(written, pieces.iter().map(|piece| piece.len()).sum::<usize>());
    }

    /// The next packet that the kernel sends on the device within `limit`.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one structure, as the count says.
        if unsafe { libc::poll(&raw mut poll, 1, limit.as_millis() as libc::c_int) } <= 0 {
            return None;
        }
        let mut bytes = vec![0; 1 << 16];
        let length = (&self.file).read(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }
}
