//! The programs of one attachment: loaded with their constants, attached, pinned, found again.

use std::fs;
use std::mem;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcHandle};
use aya::programs::{LinkOrder, SchedClassifier, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use sg_common::tables::{IMAGE_CLASSES, pin};
use sg_common::verdict::Direction;

use super::acceptance::native_needs;
use super::clsact;
use super::devices::{Device, LinkLayer, devices};
use super::error::{DatapathError, io_context};
use super::kernel::Hooks;
use super::maps::{Maps, images_pin};
use super::{probe, sys};
use crate::aside;
use crate::policy::model::Hook;

/// The kernel programs, as built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SG_EBPF_OBJECT"));

/// Priority and handle of clsact filters: first in the list, and known to every later process.
const FILTER_PRIORITY: u16 = 1;
const FILTER_NUMBER: u16 = 0x5347;
const FILTER_HANDLE: TcHandle = TcHandle::new(0, FILTER_NUMBER);

/// Where packets of one direction are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// XDP in the driver.
    XdpNative,
    /// XDP on the socket buffer.
    XdpGeneric,
    /// TC by a link (kernel 6.6 and later).
    Tcx,
    /// TC by a filter of the clsact qdisc.
    Clsact,
}

impl Attachment {
    /// Stable name for listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XdpNative => "xdp",
            Self::XdpGeneric => "xdp-generic",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Constants of one load of the programs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Constants {
    pub(super) endpoint: u32,
    pub(super) ethernet: bool,
    pub(super) read_only: bool,
    pub(super) use_table: bool,
    /// Only the drivers of `bench` look at it.
    pub(super) bench: Driven,
}

impl Constants {
    /// Those of the programs that judge what goes through a device.
    fn attached(device: &Device, endpoint: u32) -> Self {
        let ethernet = device.link_layer == LinkLayer::Ethernet;
        Self { endpoint, ethernet, use_table: true, ..Self::default() }
    }
}

/// Constants of a driver of `bench`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Driven {
    /// One of `sg_common::tables::bench`.
    pub(super) stage: u32,
    /// Number of the direction.
    pub(super) direction: u32,
    /// Image and rules whose memory the floor touches.
    pub(super) slot: u32,
    pub(super) rules: u32,
    /// Headers in the trace.
    pub(super) headers: u32,
}

/// Loads the object with its constants onto the pinned maps. No program is in the kernel yet.
pub(super) fn load(maps: &Maps, constants: Constants) -> Result<Ebpf, aya::EbpfError> {
    let cpus = probe::possible_cpus().unwrap_or(u32::MAX);
    let image_names: Vec<String> = (0..IMAGE_CLASSES.len()).map(images_pin).collect();
    let mut loader = EbpfLoader::new();
    // What it refuses and why, without the way to it: that overflows the log of older kernels, and
    // they answer ENOSPC instead of the reason.
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for name in [
        pin::CONTROL,
        pin::DIRECTORY,
        pin::SETTINGS,
        pin::RULE_COUNTERS,
        pin::REASON_COUNTERS,
        pin::BUCKETS,
        pin::CONNECTIONS,
    ]
    .into_iter()
    .chain(image_names.iter().map(String::as_str))
    {
        loader.map_pin_path(name, maps.pin_path(name));
    }
    let shards = maps.shards();
    let ethernet = u32::from(constants.ethernet);
    let atomic = u32::from(cpus > shards);
    let read_only = u32::from(constants.read_only);
    let use_table = u32::from(constants.use_table);
    let driven = constants.bench;
    loader
        .map_max_entries(pin::TRACE, driven.headers.max(1))
        .override_global("BENCH_STAGE", &driven.stage, true)
        .override_global("BENCH_DIRECTION", &driven.direction, true)
        .override_global("BENCH_SLOT", &driven.slot, true)
        .override_global("BENCH_RULES", &driven.rules, true)
        .override_global("ENDPOINT", &constants.endpoint, true)
        .override_global("ETHERNET", &ethernet, true)
        .override_global("SHARDS", &shards, true)
        .override_global("ATOMIC_COUNTERS", &atomic, true)
        .override_global("READ_ONLY", &read_only, true)
        .override_global("USE_TABLE", &use_table, true)
        .load(OBJECT)
}

/// Name of the program of a hook.
pub(super) const fn program_name(direction: Direction, xdp: bool) -> &'static str {
    match (direction, xdp) {
        (Direction::Ingress, true) => "sg_xdp",
        (Direction::Ingress, false) => "sg_tc_ingress",
        (Direction::Egress, _) => "sg_tc_egress",
    }
}

