//! Running a program in a virtual machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::fetch::{QEMU, host_qemu, program, tools_dir};
use crate::initramfs::Archive;
use crate::kernel::{Kernel, libraries};

/// What the guest writes before the program's exit status.
const STATUS: &str = "sg-vm: the program ended with status ";

/// A virtual machine that runs one program and ends.
#[derive(Clone, Debug)]
pub struct Guest {
    kernel: Kernel,
    program: PathBuf,
    arguments: Vec<String>,
    files: Vec<(PathBuf, String)>,
    modules: Vec<String>,
    memory: u32,
    timeout: Duration,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The program's exit status.
    pub status: i32,
    /// What the program wrote to standard output and standard error.
    pub output: String,
    /// What the kernel wrote.
    pub kernel_log: String,
    /// The guest's time from power-on to the start of the program.
    pub boot: Duration,
    /// The host's time from start to end.
    pub total: Duration,
}

impl Guest {
    /// A guest with `kernel` that runs `program`, a program of the host, as root.
    pub fn new(kernel: Kernel, program: impl Into<PathBuf>) -> Self {
        Self {
            kernel,
            program: program.into(),
            arguments: Vec::new(),
            files: Vec::new(),
            modules: Vec::new(),
            memory: 1024,
            timeout: Duration::from_secs(300),
        }
    }

    /// Arguments of the program. They must have no single quotes.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Copies a file of the host to the absolute path `guest`; a program's libraries come along.
    #[must_use]
    pub fn file(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.files.push((host.into(), guest.into()));
        self
    }

    /// Loads kernel modules, and those that they need, before the program starts.
    #[must_use]
    pub fn modules<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.modules.extend(modules.into_iter().map(Into::into));
        self
    }

    /// The guest's memory, in MiB; 1024 if it is not set.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// After which time the guest is switched off; 5 minutes if it is not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Boots, runs the program, and switches off.
    ///
    /// # Errors
    /// Something is not there ([`crate::missing`]), or the guest did not come as far as the end of
    /// the program; the error then ends with the last lines of its console.
    pub fn run(&self) -> Result<Outcome> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("sg-vm-{}-{count}", std::process::id()))?;
        let initramfs = scratch.0.join("initramfs");
        fs::write(&initramfs, self.initramfs()?).context("the initramfs could not be written")?;
        let console = scratch.0.join("console");
        let output = scratch.0.join("output");

        let start = Instant::now();
        let mut emulator = qemu()?;
        emulator
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            // One CPU: with more, the emulator may run an instruction that the kernel is rewriting
            // (static branches) half old and half new, which the kernel does not survive.
            .args(["-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1"])
            .args(["-m", &self.memory.to_string()])
            .arg("-kernel")
            .arg(self.kernel.image()?)
            .arg("-initrd")
            .arg(&initramfs)
            // `panic=-1` reboots at once, which `-no-reboot` turns into the end of the emulator.
            .args(["-append", "console=ttyS0 panic=-1 oops=panic loglevel=5 rdinit=/init"])
            // Two serial lines, so that the kernel's messages never cut the program's in two.
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", output.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = emulator.spawn().context("the emulator could not be started")?;
        let ended = wait(child, start + self.timeout)?;
        let total = start.elapsed();

        let text = |path: &Path| {
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
        };
        let kernel_log = text(&console);
        let output = text(&output);
        let Some((output, status)) = output.rsplit_once(STATUS) else {
            bail!(
                "the guest with Linux {} {}; its last lines:\n{}\n{}",
                self.kernel.version(),
                ended.unwrap_or_else(|| "ended before its program did".to_owned()),
                tail(&kernel_log),
                tail(&output),
            );
        };
        let mut words = status.split_whitespace();
        let status = words.next().and_then(|word| word.parse().ok());
        let boot = words.next().and_then(|word| word.parse().ok());
        let (Some(status), Some(boot)) = (status, boot) else {
            bail!("the guest's last line is cut off: {STATUS}{status:?}");
        };
        Ok(Outcome {
            status,
            output: output.to_owned(),
            kernel_log,
            boot: Duration::from_secs_f64(boot),
            total,
        })
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let busybox = program(&tools_dir(), "busybox")
            .with_context(|| format!("busybox is not in {}", tools_dir().display()))?;
        let mut archive = Archive::new();
        for folder in ["/dev", "/proc", "/sys", "/run", "/tmp", "/var/lib", "/etc", "/root"] {
            archive.folder(folder);
        }
        // The kernel opens it for init before anything is mounted.
        archive.device("/dev/console", 5, 1);
        archive.file("/bin/busybox", &read(&busybox)?);
        archive.symlink("/bin/sh", "busybox");
        // Without it, programs that ask for the user's name wait for a name service.
        archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");

        let mut inside: Vec<String> = Vec::new();
        let named = self.program.file_name().context("the program has no name")?;
        let program_path = format!("/test/{}", named.to_string_lossy());
        let files = std::iter::once((self.program.clone(), program_path.clone()))
            .chain(self.files.iter().cloned());
        for (host, guest) in files {
            let content = read(&host)?;
            if content.starts_with(b"\x7fELF") {
                // A static program has no libraries, which `ldd` calls an error.
                for library in libraries(&host).unwrap_or_default() {
                    let path = library.to_string_lossy().into_owned();
                    if !inside.contains(&path) {
                        archive.file(&path, &read(&library)?);
                        inside.push(path);
                    }
                }
            }
            archive.file(&guest, &content);
        }

        let wanted: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        let mut load = String::new();
        for module in self.kernel.modules(&wanted)? {
            let path = format!("/modules/{}.ko", module.name);
            archive.file(&path, &module.content);
            load.push_str(&format!("insmod {path}\n"));
        }
        archive.file("/init", self.init(&program_path, &load).as_bytes());
        Ok(archive.finish())
    }

    /// The guest's first process.
    fn init(&self, program: &str, load: &str) -> String {
        let arguments: String =
            self.arguments.iter().map(|argument| format!(" '{argument}'")).collect();
        format!(
            "#!/bin/busybox sh\n\
             /bin/busybox mkdir -p /sbin /usr/bin /usr/sbin\n\
             /bin/busybox --install -s\n\
             export PATH=/test:/sbin:/bin:/usr/sbin:/usr/bin HOME=/root RUST_BACKTRACE=1\n\
             mount -t proc proc /proc\n\
             mount -t sysfs sysfs /sys\n\
             mount -t devtmpfs devtmpfs /dev\n\
             mount -t bpf bpf /sys/fs/bpf\n\
             mount -t tmpfs tmpfs /run\n\
             mount -t tmpfs tmpfs /tmp\n\
             exec </dev/null >/dev/ttyS1 2>&1\n\
             stty -F /dev/ttyS1 raw\n\
             ip link set lo up\n\
             {load}\
             read up idle </proc/uptime\n\
             {program}{arguments}\n\
             echo \"{STATUS}$? $up\"\n\
             reboot -f\n"
        )
    }
}

