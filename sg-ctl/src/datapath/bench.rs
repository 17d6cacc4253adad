//! `bench`: the very code that judges packets, run on a trace of headers and on maps of its own that
//! are attached to nothing.
//!
//! Each lap runs every stage once over the trace, one after the other, so that what disturbs the
//! machine disturbs all of them; a cost is the difference of two stages in one lap.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::Map;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use rustix::time::{ClockId, clock_gettime};
use sg_common::tables::{TRACE_BYTES, TRACE_HEADERS, bench, pin};
use sg_common::verdict::Direction;

use super::enforcement::Enforcement;
use super::error::DatapathError;
use super::frame;
use super::kernel::Kernel;
use super::mapped::Mapped;
use super::maps::Maps;
use super::probe;
use super::programs::{Constants, Driven, load};
use crate::host::Probe;

const WORDS: usize = TRACE_BYTES as usize / 8;

/// Runs of a program in one lap: each header twice.
const RUNS: u32 = 2 * TRACE_HEADERS;

/// The stages, in the order in which they run.
const STAGES: [u32; 4] = [bench::HEADER, bench::PARSE, bench::MEMORY, bench::WHOLE];

/// TCP's SYN, which opens what needs an entry before packets of open connections are measured.
const SYN: u8 = 2;

/// What is to be measured: one hook of one interface.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name for messages.
    pub name: String,
    /// Endpoint of the interface.
    pub endpoint: u32,
    /// Hook of the device, whose program runs.
    pub hook: Direction,
    /// Whether it is judged by XDP.
    pub xdp: bool,
    /// Slot of the image that it is judged by.
    pub slot: u32,
    /// Rules in that image.
    pub rules: u32,
    /// The packets.
    pub trace: Vec<Probe>,
}

/// Nanoseconds for each packet in one lap.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// The driver alone: takes a header from the trace.
    pub driver: f64,
    /// Driver and parser.
    pub parse: f64,
    /// Driver, and the memory that a classification cannot do without.
    pub memory: f64,
    /// Driver and filter.
    pub whole: f64,
}

fn failed(what: &str, subject: &Subject, reason: &dyn std::fmt::Display) -> DatapathError {
    DatapathError::Program {
        what: what.to_owned(),
        interface: subject.name.clone(),
        reason: reason.to_string(),
        help: "measuring needs what attaching needs: see `sg-ctl status`".to_owned(),
    }
}

fn words(frame: &[u8]) -> [u64; WORDS] {
    let mut bytes = [0; TRACE_BYTES as usize];
    let length = frame.len().min(bytes.len());
    bytes[..length].copy_from_slice(&frame[..length]);
    bytemuck::cast(bytes)
}

/// One stage's driver, loaded.
struct Driver {
    object: Ebpf,
    xdp: bool,
}

impl Driver {
    fn load(maps: &Maps, subject: &Subject, stage: u32) -> Result<Self, DatapathError> {
        let driven = Driven {
            stage,
            direction: subject.hook as u32,
            slot: subject.slot,
            rules: subject.rules,
            headers: TRACE_HEADERS,
        };
        let constants = Constants {
            endpoint: subject.endpoint,
            ethernet: true,
            read_only: false,
            use_table: true,
            bench: driven,
        };
        let mut object =
            load(maps, constants).map_err(|e| failed("load the driver", subject, &e))?;
        let name = if subject.xdp { "sg_bench_xdp" } else { "sg_bench_tc" };
        let program = object
            .program_mut(name)
            .ok_or_else(|| failed("load the driver", subject, &"the object does not hold it"))?;
        let loaded = if subject.xdp {
            <&mut Xdp>::try_from(program).and_then(Xdp::load)
        } else {
            <&mut SchedClassifier>::try_from(program).and_then(SchedClassifier::load)
        };
        loaded.map_err(|e| failed("load the driver", subject, &e))?;
        Ok(Self { object, xdp: subject.xdp })
    }

