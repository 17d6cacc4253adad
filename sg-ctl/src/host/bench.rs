//! `bench`: what a packet costs under this host's policy, or under a generated one.

use std::collections::BTreeMap;
use std::sync::Arc;

use sg_common::tables::TRACE_HEADERS;
use sg_common::verdict::Direction;

use super::Host;
use super::enforcer::Known;
use super::facts::members;
use super::placement::{group_set, place, resolve_for};
use crate::bench::trace::{self, Mix};
use crate::datapath::bench::{Lap, Subject};
use crate::datapath::kernel::Hooks;
use crate::datapath::programs::Attachment;
use crate::error::refuse;
use crate::policy::model::{Hook, Interface, Name, Policy, Side};
use crate::store::State;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct BenchRequest {
    /// A policy to measure instead of this host's.
    pub policy: Option<Policy>,
    /// Interfaces by their names in the policy; none = all.
    pub interfaces: Vec<Arc<str>>,
    /// Of which kinds the packets are.
    pub mix: Mix,
    /// Times that every stage runs over the trace.
    pub laps: u32,
}

/// What was measured of one direction of interfaces that are judged alike.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The interfaces.
    pub interfaces: Vec<Arc<str>>,
    /// Direction as the policy sees it.
    pub direction: Direction,
    /// Whether XDP judges it, else TC.
    pub xdp: bool,
    /// Rules of the direction.
    pub rules: usize,
    /// Bytes of their image.
    pub image_bytes: usize,
    /// Nanoseconds of each lap.
    pub laps: Vec<Lap>,
}

/// What makes interfaces cost the same: groups, side, monitor mode or not, and program.
type Alike = (Vec<Name>, bool, bool, bool);

impl Host {
    /// Measures on maps of its own. The policy in force, its counters and its connections are not
    /// touched. `progress` is called with the laps that are done and all that there will be.
    ///
    /// # Errors
    /// An interface that is not in the policy, a policy without interfaces, a kernel that refuses
    /// the drivers.
    pub fn bench(
        &mut self,
        request: &BenchRequest,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<Vec<Measured>> {
        let (_, committed) = self.committed()?;
        let policy = request.policy.clone().unwrap_or_else(|| committed.policy.clone());
        if policy.interfaces.is_empty() {
            return Err(refuse(
                "no interface is attached, so there is no policy to measure",
                "`sg-ctl attach IFACE --group G`, or measure a generated policy: --rules 1000",
            ));
        }
        if let Some(unknown) =
            request.interfaces.iter().find(|name| !policy.interfaces.contains_key(*name))
        {
            let known: Vec<&str> = policy.interfaces.keys().map(|name| &**name).collect();
            return Err(refuse(
                format!("{unknown} is not an interface of the policy"),
                format!("attached: {}", known.join(", ")),
            ));
        }
        self.session.kernel.look()?;
        let Known { facts, attached } = self.session.kernel.known.borrow().clone();
        let mut state = State { policy, ..State::default() };
        state.members = members(&state.policy, &facts, |name| {
            committed.endpoints.get(name).and_then(|e| attached.get(&e.number)).copied()
        });
        let (state, placed) = place(&State::default(), state, 1, &facts, |_| None)?;
        let enforcement = placed.enforcement;

        let hooks = self.kernel().hooks(&facts.devices)?;
        let hook_of =
            |name: &str| committed.endpoints.get(name).and_then(|e| hooks.get(&e.number)).copied();
        let mut alike: BTreeMap<Alike, Vec<Arc<str>>> = BTreeMap::new();
        for (name, interface) in &state.policy.interfaces {
            if request.interfaces.is_empty() || request.interfaces.contains(name) {
                let (guest, xdp) =
                    (interface.side == Side::Guest, by_xdp(interface, hook_of(name)));
                let monitor = interface.mode == crate::policy::model::Mode::Monitor;
                let key = (group_set(interface), guest, monitor, xdp);
                alike.entry(key).or_default().push(Arc::clone(name));
            }
        }
        let mut subjects = Vec::new();
        let mut measured = Vec::new();
        for ((groups, guest, _, xdp), names) in alike {
            let wanted = enforcement.interfaces.iter().find(|w| names.first() == Some(&w.name));
            let Some(wanted) = wanted else { continue };
            let resolved = resolve_for(&state, &groups);
            for direction in [Direction::Ingress, Direction::Egress] {
                let hook = if guest { direction.reverse() } else { direction };
                let slot = wanted.entry.images[direction as usize];
                let image = enforcement.images.iter().find(|image| image.slot == slot);
                let rules = resolved.of(direction);
                let xdp = xdp && hook == Direction::Ingress;
                let count = TRACE_HEADERS as usize;
                subjects.push(Subject {
                    name: wanted.name.to_string(),
                    endpoint: wanted.endpoint,
                    hook,
                    xdp,
                    slot,
                    rules: rules.len() as u32,
                    trace: trace::draw(rules, direction, request.mix, count, 1),
                });
                measured.push(Measured {
                    interfaces: names.clone(),
                    direction,
                    xdp,
                    rules: rules.len(),
                    image_bytes: image.map_or(0, |image| image.image.bytes().len()),
                    laps: Vec::new(),
                });
            }
        }
        let total = subjects.len() as u64 * u64::from(request.laps);
        let mut done = 0;
        let laps = self.kernel().bench(&enforcement, &subjects, request.laps, &mut || {
            done += 1;
            progress(done, total);
        })?;
        for (measured, laps) in measured.iter_mut().zip(laps) {
            measured.laps = laps;
        }
        Ok(measured)
    }
}

/// Whether what arrives is judged by XDP: as it is attached, else as the policy wants it.
fn by_xdp(interface: &Interface, hooks: Option<Hooks>) -> bool {
    match hooks.and_then(|hooks| hooks.ingress) {
        Some(ingress) => matches!(ingress, Attachment::XdpNative | Attachment::XdpGeneric),
        None => interface.hook != Hook::Tc,
    }
}
