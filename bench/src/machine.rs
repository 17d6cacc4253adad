//! What was measured on.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine, its kernel, and the source.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Commit of the source, with `-dirty` if it was changed since.
    pub commit: String,
    /// Day, UTC.
    pub date: String,
    /// Versions of the peers.
    pub versions: Vec<String>,
}

/// The first line of what a program says; nothing if it cannot be run.
fn line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
}

/// Looks at the machine.
#[must_use]
pub fn look() -> Machine {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let versions = [
        line("nft", &["--version"]),
        line("iptables-legacy", &["--version"]),
        line("ipset", &["--version"]),
        line("dpkg-query", &["--show", "--showformat=xdp-tools ${Version}", "xdp-tools"]),
    ];
    Machine {
        cpu: model.map_or_else(String::new, |(_, model)| model.trim().to_owned()),
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: line("uname", &["-r"]),
        commit: line("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        date: line("date", &["-u", "+%Y-%m-%d"]),
        versions: versions.into_iter().filter(|version| !version.is_empty()).collect(),
    }
}

/// Whether the kernel takes the time of softirqs out of that of the thread that they interrupt. Then
/// a thread's time says nothing of what its packets cost, and the clock on the wall has to do.
#[must_use]
pub fn softirqs_apart() -> bool {
    let release = line("uname", &["-r"]);
    let config = fs::read_to_string(format!("/boot/config-{release}"))
        .ok()
        .or_else(|| {
            let output = Command::new("zcat").arg("/proc/config.gz").output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        })
        .unwrap_or_default();
    config.lines().any(|line| line == "CONFIG_IRQ_TIME_ACCOUNTING=y")
}