    /// Writes the trace, with the TCP flags that are given.
    fn fill(&self, subject: &Subject, flags: Option<u8>) -> Result<(), DatapathError> {
        let map = match self.object.map(pin::TRACE) {
            Some(Map::Array(map)) => map,
            _ => return Err(failed("find the trace", subject, &"the object does not hold it")),
        };
        let trace: Mapped<[u64; WORDS]> = Mapped::new(map.fd().as_fd(), TRACE_HEADERS)
            .map_err(|e| failed("map the trace", subject, &e))?;
        for (place, probe) in subject.trace.iter().cycle().take(TRACE_HEADERS as usize).enumerate()
        {
            let probe = Probe { tcp_flags: flags.unwrap_or(probe.tcp_flags), ..probe.clone() };
            let frame = frame::of(&probe).map_err(|e| failed("write a header", subject, &e))?;
            trace.set(place as u32, words(&frame));
        }
        Ok(())
    }

    /// Nanoseconds for each run.
    fn run(&mut self, subject: &Subject, runs: u32) -> Result<f64, DatapathError> {
        let frame = [0; TRACE_BYTES as usize];
        let options =
            TestRunOptions { data_in: Some(&frame), repeat: runs, ..TestRunOptions::new() };
        let name = if self.xdp { "sg_bench_xdp" } else { "sg_bench_tc" };
        let program = self
            .object
            .program_mut(name)
            .ok_or_else(|| failed("run the driver", subject, &"the object does not hold it"))?;
        // The kernel tells whole nanoseconds a run, those in which other threads ran included. This
        // thread's own time tells more.
        let start = clock_gettime(ClockId::ThreadCPUTime);
        let result = if self.xdp {
            <&mut Xdp>::try_from(program).and_then(|program| program.test_run(options))
        } else {
            <&mut SchedClassifier>::try_from(program).and_then(|program| program.test_run(options))
        };
        let took = clock_gettime(ClockId::ThreadCPUTime) - start;
        result.map_err(|e| failed("run the driver", subject, &e))?;
        Ok((took.tv_sec as f64 * 1e9 + took.tv_nsec as f64) / f64::from(runs))
    }
}

impl Kernel {
    /// Measures subjects under a policy on maps of its own, which are gone afterwards. `each` is
    /// called after every lap.
    ///
    /// # Errors
    /// Where maps cannot be made, or the drivers not be loaded or run.
    pub fn bench(
        &self,
        enforcement: &Enforcement,
        subjects: &[Subject],
        laps: u32,
        each: &mut dyn FnMut(),
    ) -> Result<Vec<Vec<Lap>>, DatapathError> {
        let cpus = probe::possible_cpus()?;
        let mut candidate = self.aside()?;
        let measured =
            candidate.fill(enforcement, cpus, enforcement.conntrack_max).and_then(|()| {
                subjects.iter().map(|subject| candidate.laps(subject, laps, each)).collect()
            });
        // Nothing is attached to it, so this removes its maps.
        candidate.retain(&BTreeSet::new())?;
        self.remove_if_empty()?;
        measured
    }

    fn laps(
        &self,
        subject: &Subject,
        laps: u32,
        each: &mut dyn FnMut(),
    ) -> Result<Vec<Lap>, DatapathError> {
        let Some(maps) = self.maps() else { return Ok(Vec::new()) };
        let mut drivers = Vec::new();
        for stage in STAGES {
            let mut driver = Driver::load(maps, subject, stage)?;
            if stage == bench::WHOLE {
                driver.fill(subject, Some(SYN))?;
                driver.run(subject, TRACE_HEADERS)?;
            }
            driver.fill(subject, None)?;
            driver.run(subject, TRACE_HEADERS)?;
            drivers.push(driver);
        }
        let mut all = Vec::new();
        for _ in 0..laps {
            let mut stages = [0.0; STAGES.len()];
            for (driver, cost) in drivers.iter_mut().zip(&mut stages) {
                *cost = driver.run(subject, RUNS)?;
            }
            let [driver, parse, memory, whole] = stages;
            all.push(Lap { driver, parse, memory, whole });
            each();
        }
        Ok(all)
    }
}
