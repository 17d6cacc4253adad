//! The lock between processes: the other process is this test binary, run again.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// Directory in which a child is to hold the lock.
const HOLD: &str = "SG_TEST_HOLD";

/// In a child: holds the lock until it is killed. Elsewhere: nothing.
#[test]
fn child_holds_the_lock() {
    let Ok(directory) = std::env::var(HOLD) else { return };
    let mut waiting = |_: &Holder| {};
    let mut patience = Patience { timeout: TIMEOUT, waiting: &mut waiting };
    let _lock =
        Lock::acquire(Path::new(&directory), "apply\u{7} -f x.toml", &mut patience).unwrap();
    println!("held");
    thread::park();
}

fn holder_in(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::lock::tests::child_holds_the_lock", "--nocapture"])
        .env(HOLD, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("held") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut output, &mut line).unwrap(), 0);
    }
    child
}

fn acquire(directory: &Path, timeout: Duration) -> (Result<Lock, LockError>, Vec<Holder>) {
    let mut told = Vec::new();
    let mut waiting = |holder: &Holder| told.push(holder.clone());
    let mut patience = Patience { timeout, waiting: &mut waiting };
    let lock = Lock::acquire(directory, "refresh", &mut patience);
    (lock, told)
}

#[test]
fn a_busy_lock_names_its_holder_and_dies_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = holder_in(directory.path());
    let expected = Holder { pid: Some(child.id()), command: "apply -f x.toml".into() };

    let (short, told) = acquire(directory.path(), Duration::from_millis(50));
    let error = short.unwrap_err();
    let text = format!("busy, held by pid {} (apply -f x.toml)", child.id());
    assert_eq!((error.to_string(), told), (text, vec![]));

    // A wait of more than a second is told, once, and ends when the holder is killed.
    let start = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    let (lock, told) = {
        let mut told = Vec::new();
        let mut waiting = |holder: &Holder| {
            told.push((holder.clone(), start.elapsed()));
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        };
        let mut patience = Patience { timeout: TIMEOUT, waiting: &mut waiting };
        (Lock::acquire(directory.path(), "refresh", &mut patience), told)
    };
    assert!(lock.is_ok());
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, expected);
    assert!((SILENCE..TIMEOUT).contains(&told[0].1));
    child.wait().unwrap();
}

#[test]
fn a_wait_that_was_given_up_takes_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = acquire(directory.path(), TIMEOUT);
    let first = first.unwrap();
    let (second, told) = acquire(directory.path(), Duration::from_millis(20));
    assert!(matches!(second, Err(LockError::Busy { .. })) && told.is_empty());
    drop(first);
    // The thread that still waits gets the lock and drops it at once.
    assert!(acquire(directory.path(), TIMEOUT).0.is_ok());
}

#[test]
fn a_free_lock_names_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (lock, _) = acquire(directory.path(), TIMEOUT);
    let lock = lock.unwrap();
    assert_eq!(holder(&directory.path().join(FILE)).pid, Some(std::process::id()));
    drop(lock);
    assert_eq!(holder(&directory.path().join(FILE)), Holder::default());
    assert_eq!(Holder::default().to_string(), "another process");
}
