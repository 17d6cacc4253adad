//! What this kernel and this process can do, asked before anything is changed.

use std::fs;

use super::error::DatapathError;

/// Oldest kernel that the programs run on.
pub const MINIMUM_KERNEL: (u32, u32) = (6, 1);
/// First kernel with TCX links; before it clsact filters are used.
const TCX_KERNEL: (u32, u32) = (6, 6);
/// First kernel that waits for one grace period in a batch of map updates, not for one a map.
const BATCH_KERNEL: (u32, u32) = (6, 6);

/// Major and minor version of the running kernel.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    #[cfg(feature = "fault-injection")]
    if let Ok(fake) = std::env::var("SG_FAKE_KERNEL") {
        return parse_release(&fake);
    }
    parse_release(&rustix::system::uname().release().to_string_lossy())
}

fn parse_release(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Whether TC programs attach by TCX links.
pub(super) fn has_tcx() -> bool {
    kernel_version() >= TCX_KERNEL
}

/// Whether a batch of image updates waits only once.
pub(super) fn has_cheap_batch() -> bool {
    kernel_version() >= BATCH_KERNEL
}

/// Capabilities that loading and attaching need: number, name.
const NEEDED: [(u32, &str); 3] = [(12, "NET_ADMIN"), (38, "PERFMON"), (39, "BPF")];
const SYS_ADMIN: u32 = 21;

fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Refuses where the process lacks a right, naming it.
///
/// # Errors
/// [`DatapathError::Refused`].
pub fn require_privileges() -> Result<(), DatapathError> {
    let held = effective_capabilities().unwrap_or(u64::MAX);
    let has = |capability: u32| held >> capability & 1 != 0;
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(number, _)| !(has(*number) || *number != 12 && has(SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|m| format!("CAP_{m}")).collect();
    Err(DatapathError::Refused {
        reason: format!("this process lacks {}", names.join(", ")),
        help: "run as root (`sudo sg-ctl …`), or give the process these capabilities; `check`, \
               `schema` and `completions` need none"
            .to_owned(),
    })
}

/// Refuses a kernel below [`MINIMUM_KERNEL`] and one that is locked down.
///
/// # Errors
/// [`DatapathError::Refused`].
pub fn require_kernel() -> Result<(), DatapathError> {
    let (major, minor) = kernel_version();
    if (major, minor) < MINIMUM_KERNEL {
        let (needed_major, needed_minor) = MINIMUM_KERNEL;
        return Err(DatapathError::Refused {
            reason: format!(
                "kernel {major}.{minor} is too old: the filter needs {needed_major}.{needed_minor}"
            ),
            help: "boot a newer kernel (Debian 12 has 6.1)".to_owned(),
        });
    }
    Ok(())
}

/// Why the kernel may have refused a root process, if something on this host says so.
#[must_use]
pub fn restriction() -> Option<String> {
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = lockdown.split_once('[')?.1.split_once(']')?.0;
    (mode == "confidentiality" || mode == "integrity")
        .then(|| format!("kernel lockdown is `{mode}` (/sys/kernel/security/lockdown)"))
}

/// Number of possible CPUs.
///
/// # Errors
/// [`DatapathError::Refused`] where the kernel does not say.
pub(super) fn possible_cpus() -> Result<u32, DatapathError> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    text.trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse::<u32>().ok())
        .map(|last| last + 1)
        .ok_or_else(|| DatapathError::Refused {
            reason: "cannot tell the number of CPUs from /sys/devices/system/cpu/possible"
                .to_owned(),
            help: "mount sysfs at /sys".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::parse_release;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(parse_release("6.1.0-37-amd64"), (6, 1));
        assert_eq!(parse_release("6.18.44-fc-v669"), (6, 18));
        assert_eq!(parse_release("5.15"), (5, 15));
        assert_eq!(parse_release("weird"), (0, 0));
    }
}