/// An attachment as the kernel has it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Endpoint number.
    pub endpoint: u32,
    /// Which of the device's hooks.
    pub hook: Direction,
    /// Index of the device; 0 once it is gone.
    pub device: u32,
    /// Identifier of the program.
    pub program: u32,
    /// Whether a link holds it (else a clsact filter).
    pub link: bool,
    /// Its pin.
    pub path: PathBuf,
}

/// The programs and links of all attachments, by their pins in one directory.
#[derive(Debug)]
pub(super) struct Programs {
    directory: PathBuf,
}

/// Word in the pin of an ingress link while the hook changes and two judge side by side.
const PASSING: &str = "passing";

/// Pins are `ENDPOINT_HOOK` for links and `ENDPOINT_HOOK_DEVICE` for the programs of filters.
fn parse_pin(name: &str) -> Option<(u32, Direction, Option<u32>)> {
    let mut parts = name.split('_');
    let endpoint = parts.next()?.parse().ok()?;
    let hook = match parts.next()? {
        "in" | PASSING => Direction::Ingress,
        "out" => Direction::Egress,
        _ => return None,
    };
    let device = parts.next().map(str::parse).transpose().ok()?;
    Some((endpoint, hook, device))
}

fn pin_word(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('_').nth(1)
}

/// Whether `auto` tries native XDP. A kind is the mark of a virtual device, where native XDP costs
/// more than it gains (veth loses GSO and GRO) or does not exist.
fn native_by_default(device: &Device) -> bool {
    device.kind.is_none() && device.link_layer == LinkLayer::Ethernet
}

fn refusal(
    what: &str,
    device: &Device,
    error: &dyn std::error::Error,
    help: &str,
) -> DatapathError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    // The verifier's log says nothing to who runs the program; `-v` shows it.
    if let Some((before, log)) = reason.split_once("Verifier output:") {
        tracing::debug!("{log}");
        reason = before.trim_end_matches([' ', '.']).to_owned();
    }
    if let Some(restriction) = probe::restriction() {
        reason = format!("{reason} ({restriction})");
    }
    DatapathError::Program {
        what: what.to_owned(),
        interface: device.name.clone(),
        reason,
        help: help.to_owned(),
    }
}

impl Programs {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Loads and attaches both programs of an endpoint. What was attached is taken off again if
    /// the second fails.
    pub(super) fn attach(
        &self,
        maps: &Maps,
        device: &Device,
        endpoint: u32,
        hook: Hook,
        all: &[Device],
    ) -> Result<(Attachment, Option<String>), DatapathError> {
        let constants = Constants::attached(device, endpoint);
        let load = || {
            load(maps, constants).map_err(|error| {
                refusal(
                    "load the programs",
                    device,
                    &error,
                    "see the reason; `sg-ctl status` shows what is attached",
                )
            })
        };
        // Side by side: the kernel verifies them one after the other else.
        let (ingress, egress) = aside::both(
            || load().and_then(|mut o| self.attach_ingress(&mut o, device, endpoint, hook, all)),
            || self.attach_tc(&mut load()?, device, endpoint, Direction::Egress, "out"),
        );
        let result = egress.and(ingress);
        if result.is_err() {
            self.detach(endpoint)?;
        }
        result
    }

    fn attach_ingress(
        &self,
        object: &mut Ebpf,
        device: &Device,
        endpoint: u32,
        hook: Hook,
        all: &[Device],
    ) -> Result<(Attachment, Option<String>), DatapathError> {
        let needs = native_needs(device, all);
        match hook {
            Hook::Xdp => {
                self.attach_xdp(object, device, endpoint, XdpMode::Driver, "in", &needs)?;
                Ok((Attachment::XdpNative, None))
            }
            Hook::XdpGeneric => {
                self.attach_xdp(object, device, endpoint, XdpMode::Skb, "in", &needs)?;
                Ok((Attachment::XdpGeneric, None))
            }
            Hook::Tc => {
                Ok((self.attach_tc(object, device, endpoint, Direction::Ingress, "in")?, None))
            }
            Hook::Auto => {
                let mut warning = None;
                if native_by_default(device) {
                    match self.attach_xdp(object, device, endpoint, XdpMode::Driver, "in", &needs) {
                        Ok(()) => return Ok((Attachment::XdpNative, None)),
                        Err(error) => {
                            warning = Some(format!("{error}; ingress is judged by TC instead"));
                        }
                    }
                }
                let attachment =
                    self.attach_tc(object, device, endpoint, Direction::Ingress, "in")?;
                Ok((attachment, warning))
            }
        }
    }

