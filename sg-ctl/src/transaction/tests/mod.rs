//! The protocol over the embedded store and a kernel in files.

mod crash;
mod fake;

use std::path::Path;
use std::sync::Arc;

use self::fake::Fake;
use super::*;
use crate::policy::model::{Group, Interface, Name, PortRange, Protocol, Rule};
use crate::store::last_good::LastGood;
use crate::store::{Change, Embedded, Record, StoreError, Stored};

fn session<'a>(directory: &Path, command: &str) -> Session<'a, Embedded, Fake> {
    Session {
        store: Embedded::new(directory),
        kernel: Fake::new(directory),
        directory: directory.to_path_buf(),
        namespace: namespace("init", "boot 1", 1),
        note: Note { time: 0, command: command.into() },
        timeout: Duration::from_secs(60),
        waiting: Box::new(|_| {}),
    }
}

fn namespace(label: &str, boot_id: &str, inode: u64) -> NamespaceId {
    NamespaceId { label: label.into(), boot_id: boot_id.into(), inode }
}

fn name(text: &str) -> Name {
    Name(text.into())
}

/// Policies that differ in rules and interfaces: `ports` in one group, on `interfaces`.
fn with(mut state: State, ports: &[u16], interfaces: &[&str]) -> State {
    let rule = |port: &u16| Rule {
        protocol: Protocol::Number(6),
        ports: vec![PortRange { first: *port, last: *port }],
        ..Rule::default()
    };
    let group = Group { ingress: ports.iter().map(rule).collect(), ..Group::default() };
    state.policy.groups.insert(name("web"), group);
    let interface = Interface { groups: vec![name("web")], ..Interface::default() };
    let interfaces = interfaces.iter().map(|i| (Arc::from(*i), interface.clone()));
    state.policy.interfaces = interfaces.collect();
    state
}

fn first(base: Base<'_>) -> Result<State, BoxError> {
    Ok(with(base.state.clone(), &[22, 80], &["eth0"]))
}

fn nothing(base: Base<'_>) -> Result<State, BoxError> {
    Ok(with(base.state.clone(), &[22, 80], &[]))
}

fn second(base: Base<'_>) -> Result<State, BoxError> {
    Ok(with(base.state.clone(), &[22, 443], &["eth1", "eth2"]))
}

