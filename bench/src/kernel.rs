//! The `bpf(2)` calls that aya does not offer: test runs with live frames, and the statistics of
//! programs that others loaded.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bytemuck::{Pod, Zeroable};

const BPF_PROG_TEST_RUN: i64 = 10;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program redirects is sent.
const LIVE_FRAMES: u32 = 1 << 1;

/// Frames that are sent at once. The ring of a veth device holds four times as many.
const BATCH: u32 = 64;

fn bpf<T: Pod>(command: i64, attribute: &mut T) -> io::Result<i64> {
    // SAFETY: the attribute is a plain structure that lives through the call; pointers inside it
    // were made from buffers that the caller still borrows.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// Runs an XDP program `count` times on frames that hold `frame`, and does with them what it says.
///
/// # Errors
/// What the kernel answers.
pub fn run_live(program: BorrowedFd<'_>, frame: &[u8], count: u32) -> io::Result<()> {
    let mut attribute = TestRun {
        program: program.as_raw_fd() as u32,
        size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat: count,
        flags: LIVE_FRAMES,
        batch: BATCH,
        ..TestRun::zeroed()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attribute).map(drop)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// Opens a loaded program.
///
/// # Errors
/// What the kernel answers.
pub fn program(id: u32) -> io::Result<OwnedFd> {
    let number = bpf(BPF_PROG_GET_FD_BY_ID, &mut ById { id, next: 0, flags: 0 })?;
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just gave this descriptor to this process and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to its statistics.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Info {
    head: [u64; 24],
    nanoseconds: u64,
    runs: u64,
}

/// What the kernel counted of a program's runs while statistics were on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs.
    pub runs: u64,
    /// Time of all of them.
    pub nanoseconds: u64,
}

impl Runs {
    /// What was added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            runs: self.runs.saturating_sub(before.runs),
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
        }
    }
}

/// The statistics of a program.
///
/// # Errors
/// What the kernel answers.
pub fn runs(program: BorrowedFd<'_>) -> io::Result<Runs> {
    let mut info = Info::zeroed();
    let mut attribute = InfoByFd {
        fd: program.as_raw_fd() as u32,
        length: size_of::<Info>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute)?;
    Ok(Runs { runs: info.runs, nanoseconds: info.nanoseconds })
}
