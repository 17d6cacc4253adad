//! Policies from files, folders and texts on a real file system.

use std::path::Path;

use sg_ctl::policy::file::diagnostic::Diagnostics;
use sg_ctl::policy::file::load::{Input, STDIN, load, load_list};
use sg_ctl::policy::file::source::Format;
use sg_ctl::policy::model::Name;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> Input {
    Input::Path(folder.path().join(name))
}

fn message(result: Result<impl std::fmt::Debug, Diagnostics>) -> String {
    result.unwrap_err().list.remove(0).message
}

#[test]
fn a_folder_stands_for_its_policy_files() {
    let folder = folder(&[
        ("b.toml", "[groups.b]\n"),
        ("a.json", "{\"groups\": {\"a\": {}}}"),
        ("notes.txt", "not a policy"),
        (".hidden.toml", "nor this"),
        ("deeper/c.toml", "[groups.c]\n"),
    ]);
    let policy = load(vec![path(&folder, "")], None).unwrap().policy;
    let groups: Vec<&str> = policy.groups.keys().map(Name::as_str).collect();
    assert_eq!(groups, ["a", "b"]);
    let policy = load(vec![path(&folder, "deeper"), path(&folder, "b.toml")], None).unwrap().policy;
    assert_eq!(policy.groups.len(), 2);
}

#[test]
fn list_files_lie_beside_the_file_that_names_them() {
    let folder = folder(&[
        ("policy/p.toml", "[prefix-lists.l]\nentries-file = \"lists/l.txt\"\n"),
        ("policy/lists/l.txt", "10.0.0.0/8\n10.0.0.0/8\n"),
    ]);
    let loaded = load(vec![path(&folder, "policy/p.toml")], None).unwrap();
    assert_eq!(loaded.policy.prefix_lists.values().next().unwrap().entries.len(), 1);
    assert_eq!(loaded.notes.len(), 1);
    let (entries, doubles) = load_list(&folder.path().join("policy/lists/l.txt")).unwrap();
    assert_eq!((entries.nets.len(), doubles), (1, 1));
}

#[test]
fn the_form_of_a_text_is_seen_or_said() {
    let text = |text: &str| vec![Input::Bytes(STDIN.into(), text.as_bytes().to_vec())];
    assert_eq!(load(text("[groups.g]"), None).unwrap().policy.groups.len(), 1);
    assert_eq!(load(text(" \n{\"groups\": {\"g\": {}}}"), None).unwrap().policy.groups.len(), 1);
    assert_eq!(load(text(""), None).unwrap().policy.groups.len(), 0);
    let errors = load(text("[groups.g]"), Some(Format::Json)).unwrap_err();
    assert_eq!(errors.list[0].file(), Some(STDIN));
    // The name of a file tells, whatever is said.
    let folder = folder(&[("p.toml", "[groups.g]"), ("q", "{}")]);
    assert!(load(vec![path(&folder, "p.toml")], Some(Format::Json)).is_ok());
    assert!(load(vec![path(&folder, "q")], Some(Format::Json)).is_ok());
}

#[test]
fn what_cannot_be_read_is_said_for_every_file() {
    let folder = folder(&[("empty/x.txt", ""), ("odd.toml", "a\0b")]);
    let missing = path(&folder, "missing.toml");
    let errors = load(vec![missing, path(&folder, "odd.toml"), path(&folder, "empty")], None);
    let messages: Vec<String> =
        errors.unwrap_err().list.into_iter().map(|error| error.message).collect();
    assert!(messages[0].starts_with("cannot read the file: No such file"), "{messages:?}");
    assert_eq!(messages[1..], ["the text holds a NUL byte", "the folder holds no policy file"]);
    assert!(message(load(vec![], None)).contains("no policy file is named"));
    assert!(message(load_list(Path::new("/nonexistent/list"))).contains("No such file"));
}

#[test]
fn the_same_file_twice_is_refused() {
    let folder = folder(&[("p.toml", "[groups.g]\n")]);
    let errors = load(vec![path(&folder, "p.toml"), path(&folder, "p.toml")], None).unwrap_err();
    assert_eq!(errors.list[0].locations.len(), 2);
}