/// Store and kernel agree, and nothing else is left in either. Returns the state.
fn check(directory: &Path) -> View {
    let view = session(directory, "look").read().unwrap();
    let stored = Embedded::new(directory).read().unwrap();
    assert_eq!((stored.generation, stored.pending), (view.snapshot.generation, None));
    if let Some((generation, content, links)) = Fake::new(directory).in_force() {
        assert_eq!(generation, view.snapshot.generation);
        assert_eq!(content, Fake::content(&view.snapshot.state));
        assert!(links.iter().eq(content.keys()), "{links:?} for {content:?}");
    }
    view
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

const FALLS_BACK: &str = "eth9: falls back";

#[test]
fn a_write_changes_store_and_kernel() {
    let place = tempfile::tempdir().unwrap();
    let directory = &place.path().join("state");
    assert_eq!(check(directory).enforced, None);
    let outcome = session(directory, "apply").write(Request::default(), first).unwrap();
    assert_eq!((outcome.generation, outcome.changed), (1, true));
    assert_eq!(texts(&outcome.warnings), [FALLS_BACK]);
    let view = check(directory);
    assert_eq!(view.enforced, Some(1));
    assert_eq!(view.snapshot.state, outcome.state);
    assert_eq!(LastGood::read(directory).unwrap(), Some(LastGood::from(&outcome.state)));

    let again = session(directory, "apply").write(Request::default(), first).unwrap();
    assert_eq!((again.generation, again.changed), (1, false));
    let other = session(directory, "apply").write(Request::default(), second).unwrap();
    assert_eq!((other.generation, other.changed), (2, true));
    assert_eq!(other.before, outcome.state);
    check(directory);
    let history = Embedded::new(directory).history().unwrap();
    assert_eq!(history.iter().map(|r| r.generation).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_dry_run_and_a_late_write_change_nothing() {
    let place = tempfile::tempdir().unwrap();
    let directory = &place.path().join("state");
    let dry = Request { dry_run: true, ..Request::default() };
    let outcome = session(directory, "apply").write(dry, first).unwrap();
    assert_eq!((outcome.generation, outcome.changed), (1, true));
    assert!(!directory.exists());

    session(directory, "apply").write(Request::default(), first).unwrap();
    for dry_run in [true, false] {
        let request = Request { if_generation: Some(0), dry_run, ..Request::default() };
        let error = session(directory, "apply").write(request, second).unwrap_err();
        let expected = TransactionError::Generation { expected: 0, actual: 1 };
        assert_eq!(error.to_string(), expected.to_string());
    }
    let request = Request { if_generation: Some(1), ..Request::default() };
    assert_eq!(session(directory, "apply").write(request, second).unwrap().generation, 2);
}

#[test]
fn a_failure_before_the_flip_undoes_everything() {
    for (broken, generation) in [("prepare", 0), ("flip", 0), ("prepare", 1), ("flip", 1)] {
        let place = tempfile::tempdir().unwrap();
        if generation == 1 {
            session(place.path(), "apply").write(Request::default(), first).unwrap();
        }
        let mut session = session(place.path(), "apply");
        session.kernel.broken.push(broken);
        let error = session.write(Request::default(), second).unwrap_err();
        assert!(matches!(error, TransactionError::Kernel { .. }), "{error}");
        let view = check(place.path());
        assert_eq!((view.snapshot.generation, view.warnings.len()), (generation, 0));
    }
}

#[test]
fn what_another_process_made_meanwhile_is_seen() {
    let place = tempfile::tempdir().unwrap();
    let mut early = session(place.path(), "apply");
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let outcome = early.write(Request::default(), second).unwrap();
    assert_eq!((outcome.generation, texts(&outcome.warnings)), (2, vec![FALLS_BACK.into()]));
    check(place.path());
}

#[test]
fn an_unchanged_state_is_enforced_anew_on_demand() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let renew = Request { renew: true, ..Request::default() };
    let outcome = session(place.path(), "restore").write(renew, first).unwrap();
    assert_eq!((outcome.generation, outcome.changed), (2, true));
    assert_eq!(check(place.path()).enforced, Some(2));
}

#[test]
fn a_plan_that_fails_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut session = session(place.path(), "apply");
    let error = session.write(Request::default(), |_| Err("no such group".into())).unwrap_err();
    assert_eq!(error.to_string(), "no such group");
    assert_eq!(check(place.path()).snapshot.generation, 0);
}

#[test]
fn what_could_not_be_undone_is_undone_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let mut broken = session(place.path(), "apply -f x.toml");
    broken.kernel.broken = vec!["flip", "abandon"];
    let error = broken.write(Request::default(), second).unwrap_err();
    assert!(matches!(error, TransactionError::Undo { .. }), "{error}");
    // As long as it cannot be undone: reads tell, writes refuse.
    let mut still = session(place.path(), "status");
    still.kernel.broken = vec!["abandon"];
    let view = still.read().unwrap();
    assert!(matches!(view.warnings[..], [Warning::NotUndone(_)]));
    assert_eq!(view.snapshot.generation, 1);
    let error = still.write(Request::default(), second).unwrap_err();
    assert!(matches!(error, TransactionError::Kernel { .. }), "{error}");

    let view = check(place.path());
    assert_eq!(texts(&view.warnings), ["an interrupted command had no effect: apply -f x.toml"]);
}

#[test]
fn what_could_not_be_removed_goes_with_the_next_command() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let mut broken = session(place.path(), "apply");
    broken.kernel.broken = vec!["finish"];
    let outcome = broken.write(Request::default(), second).unwrap();
    assert!(matches!(outcome.warnings[..], [Warning::Kernel(_), Warning::NotFinished(_)]));
    assert!(Fake::new(place.path()).in_force().unwrap().2.contains("eth0"));
    // A read that cannot remove it either tells; one that can does.
    let mut still = session(place.path(), "status");
    still.kernel.broken = vec!["finish"];
    assert!(matches!(still.read().unwrap().warnings[..], [Warning::NotFinished(_)]));
    check(place.path());
}

