//! The verdict on a packet: the whole path behind the parser (spec §2), the same code in the kernel
//! and in tests.
//!
//! ```text
//! directory entry -> always passed? -> F -> R where F needs it -> connection table -> reason
//!    always.rs          related.rs (ICMP errors)          flow.rs
//! ```

mod always;
mod flow;
mod related;
mod weight;

pub use weight::Weight;

use crate::classifier::{Decision, Kind};
use crate::conntrack::{self, Found, Key, Opened, Opening, Sender, State, Table};
use crate::packet::{Address, IP, LATER_FRAGMENT, Packet, tcp};
use crate::tables::{
    Control, DirectoryEntry, ENTRY_ACTIVE, ENTRY_GUEST, ENTRY_MONITOR, LAYOUT_VERSION, Settings,
    Timeouts,
};
use crate::verdict::{Direction, Reason};
use crate::word::Word;

/// What the judge works with.
pub trait Env {
    /// Access to the connection table.
    type Table: Table;

    /// The control word; `None` if the map cannot be read.
    fn control(&self) -> Option<&Control>;
    /// This attachment's entry in the directory of a generation.
    fn entry(&self, generation: u64) -> Option<&DirectoryEntry>;
    /// The settings of a generation.
    fn settings(&self, generation: u64) -> Option<&Settings>;
    /// What the image in `slot` decides for a peer; `None` if there is no image.
    fn classify(
        &self,
        slot: u32,
        family: u8,
        peer: &Address,
        kind: Kind,
        key: u16,
    ) -> Option<Decision>;
    /// [`Env::classify`] by the number of a kind, in the kernel without a call: for the one lookup
    /// that every packet needs.
    fn classify_here(
        &self,
        slot: u32,
        family: u8,
        peer: &Address,
        kind: u32,
        key: u16,
    ) -> Option<Decision> {
        self.classify(slot, family, peer, Kind::from_number(kind), key)
    }
    /// The connection table; `None` if it is not to be looked at.
    fn table(&self) -> Option<&Self::Table>;
    /// Whether anything may be written. `explain` reads only.
    fn writes(&self) -> bool;
    /// Seconds of `CLOCK_MONOTONIC`.
    fn now(&self) -> u32;
    /// The same value; in the kernel, one that the verifier does not tell from others (see
    /// [`crate::packet::Frame::settle`]).
    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        value
    }
    /// [`conntrack::open`]; in the kernel as a function of its own.
    #[expect(clippy::too_many_arguments, reason = "the numbers go into registers")]
    #[inline(always)]
    fn open(
        &self,
        table: &Self::Table,
        key: &Key,
        state: State,
        kind: Kind,
        timeouts: &Timeouts,
        now: u32,
        marked: bool,
    ) -> Opened {
        conntrack::open(table, key, state, kind, timeouts, now, marked)
    }
    /// [`conntrack::update`]; in the kernel as a function of its own.
    #[expect(clippy::too_many_arguments, reason = "the numbers go into registers")]
    #[inline(always)]
    fn update(
        &self,
        table: &Self::Table,
        found: &Found,
        packet: &Packet,
        sender: Sender,
        timeouts: &Timeouts,
        now: u32,
        marked: bool,
    ) {
        conntrack::update(table, found, packet, sender, timeouts, now, marked);
    }
    /// A step of a judgement; in the kernel a function of its own, which the verifier looks at once
    /// and not once for each way that leads to it.
    #[inline(always)]
    fn step(&self, step: Step, case: &Case<'_, Self>, quoted: &Packet, verdict: &mut Verdict) -> u32
    where
        Self: Sized,
    {
        case.run(step, quoted, verdict)
    }
    /// An insertion took the place of another connection.
    fn evicted(&self, direction: Direction);
}

/// The verdict on a packet, and what led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// Direction as the policy sees it.
    pub direction: Direction,
    /// The interface is in monitor mode: the packet passes whatever the reason.
    pub monitor: bool,
    /// F; [`Decision::IMPLICIT_DENY`] if it was not asked for.
    pub forward: Decision,
    /// R; [`Decision::IMPLICIT_DENY`] if it was not asked for.
    pub reverse: Decision,
    /// An entry of the connection table was found.
    pub hit: bool,
}

impl Verdict {
    /// No verdict yet.
    pub const NONE: Self = Self::new(Reason::NoPolicy, Direction::Ingress);

    const fn new(reason: Reason, direction: Direction) -> Self {
        Self {
            reason,
            direction,
            monitor: false,
            forward: Decision::IMPLICIT_DENY,
            reverse: Decision::IMPLICIT_DENY,
            hit: false,
        }
    }

    /// Whether the packet goes on.
    #[inline(always)]
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.monitor || self.reason.passes()
    }

    /// Whether it would have been dropped if the mode were not monitor.
    #[inline(always)]
    #[must_use]
    pub const fn would_drop(&self) -> bool {
        self.monitor && !self.reason.passes()
    }

    /// Slot of the rule that the packet counts for (spec §2.19); 0 if for none.
    #[inline(always)]
    #[must_use]
    pub const fn rule_slot(&self) -> u32 {
        match self.reason {
            Reason::Rule | Reason::Deny => self.forward.slot(),
            Reason::Connection => self.reverse.slot(),
            _ => 0,
        }
    }
}

