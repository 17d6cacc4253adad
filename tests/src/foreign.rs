//! Programs of somebody else on the same interface.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::namespace::Namespace;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const XDP_FLAGS_SKB_MODE: u32 = 2;
const BPF_F_BEFORE: u32 = 8;
const BPF_F_AFTER: u32 = 16;

/// Where the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// XDP.
    Xdp,
    /// XDP on the socket buffer.
    XdpGeneric,
    /// TC ingress, in front of all others.
    IngressFirst,
    /// TC ingress, behind all others.
    IngressLast,
    /// TC egress, in front of all others.
    EgressFirst,
    /// TC egress, behind all others.
    EgressLast,
}

/// A program that answers "pass" to every packet (`XDP_PASS`, `TC_ACT_OK`), held by a link that
/// goes on drop.
#[derive(Debug)]
pub struct Foreign {
    _link: OwnedFd,
    _program: OwnedFd,
}

/// `bpf(2)` with an attribute of 128 bytes.
fn bpf(command: libc::c_long, attribute: &mut [u32; 32]) -> io::Result<OwnedFd> {
    // SAFETY: the attribute is a local of the size passed, and what it points to outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(attribute))
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands used here return a descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Splits a pointer into the two words of an attribute.
fn words<T: ?Sized>(pointer: *const T) -> [u32; 2] {
    let address = pointer.cast::<u8>() as u64;
    [address as u32, (address >> 32) as u32]
}

impl Foreign {
    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// The kernel's, such as `EBUSY` where the place is taken.
    pub fn attach(namespace: &Namespace, interface: &str, place: Place) -> io::Result<Self> {
        let index = namespace.index(interface);
        let (program_type, attach_type, flags) = match place {
            Place::Xdp => (PROG_TYPE_XDP, BPF_XDP, 0),
            Place::XdpGeneric => (PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_SKB_MODE),
            Place::IngressFirst => (PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, BPF_F_BEFORE),
            Place::IngressLast => (PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS, BPF_F_AFTER),
            Place::EgressFirst => (PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, BPF_F_BEFORE),
            Place::EgressLast => (PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, BPF_F_AFTER),
        };
        // r0 = 2 (XDP_PASS) or 0 (TC_ACT_OK); exit.
        let answer: u64 = if program_type == PROG_TYPE_XDP { 2 } else { 0 };
        let code = [0xb7 | answer << 32, 0x95];
        let licence = c"GPL";
        namespace.run(|| {
            let mut load = [0; 32];
            load[0] = program_type;
            load[1] = code.len() as u32;
            load[2..4].copy_from_slice(&words(code.as_ptr()));
            load[4..6].copy_from_slice(&words(licence.as_ptr()));
            let program = bpf(BPF_PROG_LOAD, &mut load)?;
            let mut create = [0; 32];
            create[0] = program.as_raw_fd() as u32;
            create[1] = index;
            create[2] = attach_type;
            create[3] = flags;
            let link = bpf(BPF_LINK_CREATE, &mut create)?;
            Ok(Self { _link: link, _program: program })
        })
    }
}

const BPF_PROG_QUERY: libc::c_long = 16;

/// How many programs are attached to an interface at a place.
///
/// # Panics
/// If the kernel does not tell.
#[must_use]
pub fn programs(namespace: &Namespace, interface: &str, place: Place) -> u32 {
    let attach_type = match place {
        Place::Xdp | Place::XdpGeneric => {
            let link = namespace.ip(&format!("link show {interface}"));
            return u32::from(link.contains("prog/xdp"));
        }
        Place::IngressFirst | Place::IngressLast => BPF_TCX_INGRESS,
        Place::EgressFirst | Place::EgressLast => BPF_TCX_EGRESS,
    };
    let mut query = [0_u32; 32];
    query[0] = namespace.index(interface);
    query[1] = attach_type;
    let result = namespace.run(|| {
        // SAFETY: the attribute is a local of the size passed; it has no pointers. The count is
        // written into it.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, query.as_mut_ptr(), size_of_val(&query))
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(query[6]) }
    });
    match result {
        Ok(count) => count,
        // Nothing was ever attached there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => 0,
        Err(error) => panic!("{interface}: {error}"),
    }
}