#[test]
fn with_the_last_interface_everything_goes() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    session(place.path(), "detach").write(Request::default(), nothing).unwrap();
    assert!(!place.path().join("kernel").exists());
    let view = check(place.path());
    assert_eq!((view.snapshot.generation, view.enforced), (2, None));
    // There is nothing to restore, and a later attach starts from nothing.
    assert_eq!(session(place.path(), "restore").restore().unwrap().snapshot.generation, 2);
    let outcome = session(place.path(), "attach").write(Request::default(), first).unwrap();
    assert_eq!(texts(&outcome.warnings), [FALLS_BACK]);
    assert_eq!(check(place.path()).enforced, Some(3));
}

#[test]
fn after_a_restart_the_committed_state_is_enforced_again() {
    for restore in [true, false] {
        let place = tempfile::tempdir().unwrap();
        session(place.path(), "apply").write(Request::default(), first).unwrap();
        Fake::new(place.path()).reboot();
        let mut session = session(place.path(), "after");
        session.namespace = namespace("init", "boot 2", 1);
        let view = session.read().unwrap();
        assert_eq!((view.enforced, view.snapshot.generation), (None, 1));

        if restore {
            let view = session.restore().unwrap();
            assert_eq!((view.enforced, view.snapshot.generation), (Some(2), 2));
            assert_eq!(
                texts(&view.warnings)[1..],
                [Warning::Restored { generation: 2 }.to_string()]
            );
            assert_eq!(view.snapshot.state.namespace, Some(session.namespace.clone()));
            // Nothing is left to restore.
            assert_eq!(session.restore().unwrap().snapshot.generation, 2);
        } else {
            // A write that fails leaves the former state enforced.
            let failed = session.write(Request::default(), |_| Err("no".into()));
            assert!(matches!(failed, Err(TransactionError::Plan(_))));
            let request = Request { if_generation: Some(2), ..Request::default() };
            assert_eq!(session.write(request, second).unwrap().generation, 3);
        }
        assert!(Fake::new(place.path()).in_force().is_some());
    }
}

#[test]
fn a_restart_with_a_pending_change_drops_it() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let base = session(place.path(), "look").read().unwrap().snapshot;
    let change = base.change_to(&with(base.state.clone(), &[9], &["eth9"]));
    let note = Note { time: 0, command: "cut off".into() };
    Embedded::new(place.path()).stage(1, 2, &change, &note).unwrap();
    Fake::new(place.path()).reboot();
    let view = session(place.path(), "restore").restore().unwrap();
    assert_eq!(texts(&view.warnings)[0], "an interrupted command had no effect: cut off");
    assert_eq!(view.snapshot.state.policy, base.state.policy);
    check(place.path());
}

#[test]
fn a_kernel_that_the_store_does_not_know_is_left_alone_until_mended() {
    for kernel in [7, 8] {
        let place = tempfile::tempdir().unwrap();
        session(place.path(), "apply").write(Request::default(), first).unwrap();
        Fake::new(place.path()).set_word(kernel);
        let mut session = session(place.path(), "look");
        let expected = TransactionError::Mismatch { kernel, store: 1 }.to_string();
        assert_eq!(session.read().unwrap_err().to_string(), expected);
        assert_eq!(session.restore().unwrap().enforced, Some(kernel + 1));
        check(place.path());
    }
    // A store that is behind, or gone, is replaced only by a new policy: restoring nothing would
    // open the filter.
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), second).unwrap();
    std::fs::remove_file(place.path().join("state.db")).unwrap();
    let mut session = session(place.path(), "apply --force");
    assert!(matches!(session.restore(), Err(TransactionError::Mismatch { kernel: 1, store: 0 })));
    assert!(matches!(
        session.write(Request::default(), first),
        Err(TransactionError::Mismatch { .. })
    ));
    let mend = Request { mend: true, ..Request::default() };
    assert_eq!(session.write(mend, first).unwrap().generation, 2);
    check(place.path());
}