/// Steps of a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What needs no rule.
    BeforeRules,
    /// Whether an ICMP error is about something that the rules allow.
    Related,
    /// Whether it is about a connection.
    RelatedConnection,
    /// A fragment other than the first.
    LaterFragment,
    /// F, and what it knows of R.
    Rules,
    /// R, where F does not know it.
    Reverse,
    /// F allows, R does not.
    OpenOrUpdate,
    /// F denies, R allows.
    Answer,
    /// It is an answer; which rule of R it counts for.
    AnswerRule,
    /// F denies: what monitor mode remembers.
    NoteDenied,
    /// Attach pending: what is learned.
    Learn,
}

/// No reason, as a step's result.
const NOTHING: u32 = 255;
/// [`Step::OpenOrUpdate`] says the rest. A step does not call another one: their stacks would add up.
const OPEN_OR_UPDATE: u32 = 254;
/// [`Step::Answer`] says the rest.
const ANSWER: u32 = 253;
/// [`Step::Reverse`] says the rest.
const REVERSE: u32 = 252;
/// [`Step::AnswerRule`] says the rest.
const ANSWER_RULE: u32 = 251;

/// What all steps of one judgement share.
pub struct Case<'a, E: Env> {
    env: &'a E,
    /// The generation that the judgement began with.
    pub generation: u64,
    entry: &'a DirectoryEntry,
    settings: &'a Settings,
    /// The packet.
    pub packet: &'a Packet,
    /// Its direction as the policy sees it.
    pub direction: Direction,
}

/// The generation in force. The controller flips it with one store while programs read.
#[inline(always)]
fn generation(control: &Control) -> u64 {
    // SAFETY: the reference is valid and aligned, and a `Word` has the layout of its integer.
    unsafe { &*(&raw const control.generation).cast::<Word>() }.load()
}

/// Judges a packet that arrives at the hook of `hook`'s direction (as the device sees it).
///
/// `parsed` is what the parser said of it, `quoted` the packet that it quotes if it is an ICMP
/// error. `verdict` is [`Verdict::NONE`] before; it is written field by field, because the verifier
/// refuses a copy of its padding.
#[inline(always)]
pub fn judge<E: Env>(
    env: &E,
    hook: Direction,
    parsed: Result<(), Reason>,
    packet: &Packet,
    quoted: Option<&Packet>,
    verdict: &mut Verdict,
) {
    verdict.reason = Reason::NoPolicy;
    verdict.direction = hook;
    let Some(control) = env.control() else { return };
    if control.version != LAYOUT_VERSION {
        return;
    }
    let Some(mut case) = Case::of(env, generation(control), packet, hook) else { return };
    let flags = case.entry.flags;
    let direction = if flags & ENTRY_GUEST == 0 { hook } else { hook.reverse() };
    let direction = Direction::from_bit(env.settle(direction as u32));
    case.direction = direction;
    verdict.direction = direction;
    if flags & ENTRY_ACTIVE == 0 {
        if parsed.is_ok() {
            case.step(Step::Learn, packet, verdict);
        }
        verdict.reason = Reason::Learning;
        return;
    }
    verdict.monitor = flags & ENTRY_MONITOR != 0;
    let reason = case.reason(parsed, quoted, verdict);
    verdict.reason = Reason::from_number(env.settle(reason as u32)).unwrap_or(Reason::NoPolicy);
}

impl<'a, E: Env> Case<'a, E> {
    /// The case of a packet, by the directory of a generation; `None` if there is none.
    #[inline(always)]
    pub fn of(
        env: &'a E,
        generation: u64,
        packet: &'a Packet,
        direction: Direction,
    ) -> Option<Self> {
        let (entry, settings) = (env.entry(generation)?, env.settings(generation)?);
        Some(Self { env, generation, entry, settings, packet, direction })
    }

    /// Goes a step, wherever its code is.
    #[inline(always)]
    fn step(&self, step: Step, quoted: &Packet, verdict: &mut Verdict) -> u32 {
        self.env.step(step, self, quoted, verdict)
    }

    /// Goes a step: the number of a reason, 255 for none, or for what is related 0 for no.
    #[inline(always)]
    pub fn run(&self, step: Step, quoted: &Packet, verdict: &mut Verdict) -> u32 {
        match step {
            Step::BeforeRules => self.before_rules().map_or(NOTHING, |reason| reason as u32),
            Step::Related => self.is_related(quoted),
            Step::RelatedConnection => u32::from(self.of_connection(quoted)),
            Step::LaterFragment => self.later_fragment(verdict) as u32,
            Step::Rules => self.by_rules(verdict),
            Step::Reverse => self.by_reverse(verdict),
            Step::OpenOrUpdate => self.open_or_update(verdict) as u32,
            Step::Answer => self.denied_unless_answer(verdict),
            Step::AnswerRule => self.answer_rule(verdict) as u32,
            Step::NoteDenied => {
                self.note_denied();
                NOTHING
            }
            Step::Learn => {
                self.learn();
                NOTHING
            }
        }
    }

