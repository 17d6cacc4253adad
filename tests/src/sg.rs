//! The program under test, driven by its command line.
//!
//! The tests run `sg-ctl-faults`: the same program, built with its feature `fault-injection`, which
//! does nothing until `SG_FAULT` or `SG_FAKE_KERNEL` is set. One build thus serves all tests.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::namespace::unique;

/// No command of the tests takes longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where the program under test lies: `SG_CTL` if set, else beside the running test.
///
/// # Panics
/// If the path of the running test is unknown.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("SG_CTL").map_or_else(
        || {
            // Tests run in `target/<profile>/deps`, programs in `target/<profile>`.
            let running = std::env::current_exe().expect("path of the running test");
            let mut places = running.ancestors().skip(1).take(2).map(|at| at.join("sg-ctl-faults"));
            places.find(|path| path.exists()).expect("sg-ctl-faults beside the running test")
        },
        PathBuf::from,
    )
}

/// What a command answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code; `None` = killed by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command, for messages.
    pub command: String,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The answer of a command that has to succeed.
    ///
    /// # Panics
    /// If it failed, with what it wrote.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// The answer of a command that has to end with this code.
    ///
    /// # Panics
    /// If it ended otherwise, with what it wrote.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n--- stdout\n{}--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }

    /// A refusal: exit code 1, and on standard error an `error:` line, then `cause:` and `help:`
    /// lines, with each of `words` somewhere. Standard output is empty, or one JSON value with the
    /// error if JSON was asked for.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn refuses(self, words: &[&str]) -> Self {
        let answer = self.exits(1);
        assert!(
            answer.stderr.lines().any(|line| line.starts_with("error: ")),
            "{}: no error line in\n{}",
            answer.command,
            answer.stderr
        );
        assert!(!answer.stderr.contains("panicked"), "{}: {}", answer.command, answer.stderr);
        if !answer.stdout.is_empty() {
            assert!(answer.json()["error"].is_string(), "{}: {}", answer.command, answer.stdout);
        }
        for word in words {
            assert!(
                answer.stderr.to_lowercase().contains(&word.to_lowercase()),
                "{}: `{word}` is not in\n{}",
                answer.command,
                answer.stderr
            );
        }
        answer
    }

    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// If it is anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{}: {error}\n{}\n{}", self.command, self.stdout, self.stderr)
        })
    }
}

/// The program, with a state directory and pins of its own.
#[derive(Debug)]
pub struct Sg {
    netns: Option<String>,
    state: TempDir,
    bpffs: PathBuf,
}

impl Sg {
    /// Works in the network namespace `netns`.
    ///
    /// # Panics
    /// If no temporary directory can be made.
    #[must_use]
    pub fn new(netns: &str) -> Self {
        crate::namespace::mount_bpffs();
        let mut sg = Self::here();
        sg.netns = Some(netns.to_owned());
        sg
    }

    /// Works in the caller's network namespace: for commands that touch no interface.
    ///
    /// # Panics
    /// If no temporary directory can be made.
    #[must_use]
    pub fn here() -> Self {
        Self {
            netns: None,
            state: tempfile::Builder::new().prefix("sg-test-").tempdir().expect("temporary folder"),
            bpffs: Path::new("/sys/fs/bpf").join(format!("sg-test-{}", unique())),
        }
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The directory of pins.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The command with its global options, to be completed and run by the caller.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        if let Some(netns) = &self.netns {
            command.args(["--netns", netns]);
        }
        self.in_own_places(&mut command);
        command
    }

    /// Adds this host's state and pin directories to a command.
    pub fn in_own_places(&self, command: &mut Command) {
        command.arg("--state-dir").arg(self.state.path()).arg("--bpffs").arg(&self.bpffs);
        for variable in
            ["SSH_CONNECTION", "SG_STATE_DIR", "SG_BPFFS", "SG_FAULT", "SG_FAKE_KERNEL", "NO_COLOR"]
        {
            command.env_remove(variable);
        }
    }

