//! `explain`: the programs once more, with every write switched off by a constant, run on a frame of
//! the controller's own and on the maps that packets are judged with. What they answer is what the
//! wire would see; they can change nothing, and no packet reaches them.

use std::collections::BTreeSet;

use aya::Ebpf;
use aya::maps::Array;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use bytemuck::Zeroable;
use sg_common::classifier::Decision;
use sg_common::tables::{EXPLAIN_HIT, EXPLAIN_WRITTEN, Explanation, pin};
use sg_common::verdict::{Direction, Reason};

use super::enforcement::Enforcement;
use super::error::DatapathError;
use super::frame;
use super::kernel::Kernel;
use super::programs::{Attachment, Constants, load, program_name};
use crate::host::Probe;
use crate::policy::model::Side;

/// How a probe meets the programs.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Endpoint of the interface.
    pub endpoint: u32,
    /// Which end is protected.
    pub side: Side,
    /// Where what arrives at the device is judged.
    pub ingress: Option<Attachment>,
    /// The connection table is looked at.
    pub with_state: bool,
}

/// What the programs answered.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// Counter slot of the rule that decided F.
    pub forward_slot: Option<u32>,
    /// Counter slot of the rule that decided R, where R was asked for.
    pub reverse_slot: Option<u32>,
    /// An entry of the connection table was found.
    pub hit: bool,
}

fn failed(what: &str, interface: &str, reason: &dyn std::fmt::Display) -> DatapathError {
    DatapathError::Program {
        what: what.to_owned(),
        interface: interface.to_owned(),
        reason: reason.to_string(),
        help: "`sg-ctl status` shows what is loaded".to_owned(),
    }
}

/// Runs the program of a hook on a frame. aya's errors do not say which program.
fn run(object: &mut Ebpf, name: &str, xdp: bool, frame: &[u8]) -> Result<(), String> {
    let program = object.program_mut(name).ok_or("the object does not hold the program")?;
    let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
    let text = |error: &dyn std::error::Error| error.to_string();
    if xdp {
        let program: &mut Xdp = program.try_into().map_err(|e| text(&e))?;
        program.load().map_err(|e| text(&e))?;
        program.test_run(options).map_err(|e| text(&e))?;
    } else {
        let program: &mut SchedClassifier = program.try_into().map_err(|e| text(&e))?;
        program.load().map_err(|e| text(&e))?;
        program.test_run(options).map_err(|e| text(&e))?;
    }
    Ok(())
}

fn slot(decision: u64) -> Option<u32> {
    let decision = Decision(decision);
    decision.is_rule().then(|| decision.slot())
}

impl Kernel {
    /// Asks about a packet on the maps in force.
    ///
    /// # Errors
    /// If nothing is loaded, or the probe cannot be run.
    pub fn explain(&self, probe: &Probe, asked: &Asked) -> Result<Verdict, DatapathError> {
        let name = probe.interface.as_str();
        let maps = self.maps().ok_or_else(|| DatapathError::Refused {
            reason: format!("nothing is loaded, so {name} is not filtered"),
            help: "`sg-ctl restore` brings the stored state back; -f FILE asks a candidate"
                .to_owned(),
        })?;
        let frame = frame::of(probe).map_err(|error| DatapathError::Refused {
            reason: error.to_string(),
            help: "give a source and a destination of one family".to_owned(),
        })?;
        // The frame is Ethernet on every device: where IP begins does not change a verdict.
        let constants = Constants {
            endpoint: asked.endpoint,
            ethernet: true,
            read_only: true,
            use_table: asked.with_state,
            ..Constants::default()
        };
        let mut object =
            load(maps, constants).map_err(|e| failed("load the programs", name, &e))?;
        let hook = match asked.side {
            Side::Host => probe.direction,
            Side::Guest => probe.direction.reverse(),
        };
        let xdp = hook == Direction::Ingress
            && matches!(asked.ingress, Some(Attachment::XdpNative | Attachment::XdpGeneric));
        run(&mut object, program_name(hook, xdp), xdp, &frame)
            .map_err(|reason| failed("run a probe", name, &reason))?;
        let answer = answer(&object).map_err(|reason| failed("read the answer", name, &reason))?;
        let reason = Reason::ALL
            .iter()
            .find(|reason| **reason as u32 == answer.reason)
            .filter(|_| answer.flags & EXPLAIN_WRITTEN != 0)
            .ok_or_else(|| failed("read the answer", name, &"the program left none"))?;
        Ok(Verdict {
            reason: *reason,
            forward_slot: slot(answer.forward),
            reverse_slot: slot(answer.reverse),
            hit: answer.flags & EXPLAIN_HIT != 0,
        })
    }

    /// Asks about a packet under a policy that is not in force, on maps of its own that are gone
    /// afterwards.
    ///
    /// # Errors
    /// As [`Kernel::explain`], and where the maps cannot be made.
    pub fn explain_candidate(
        &self,
        probe: &Probe,
        asked: &Asked,
        enforcement: &Enforcement,
    ) -> Result<Verdict, DatapathError> {
        let mut candidate = self.aside()?;
        // Its connection table is never looked at.
        let verdict =
            candidate.fill(enforcement, 1, 1).and_then(|()| candidate.explain(probe, asked));
        // Nothing is attached to it, so this removes its maps; the verdict counts in any case.
        candidate.retain(&BTreeSet::new())?;
        self.remove_if_empty()?;
        verdict
    }
}

fn answer(object: &Ebpf) -> Result<Explanation, String> {
    let map = object.map(pin::EXPLAIN).ok_or("the object does not hold the map")?;
    let array: Array<_, [u64; 6]> =
        map.try_into().map_err(|e: aya::maps::MapError| e.to_string())?;
    let words = array.get(&0, 0).map_err(|e| e.to_string())?;
    let mut explanation = Explanation::zeroed();
    bytemuck::bytes_of_mut(&mut explanation).copy_from_slice(bytemuck::bytes_of(&words));
    Ok(explanation)
}
