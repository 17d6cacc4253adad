//! Programs of others, with an end to their time.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// No ruleset may take longer to load.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that did not end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

/// Runs a program that reads `input` and has to succeed.
///
/// # Errors
/// If it fails, or takes longer than [`PATIENCE`].
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    match feed_patiently(command, input)? {
        Ok(()) => Ok(()),
        Err(TooSlow) => bail!("{command:?}: still running after {} s", PATIENCE.as_secs()),
    }
}

/// [`feed`], with slowness apart from failure.
///
/// # Errors
/// If it fails.
pub fn feed_patiently(command: &mut Command, input: &str) -> Result<Result<(), TooSlow>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?} could not be started"))?;
    let stdin = child.stdin.take();
    let bytes = input.as_bytes().to_vec();
    let writer = std::thread::spawn(move || {
        // A program that refuses early does not read all of its input.
        stdin.map(|mut stdin| stdin.write_all(&bytes))
    });
    let stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Err(TooSlow));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let _ = writer.join();
    let text = reader.join().unwrap_or_default();
    if !status.success() {
        let first: Vec<&str> = text.lines().take(5).collect();
        bail!("{command:?}: {status}: {}", first.join(" / "));
    }
    Ok(Ok(()))
}

/// Whether a program is on the `PATH`.
#[must_use]
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_the_program_said() {
        let error = feed(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]), "x");
        let text = error.unwrap_err().to_string();
        assert!(text.contains("no such thing") && text.contains("exit status: 3"), "{text}");
        assert!(feed(&mut Command::new("cat"), &"x".repeat(1 << 20)).is_ok());
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(exists("sh"));
        assert!(!exists("sg-no-such-program"));
    }
}
