//! What scripts read: one JSON value whatever happens, the same bytes in every locale, no colours in
//! a pipe, no panic where nobody reads, and never an empty answer for lack of rights.

mod cli_support;

use std::process::Stdio;

use cli_support::Cli;

const GOOD: &str = "\
[groups.web]
[[groups.web.ingress]]
protocol = \"tcp\"
port = [443, 80]
[[groups.web.ingress]]
action = \"deny\"
cidr = \"192.0.2.0/24\"
[prefix-lists.office]
entries = [\"203.0.113.0/24\", \"2001:db8::/32\"]
";
const BAD: &str = "[groups.web]\n[[groups.web.ingress]]\nprot = \"tcp\"\n";

#[test]
fn json_is_one_value_with_a_schema_also_for_errors() {
    let cli = Cli::new();
    cli.file("good.toml", GOOD);
    cli.file("bad.toml", BAD);
    for (line, code) in [
        ("check -f good.toml", 0),
        ("check -f bad.toml", 1),
        ("check -f missing.toml", 1),
        ("check", 2),
        ("schema", 0),
        ("completions bash", 0),
        ("nosuch", 2),
    ] {
        let answer = cli.run(&format!("{line} -o json")).exits(code);
        let value = answer.json();
        if !line.starts_with("schema") {
            assert_eq!(value["schema"], 1, "{line}: {value}");
        }
        // A check is a report, which also tells of what is wrong.
        let failed = value["error"].is_string() || value["valid"] == false;
        assert_eq!(failed, code != 0, "{line}: {value}");
        assert!(answer.stdout.ends_with('\n'), "{line}");
    }
    let value = cli.run("check -f bad.toml -o json").exits(1).json();
    let place = &value["diagnostics"][0]["locations"][0];
    assert_eq!((&place["line"], &place["column"]), (&3.into(), &1.into()), "{value}");
}

#[test]
fn output_is_the_same_in_every_locale_and_without_a_terminal() {
    let cli = Cli::new();
    cli.file("bad.toml", BAD);
    let plain = cli.run("check -f bad.toml").exits(1);
    for environment in [
        &[("LANG", "de_DE.UTF-8"), ("LC_ALL", "de_DE.UTF-8")][..],
        &[("LC_ALL", "tr_TR.UTF-8")],
        &[("LANG", "C"), ("TERM", "dumb")],
        &[("COLUMNS", "20")],
        &[("NO_COLOR", "1"), ("TERM", "xterm-256color")],
        &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
    ] {
        let other = cli.run_in(environment, "check -f bad.toml", None).exits(1);
        assert_eq!((&other.stdout, &other.stderr), (&plain.stdout, &plain.stderr));
    }
    assert!(!plain.stderr.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn nobody_reading_is_no_panic() {
    let cli = Cli::new();
    for line in ["schema", "completions bash", "--help", "explain --help"] {
        let mut command = cli.command(&line.split(' ').collect::<Vec<_>>());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(Stdio::from(writer)).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{line}: {stderr}");
        assert_ne!(output.status.code(), Some(101), "{line}");
    }
}

#[test]
fn without_rights_files_are_checked_and_hosts_are_not_made_up() {
    let cli = Cli::unprivileged();
    cli.file("good.toml", GOOD);
    cli.file("bad.toml", BAD);
    cli.run("check -f good.toml").ok();
    cli.run("check -f bad.toml").fails(1, &["bad.toml:3:1", "`protocol`"]);
    cli.run("schema").ok();
    for line in [
        "status",
        "rule list",
        "group list",
        "prefix-list list",
        "stats",
        "export",
        "plan -f good.toml",
        "apply -f good.toml",
        "explain nic0 ingress --protocol tcp --source 192.0.2.1:1 --destination 192.0.2.2:2",
        "detach nic0",
        "refresh",
        "restore",
    ] {
        let answer = cli.run(line).fails(1, &["CAP_", "root"]);
        assert_eq!(answer.stdout, "", "{line}: {answer:?}");
    }
    // A broken file is told of first, as it needs no rights.
    cli.run("apply -f bad.toml").fails(1, &["bad.toml:3:1"]);
    assert!(!cli.path().join("state").exists());
}
