//! `cargo xtask install` and `uninstall`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{build, command, workspace};

/// Where the files name the folder that sg-ctl is installed below.
const PACKAGED_PREFIX: &str = "/usr/local";

/// The systemd units, in `packaging/`.
const UNITS: [&str; 2] = ["sg-ctl.service", "sg-ctl-interface@.service"];

/// The udev rule, in `packaging/`.
const UDEV_RULE: &str = "70-sg-ctl.rules";

/// The completions: the name that sg-ctl gives the shell, and where it looks below the prefix.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/sg-ctl"),
    ("zsh", "share/zsh/site-functions/_sg-ctl"),
    ("fish", "share/fish/vendor_completions.d/sg-ctl.fish"),
];

/// Install sg-ctl on this host.
///
/// Puts the program, its man pages, shell completions, systemd units and udev rule in place. It
/// attaches nothing and enables nothing; what it prints at the end says how to. Installing over an
/// older version leaves filters and connections as they are.
#[derive(clap::Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    place: Place,
}

/// Remove what install put on this host.
///
/// Filters that are attached stay attached, and the state below /var/lib/sg-ctl stays: only
/// `sg-ctl detach` opens a filter, so detach the interfaces first if that is what you want.
#[derive(clap::Args)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    place: Place,
}

/// Where the files go.
#[derive(clap::Args)]
struct Place {
    /// The folder to install below
    #[arg(long, value_name = "DIR", default_value = PACKAGED_PREFIX)]
    prefix: PathBuf,
    /// Put this in front of every path, to build a package or to look at the result
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

impl Place {
    /// The path on this machine of a path on the host that will use the files.
    fn real(&self, path: &Path) -> PathBuf {
        match &self.destdir {
            Some(destdir) => destdir.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    fn program(&self) -> PathBuf {
        self.prefix.join("sbin/sg-ctl")
    }

    /// Where systemd and udev look below this prefix; below one that they do not know, their
    /// folders for the administrator.
    fn system(&self, kind: &str) -> PathBuf {
        if self.prefix == Path::new("/usr") || self.prefix == Path::new(PACKAGED_PREFIX) {
            self.prefix.join("lib").join(kind)
        } else {
            Path::new("/etc").join(kind)
        }
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.system("systemd/system").join(name)
    }

    fn udev_rule(&self) -> PathBuf {
        self.system("udev/rules.d").join(UDEV_RULE)
    }

    fn man(&self) -> PathBuf {
        self.prefix.join("share/man")
    }

    fn check(&self) -> Result<()> {
        if !self.prefix.is_absolute() {
            bail!("--prefix {} is not an absolute path", self.prefix.display());
        }
        if self.destdir.is_none() && !rustix::process::geteuid().is_root() {
            bail!("this takes root; --destdir DIR writes the files somewhere else instead");
        }
        Ok(())
    }

    /// Whether the files are those of this very host, with systemd running.
    fn live(&self) -> bool {
        self.destdir.is_none() && Path::new("/run/systemd/system").is_dir()
    }
}

/// Runs `cargo xtask install`.
pub(crate) fn install(InstallArgs { place }: &InstallArgs) -> Result<()> {
    place.check()?;
    let built = build::sg_ctl(true)?;

    let program = fs::read(&built).with_context(|| format!("no {}", built.display()))?;
    let mut installed = vec![write(place, &place.program(), &program, 0o755)?];

    // What documents a program is made by that program.
    let pages = workspace::target_dir().join("man");
    if pages.exists() {
        fs::remove_dir_all(&pages)
            .with_context(|| format!("{} could not be emptied", pages.display()))?;
    }
    fs::create_dir_all(&pages)
        .with_context(|| format!("{} could not be created", pages.display()))?;
    command::quiet(Command::new(&built).arg("man").arg(&pages))?;
    let mut count = 0;
    for entry in fs::read_dir(&pages).with_context(|| format!("no {}", pages.display()))? {
        let page = entry?.path();
        let Some((name, section)) = page_name(&page) else { continue };
        let text = fs::read(&page).with_context(|| format!("no {}", page.display()))?;
        write(place, &place.man().join(format!("man{section}")).join(name), &text, 0o644)?;
        count += 1;
    }
    for (shell, path) in COMPLETIONS {
        let text = command::quiet(Command::new(&built).args(["completions", shell]))?;
        installed.push(write(place, &place.prefix.join(path), text.as_bytes(), 0o644)?);
    }

    let packaging = workspace::root().join("packaging");
    let prefix = place.prefix.to_str().context("--prefix is not valid UTF-8")?;
    let packaged = |name: &str| {
        let path = packaging.join(name);
        fs::read_to_string(&path)
            .map(|text| text.replace(PACKAGED_PREFIX, prefix.trim_end_matches('/')))
            .with_context(|| format!("no {}", path.display()))
    };
    for unit in UNITS {
        installed.push(write(place, &place.unit(unit), packaged(unit)?.as_bytes(), 0o644)?);
    }
    installed.push(write(place, &place.udev_rule(), packaged(UDEV_RULE)?.as_bytes(), 0o644)?);
    reload(place);
    for path in installed {
        println!("installed {}", path.display());
    }
    println!("installed {count} man pages below {}", place.real(&place.man()).display());

    println!(
        "\nNothing is filtered yet. The next steps are:\n  \
         sg-ctl check -f POLICY                   # look a policy file over\n  \
         sg-ctl apply -f POLICY                   # attach what it says\n  \
         systemctl enable sg-ctl.service          # bring it back at every boot\n\
         To undo:\n  \
         systemctl disable sg-ctl.service\n  \
         sg-ctl detach INTERFACE                  # for each that `sg-ctl status` lists\n  \
         cargo xtask uninstall"
    );
    Ok(())
}

/// Runs `cargo xtask uninstall`.
pub(crate) fn uninstall(UninstallArgs { place }: &UninstallArgs) -> Result<()> {
    place.check()?;
    if place.live() && place.unit(UNITS[0]).exists() {
        // Without --now: nothing would be stopped by it, but it should not even look so.
        if let Err(error) = command::quiet(Command::new("systemctl").args(["disable", UNITS[0]])) {
            println!("note: {error}");
        }
    }

    let mut files = vec![place.program(), place.udev_rule()];
    files.extend(UNITS.map(|unit| place.unit(unit)));
    files.extend(COMPLETIONS.map(|(_, path)| place.prefix.join(path)));
    for section in fs::read_dir(place.real(&place.man())).into_iter().flatten().flatten() {
        let pages = fs::read_dir(section.path()).into_iter().flatten().flatten();
        files.extend(
            pages
                .filter(|page| page_name(&page.path()).is_some())
                .map(|page| place.man().join(section.file_name()).join(page.file_name())),
        );
    }
    for file in files {
        let real = place.real(&file);
        match fs::remove_file(&real) {
            Ok(()) => println!("removed {}", real.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} could not be removed", real.display()));
            }
        }
    }
    reload(place);

    if place.destdir.is_none() {
        let pins = Path::new("/sys/fs/bpf/sg-ctl");
        if fs::read_dir(pins).is_ok_and(|mut pins| pins.next().is_some()) {
            println!(
                "\nThe filters that are attached go on working, now with no program to change \
                 them.\nTo change or detach them, install sg-ctl again; removing {} opens them all.",
                pins.display()
            );
        }
        if Path::new("/var/lib/sg-ctl").exists() {
            println!("The state in /var/lib/sg-ctl was left there.");
        }
    }
    Ok(())
}

/// The file name and the section of one of sg-ctl's man pages.
fn page_name(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?;
    let (stem, section) = name.rsplit_once('.')?;
    let ours = stem == "sg-ctl" || stem.starts_with("sg-ctl-");
    (ours && section.len() == 1 && section.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some((name, section))
}

/// Writes a file under another name and renames it, so that a program that is running goes on, and
/// nobody sees half of one. Returns where it is now.
fn write(place: &Place, path: &Path, content: &[u8], mode: u32) -> Result<PathBuf> {
    let real = place.real(path);
    let folder = real.parent().context("a file needs a folder")?;
    fs::create_dir_all(folder)
        .with_context(|| format!("{} could not be created", folder.display()))?;
    let mut draft = real.clone().into_os_string();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    fs::write(&draft, content)
        .and_then(|()| fs::set_permissions(&draft, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&draft, &real))
        .with_context(|| format!("{} could not be written", real.display()))?;
    Ok(real)
}

/// Lets systemd and udev read their files anew.
fn reload(place: &Place) {
    if !place.live() {
        return;
    }
    for (program, arguments) in [
        ("systemctl", ["daemon-reload"].as_slice()),
        ("udevadm", ["control", "--reload"].as_slice()),
    ] {
        if let Err(error) = command::quiet(Command::new(program).args(arguments)) {
            println!("note: {error}");
        }
    }
}
