//! Where and with what priority a thread runs, so that a measurement is not one of the scheduler.

use std::io;

/// Lets the calling thread run on one CPU only.
///
/// # Panics
/// If there is no such CPU.
pub fn pin(cpu: usize) {
    // SAFETY: all bits zero are an empty set; the calls take pointers to it with its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    assert_eq!(result, 0, "CPU {cpu}: {}", io::Error::last_os_error());
}

/// Lets the calling thread run before all others of its CPU that are not of the kernel. What it does
/// must be short: the kernel gives others their part (`sched_rt_runtime_us`).
///
/// # Panics
/// Without the privilege.
pub fn first() {
    let parameters = libc::sched_param { sched_priority: 10 };
    // SAFETY: the call reads the structure.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    assert_eq!(result, 0, "real-time priority: {}", io::Error::last_os_error());
}