#[test]
fn the_next_generation_uses_the_other_directory() {
    for (committed, kernel) in [(0, 0), (1, 1), (4, 7), (4, 8), (9, 3), (9, 4), (10, 3), (10, 4)] {
        let next = next_generation(committed, Some(kernel));
        assert!(
            next > committed && next > kernel && next % 2 != kernel % 2,
            "{committed} {kernel}"
        );
    }
    assert_eq!(next_generation(5, Some(5)), 6);
    assert_eq!(next_generation(5, None), 6);
}

#[test]
fn the_state_of_another_namespace_is_refused() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let mut session = session(place.path(), "look");
    session.namespace = namespace("netns blue", "boot 1", 2);
    for result in [
        session.read().map(drop),
        session.write(Request::default(), second).map(drop),
        session.restore().map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, TransactionError::Store(StoreError::Namespace { .. })), "{error}");
    }
    // One that was made anew under the same name has nothing of what the kernel enforces.
    session.namespace = namespace("init", "boot 1", 3);
    let view = session.restore().unwrap();
    assert_eq!(view.enforced, Some(2));
    assert_eq!(view.snapshot.state.namespace, Some(session.namespace.clone()));
}

/// A store whose disk is full.
struct Full(Embedded);

impl Store for Full {
    fn location(&self) -> &Path {
        self.0.location()
    }

    fn read(&mut self) -> Result<Stored, StoreError> {
        self.0.read()
    }

    fn stage(&mut self, _: u64, _: u64, _: &Change, _: &Note) -> Result<(), StoreError> {
        Err(StoreError::NoSpace { path: self.location().into() })
    }

    fn commit(&mut self, _: u64) -> Result<(), StoreError> {
        Err(StoreError::NoSpace { path: self.location().into() })
    }

    fn discard(&mut self) -> Result<(), StoreError> {
        Err(StoreError::NoSpace { path: self.location().into() })
    }

    fn history(&mut self) -> Result<Vec<Record>, StoreError> {
        self.0.history()
    }
}

fn full<'a>(directory: &Path) -> Session<'a, Full, Fake> {
    let session = session(directory, "full");
    Session {
        store: Full(session.store),
        kernel: session.kernel,
        directory: session.directory,
        namespace: session.namespace,
        note: session.note,
        timeout: session.timeout,
        waiting: session.waiting,
    }
}

#[test]
fn a_full_disk_does_not_keep_a_host_from_restoring() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    let error = full(place.path()).write(Request::default(), second).unwrap_err();
    assert!(matches!(error, TransactionError::Store(StoreError::NoSpace { .. })));
    check(place.path());

    Fake::new(place.path()).reboot();
    let view = full(place.path()).restore().unwrap();
    assert_eq!((view.enforced, view.snapshot.generation), (Some(1), 1));
    assert!(view.warnings.iter().any(|warning| matches!(warning, Warning::NotStored(_))));
    check(place.path());
}

#[test]
fn a_change_that_was_not_committed_counts_and_is_committed_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    session(place.path(), "apply").write(Request::default(), first).unwrap();
    // The kernel has it, the store has it as pending: what a kill or a full disk leaves.
    let base = session(place.path(), "look").read().unwrap().snapshot;
    let new = with(base.state.clone(), &[22, 443], &["eth0"]);
    let note = Note { time: 0, command: "cut off".into() };
    Embedded::new(place.path()).stage(1, 2, &base.change_to(&new), &note).unwrap();
    let (_, placed) = Fake::new(place.path()).place(2, &base.state, new.clone()).unwrap();
    Fake::new(place.path()).prepare(placed).unwrap();
    Fake::new(place.path()).flip(2).unwrap();

    let mut session = full(place.path());
    let view = session.read().unwrap();
    assert_eq!((view.snapshot.generation, &view.snapshot.state), (2, &new));
    assert!(matches!(view.warnings[..], [Warning::NotRecorded { generation: 2, .. }]));
    let error = session.write(Request::default(), first).unwrap_err();
    assert!(matches!(error, TransactionError::Store(StoreError::NoSpace { .. })), "{error}");

    let view = check(place.path());
    assert_eq!(
        texts(&view.warnings),
        ["an interrupted command was completed as generation 2: cut off"]
    );
    assert_eq!(LastGood::read(place.path()).unwrap(), Some(LastGood::from(&new)));
}
