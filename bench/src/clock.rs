//! CPUs, and the time that threads and softirqs took of them.

use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a tick of `/proc/stat`, whose unit (`USER_HZ`) is a hundredth of a second on
/// every architecture that sg runs on.
const TICK: f64 = 1e7;

/// A CPU that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    number: usize,
    /// The thread that runs its softirqs when there are many.
    softirq: Option<u32>,
}

impl Cpu {
    /// All of them, in the order of their numbers.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn all() -> io::Result<Vec<Self>> {
        let allowed = sched_getaffinity(None)?;
        let numbers = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        Ok(numbers.map(|number| Self { number, softirq: softirq_thread(number) }).collect())
    }

    /// The last `N` of them. Low numbers often serve the interrupts of devices.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn last<const N: usize>() -> Result<[Self; N]> {
        let all = Self::all()?;
        let Some(last) = all.last_chunk() else {
            bail!(
                "this takes {N} CPUs and the process may use {}: run it on a larger machine, or \
                 with a wider `taskset`",
                all.len()
            );
        };
        Ok(*last)
    }

    /// Keeps the calling thread on it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn hold(self) -> io::Result<()> {
        let mut cpus = CpuSet::new();
        cpus.set(self.number);
        Ok(sched_setaffinity(None, &cpus)?)
    }

    /// Nanoseconds that the kernel's softirq thread of this CPU ran (`/proc/PID/schedstat`; exact to
    /// one timer tick while it runs).
    #[must_use]
    pub fn softirq_thread_time(self) -> f64 {
        let time = |thread| {
            let text = fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
        };
        self.softirq.map_or(0.0, time)
    }

    /// Nanoseconds that this CPU spent on interrupts and softirqs by `/proc/stat`. Only to be added
    /// where they are not in the time of the thread that they interrupt (see
    /// [`crate::machine::softirqs_apart`]).
    #[must_use]
    pub fn interrupt_time(self) -> f64 {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        interrupt_ticks(&text, self.number) * TICK
    }
}

/// Ticks of interrupts and softirqs: the sixth and seventh column.
fn interrupt_ticks(stat: &str, cpu: usize) -> f64 {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
    let columns = line.unwrap_or_default().split_whitespace().skip(5).take(2);
    columns.filter_map(|column| column.parse::<f64>().ok()).sum()
}

/// Nanoseconds that the calling thread ran, softirqs on top of it included (unless the kernel is
/// built with `CONFIG_IRQ_TIME_ACCOUNTING`, see [`crate::machine`]).
#[must_use]
pub fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_nanos() as f64
}

/// The clock of another thread of this process: what [`thread_time`] says there, exact even while
/// that runs on another CPU.
#[derive(Clone, Copy, Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The clock of a thread that was not joined yet.
    ///
    /// # Errors
    /// If it has ended.
    pub fn of<T>(thread: &JoinHandle<T>) -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the handle keeps the identifier valid, and `clock` outlives the call.
        match unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &raw mut clock) } {
            0 => Ok(Self(clock)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Nanoseconds.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn now(self) -> io::Result<f64> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_nanos() as f64)
    }
}

fn softirq_thread(cpu: usize) -> Option<u32> {
    let name = format!("ksoftirqd/{cpu}");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
        (comm.trim_end() == name).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    #[test]
    fn interrupts_are_read_of_one_cpu() {
        let stat = "cpu  1 1 1 1 1 50 60 0\ncpu1 1 2 3 4 5 6 7 8 0 0\ncpu10 1 2 3 4 5 60 70 8\n";
        assert!((interrupt_ticks(stat, 1) - 13.0).abs() < 1e-9);
        assert!(interrupt_ticks(stat, 2).abs() < 1e-9);
    }

    #[test]
    fn clocks_of_other_threads_run_while_those_do() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let thread = std::thread::spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let clock = ThreadClock::of(&thread).unwrap();
        let start = Instant::now();
        while clock.now().unwrap() < 1e6 && start.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert!(clock.now().unwrap() >= 1e6);
        STOP.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }
}
