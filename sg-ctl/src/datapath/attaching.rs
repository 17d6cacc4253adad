//! Attaching what has no living attachment, several interfaces at a time: most of an attach is the
//! kernel's verifier, which works on every CPU that asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{panic, thread};

use super::acceptance::{accept, accept_hook, stacking_notes};
use super::devices::{self, Device};
use super::enforcement::Wanted;
use super::error::DatapathError;
use super::kernel::Hooks;
use super::maps::Maps;
use super::programs::{Attachment, Found, Programs};

/// Interfaces that are attached at a time at most. Each takes some 100 MB of the kernel for a moment.
const AT_A_TIME: usize = 16;

/// How things are before the first of them is attached.
#[derive(Clone, Copy)]
pub(super) struct Attaching<'a> {
    pub(super) programs: &'a Programs,
    pub(super) maps: &'a Maps,
    pub(super) all: &'a [Device],
    pub(super) attached: &'a [Found],
    pub(super) hooks: &'a BTreeMap<u32, Hooks>,
}

/// What became of one interface, or of all of them.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Endpoints that were attached now.
    pub(super) fresh: BTreeSet<u32>,
    /// Warnings for people.
    pub(super) warnings: Vec<String>,
}

impl<'a> Attaching<'a> {
    /// Attaches every interface that has no living attachment, and moves those whose hook changes.
    /// With `lenient` an interface that cannot be attached is a warning.
    ///
    /// # Errors
    /// That of the first of `wanted` that failed; some of the others may be attached then.
    pub(super) fn all(self, wanted: &[Wanted], lenient: bool) -> Result<Outcome, DatapathError> {
        let missing = wanted.iter().filter(|interface| !self.is_alive(interface)).count();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(interface) = wanted.get(at) else { break };
                let result = self.one(interface);
                if result.is_err() && !lenient {
                    failed.store(true, Ordering::Relaxed);
                }
                done.push((at, result));
            }
            done
        };
        let mut done = match missing.min(cpus).min(AT_A_TIME) {
            0 | 1 => work(),
            workers => thread::scope(|scope| {
                let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
                let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
                    worker.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
                };
                workers.into_iter().flat_map(join).collect()
            }),
        };
        // What is said does not depend on who was first.
        done.sort_by_key(|(at, _)| *at);
        let mut outcome = Outcome::default();
        for (_, result) in done {
            match result {
                Ok(one) => {
                    outcome.fresh.extend(one.fresh);
                    outcome.warnings.extend(one.warnings);
                }
                Err(error) if lenient => outcome.warnings.push(format!("{error}")),
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    fn own(self, interface: &Wanted) -> impl Iterator<Item = &'a Found> + use<'a> {
        let endpoint = interface.endpoint;
        self.attached.iter().filter(move |found| found.endpoint == endpoint)
    }

    /// Whether both programs of an interface are on a device that exists.
    fn is_alive(self, interface: &Wanted) -> bool {
        let exists = |index| index != 0 && self.all.iter().any(|device| device.index == index);
        self.own(interface).count() == 2 && self.own(interface).all(|found| exists(found.device))
    }

    fn one(self, interface: &Wanted) -> Result<Outcome, DatapathError> {
        let mut outcome = Outcome::default();
        if self.is_alive(interface) {
            self.follow_hook(interface)?;
            return Ok(outcome);
        }
        let Some(device) = devices::by_name(self.all, &interface.name) else {
            // Whether it may be missing was decided before the change was stored.
            if !interface.wait {
                outcome.warnings.push(format!(
                    "{} does not exist now; `sg-ctl restore` attaches it once it does",
                    interface.name
                ));
            }
            return Ok(outcome);
        };
        accept(device, interface.hook, self.all)?;
        if self.own(interface).next().is_some() {
            // Left from a device that is gone, or from an attach that was cut short.
            self.programs.detach(interface.endpoint)?;
        }
        let (endpoint, hook) = (interface.endpoint, interface.hook);
        let (_, warning) = self.programs.attach(self.maps, device, endpoint, hook, self.all)?;
        outcome.fresh.insert(endpoint);
        outcome.warnings.extend(warning);
        let devices: Vec<u32> = self.attached.iter().map(|found| found.device).collect();
        outcome.warnings.extend(stacking_notes(device, &devices, self.all));
        Ok(outcome)
    }

    /// Moves an attached interface to the hook that the policy asks for now.
    fn follow_hook(self, interface: &Wanted) -> Result<(), DatapathError> {
        let hooks = self.hooks.get(&interface.endpoint).copied().unwrap_or_default();
        let device = hooks.device.and_then(|index| self.all.iter().find(|d| d.index == index));
        let (Some(device), Some(current)) = (device, hooks.ingress) else { return Ok(()) };
        if current != Attachment::XdpNative {
            accept_hook(device, interface.hook, self.all)?;
        }
        let (endpoint, hook) = (interface.endpoint, interface.hook);
        self.programs.move_ingress(self.maps, device, endpoint, current, hook, self.all)
    }
}
