//! Help, completions, and what is no command line: needs neither rights nor a host.

mod cli_support;

use cli_support::Cli;

/// Every command that is shown to users, as words.
fn commands() -> Vec<String> {
    fn walk(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        found.push(words.trim().to_owned());
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            walk(sub, &format!("{words} {}", sub.get_name()), found);
        }
    }
    let mut found = Vec::new();
    walk(&sg_ctl::cli::command(), "", &mut found);
    found
}

#[test]
fn every_command_of_the_specification_is_there() {
    let commands = commands();
    for line in [
        "apply",
        "plan",
        "check",
        "export",
        "batch",
        "group create",
        "group delete",
        "group list",
        "group show",
        "rule add",
        "rule modify",
        "rule remove",
        "rule list",
        "prefix-list create",
        "prefix-list delete",
        "prefix-list list",
        "prefix-list show",
        "prefix-list add",
        "prefix-list remove",
        "prefix-list set",
        "block",
        "unblock",
        "attach",
        "update",
        "detach",
        "status",
        "explain",
        "stats",
        "restore",
        "refresh",
        "schema",
        "completions",
    ] {
        assert!(commands.iter().any(|command| command == line), "{line}");
    }
}

#[test]
fn help_goes_to_standard_output_with_an_example() {
    let cli = Cli::new();
    for command in commands() {
        let long = cli.run(&format!("{command} --help")).ok();
        assert_eq!(long.stderr, "", "{command}");
        let (_, examples) = long.stdout.split_once("Examples:\n").unwrap_or_else(|| {
            panic!("{command} has no example:\n{}", long.stdout);
        });
        let first = examples.lines().next().unwrap_or_default();
        assert!(first.contains(&format!("sg-ctl {command}")), "{command}: {first}");
        let short = cli.run(&format!("{command} -h")).ok();
        assert!(short.stdout.contains("Usage: sg-ctl") && short.stderr.is_empty(), "{command}");
        assert_eq!(cli.run(&format!("help {command}")).ok().stdout, long.stdout, "{command}");
        assert!(!long.stdout.contains('\u{1b}'), "{command}: colours in a pipe");
    }
    assert!(cli.run("--version").ok().stdout.starts_with("sg-ctl "));
}

#[test]
fn examples_are_command_lines_of_this_program() {
    let cli = Cli::new();
    for command in commands() {
        // Long lines go on in the next one.
        let help = cli.run(&format!("{command} --help")).ok().stdout;
        let help: String = help.split("\\\n").map(str::trim_start).collect();
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        for line in examples.lines().take_while(|line| line.starts_with("  ")) {
            // Behind four blanks stands what the line does; around pipes and redirections, the shell's.
            let line = line.trim().split("    ").next().unwrap_or_default();
            for part in line.split(['|', '<', '>']).map(str::trim) {
                if !part.starts_with("sg-ctl") {
                    continue;
                }
                let words = shlex::split(part).unwrap_or_else(|| panic!("{command}: {part}"));
                let parsed = sg_ctl::cli::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{command}: {line}\n{}", parsed.unwrap_err());
            }
        }
    }
}