    /// Runs a command line, its words separated by blanks.
    #[track_caller]
    pub fn run(&self, line: &str) -> Answer {
        self.run_args(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command with these arguments.
    #[track_caller]
    pub fn run_args(&self, arguments: &[&str]) -> Answer {
        let mut command = self.command();
        command.args(arguments);
        answer(command, None)
    }

    /// Runs a command line that reads `input`.
    #[track_caller]
    pub fn run_with(&self, line: &str, input: &str) -> Answer {
        let mut command = self.command();
        command.args(line.split_whitespace());
        answer(command, Some(input.as_bytes()))
    }

    /// Runs a command line with variables in its environment.
    #[track_caller]
    pub fn run_env(&self, variables: &[(&str, &str)], line: &str, input: Option<&str>) -> Answer {
        let mut command = self.command();
        command.args(line.split_whitespace()).envs(variables.iter().copied());
        answer(command, input.map(str::as_bytes))
    }

    /// Applies a policy file, pruning what it does not name.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn apply(&self, policy: &str) -> Answer {
        self.run_with("apply --prune -f -", policy).ok()
    }

    /// Writes a file into the state's temporary folder's sibling and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let folder = self.state.path().join("test-files");
        std::fs::create_dir_all(&folder).expect("folder for a test's files");
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a test's file");
        path
    }

    /// Starts a command line and leaves it running.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(&self, variables: &[(&str, &str)], line: &str) -> Running {
        let mut command = self.command();
        command.args(line.split_whitespace()).envs(variables.iter().copied());
        Running::start(command)
    }

    /// Paths of everything but folders below the directory of pins.
    #[must_use]
    pub fn pins(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.bpffs, &mut found);
        found
    }

    /// Does what a reboot does to the kernel's side: every pin goes, and with the pins all programs
    /// and tables.
    ///
    /// # Panics
    /// If a pin cannot be removed.
    pub fn lose_pins(&self) {
        std::fs::remove_dir_all(&self.bpffs).expect("remove the pins");
    }
}

impl Drop for Sg {
    fn drop(&mut self) {
        // Links pinned here hold the programs on the devices.
        let _ = std::fs::remove_dir_all(&self.bpffs);
    }
}

/// A command that is running; killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    started: Instant,
}

impl Running {
    /// Starts a command with its output captured.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let text = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{text}: {error}"));
        Self { child, command: text, started: Instant::now() }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If that cannot be asked.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("ask for a child").is_some()
    }

    /// Reads standard error until a line contains `text`.
    ///
    /// # Panics
    /// If it ends without such a line.
    pub fn await_stderr(&mut self, text: &str) {
        let stderr = self.child.stderr.as_mut().expect("captured");
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let count = stderr.read(&mut byte).expect("read from a child");
            assert_ne!(count, 0, "{}: no `{text}` in {:?}", self.command, text_of(&seen));
            seen.push(byte[0]);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If its output cannot be read.
    pub fn wait(mut self) -> Answer {
        let stdout = drain(self.child.stdout.take());
        let stderr = drain(self.child.stderr.take());
        let status = self.child.wait().expect("wait for a child");
        Answer {
            code: status.code(),
            stdout: stdout.join().expect("reader"),
            stderr: stderr.join().expect("reader"),
            command: self.command.clone(),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        text_of(&bytes)
    })
}

/// Runs a command to its end, killing it after two minutes.
///
/// # Panics
/// If it cannot be started, or does not end.
#[track_caller]
pub fn answer(mut command: Command, input: Option<&[u8]>) -> Answer {
    let text = format!("{command:?}");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: `prctl` is the only call between fork and exec, and it allocates nothing. The child
    // ends with the thread that started it, so a test that dies leaves none behind.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{text}: {error}"));
    let stdin = child.stdin.take().map(|mut stdin| {
        let bytes = input.unwrap_or_default().to_vec();
        // A program that refuses early does not read all of its input.
        std::thread::spawn(move || drop(stdin.write_all(&bytes)))
    });
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            break status;
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("{text}: still running after {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if let Some(stdin) = stdin {
        let _ = stdin.join();
    }
    Answer {
        code: status.code(),
        stdout: stdout.join().expect("reader"),
        stderr: stderr.join().expect("reader"),
        command: text,
        took: started.elapsed(),
    }
}
