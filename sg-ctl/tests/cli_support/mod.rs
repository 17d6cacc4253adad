//! Runs the program as its users do: by its name, with a state directory of its own.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// User and group that own nothing.
const NOBODY: u32 = 65534;

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Demands an exit code, and that nothing panicked on the way to it.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Demands an error with a mend in which each of `words` occurs.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        let answer = self.exits(code);
        let has = |start: &str| answer.stderr.lines().any(|line| line.starts_with(start));
        assert!(has("error: "), "{answer:#?}");
        assert!(has("help: "), "no mend: {answer:#?}");
        for word in words {
            assert!(answer.stderr.contains(word), "`{word}` is not said: {answer:#?}");
        }
        answer
    }

    /// Standard output, which has to be one JSON value and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The program, in a temporary folder where its state and the test's files lie.
pub(crate) struct Cli {
    folder: TempDir,
    unprivileged: bool,
}

impl Cli {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), unprivileged: false }
    }

    /// As a user without rights, also where the test itself has them.
    pub(crate) fn unprivileged() -> Self {
        let cli = Self { unprivileged: true, ..Self::new() };
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(cli.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        cli
    }

    /// The temporary folder, in which the program runs.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The command, to be completed and run by the caller.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let drops = self.unprivileged && rustix::process::geteuid().is_root();
        let program = if drops { copy() } else { Path::new(env!("CARGO_BIN_EXE_sg-ctl")) };
        let mut command = Command::new(program);
        if drops {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.path()).env_clear().env("SG_STATE_DIR", self.path().join("state"));
        command.env("SG_BPFFS", "/sys/fs/bpf/sg-test-none").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line, its words separated by blanks.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Answer {
        self.run_in(&[], line, None)
    }

    /// Runs a command line that reads `input`.
    #[track_caller]
    pub(crate) fn run_with(&self, line: &str, input: impl AsRef<[u8]>) -> Answer {
        self.run_in(&[], line, Some(input.as_ref()))
    }

    /// Runs a command line with these variables alone in its environment.
    #[track_caller]
    pub(crate) fn run_in(&self, env: &[(&str, &str)], line: &str, input: Option<&[u8]>) -> Answer {
        let mut command = self.command(&line.split_whitespace().collect::<Vec<_>>());
        command.envs(env.iter().copied());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // What is refused early is not read to its end.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().unwrap();
        Answer {
            line: line.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program in a place that every user can reach.
fn copy() -> &'static Path {
    static COPY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let path = folder.path().join("sg-ctl");
        std::fs::copy(env!("CARGO_BIN_EXE_sg-ctl"), &path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        (folder, path)
    });
    &COPY.1
}