#[test]
fn wrong_usage_is_named_with_its_mend_and_exits_with_2() {
    let cli = Cli::new();
    for (line, words) in [
        ("nosuch", &["nosuch", "usage: sg-ctl"][..]),
        ("statsu", &["stat"]),
        ("rule ad", &["'add'", "usage: sg-ctl rule"]),
        ("", &["apply", "sg-ctl --help"]),
        ("group", &["create", "sg-ctl group --help"]),
        ("-v", &["apply", "sg-ctl --help"]),
        ("prefix-list", &["create", "sg-ctl prefix-list --help"]),
        ("apply", &["--file", "usage: sg-ctl apply"]),
        ("apply -f", &["--file", "sg-ctl apply --help"]),
        ("--state-dir", &["--state-dir", "sg-ctl --help"]),
        ("group create --description", &["--description", "sg-ctl group create --help"]),
        ("group create", &["<NAME>", "usage: sg-ctl group create"]),
        ("group create WEB", &["WEB", "a-z"]),
        ("group list extra", &["extra", "usage: sg-ctl group list"]),
        ("group create a --if-generation soon", &["soon", "--if-generation"]),
        ("group create a --default-egress --no-default-egress", &["--default-egress"]),
        ("rule add", &["<GROUP>", "<DIRECTION>", "--cidr"]),
        ("rule add g ingress --protocol tcp", &["--cidr", "--source-group", "--prefix-list"]),
        ("rule add g sideways --cidr any", &["sideways", "ingress", "egress"]),
        ("rule add g ingress --cidr 10.1.1.1/8", &["10.1.1.1/8", "10.0.0.0/8"]),
        ("rule add g ingress --cidr 67.221.169.243/0", &["67.221.169.243/0"]),
        ("rule add g ingress --cidr 010.0.0.0/8", &["010.0.0.0/8"]),
        ("rule add g ingress --cidr any --protocol TCP", &["TCP", "\"tcp\""]),
        ("rule add g ingress --cidr any --protocol tpc", &["tpc", "\"tcp\""]),
        ("rule add g ingress --cidr any --protocol 256", &["256"]),
        ("rule add g ingress --cidr any --protocol 44", &["44"]),
        ("rule add g ingress --cidr any --protocol tcp --port 65536", &["65536", "65535"]),
        ("rule add g ingress --cidr any --protocol tcp --port 90-80", &["90-80"]),
        ("rule add g ingress --cidr any --protocol tcp --port 080", &["080"]),
        ("rule add g ingress --cidr any --protocol tcp --port http", &["http"]),
        ("rule add g ingress --cidr any --priority 65536", &["65536"]),
        ("rule add g ingress --cidr any --protocol icmp --icmp-type 256", &["256"]),
        ("rule add g ingress --cidr any --icmp-type=-1 --protocol icmp", &["-1"]),
        ("rule remove", &["usage: sg-ctl rule remove"]),
        ("rule remove 17", &["17", "sgr-"]),
        ("prefix-list add office", &["CIDR", "--file"]),
        ("prefix-list add office 1.2.3.4/33", &["1.2.3.4/33", "32"]),
        ("prefix-list set office", &["--file"]),
        ("block 1.2.3.4/33", &["1.2.3.4/33", "32"]),
        ("block 10.1.1.1/8", &["10.1.1.1/8", "10.0.0.0/8"]),
        ("block 1.2.3.400", &["1.2.3.400"]),
        ("block Office", &["Office", "a-z"]),
        ("block --dry-run", &["--dry-run", "name an address"]),
        ("unblock", &["--all", "--file"]),
        ("unblock --all 10.0.0.1", &["--all", "usage: sg-ctl unblock"]),
        ("attach", &["<IFACE>"]),
        ("attach nic0 --mode observe", &["observe", "enforce", "monitor"]),
        ("attach nic0 --hook native", &["native", "xdp"]),
        ("attach nic0 --side guest --address 10.0.0.0/8", &["10.0.0.0/8"]),
        ("update nic0", &["--add-group", "--mode"]),
        ("detach", &["<IFACE>"]),
        ("explain nic0 ingress", &["--protocol", "--source", "--destination"]),
        ("-o xml status", &["xml", "table, json"]),
        ("status --no-such", &["--no-such"]),
        ("completions tcsh", &["tcsh", "bash"]),
        ("check -f p.toml --format yaml", &["yaml", "toml, json"]),
        ("check -f - -f -", &["standard input"]),
    ] {
        let answer = cli.run(line).fails(2, words);
        assert_eq!(answer.stdout, "", "{line}");
        let hidden = ["reference", " man,"].iter().any(|word| answer.stderr.contains(word));
        assert!(!hidden, "{line}: {}", answer.stderr);
        // The same as JSON: one value, on standard output.
        let value = cli.run(&format!("{line} -o json"));
        if line.ends_with("-dir") || line.ends_with("-f") || line.ends_with("--description") {
            // `-o` would be taken for the value that is missing.
            continue;
        }
        if line.starts_with("-o xml") {
            continue;
        }
        let value = value.fails(2, &[]).json();
        assert!(value["error"].is_string() && value["help"].is_string(), "{line}: {value}");
    }
    assert!(!cli.path().join("state").exists(), "wrong usage leaves no state");
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    let cli = Cli::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let answer = cli.run(&format!("completions {shell}")).ok();
        for word in ["prefix-list", "if-generation", "explain"] {
            assert!(answer.stdout.contains(word), "{shell} does not know {word}");
        }
        assert_eq!(answer.stderr, "", "{shell}");
        let value = cli.run(&format!("-o json completions {shell}")).ok().json();
        assert_eq!(value["script"], answer.stdout.trim_end_matches('\n').to_owned() + "\n");
    }
    // Where the shell itself is at hand, it says whether that is its language.
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.run(&format!("completions {shell}")).ok().stdout;
        cli.file("script", script);
        let mut command = std::process::Command::new(shell);
        let Ok(output) = command.arg("-n").arg(cli.path().join("script")).output() else {
            continue;
        };
        assert!(output.status.success(), "{shell}: {output:?}");
    }
}
