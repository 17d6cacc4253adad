//! The embedded store on real files: full disks, damage, other versions, other users.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

use super::*;

fn note(command: &str) -> Note {
    Note { time: 1_700_000_000, command: command.to_owned() }
}

fn change<const N: usize>(edits: [(&str, Option<&str>); N]) -> Change {
    edits
        .into_iter()
        .map(|(key, value)| (key.into(), value.map(|v| v.as_bytes().to_vec())))
        .collect()
}

/// Makes `change` the next generation.
fn step(store: &mut Embedded, edits: &Change) -> u64 {
    let base = store.read().unwrap().generation;
    store.stage(base, base + 1, edits, &note("step")).unwrap();
    store.commit(base + 1).unwrap();
    base + 1
}

fn text(stored: &Stored) -> String {
    let documents = stored.documents.iter();
    documents.map(|(k, v)| format!("{k}={} ", String::from_utf8_lossy(v))).collect()
}

fn new_store() -> (TempDir, Embedded) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::new(&directory.path().join("state"));
    (directory, store)
}

#[test]
fn a_store_that_was_never_written_is_empty_and_leaves_nothing() {
    let (directory, mut store) = new_store();
    assert_eq!(store.read().unwrap(), Stored::default());
    assert_eq!(store.history().unwrap(), []);
    store.discard().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_change_is_pending_until_it_is_committed() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]));
    let next = change([("a", Some("2")), ("b", None), ("d", Some("2"))]);
    store.stage(1, 2, &next, &note("second")).unwrap();

    let mut other = Embedded::new(&store.directory);
    let stored = other.read().unwrap();
    assert_eq!((stored.generation, text(&stored).as_str()), (1, "a=1 b=1 c=1 "));
    let pending = stored.pending.unwrap();
    assert_eq!((pending.generation, pending.note, pending.change), (2, note("second"), next));

    other.commit(2).unwrap();
    let stored = store.read().unwrap();
    assert_eq!((stored.generation, text(&stored).as_str()), (2, "a=2 c=1 d=2 "));
    assert_eq!(stored.pending, None);
    // Nothing of the former generation is kept.
    let connection = store.open().unwrap().unwrap();
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM documents", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn a_pending_change_can_be_dropped_or_replaced() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1"))]));
    store.stage(1, 2, &change([("a", None), ("b", Some("2"))]), &note("dropped")).unwrap();
    store.discard().unwrap();
    assert_eq!(store.read().unwrap().pending, None);
    store.stage(1, 2, &change([("a", None)]), &note("replaced")).unwrap();
    store.stage(1, 4, &change([("c", Some("3"))]), &note("last")).unwrap();
    assert!(matches!(store.commit(2), Err(StoreError::Conflict { .. })));
    store.commit(4).unwrap();
    assert_eq!(text(&store.read().unwrap()), "a=1 c=3 ");
    let commands: Vec<_> =
        store.history().unwrap().into_iter().map(|r| (r.generation, r.note.command)).collect();
    assert_eq!(commands, [(4, "last".into()), (1, "step".into())]);
}

#[test]
fn the_base_is_compared() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1"))]));
    let late = store.stage(0, 1, &change([("a", Some("2"))]), &note("late")).unwrap_err();
    assert!(matches!(late, StoreError::Conflict { expected: 0, actual: 1 }), "{late}");
    assert!(store.stage(1, 1, &Change::new(), &note("same")).is_err());
    assert_eq!(store.read().unwrap().pending, None);
}

#[test]
fn history_is_bounded() {
    let (_directory, mut store) = new_store();
    for value in 0..HISTORY + 20 {
        step(&mut store, &change([("a", Some(&value.to_string()))]));
    }
    let history = store.history().unwrap();
    assert_eq!(history.len() as u64, HISTORY);
    assert_eq!(history[0].generation, HISTORY + 20);
    let connection = store.open().unwrap().unwrap();
    let rows: u64 = connection
        .query_row("SELECT count(*) FROM generations", [], |r| r.get::<_, i64>(0))
        .unwrap() as u64;
    assert_eq!(rows, HISTORY);
}

#[test]
fn only_the_owner_can_read_and_nobody_else_may_write() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1"))]));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&store.directory), 0o700);
    for entry in fs::read_dir(&store.directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    fs::set_permissions(&store.directory, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Embedded::new(&store.directory).read().unwrap_err();
    assert!(matches!(error, StoreError::Insecure { mode: 0o777, .. }), "{error}");
}

#[test]
fn a_store_of_the_first_format_opens_and_the_next_change_renews_it() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1"))]));
    let version = |store: &mut Embedded| -> u32 {
        let connection = store.open().unwrap().unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let connection = store.open().unwrap().unwrap();
    connection.pragma_update(None, "user_version", EARLIEST).unwrap();
    let mut store = Embedded::new(&store.directory);
    assert_eq!(text(&store.read().unwrap()), "a=1 ");
    assert_eq!(version(&mut store), EARLIEST);
    step(&mut store, &change([("b", Some("2"))]));
    assert_eq!(version(&mut store), FORMAT);
    assert_eq!(text(&Embedded::new(&store.directory).read().unwrap()), "a=1 b=2 ");
}

#[test]
fn other_files_and_later_formats_are_told_apart() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some("1"))]));
    let path = store.path.clone();
    let directory = store.directory.clone();
    drop(store);
    let error = || Embedded::new(&directory).read().unwrap_err();

    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", FORMAT + 1).unwrap();
    assert!(matches!(error(), StoreError::Newer { found: 4, supported: 3, .. }));
    connection.pragma_update(None, "application_id", 1).unwrap();
    assert!(matches!(error(), StoreError::Foreign { .. }));
    drop(connection);
    fs::write(&path, "[options]\n".repeat(400)).unwrap();
    assert!(matches!(error(), StoreError::Corrupt { .. }));
    // A file that is there but empty is no new store: someone's state is gone.
    fs::write(&path, "").unwrap();
    assert!(matches!(error(), StoreError::Foreign { .. }));
    let mut store = Embedded::new(&directory);
    assert!(store.stage(0, 1, &Change::new(), &note("over it")).is_err());
}

