//! What no filter can be cheaper than: an empty program, the parser, the memory. And the ways of
//! packets through nftables' and iptables' hooks, without rules.

use anyhow::{Context, Result};
use aya::maps::{Array, MapData};
use aya::programs::links::FdLink;
use aya::util::nr_cpus;
use bytemuck::cast;
use sg_common::tables::{Control, DirectoryEntry, RULE_SLOTS, directory_index, pin};
use sg_ctl::policy::model::Hook;

use super::{Judges, Keep, Loaded, Peer, Reading};
use crate::lane::{Lane, Way};
use crate::peers::sg;
use crate::ruleset::Ruleset;
use crate::sender::{OBJECT, Sender, attach, loader, xdp};

/// The program that does nothing.
pub const EMPTY_PROGRAM: &str = "peer_empty";
/// Its name in tables: the floor of whole runs over XDP.
pub const EMPTY: &str = "empty";
/// Name of parse-and-drop: the floor of programs.
pub const PARSE: &str = "parse";
/// Name of parse-and-pass.
pub const PARSE_PASS: &str = "parse-pass";
/// Name of the floor of whole runs through nftables' ingress hook.
pub const NETDEV: &str = "netdev-floor";
/// Name of the floor of whole runs before routing.
pub const INET: &str = "inet-floor";

/// Name of the floor of what sockets do: no filter, and no program of BPF.
pub const NONE: &str = "none";

/// Whether a filter is a floor.
#[must_use]
pub fn is(name: &str) -> bool {
    all().iter().any(|floor| floor.name() == name)
}

/// Name of the floor of whole runs on a way.
#[must_use]
pub const fn of(way: Way) -> &'static str {
    match way {
        Way::Xdp => EMPTY,
        Way::Netdev => NETDEV,
        Way::Inet => INET,
        Way::Host => NONE,
    }
}

/// Those of what sockets do.
pub(super) fn hosts() -> [Box<dyn Peer>; 2] {
    let program = Program {
        name: "xdp-empty",
        about: "an empty program in the driver, which costs a veth its segmentation offload",
        program: EMPTY_PROGRAM,
        judges: Judges::Nothing,
        way: Way::Host,
    };
    [Box::new(Bare), Box::new(program)]
}

/// What a lane needs before a filter of the stack: frames of a test run only come to a device that
/// has a program, those of sockets to any.
pub(super) fn entrance(sender: &mut Sender, lane: &Lane) -> Result<Option<FdLink>> {
    match lane.way {
        Way::Host => Ok(None),
        Way::Xdp | Way::Netdev | Way::Inet => sender.attach(lane, EMPTY_PROGRAM).map(Some),
    }
}

/// No filter at all.
struct Bare;

impl Peer for Bare {
    fn name(&self) -> &'static str {
        NONE
    }

    fn about(&self) -> &'static str {
        "no filter, and no program of BPF: the floor"
    }

    fn way(&self) -> Way {
        Way::Host
    }

    fn judges(&self) -> Judges {
        Judges::Nothing
    }

    fn load(&self, _: &mut Sender, _: &Lane, _: &Ruleset) -> Result<Loaded> {
        Ok(Loaded::Yes(Box::new(())))
    }
}

/// All of them.
pub(super) fn all() -> Vec<Box<dyn Peer>> {
    let program = |name, about, program, judges| {
        Box::new(Program { name, about, program, judges, way: Way::Xdp }) as Box<dyn Peer>
    };
    let way = |name, about, way| {
        let judges = Judges::Nothing;
        Box::new(Program { name, about, program: EMPTY_PROGRAM, judges, way }) as Box<dyn Peer>
    };
    vec![
        program(EMPTY, "returns XDP_PASS", EMPTY_PROGRAM, Judges::Nothing),
        program(PARSE, "sg's parser, then XDP_DROP", "peer_parse", Judges::DropsAll),
        program(PARSE_PASS, "sg's parser, then XDP_PASS", "peer_parse_pass", Judges::Nothing),
        Box::new(Memory {
            name: "memory",
            about: "sg's parser; one line of the image, one that depends on it, one counter; \
                    XDP_DROP",
            program: "peer_memory",
            judges: Judges::DropsAll,
        }),
        Box::new(Memory {
            name: "memory-pass",
            about: "the same, then XDP_PASS",
            program: "peer_memory_pass",
            judges: Judges::Nothing,
        }),
        way(NETDEV, "an empty XDP program, and a chain at ingress that drops", Way::Netdev),
        way(INET, "an empty XDP program, and a chain at prerouting that drops", Way::Inet),
    ]
}

