//! The systemd units and the udev rule: valid, free of ordering cycles, and doing what they say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sg_tests::namespace::run;
use sg_tests::net::{Net, host};
use sg_tests::probe::Probe;
use sg_tests::sg;

fn packaging(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (path, text)
}

/// The command of a unit, without the program's path.
fn command_of(unit: &str) -> Vec<String> {
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .expect("a unit with a command");
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert!(words[0].ends_with("/sg-ctl"), "{line}");
    words[1..].to_vec()
}

#[test]
fn the_units_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for name in ["sg-ctl.service", "sg-ctl-interface@.service"] {
        // The program need not be installed for this.
        let text = packaging(name)
            .1
            .replace("/usr/local/sbin/sg-ctl ", &format!("{} ", sg::binary().display()));
        // Without this the manual pages have to be installed as well.
        let text: Vec<_> =
            text.lines().filter(|line| !line.starts_with("Documentation=")).collect();
        let path = folder.path().join(name.replace('@', "@nic0"));
        std::fs::write(&path, text.join("\n") + "\n").unwrap();
        paths.push(path);
    }
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(&paths)
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in said.lines() {
        assert!(!line.contains("sg-ctl"), "{said}");
    }
}

#[test]
fn the_boot_unit_orders_itself_before_the_network() {
    let (_, unit) = packaging("sg-ctl.service");
    for line in ["DefaultDependencies=no", "Before=network-pre.target", "Wants=network-pre.target"]
    {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    assert!(!unit.contains("\nExecStop"), "stopping the unit must not open the filter");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn the_commands_of_units_and_rule_restore_the_filter() {
    let (_, rule) = packaging("70-sg-ctl.rules");
    let program = rule
        .split("PROGRAM=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a rule that names the unit");
    let mut words = program.split_whitespace();
    let unit = run(Command::new(words.next().expect("a program"))
        .args(words.map(|word| word.replace("$name", "nic0"))));
    assert_eq!(unit.trim(), "sg-ctl-interface@nic0.service");

    for (name, instance) in [("sg-ctl.service", None), ("sg-ctl-interface@.service", Some("nic0"))]
    {
        let net = Net::new();
        net.sg.apply("[groups.g]\n[interfaces.nic0]\ngroups = [\"g\"]\n");
        net.sg.lose_pins();
        let probe = Probe::start(net.peer(), &net.host, host(9), Duration::from_micros(300));
        probe.await_arrival();
        let (_, unit) = packaging(name);
        let mut command = net.sg.command();
        command.args(
            command_of(&unit).into_iter().map(|word| word.replace("%I", instance.unwrap_or("%I"))),
        );
        sg::answer(command, None).ok();
        let arrived = probe.arrived();
        probe.send_more(50);
        assert!(probe.arrived() <= arrived + 1, "{name}: open after the restore");
    }
}
