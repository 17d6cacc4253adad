//! What the judge sees of the kernel.

use core::mem;

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use sg_common::classifier::{Decision, Kind};
use sg_common::conntrack::{
    Found, Key, Opened, Place, Sender, State, Table, WORDS, open, search, update,
};
use sg_common::judge::{Case, Env, Step, Verdict};
use sg_common::packet::{Address, Packet};
use sg_common::tables::{Control, DirectoryEntry, ENDPOINTS, Settings, Timeouts, directory_index};
use sg_common::verdict::{Direction, Reason};
use sg_common::word::Word;

use crate::constants::{ENDPOINT, READ_ONLY, USE_TABLE};
use crate::frame::settle;
use crate::maps::{SG_CONTROL, SG_CT_BUCKETS, SG_CT_ENTRIES, SG_DIRECTORY, SG_SETTINGS};
use crate::{counters, image};

const _: () = assert!(mem::size_of::<Control>() == 64);
const _: () = assert!(mem::size_of::<DirectoryEntry>() == 32);
const _: () = assert!(mem::size_of::<Settings>() == 96);

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The connection table in its maps.
pub(crate) struct Connections {
    seed: u64,
    buckets: u32,
}

impl Table for Connections {
    #[inline(always)]
    fn seed(&self) -> u64 {
        self.seed
    }

    #[inline(always)]
    fn buckets(&self) -> u32 {
        self.buckets
    }

    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        settle(value, self.seed as u32)
    }

    #[inline(always)]
    fn find(&self, key: &Key, now: u32) -> Option<Found> {
        let mut place = 0;
        let entry = sg_find(key, now, &mut place);
        if entry == NOT_FOUND { None } else { Some(Found { entry, place: Place(place) }) }
    }

    #[inline(always)]
    fn bucket(&self, bucket: u32) -> Option<&[Word; WORDS]> {
        // SAFETY: a value of the map is 64 aligned bytes, and everybody works on it by atomics.
        SG_CT_BUCKETS.get_ptr(bucket).map(|line| unsafe { &*line.cast() })
    }

    #[inline(always)]
    fn entry(&self, entry: u32) -> Option<&[Word; WORDS]> {
        // SAFETY: as above.
        SG_CT_ENTRIES.get_ptr(entry).map(|line| unsafe { &*line.cast() })
    }
}

/// No entry.
const NOT_FOUND: u32 = u32::MAX;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_find(key: *const Key, now: u32, place: *mut u64) -> u32 {
    // SAFETY: the caller's variables, or null.
    let (Some(key), Some(place)) = (unsafe { (key.as_ref(), place.as_mut()) }) else {
        return NOT_FOUND;
    };
    match search(&Kernel::new().connections, key, now) {
        Some(found) => {
            *place = found.place.0;
            found.entry
        }
        None => NOT_FOUND,
    }
}

/// `what` holds the kind in bits 0 to 7, the state in bits 8 to 15, and the mark in bit 16.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_open(key: *const Key, timeouts: *const Timeouts, what: u32, now: u32) -> u32 {
    // SAFETY: the caller's variables, or null.
    let (Some(key), Some(timeouts)) = (unsafe { (key.as_ref(), timeouts.as_ref()) }) else {
        return Opened::Full as u32;
    };
    let (state, kind) = (State::of(u64::from(what >> 8 & 31)), Kind::from_number(what & 0xff));
    open(&Kernel::new().connections, key, state, kind, timeouts, now, what >> 16 & 1 != 0) as u32
}

/// `bits` holds the sender in bit 0 and the mark in bit 1, and the second from bit 32 on.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sg_update(
    packet: *const Packet,
    timeouts: *const Timeouts,
    entry: u32,
    place: u64,
    bits: u64,
) -> u32 {
    // SAFETY: the caller's variables, or null.
    let (Some(packet), Some(timeouts)) = (unsafe { (packet.as_ref(), timeouts.as_ref()) }) else {
        return 0;
    };
    let (connections, now) = (Kernel::new().connections, (bits >> 32) as u32);
    let found = Found { entry, place: Place(place) };
    let sender = if bits & 1 == 0 { Sender::Opener } else { Sender::Other };
    let marked = bits & 2 != 0;
    update(&connections, &found, packet, sender, timeouts, now, marked);
    0
}

/// Generation and direction of a case, in two arguments; a step as a global function. `bits` is the
/// direction.
macro_rules! steps {
    ($($name:ident = $step:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $name(
                packet: *const Packet,
                quoted: *const Packet,
                verdict: *mut Verdict,
                generation: u64,
                bits: u32,
            ) -> u32 {
                // SAFETY: the caller's variables, or null.
                let (Some(packet), Some(quoted), Some(verdict)) =
                    (unsafe { (packet.as_ref(), quoted.as_ref(), verdict.as_mut()) })
                else {
                    return Reason::NoPolicy as u32;
                };
                let kernel = Kernel::new();
                match Case::of(&kernel, generation, packet, Direction::from_bit(bits)) {
                    Some(case) => case.run(Step::$step, quoted, verdict),
                    None => Reason::NoPolicy as u32,
                }
            }
        )*

        #[inline(always)]
        fn step_function(step: Step) -> StepFunction {
            match step {
                $(Step::$step => $name,)*
            }
        }
    };
}