    fn attach_xdp(
        &self,
        object: &mut Ebpf,
        device: &Device,
        endpoint: u32,
        mode: XdpMode,
        word: &str,
        needs: &str,
    ) -> Result<(), DatapathError> {
        if device.link_layer != LinkLayer::Ethernet {
            return Err(DatapathError::Refused {
                reason: format!("{} has no Ethernet header, and XDP needs one", device.name),
                help: needs.to_owned(),
            });
        }
        if let Some(xdp) = device.xdp {
            return Err(DatapathError::Refused {
                reason: format!(
                    "another XDP program (id {}) is on {}; it is not replaced",
                    xdp.id, device.name
                ),
                help: format!(
                    "take it off (`ip link set dev {} xdp off`), or use `--hook tc`, which runs behind it",
                    device.name
                ),
            });
        }
        let name = program_name(Direction::Ingress, true);
        let program: &mut Xdp = object
            .program_mut(name)
            .and_then(|p| p.try_into().ok())
            .ok_or_else(|| missing_program(device, name))?;
        program.load().map_err(|e| refusal("load the XDP program", device, &e, needs))?;
        let id = program
            .attach_to_if_index(device.index, mode)
            .map_err(|e| refusal("attach the XDP program", device, &e, needs))?;
        let link = program
            .take_link(id)
            .map_err(|e| refusal("attach the XDP program", device, &e, needs))?;
        // aya falls back to netlink where the driver answers EINVAL. Such a program ends with this
        // process, so it is no filter.
        let link: FdLink = link.try_into().map_err(|_| DatapathError::Program {
            what: "attach the XDP program".to_owned(),
            interface: device.name.clone(),
            reason: "the driver refuses a link to it (EINVAL)".to_owned(),
            help: needs.to_owned(),
        })?;
        self.pin_link(link, endpoint, word)
    }

    fn attach_tc(
        &self,
        object: &mut Ebpf,
        device: &Device,
        endpoint: u32,
        hook: Direction,
        word: &str,
    ) -> Result<Attachment, DatapathError> {
        const HELP: &str = "TC programs need CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS (modules cls_bpf, sch_ingress) below kernel 6.6, CONFIG_NET_XGRESS from it on";
        let what = "attach the TC program";
        let name = program_name(hook, false);
        let program: &mut SchedClassifier = object
            .program_mut(name)
            .and_then(|p| p.try_into().ok())
            .ok_or_else(|| missing_program(device, name))?;
        program.load().map_err(|e| refusal("load the TC program", device, &e, HELP))?;
        let parent = match hook {
            Direction::Ingress => TcAttachType::Ingress,
            Direction::Egress => TcAttachType::Egress,
        };
        if probe::has_tcx() {
            let options = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program
                .attach_with_options(&device.name, parent, options)
                .map_err(|e| refusal(what, device, &e, HELP))?;
            let link = program.take_link(id).map_err(|e| refusal(what, device, &e, HELP))?;
            let link: FdLink = link.try_into().map_err(|e| refusal(what, device, &e, HELP))?;
            self.pin_link(link, endpoint, word)?;
            return Ok(Attachment::Tcx);
        }
        // The qdisc is there already where another filter, or our other hook, brought it.
        if let Err(error) = aya::programs::tc::qdisc_add_clsact(&device.name) {
            tracing::debug!(%error, "adding clsact");
        }
        self.take_off_stray_filter(device, hook, name)?;
        let path = self.directory.join(format!("{endpoint}_{word}_{}", device.index));
        program.pin(&path).map_err(|e| refusal("pin the TC program", device, &e, HELP))?;
        let options = NlOptions { priority: FILTER_PRIORITY, handle: FILTER_HANDLE, classid: None };
        let id = program
            .attach_with_options(&device.name, parent, TcAttachOptions::Netlink(options))
            .map_err(|error| {
                // A pin without its filter would pass for an attachment.
                let _ = fs::remove_file(&path);
                refusal(what, device, &error, HELP)
            })?;
        let link = program.take_link(id).map_err(|e| refusal(what, device, &e, HELP))?;
        // Dropping it would take the filter off; it stays until `detach` finds it by its handle.
        mem::forget(link);
        Ok(Attachment::Clsact)
    }

