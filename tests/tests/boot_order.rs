//! The boot unit among the units of a cloud image, where a file system waits for the network's
//! configuration: no ordering cycle, for systemd breaks one by leaving out a job, and that may be
//! the filter.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// The ordering of cloud-init's services as Debian has them, and of a disk that `/etc/fstab` gives
/// the option `x-systemd.requires=cloud-init.service`, as on Azure.
const CLOUD: [(&str, &str); 3] = [
    (
        "cloud-init-local.service",
        "[Unit]\nDefaultDependencies=no\nWants=network-pre.target\n\
         After=systemd-remount-fs.service\nBefore=network-pre.target sysinit.target\n\
         [Service]\nType=oneshot\nExecStart=/bin/program\nRemainAfterExit=yes\n",
    ),
    (
        "cloud-init.service",
        "[Unit]\nDefaultDependencies=no\nWants=cloud-init-local.service\n\
         After=cloud-init-local.service network.target\nBefore=network-online.target sysinit.target\n\
         [Service]\nType=oneshot\nExecStart=/bin/program\nRemainAfterExit=yes\n",
    ),
    (
        "mnt.mount",
        "[Unit]\nRequires=cloud-init.service\nAfter=cloud-init.service\nBefore=local-fs.target\n\
         [Mount]\nWhat=/dev/sdb1\nWhere=/mnt\nType=ext4\n",
    ),
];

/// What a network manager orders itself by.
const NETWORK: (&str, &str) = (
    "network.service",
    "[Unit]\nDefaultDependencies=no\nWants=network.target\nAfter=network-pre.target\n\
     Before=network.target\n[Service]\nType=oneshot\nExecStart=/bin/program\n",
);

/// What `systemd-analyze verify` says of cycles with these units of sg in such an image.
fn cycles(change: impl Fn(&str) -> String) -> String {
    let root = tempfile::tempdir().unwrap();
    let units = root.path().join("usr/lib/systemd/system");
    fs::create_dir_all(units.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-a").arg("/usr/lib/systemd/system").arg(&units).status();
    assert!(copied.expect("cp").success());
    let own = root.path().join("etc/systemd/system");
    for folder in ["sysinit.target.wants", "local-fs.target.wants"] {
        fs::create_dir_all(own.join(folder)).unwrap();
    }

    for (name, text) in CLOUD.into_iter().chain([NETWORK]) {
        fs::write(units.join(name), text).unwrap();
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for name in ["sg-ctl.service", "sg-ctl-interface@.service"] {
        let text = fs::read_to_string(packaging.join(name)).unwrap();
        fs::write(units.join(name), change(&text)).unwrap();
    }
    for (target, unit) in [
        ("sysinit", "sg-ctl.service"),
        ("sysinit", "network.service"),
        ("sysinit", "cloud-init.service"),
        ("local-fs", "mnt.mount"),
    ] {
        let link = own.join(format!("{target}.target.wants")).join(unit);
        symlink(Path::new("/usr/lib/systemd/system").join(unit), link).unwrap();
    }

    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--root"])
        .arg(root.path())
        .args(["sysinit.target", "sg-ctl.service", "sg-ctl-interface@eth0.service"])
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().filter(|line| line.contains("cycle")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_cycle_with_a_disk_that_waits_for_the_cloud() {
    if !Path::new("/usr/lib/systemd/system").is_dir() {
        println!("skipped: there is no systemd");
        return;
    }
    assert_eq!(cycles(str::to_owned), "");
    // The natural mistake, which shows that this test sees cycles.
    let wrong = cycles(|unit| unit.replace("DefaultDependencies=no", "After=local-fs.target"));
    assert!(wrong.contains("cycle"), "{wrong}");
}
