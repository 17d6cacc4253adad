//! What memory the filter takes of the kernel, read from the kernel: of every map that it pinned or
//! that its programs use, every image in its maps of maps, and every program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result, bail};
use aya::maps::{ArrayOfMaps, Map, MapData, MapInfo, MapType};
use aya::programs::ProgramInfo;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::loaded_programs;
use aya::util::nr_cpus;
use serde::Serialize;
use sg_common::tables::{MAX_SHARDS, RULE_SLOTS, pin};
use sg_ctl::policy::model::Hook;
use sg_tests::sg::Sg as Host;

use crate::cli::{Args, progress};
use crate::lane::Way;
use crate::peers::sg;
use crate::report::{Report, number, number_of, with_columns};
use crate::ruleset::Ruleset;
use crate::sender::Sender;
use crate::styles::Style;

/// CPUs of the large host that memory is computed for.
const MANY: u64 = 128;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Images,
    RuleCounters,
    ReasonCounters,
    Connections,
    Directory,
    ProgramMaps,
    Programs,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Images,
        Self::RuleCounters,
        Self::ReasonCounters,
        Self::Connections,
        Self::Directory,
        Self::ProgramMaps,
        Self::Programs,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::RuleCounters => "counters of rules",
            Self::ReasonCounters => "counters of reasons",
            Self::Connections => "connection table",
            Self::Directory => "directory and settings",
            Self::ProgramMaps => "the programs' own maps",
            Self::Programs => "programs, two for an interface",
        }
    }

    /// Of a pinned map by its name.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            pin::CONTROL | pin::DIRECTORY | pin::SETTINGS => Self::Directory,
            pin::RULE_COUNTERS => Self::RuleCounters,
            pin::REASON_COUNTERS => Self::ReasonCounters,
            pin::BUCKETS | pin::CONNECTIONS => Self::Connections,
            _ if name.starts_with(pin::IMAGES) => Self::Images,
            _ => return None,
        })
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Bytes {
    /// That the kernel says it has for it on this host.
    here: u64,
    /// That a host with [`MANY`] CPUs would need, computed.
    many: u64,
}

impl Bytes {
    fn add(&mut self, here: u64, many: u64) {
        self.here += here;
        self.many += many;
    }
}

/// What one part takes with one ruleset.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// Rules.
    rules: usize,
    /// Part.
    part: &'static str,
    /// Bytes of the kernel.
    #[serde(flatten)]
    bytes: Bytes,
}

/// Reads and writes.
///
/// # Errors
/// Where something fails that should not, or the kernel does not tell.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut report = Report::new(args.command(), 1);
    let sizes = args.sizes(&[10, 1000], &[10, 100_000]);
    for size in &sizes {
        progress("memory", &format!("{size} rules"));
        // Lanes end in its namespace, so it is dropped last.
        let mut sender = Sender::new()?;
        let lane = sender.lane(Way::Xdp)?;
        let host = sg::apply(&lane, &Ruleset::new(Style::Random, *size), Hook::Xdp)?;
        let found = read(&host)?;
        progress("", "");
        report.results.extend(Part::ALL.into_iter().map(|part| Line {
            rules: *size,
            part: part.name(),
            bytes: found.get(&part).copied().unwrap_or_default(),
        }));
    }
    let table = table(&sizes, &report.results);
    println!("{table}");
    let mut text = report.heading("Memory", "memory");
    let _ = write!(text, "\nRules of style random, one interface with native XDP. {table}");
    report.write(&args.out, "memory", &text)
}

/// What everything takes that a filter has in the kernel.
fn read(host: &Host) -> Result<BTreeMap<Part, Bytes>> {
    let cpus = nr_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))? as u64;
    let mut found: BTreeMap<Part, Bytes> = BTreeMap::new();
    let (mut known, mut programs) = (Vec::new(), Vec::new());
    for path in host.pins() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(part) = Part::of(&name) else {
            if sg::is_link(&name) {
                let link = FdLink::from(PinnedLink::from_pin(&path)?);
                programs.push(link.info()?.program_id());
            }
            continue;
        };
        let map = MapData::from_pin(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        let info = map.info()?;
        known.push(info.id());
        let here = footprint(map.fd().as_fd())?;
        let many = match part {
            Part::RuleCounters | Part::ReasonCounters => here / shards(cpus) * shards(MANY),
            _ => here,
        };
        found.entry(part).or_default().add(here, many);
        if part == Part::Images {
            let inner = images(map)?;
            found.entry(part).or_default().add(inner, inner);
        }
    }
    if known.is_empty() || programs.is_empty() {
        bail!("nothing is pinned below {}", host.bpffs().display());
    }
    for program in loaded_programs() {
        let program = program?;
        if !programs.contains(&program.id()) {
            continue;
        }
        let bytes = u64::from(program.memory_locked()?) + u64::from(program.size_jitted());
        found.entry(Part::Programs).or_default().add(bytes, bytes);
        for map in own_maps(&program, &mut known)? {
            let here = footprint(map.fd()?.as_fd())?;
            found.entry(Part::ProgramMaps).or_default().add(here, with_cpus(&map, here, MANY)?);
        }
    }
    Ok(found)
}