    fn pin_link(&self, link: FdLink, endpoint: u32, word: &str) -> Result<(), DatapathError> {
        let path = self.directory.join(format!("{endpoint}_{word}"));
        // A pin of that name is left from an attachment whose making or taking-off was cut short.
        let _ = fs::remove_file(&path);
        link.pin(&path).map(drop).map_err(|error| DatapathError::Io {
            what: "pin a link at",
            path,
            source: std::io::Error::other(error),
        })
    }

    /// Everything that is attached, by its pins.
    pub(super) fn list(&self) -> Result<Vec<Found>, DatapathError> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(io_context("list", &self.directory)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(io_context("list", &self.directory))?;
            let name = entry.file_name();
            let Some((endpoint, hook, device)) = name.to_str().and_then(parse_pin) else {
                continue;
            };
            let path = entry.path();
            let fd = sys::get(&path).map_err(io_context("open", &path))?;
            found.push(match device {
                Some(device) => Found { endpoint, hook, device, program: 0, link: false, path },
                None => {
                    let info =
                        sys::link_info(fd.as_fd()).map_err(io_context("ask about", &path))?;
                    let (device, program) = (info.device, info.program);
                    Found { endpoint, hook, device, program, link: true, path }
                }
            });
        }
        found.sort_by_key(|f| (f.endpoint, f.hook));
        Ok(found)
    }

    /// Takes every program of an endpoint off its device. Nothing attached is no error.
    pub(super) fn detach(&self, endpoint: u32) -> Result<(), DatapathError> {
        self.detach_where(|other| other == endpoint)
    }

    /// Takes every program of the endpoints that are meant off its device.
    pub(super) fn detach_where(&self, meant: impl Fn(u32) -> bool) -> Result<(), DatapathError> {
        self.list()?.iter().filter(|f| meant(f.endpoint)).try_for_each(|f| self.take_off(f))
    }

    fn take_off(&self, found: &Found) -> Result<(), DatapathError> {
        let path = &found.path;
        if found.link {
            let fd = sys::get(path).map_err(io_context("open", path))?;
            // A device that is gone took its link along (ENOLINK).
            if let Err(error) = sys::link_detach(fd.as_fd())
                && error.raw_os_error() != Some(libc::ENOLINK)
            {
                return Err(io_context("detach", path)(error));
            }
        } else {
            self.detach_filter(found)?;
        }
        fs::remove_file(path).map_err(io_context("remove the pin", path))
    }

    /// Moves the judging of what arrives to another hook, if `hook` asks for one that is not in
    /// use. Packets are judged all the while; for a moment by both.
    pub(super) fn move_ingress(
        &self,
        maps: &Maps,
        device: &Device,
        endpoint: u32,
        current: Attachment,
        hook: Hook,
        all: &[Device],
    ) -> Result<(), DatapathError> {
        let needs = native_needs(device, all);
        let is_xdp = |a| matches!(a, Attachment::XdpNative | Attachment::XdpGeneric);
        let target = match hook {
            Hook::Auto if native_by_default(device) => return Ok(()),
            Hook::Xdp if current != Attachment::XdpNative => Some(XdpMode::Driver),
            Hook::XdpGeneric if current != Attachment::XdpGeneric => Some(XdpMode::Skb),
            Hook::Auto | Hook::Tc if is_xdp(current) => None,
            _ => return Ok(()),
        };
        let constants = Constants::attached(device, endpoint);
        let mut object = load(maps, constants)
            .map_err(|e| refusal("load the programs", device, &e, "see the reason"))?;
        let old: Vec<Found> = self
            .list()?
            .into_iter()
            .filter(|f| f.endpoint == endpoint && f.hook == Direction::Ingress)
            .collect();
        match target {
            Some(mode) if is_xdp(current) => {
                // A device has one place for XDP: TC judges while it changes hands.
                self.attach_tc(&mut object, device, endpoint, Direction::Ingress, PASSING)?;
                old.iter().try_for_each(|found| self.take_off(found))?;
                let free = Device { xdp: None, ..device.clone() };
                self.attach_xdp(&mut object, &free, endpoint, mode, "in", &needs)?;
                let passing: Vec<Found> = self.list()?;
                return passing
                    .iter()
                    .filter(|f| f.endpoint == endpoint && pin_word(&f.path) == Some(PASSING))
                    .try_for_each(|f| self.take_off(f));
            }
            Some(mode) => {
                self.attach_xdp(&mut object, device, endpoint, mode, PASSING, &needs)?;
            }
            None => {
                self.attach_tc(&mut object, device, endpoint, Direction::Ingress, PASSING)?;
            }
        }
        old.iter().try_for_each(|found| self.take_off(found))?;
        for found in self.list()? {
            if found.endpoint == endpoint && pin_word(&found.path) == Some(PASSING) {
                let name = found.path.to_string_lossy().replace(PASSING, "in");
                fs::rename(&found.path, &name).map_err(io_context("rename", &found.path))?;
            }
        }
        Ok(())
    }

    /// A filter that no pin tells of was left when the pins were lost. It would keep its place, and
    /// go on with what was in force then.
    fn take_off_stray_filter(
        &self,
        device: &Device,
        hook: Direction,
        name: &str,
    ) -> Result<(), DatapathError> {
        let known = self.list()?;
        if known.iter().any(|f| !f.link && f.device == device.index && f.hook == hook) {
            return Ok(());
        }
        let filters = clsact::filters(device.index, hook)
            .map_err(io_context("list the filters of", Path::new(&device.name)))?;
        let handle = (0, FILTER_NUMBER);
        if filters.iter().any(|f| f.handle == handle && f.program.as_deref() == Some(name)) {
            remove_filter(device, hook)?;
        }
        Ok(())
    }

    fn detach_filter(&self, found: &Found) -> Result<(), DatapathError> {
        let all = devices().map_err(io_context("list the devices for", &self.directory))?;
        let Some(device) = all.iter().find(|d| d.index == found.device) else { return Ok(()) };
        remove_filter(device, found.hook)?;
        let filters = |hook| {
            clsact::filters(device.index, hook)
                .map_err(io_context("list the filters of", Path::new(&device.name)))
        };
        if filters(Direction::Ingress)?.is_empty() && filters(Direction::Egress)?.is_empty() {
            clsact::remove(device.index)
                .map_err(io_context("remove the clsact qdisc of", Path::new(&device.name)))?;
        }
        Ok(())
    }
}

