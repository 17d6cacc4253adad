//! Calling `sg-ctl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::place::{Place, SERVER};
use crate::command;

/// `sg-ctl`, told to work in the namespace of the demonstration and to leave the state of this
/// machine alone.
pub(super) struct Product {
    program: PathBuf,
    state: PathBuf,
    bpffs: PathBuf,
}

impl Product {
    pub(super) fn new(program: PathBuf, place: &Place) -> Self {
        Self { program, state: place.state.clone(), bpffs: place.bpffs.clone() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--netns", SERVER, "--state-dir"])
            .arg(&self.state)
            .arg("--bpffs")
            .arg(&self.bpffs);
        command
    }

    /// Shows and runs a command; returns what it printed and how long it took.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<(String, Duration)> {
        let start = Instant::now();
        let output = command::quiet(self.command().args(arguments))?;
        let time = start.elapsed();
        let shown = arguments
            .iter()
            .map(|argument| {
                // Paths are shown from the workspace's root, where one types them.
                Path::new(argument)
                    .strip_prefix(crate::workspace::root())
                    .map_or((*argument).to_owned(), |path| path.display().to_string())
            })
            .collect::<Vec<_>>()
            .join(" ");
        println!("  $ sg-ctl {shown}    ({} ms)", time.as_millis());
        Ok((output, time))
    }

    /// Runs a command that prints JSON, without showing it.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = command::quiet(self.command().args(["-o", "json"]).args(arguments))?;
        serde_json::from_str(&text)
            .with_context(|| format!("sg-ctl {} printed no JSON", arguments.join(" ")))
    }
}
