//! Fault points: named steps at which a test can kill the process, fail a write or hold it.
//!
//! Compiled in only with the feature `fault-injection`; without it [`point`] is nothing. The
//! variable `SG_FAULT` holds `STEP:ACTION` pairs, separated by commas:
//!
//! | action | at that step |
//! | --- | --- |
//! | `kill` | the process dies of SIGKILL |
//! | `enospc` | the step fails as on a full disk |
//! | `sleep=MS` | the process waits |

use std::io;

/// Every step that has a point, in the order in which a change passes them.
///
/// The transaction passes `stage`, `staged`, `prepared`, `flip`, `flipped`, `commit`, `committed`,
/// `detached` and `recorded`; the others lie inside the kernel's part of the work.
pub const STEPS: &[&str] = &[
    "stage",
    "staged",
    "images-loaded",
    "links-attached",
    "directory-written",
    "prepared",
    "flip",
    "flipped",
    "commit",
    "committed",
    "detached",
    "recorded",
];

/// Points at which an update is torn on purpose: they are passed only where `SG_FAULT` arms them.
pub const TORN: &[&str] = &["split-interfaces", "split-directions", "split-image"];

/// Whether `SG_FAULT` names the step.
#[cfg(feature = "fault-injection")]
#[must_use]
pub fn is_armed(step: &str) -> bool {
    let faults = std::env::var("SG_FAULT").unwrap_or_default();
    faults.split(',').any(|fault| fault.split(':').next() == Some(step))
}

/// Passes the step, or does there what `SG_FAULT` says.
///
/// # Errors
/// `ENOSPC` where the variable asks for it, and an error of kind `InvalidInput` where the variable
/// cannot be understood, so that a mistyped fault never passes for a step survived.
#[cfg(feature = "fault-injection")]
pub fn point(step: &str) -> io::Result<()> {
    let Ok(faults) = std::env::var("SG_FAULT") else { return Ok(()) };
    faults.split(',').filter(|fault| !fault.is_empty()).try_for_each(|fault| {
        let invalid = || {
            io::Error::new(io::ErrorKind::InvalidInput, format!("SG_FAULT: `{fault}` is no fault"))
        };
        let (at, action) = fault.split_once(':').ok_or_else(invalid)?;
        if !STEPS.contains(&at) && !TORN.contains(&at) {
            return Err(invalid());
        }
        if at != step {
            return Ok(());
        }
        match action {
            "kill" => {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                Err(invalid())
            }
            "enospc" => Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())),
            _ => {
                let milliseconds = action
                    .strip_prefix("sleep=")
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(invalid)?;
                std::thread::sleep(std::time::Duration::from_millis(milliseconds));
                Ok(())
            }
        }
    })
}

/// Passes the step.
///
/// # Errors
/// None: this build has no faults.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn point(_step: &str) -> io::Result<()> {
    Ok(())
}