/// The maps that a program uses and that were not counted yet.
fn own_maps(program: &ProgramInfo, known: &mut Vec<u32>) -> Result<Vec<MapInfo>> {
    let mut own = Vec::new();
    for id in program.map_ids()?.context("the kernel does not tell which maps a program uses")? {
        if !known.contains(&id) {
            known.push(id);
            own.push(MapInfo::from_id(id)?);
        }
    }
    Ok(own)
}

/// Bytes of the images in a map of maps.
fn images(map: MapData) -> Result<u64> {
    let places = map.info()?.max_entries();
    let outer: ArrayOfMaps<_, MapData> = ArrayOfMaps::try_from(Map::ArrayOfMaps(map))?;
    let mut sum = 0;
    for place in 0..places {
        // Most places are empty.
        if let Ok(image) = outer.get(&place, 0) {
            sum += footprint(image.fd().as_fd())?;
        }
    }
    Ok(sum)
}

/// What a map would take with so many CPUs.
fn with_cpus(map: &MapInfo, here: u64, cpus: u64) -> Result<u64> {
    let of_each_cpu = matches!(
        map.map_type()?,
        MapType::PerCpuArray | MapType::PerCpuHash | MapType::LruPerCpuHash
    );
    let value = u64::from(map.value_size()).next_multiple_of(8) * u64::from(map.max_entries());
    Ok(if of_each_cpu { value * cpus } else { here })
}

/// Shards of the counters: one for each CPU up to a bound, in powers of two.
fn shards(cpus: u64) -> u64 {
    cpus.next_power_of_two().min(MAX_SHARDS.into())
}

/// Bytes that the kernel has for a map: `memlock` of its `fdinfo`, since Linux 6.4 what it really
/// allocated, before an estimate.
fn footprint(map: BorrowedFd<'_>) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    memlock(&text).with_context(|| format!("{path} has no memlock"))
}

fn memlock(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}

/// The table, and what of it was computed.
fn table(sizes: &[usize], lines: &[Line]) -> String {
    let columns: Vec<String> = sizes
        .iter()
        .flat_map(|rules| {
            let rules = number_of(*rules);
            [format!("{rules} rules"), format!("{rules} rules, {MANY} CPUs (computed)")]
        })
        .collect();
    let mut table = with_columns(&["KiB"], &columns.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = |bytes: u64| number(bytes as f64 / 1024.0);
    let mut sums = vec![Bytes::default(); sizes.len()];
    for part in Part::ALL {
        let mut row = vec![part.name().to_owned()];
        for (rules, sum) in sizes.iter().zip(&mut sums) {
            let line = lines.iter().find(|line| line.rules == *rules && line.part == part.name());
            let Bytes { here, many } = line.map(|line| line.bytes).unwrap_or_default();
            sum.add(here, many);
            row.extend([shown(here), shown(many)]);
        }
        table.add_row(row);
    }
    let row = sums.iter().flat_map(|sum| [shown(sum.here), shown(sum.many)]);
    table.add_row(["all".to_owned()].into_iter().chain(row));
    format!(
        "Read from the kernel, but for what {MANY} CPUs would need, which is computed: counters have \
         a shard of {RULE_SLOTS} rules for each CPU, {MAX_SHARDS} at most; maps of the programs that \
         every CPU has for itself take size of value x values x CPUs; all else depends on no CPU.\n\n\
         {table}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_word_is_read() {
        assert_eq!(memlock("map_type:\t2\nmemlock:\t8388736\nmap_id:\t7\n"), Some(8_388_736));
        assert_eq!(memlock("pos:\t0\n"), None);
    }

    #[test]
    fn shards_are_bounded() {
        assert_eq!([1, 2, 3, 16, 128].map(shards), [1, 2, 4, 16, 16]);
    }

    #[test]
    fn parts_add_up() {
        let line = |part: Part, here, many| Line {
            rules: 10,
            part: part.name(),
            bytes: Bytes { here, many },
        };
        let lines = [line(Part::Images, 2048, 2048), line(Part::RuleCounters, 1024, 8192)];
        let shown = table(&[10], &lines);
        assert!(shown.contains("| images "), "{shown}");
        let all = shown.lines().find(|line| line.starts_with("| all ")).unwrap();
        assert!(all.contains(" 3.0 |") && all.contains(" 10 |"), "{shown}");
    }
}