/// The emulator: the host's, or the one that was unpacked, with its own libraries and data.
fn qemu() -> Result<Command> {
    if let Some(program) = host_qemu() {
        return Ok(Command::new(program));
    }
    let root = tools_dir();
    let program =
        program(&root, QEMU).with_context(|| format!("{QEMU} is not in {}", root.display()))?;
    let mut command = Command::new(program);
    let folders: Vec<String> = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
        .iter()
        .map(|folder| root.join(folder).display().to_string())
        .collect();
    command.env("LD_LIBRARY_PATH", folders.join(":"));
    for folder in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(root.join(folder));
    }
    Ok(command)
}

/// Waits for the emulator. Returns what went wrong, if something did.
fn wait(mut child: Child, deadline: Instant) -> Result<Option<String>> {
    loop {
        if let Some(status) = child.try_wait().context("the emulator is lost")? {
            if status.success() {
                return Ok(None);
            }
            let mut message = String::new();
            if let Some(mut errors) = child.stderr.take() {
                io::Read::read_to_string(&mut errors, &mut message)?;
            }
            return Ok(Some(format!("could not run ({status}): {}", message.trim())));
        }
        if Instant::now() >= deadline {
            child.kill().context("the emulator cannot be ended")?;
            child.wait().context("the emulator is lost")?;
            return Ok(Some("did not end in time and was switched off".to_owned()));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} is unreadable", path.display()))
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A folder that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)
            .with_context(|| format!("{} could not be created", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about it here, and the system empties that folder in time.
        let _ = fs::remove_dir_all(&self.0);
    }
}