    /// A step that ends in a reason.
    #[inline(always)]
    fn conclude(&self, step: Step, verdict: &mut Verdict) -> Reason {
        let number = self.step(step, self.packet, verdict);
        Reason::from_number(number).unwrap_or(Reason::NoPolicy)
    }

    #[inline(always)]
    fn reason(
        &self,
        parsed: Result<(), Reason>,
        quoted: Option<&Packet>,
        verdict: &mut Verdict,
    ) -> Reason {
        let packet = self.packet;
        if let Err(reason) = parsed {
            return reason;
        }
        let before = self.env.settle(self.step(Step::BeforeRules, packet, verdict));
        if before != NOTHING {
            return Reason::from_number(before).unwrap_or(Reason::NoPolicy);
        }
        if !packet.has(IP) {
            return Reason::EtherType;
        }
        if packet.has(LATER_FRAGMENT) {
            return self.conclude(Step::LaterFragment, verdict);
        }
        let kind = packet.kind();
        if kind as u8 == Kind::Tcp as u8 && tcp::illegal(packet.detail) {
            return Reason::TcpFlags;
        }
        if let Some(quoted) = quoted
            && self.concerns(quoted, verdict)
        {
            return Reason::Related;
        }
        let mut judged = self.step(Step::Rules, packet, verdict);
        if judged == REVERSE {
            judged = self.step(Step::Reverse, packet, verdict);
        }
        let reason = match judged {
            OPEN_OR_UPDATE => self.conclude(Step::OpenOrUpdate, verdict),
            ANSWER => match self.step(Step::Answer, packet, verdict) {
                ANSWER_RULE => self.conclude(Step::AnswerRule, verdict),
                number => Reason::from_number(number).unwrap_or(Reason::NoPolicy),
            },
            number => Reason::from_number(number).unwrap_or(Reason::NoPolicy),
        };
        if !verdict.forward.allows() && !reason.passes() && verdict.monitor {
            self.step(Step::NoteDenied, packet, verdict);
        }
        reason
    }

    /// Whether an ICMP error is about something that is known.
    #[inline(always)]
    fn concerns(&self, quoted: &Packet, verdict: &mut Verdict) -> bool {
        match self.step(Step::Related, quoted, verdict) {
            related::NO => false,
            related::YES => true,
            _ => self.step(Step::RelatedConnection, quoted, verdict) != 0,
        }
    }

    /// A fragment whose ports are in another one passes where every port does (spec §2.14).
    #[inline(always)]
    fn later_fragment(&self, verdict: &mut Verdict) -> Reason {
        let packet = self.packet;
        let kind = packet.kind();
        let whole = kind as u8 == Kind::Other as u8;
        let key = if whole { u16::from(packet.protocol) } else { 0 };
        let Some(forward) = self.ask(self.direction, packet, kind, key) else {
            return Reason::NoPolicy;
        };
        if whole && forward.allows() {
            verdict.forward = forward;
            return Reason::Rule;
        }
        // Which rule would have decided depends on the port, so it counts for none.
        if forward.whole_kind_allowed() { Reason::Rule } else { Reason::Fragment }
    }

    /// What the rules of `direction` say of `packet`, or of its mirror image.
    #[inline(always)]
    fn ask(&self, direction: Direction, packet: &Packet, kind: Kind, key: u16) -> Option<Decision> {
        // The peer is the same in both directions: the far end of the packet itself.
        self.classify(direction, packet, self.direction, kind, key)
    }

    /// What the rules of `direction` say of the peer of a packet that goes in `travels`.
    #[inline(always)]
    fn classify(
        &self,
        direction: Direction,
        packet: &Packet,
        travels: Direction,
        kind: Kind,
        key: u16,
    ) -> Option<Decision> {
        let [ingress, egress] = self.entry.images;
        let slot = match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        let peer = match travels {
            Direction::Ingress => &packet.source,
            Direction::Egress => &packet.destination,
        };
        self.env.classify(slot, packet.family, peer, kind, key)
    }

    /// While an interface is being attached everything passes, and who opens a connection is
    /// remembered. An entry admits nothing that the rules of its opener do not allow, so this gives
    /// away no more than they do.
    #[inline(always)]
    fn learn(&self) {
        let packet = self.packet;
        if !packet.has(IP) || packet.has(LATER_FRAGMENT) {
            return;
        }
        let Opening::Opens(state) = conntrack::opening(packet) else { return };
        let key = Key::of_opener(packet, self.entry.zone, self.direction);
        if let Some(table) = self.env.table() {
            let now = self.env.now();
            if conntrack::find(table, &key, now).is_none() {
                self.insert(&key, state, now, false);
            }
        }
    }
}