/// A program that needs nothing but itself.
struct Program {
    name: &'static str,
    about: &'static str,
    program: &'static str,
    judges: Judges,
    way: Way,
}

impl Peer for Program {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn way(&self) -> Way {
        self.way
    }

    fn judges(&self) -> Judges {
        self.judges
    }

    fn reading(&self) -> Reading {
        if self.way == Way::Xdp { Reading::Program } else { Reading::Run }
    }

    fn load(&self, sender: &mut Sender, lane: &Lane, _: &Ruleset) -> Result<Loaded> {
        Ok(Loaded::Yes(Box::new(sender.attach(lane, self.program)?)))
    }
}

/// The parser, then the lines of memory that a classification cannot do without, in the very tables
/// of a filter with the same rules.
struct Memory {
    name: &'static str,
    about: &'static str,
    program: &'static str,
    judges: Judges,
}

impl Peer for Memory {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn judges(&self) -> Judges {
        self.judges
    }

    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        // A filter of its own, on a lane of its own, whose tables are touched.
        let donor = sender.lane(Way::Xdp)?;
        let filter = sg::apply(&donor, set, Hook::Xdp)?;
        let path = |name: &str| sg::pins(&filter).join(name);
        let open = |name: &str| {
            MapData::from_pin(path(name)).with_context(|| format!("{name} is not pinned"))
        };
        let control = Array::<_, [u64; 8]>::try_from(aya::maps::Map::Array(open(pin::CONTROL)?))?;
        let control: Control = cast(control.get(&0, 0)?);
        let entries = open(pin::DIRECTORY)?;
        let entries = Array::<_, [u64; 4]>::try_from(aya::maps::Map::Array(entries))?;
        let endpoint = sg::endpoint(&filter)?;
        let entry = entries.get(&directory_index(control.generation, endpoint), 0)?;
        let entry: DirectoryEntry = cast(entry);
        let counters = open(pin::RULE_COUNTERS)?.info()?.max_entries();

        let shards = (counters / RULE_SLOTS).max(1);
        // As the filter itself does.
        let cpus = nr_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))?;
        let atomic = u32::from(cpus > shards as usize);
        let rules = set.rules.len() as u32;
        let images: Vec<String> = (0..sg_common::tables::IMAGE_CLASSES.len())
            .map(|class| format!("{}{class}", pin::IMAGES))
            .collect();
        let mut loader = loader();
        loader.map_pin_path(pin::RULE_COUNTERS, path(pin::RULE_COUNTERS));
        for name in &images {
            loader.map_pin_path(name, path(name));
        }
        let mut object = loader
            .override_global("ETHERNET", &1_u32, true)
            .override_global("ATOMIC_COUNTERS", &atomic, true)
            .override_global("SHARDS", &shards, true)
            .override_global("BENCH_SLOT", &entry.images[0], true)
            .override_global("BENCH_RULES", &rules, true)
            .load(OBJECT)
            .context("the memory floor does not load")?;
        let program = xdp(&mut object, self.program)?;
        program.load().with_context(|| format!("{} does not load", self.program))?;
        let link = attach(program, lane)?;
        let keep: Keep = Box::new((link, object, filter, donor));
        Ok(Loaded::Yes(keep))
    }
}