/// Whatever single byte of the file is changed, the store reads what was written or is an error.
#[test]
fn a_flipped_byte_never_changes_the_state() {
    let (_directory, mut store) = new_store();
    for generation in 0..3 {
        let value = format!("{generation} ").repeat(3000);
        step(&mut store, &change([("a", Some(&value)), ("b", Some("2")), ("c", Some("3"))]));
    }
    let expected = store.read().unwrap();
    let (path, directory) = (store.path.clone(), store.directory.clone());
    drop(store);
    let length = fs::metadata(&path).unwrap().len();
    let mut noticed = 0;
    for offset in (0..length).step_by(7) {
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.read_exact(&mut byte).unwrap();
        let mut set = |byte: u8| {
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        set(byte[0] ^ 0x11);
        match Embedded::new(&directory).read() {
            Ok(stored) => {
                assert_eq!(stored.generation, expected.generation, "offset {offset}");
                assert_eq!(stored.documents, expected.documents, "offset {offset}");
            }
            Err(_) => noticed += 1,
        }
        set(byte[0]);
    }
    assert_eq!(Embedded::new(&directory).read().unwrap(), expected);
    // The value alone has 6 000 bytes.
    assert!(noticed > 6000 / 7, "{noticed}");
}

#[test]
fn a_file_that_was_cut_short_is_damaged() {
    let (_directory, mut store) = new_store();
    step(&mut store, &change([("a", Some(&"x".repeat(20_000)))]));
    let file = OpenOptions::new().write(true).open(&store.path).unwrap();
    let directory = store.directory.clone();
    drop(store);
    file.set_len(8192).unwrap();
    let error = Embedded::new(&directory).read().unwrap_err();
    assert!(error.is_unreadable(), "{error}");
}

/// Runs `work` on a small file system of its own. Needs root.
fn on_small_disk(bytes: u32, work: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    std::thread::scope(|scope| {
        let run = || {
            // SAFETY: only the mount namespace, and with it the working directory, of this thread
            // becomes its own; no file descriptor table is unshared.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            let options = std::ffi::CString::new(format!("size={bytes},mode=0700")).unwrap();
            mount("tmpfs", place, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
            work(place);
        };
        scope.spawn(run).join().unwrap();
    });
}

/// Takes all space that is left.
fn fill(place: &Path) {
    let mut file = fs::File::create(place.join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    assert!(fs::write(place.join("more"), [1; 4096]).is_err());
    let _ = fs::remove_file(place.join("more"));
}

#[test]
#[cfg_attr(not(root), ignore = "mounting a file system needs root")]
fn a_full_disk_refuses_what_is_new_and_commits_what_is_staged() {
    on_small_disk(1 << 20, |place| {
        let mut store = Embedded::new(place);
        step(&mut store, &change([("a", Some("1"))]));
        let large = "x".repeat(2 << 20);
        let error = store.stage(1, 2, &change([("a", Some(&large))]), &note("large")).unwrap_err();
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
        assert_eq!(text(&store.read().unwrap()), "a=1 ");

        let value = "2".repeat(50_000);
        store.stage(1, 2, &change([("a", Some(&value))]), &note("staged")).unwrap();
        fill(place);
        // Reading needs no space, and neither does the mark.
        assert!(Embedded::new(place).read().unwrap().pending.is_some());
        store.commit(2).unwrap();
        assert_eq!(text(&Embedded::new(place).read().unwrap()), format!("a={value} "));
        let large = "3".repeat(100_000);
        assert!(store.stage(2, 3, &change([("b", Some(&large))]), &note("full")).is_err());
        assert_eq!(text(&store.read().unwrap()), format!("a={value} "));
    });
}

#[test]
#[cfg_attr(not(root), ignore = "mounting a file system needs root")]
fn no_store_is_made_on_a_full_disk() {
    on_small_disk(64 << 10, |place| {
        fill(place);
        let mut store = Embedded::new(place);
        let error = store.stage(0, 1, &change([("a", Some("1"))]), &note("x")).unwrap_err();
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
        assert_eq!(store.read().unwrap(), Stored::default());
        fs::remove_file(place.join("filler")).unwrap();
        step(&mut store, &change([("a", Some("1"))]));
    });
}

#[test]
#[cfg_attr(not(root), ignore = "mounting a file system needs root")]
fn a_read_only_disk_can_be_read() {
    on_small_disk(1 << 20, |place| {
        step(&mut Embedded::new(place), &change([("a", Some("1"))]));
        mount_remount(place, MountFlags::RDONLY, "").unwrap();
        let mut store = Embedded::new(place);
        assert_eq!(text(&store.read().unwrap()), "a=1 ");
        let error = store.stage(1, 2, &change([("a", Some("2"))]), &note("x")).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.is_unwritable());
    });
}

#[test]
fn readers_see_whole_generations_while_a_writer_writes() {
    let (_directory, mut store) = new_store();
    let both = |value: u32| {
        let value = value.to_string().repeat(2000);
        change([("a", Some(value.as_str())), ("b", Some(value.as_str()))])
    };
    step(&mut store, &both(0));
    let directory = store.directory.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let stored = Embedded::new(&directory).read().unwrap();
                    assert_eq!(stored.documents["a"], stored.documents["b"]);
                }
            });
        }
        for value in 1..40 {
            step(&mut store, &both(value));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