/// Takes our filter off a hook of a device's clsact qdisc.
fn remove_filter(device: &Device, hook: Direction) -> Result<(), DatapathError> {
    let parent = match hook {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    };
    SchedClassifierLink::attached(&device.name, parent, FILTER_PRIORITY, FILTER_HANDLE, None)
        // Dropping a link takes its filter off.
        .map(drop)
        .map_err(io_context("detach the filter of", Path::new(&device.name)))
}

/// A program of somebody else that sees packets before the filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignProgram {
    /// An XDP program, where ingress is judged by TC.
    Xdp {
        /// Identifier of the program.
        id: u32,
    },
    /// A TCX program in front of ours.
    Tcx {
        /// Which of the device's hooks.
        direction: Direction,
        /// Identifier of the program.
        id: u32,
    },
}

/// Foreign programs in front of the filter of a device.
#[must_use]
pub fn foreign_in_front(device: &Device, hooks: Hooks) -> Vec<ForeignProgram> {
    let mut foreign = Vec::new();
    let by_tc = !matches!(hooks.ingress, Some(Attachment::XdpNative | Attachment::XdpGeneric));
    if let Some(xdp) = device.xdp.filter(|_| by_tc && hooks.ingress.is_some()) {
        foreign.push(ForeignProgram::Xdp { id: xdp.id });
    }
    if !probe::has_tcx() {
        return foreign;
    }
    for (attachment, parent, direction) in [
        (hooks.ingress, TcAttachType::Ingress, Direction::Ingress),
        (hooks.egress, TcAttachType::Egress, Direction::Egress),
    ] {
        if attachment != Some(Attachment::Tcx) {
            continue;
        }
        let Ok((_, programs)) = SchedClassifier::query_tcx(&device.name, parent) else { continue };
        foreign.extend(
            programs
                .iter()
                .take_while(|p| !p.name_as_str().is_some_and(|name| name.starts_with("sg_tc_")))
                .map(|p| ForeignProgram::Tcx { direction, id: p.id() }),
        );
    }
    foreign
}

fn missing_program(device: &Device, name: &str) -> DatapathError {
    DatapathError::Program {
        what: format!("find the program {name}"),
        interface: device.name.clone(),
        reason: "the eBPF object does not hold it".to_owned(),
        help: "rebuild with `cargo xtask build`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_back() {
        assert_eq!(parse_pin("7_in"), Some((7, Direction::Ingress, None)));
        assert_eq!(parse_pin("7_out_12"), Some((7, Direction::Egress, Some(12))));
        assert_eq!(parse_pin("x_in"), None);
        assert_eq!(parse_pin("7_in_x"), None);
    }
}