type StepFunction = extern "C" fn(*const Packet, *const Packet, *mut Verdict, u64, u32) -> u32;

steps! {
    sg_before_rules = BeforeRules;
    sg_related = Related;
    sg_related_connection = RelatedConnection;
    sg_later_fragment = LaterFragment;
    sg_rules = Rules;
    sg_reverse = Reverse;
    sg_open_or_update = OpenOrUpdate;
    sg_answer = Answer;
    sg_answer_rule = AnswerRule;
    sg_note_denied = NoteDenied;
    sg_learn = Learn;
}

/// The kernel's side of the judge.
pub(crate) struct Kernel {
    connections: Connections,
}

impl Kernel {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let (mut seed, mut buckets) = (0, 0);
        if let Some(control) = control() {
            seed = control.hash_seed;
            buckets = control.buckets;
        }
        Self { connections: Connections { seed, buckets } }
    }
}

#[inline(always)]
fn control() -> Option<&'static Control> {
    // SAFETY: the value has the size of a control word, and any bits are one.
    SG_CONTROL.get_ptr(0).map(|value| unsafe { &*value.cast() })
}

impl Env for Kernel {
    type Table = Connections;

    #[inline(always)]
    fn control(&self) -> Option<&Control> {
        control()
    }

    #[inline(always)]
    fn entry(&self, generation: u64) -> Option<&DirectoryEntry> {
        let index = directory_index(generation, ENDPOINT.load() & (ENDPOINTS - 1));
        // SAFETY: the value has the size of an entry, and any bits are one.
        SG_DIRECTORY.get_ptr(index).map(|value| unsafe { &*value.cast() })
    }

    #[inline(always)]
    fn settings(&self, generation: u64) -> Option<&Settings> {
        // SAFETY: the value has the size of settings, and any bits are some.
        SG_SETTINGS.get_ptr((generation & 1) as u32).map(|value| unsafe { &*value.cast() })
    }

    #[inline(always)]
    fn classify(
        &self,
        slot: u32,
        family: u8,
        peer: &Address,
        kind: Kind,
        key: u16,
    ) -> Option<Decision> {
        image::decide(slot, family, peer, kind, key)
    }

    #[inline(always)]
    fn classify_here(
        &self,
        slot: u32,
        family: u8,
        peer: &Address,
        kind: u32,
        key: u16,
    ) -> Option<Decision> {
        image::decide_here(slot, family, peer, kind, key)
    }

    #[inline(always)]
    fn table(&self) -> Option<&Connections> {
        if USE_TABLE.load() == 0 { None } else { Some(&self.connections) }
    }

    #[inline(always)]
    fn writes(&self) -> bool {
        READ_ONLY.load() == 0
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes nothing and only reads a clock. Seconds fit for 136 years.
        (unsafe { bpf_ktime_get_coarse_ns() } / SECOND) as u32
    }

    #[inline(always)]
    fn settle(&self, value: u32) -> u32 {
        settle(value, self.connections.seed as u32)
    }

    #[inline(always)]
    fn open(
        &self,
        _table: &Connections,
        key: &Key,
        state: State,
        kind: Kind,
        timeouts: &Timeouts,
        now: u32,
        marked: bool,
    ) -> Opened {
        let what = kind as u32 | (state as u32) << 8 | u32::from(marked) << 16;
        match sg_open(key, timeouts, what, now) {
            0 => Opened::Free,
            1 => Opened::Evicted,
            3 => Opened::Lost,
            _ => Opened::Full,
        }
    }

    #[inline(always)]
    fn update(
        &self,
        _table: &Connections,
        found: &Found,
        packet: &Packet,
        sender: Sender,
        timeouts: &Timeouts,
        now: u32,
        marked: bool,
    ) {
        let bits = u64::from(now) << 32 | u64::from(marked) << 1 | sender as u64;
        sg_update(packet, timeouts, found.entry, found.place.0, bits);
    }

    #[inline(always)]
    fn step(
        &self,
        step: Step,
        case: &Case<'_, Self>,
        quoted: &Packet,
        verdict: &mut Verdict,
    ) -> u32 {
        // Every packet goes this step, and it is short: a call would cost as much again.
        if matches!(step, Step::BeforeRules) {
            return case.run(step, quoted, verdict);
        }
        let bits = case.direction as u32;
        step_function(step)(case.packet, quoted, verdict, case.generation, bits)
    }

    #[inline(always)]
    fn evicted(&self, direction: Direction) {
        counters::evicted(direction);
    }
}
