//! Processes that are killed, that meet a full disk, and that all write at once. The processes are
//! this test binary, run again.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// State directory that a child is to change.
const DIRECTORY: &str = "SG_TEST_DIRECTORY";
/// What it is to do there.
const ACTION: &str = "SG_TEST_ACTION";

/// The other one of two policies: one detaches an interface, the other attaches two.
fn toggle(base: Base<'_>) -> Result<State, BoxError> {
    if base.state.policy.interfaces.contains_key("eth0") { second(base) } else { first(base) }
}

/// In a child: makes its change. Elsewhere: nothing.
#[test]
fn child_writes() {
    let (Ok(directory), Ok(action)) = (std::env::var(DIRECTORY), std::env::var(ACTION)) else {
        return;
    };
    let mut session = session(Path::new(&directory), &action);
    match action.as_str() {
        "toggle" => {
            let outcome = session.write(Request::default(), toggle).unwrap();
            println!("\nwarnings: {:?}", texts(&outcome.warnings));
        }
        "detach" => drop(session.write(Request::default(), nothing).unwrap()),
        "toggle for ever" => {
            println!("\nready");
            loop {
                session.write(Request::default(), toggle).unwrap();
                println!("\nchanged");
            }
        }
        group => {
            let add = |base: Base<'_>| {
                let mut state = base.state.clone();
                let group = Group { description: base.generation.to_string(), ..Group::default() };
                state.policy.groups.insert(name(&session.note.command.clone()), group);
                Ok(state)
            };
            let mut session = self::session(Path::new(&directory), group);
            session.write(Request::default(), add).unwrap();
        }
    }
}

fn child(directory: &Path, action: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "transaction::tests::crash::child_writes", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(ACTION, action)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the kernel enforces is one of the two policies, whole, and never nothing.
fn is_one_of_two(directory: &Path) {
    let (_, content, _) = Fake::new(directory).in_force().expect("filtering was open");
    let empty = Base { generation: 0, next: 1, state: &State::default() };
    let contents = [first(empty), second(empty)].map(|s| Fake::content(&s.unwrap()));
    assert!(contents.contains(&content), "{content:?}");
}

#[test]
fn a_process_killed_at_any_time_leaves_the_old_or_the_new_state() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let mut last = 0;
    for round in 0..100 {
        let mut child = child(place.path(), "toggle for ever").spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut wait_for = |word| {
            let mut line = String::new();
            while !line.contains(word) {
                line.clear();
                assert_ne!(output.read_line(&mut line).unwrap(), 0);
            }
        };
        wait_for("ready");
        (0..round % 3).for_each(|_| wait_for("changed"));
        // Anywhere in the change that follows.
        std::thread::sleep(Duration::from_micros(round * 97));
        child.kill().unwrap();
        child.wait().unwrap();
        is_one_of_two(place.path());
        let generation = check(place.path()).snapshot.generation;
        assert!(generation >= last + round % 3);
        last = generation;
    }
}

#[test]
fn fifty_writers_lose_no_update() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("state");
    let children: Vec<_> =
        (0..50).map(|n| child(&directory, &format!("g{n}")).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let snapshot = check(&directory).snapshot;
    assert_eq!(snapshot.generation, 50);
    // Each saw the state of exactly one predecessor.
    let groups = snapshot.state.policy.groups.values();
    let mut seen: Vec<u64> = groups.map(|group| group.description.parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}

#[cfg(feature = "fault-injection")]
mod at_each_step {
    use super::*;
    use crate::fault::STEPS;

    /// Runs one change with a fault.
    fn run(directory: &Path, fault: &str) -> (bool, String) {
        run_action(directory, "toggle", fault)
    }

    fn run_action(directory: &Path, action: &str, fault: &str) -> (bool, String) {
        let output = child(directory, action).env("SG_FAULT", fault).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether a change that is cut short at the step counts.
    fn counts(step: &str) -> bool {
        let place = |step| STEPS.iter().position(|other| *other == step).unwrap();
        place(step) >= place("flipped")
    }

    #[test]
    fn a_kill_leaves_the_old_or_the_new_state() {
        let place = tempfile::tempdir().unwrap();
        session(place.path(), "apply").write(Request::default(), first).unwrap();
        for step in STEPS {
            for _ in 0..20 {
                let before = check(place.path()).snapshot.generation;
                let (success, text) = run(place.path(), &format!("{step}:kill"));
                assert!(!success && !text.contains("warnings"), "{step} was not passed: {text}");
                is_one_of_two(place.path());
                let after = check(place.path()).snapshot.generation;
                assert_eq!(after, before + u64::from(counts(step)), "{step}");
            }
        }
    }

    #[test]
    fn a_kill_in_the_first_change_leaves_nothing_or_the_new_state() {
        for step in STEPS {
            let place = tempfile::tempdir().unwrap();
            let (success, _) = run(place.path(), &format!("{step}:kill"));
            assert!(!success);
            let view = check(place.path());
            assert_eq!(view.snapshot.generation, u64::from(counts(step)), "{step}");
            assert_eq!(view.enforced.is_some(), counts(step), "{step}");
            assert_eq!(Fake::new(place.path()).in_force().is_some(), counts(step), "{step}");
        }
    }

    #[test]
    fn a_kill_while_the_last_interface_leaves_is_noticed() {
        for step in STEPS {
            let place = tempfile::tempdir().unwrap();
            session(place.path(), "apply").write(Request::default(), first).unwrap();
            let (success, _) = run_action(place.path(), "detach", &format!("{step}:kill"));
            assert!(!success, "{step} was not passed");
            if !counts(step) {
                is_one_of_two(place.path());
            }
            let view = check(place.path());
            assert_eq!(view.snapshot.generation, 1 + u64::from(counts(step)), "{step}");
            assert_eq!(view.enforced.is_some(), !counts(step), "{step}");
            assert_eq!(place.path().join("kernel").exists(), !counts(step), "{step}");
        }
    }

    #[test]
    fn a_full_disk_refuses_before_the_flip_and_warns_after_it() {
        for step in STEPS {
            let place = tempfile::tempdir().unwrap();
            session(place.path(), "apply").write(Request::default(), first).unwrap();
            let before = check(place.path());
            let (success, text) = run(place.path(), &format!("{step}:enospc"));
            assert_eq!(success, counts(step), "{step}: {text}");
            is_one_of_two(place.path());
            let recovered = session(place.path(), "look").read().unwrap();
            let after = check(place.path());
            if success {
                assert!(text.contains(", \""), "{step} gave no warning: {text}");
                assert_eq!(after.snapshot.generation, 2, "{step}");
                let pending = *step == "commit";
                assert_eq!(recovered.warnings.len(), usize::from(pending), "{step}");
            } else {
                assert_eq!(after.snapshot, before.snapshot, "{step}");
                assert_eq!(texts(&recovered.warnings), [""; 0], "{step}");
            }
        }
    }
}
