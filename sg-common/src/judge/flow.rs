//! The table of spec §2.7: what F, R and the connection table make of a packet.

use super::{ANSWER, ANSWER_RULE, Case, Env, OPEN_OR_UPDATE, REVERSE, Verdict};
use crate::classifier::{Decision, Kind, Reverse};
use crate::conntrack::{self, ATTEMPTS, Found, Key, Opened, Opening, Sender, State};
use crate::packet::{Address, GROUP, Packet, tcp};
use crate::tables::{ENTRY_LEARN_OWN, ENTRY_LEARN_PEER};
use crate::verdict::{Direction, Reason};

/// Key of the mirrored packet for the classifier; `None` for an ICMP type without counterpart,
/// which F alone judges.
#[inline(always)]
pub(super) fn mirrored_key(packet: &Packet, kind: Kind) -> Option<u16> {
    match kind {
        Kind::Icmp => conntrack::icmp_counterpart(packet.family, packet.icmp_type())
            .map(|other| u16::from(other) << 8),
        Kind::Other => Some(packet.key),
        _ => Some(packet.source_port),
    }
}

/// Why F denies.
#[inline(always)]
fn denial(forward: Decision, packet: &Packet) -> Reason {
    if forward.is_rule() {
        Reason::Deny
    } else if packet.has(GROUP) {
        Reason::ImplicitDenyGroup
    } else {
        Reason::ImplicitDeny
    }
}

/// What became of looking for the connection of a packet that F denies.
enum Answer {
    /// It is part of one.
    Part,
    /// It is part of none.
    Stranger,
}

impl<E: Env> Case<'_, E> {
    /// F, and what it knows of R.
    #[inline(always)]
    pub(super) fn by_rules(&self, verdict: &mut Verdict) -> u32 {
        let packet = self.packet;
        // Chosen by arithmetic: for the verifier two directions and five kinds would be ten ways
        // through the whole search.
        let kind = self.env.settle(packet.kind() as u32);
        let egress = u64::from(self.direction as u32).wrapping_neg();
        let choose = |a: u64, b: u64| a ^ (a ^ b) & egress;
        let [ingress_image, egress_image] = self.entry.images;
        let slot = choose(ingress_image.into(), egress_image.into()) as u32;
        let peer = Address {
            high: choose(packet.source.high, packet.destination.high),
            low: choose(packet.source.low, packet.destination.low),
        };
        let found = self.env.classify_here(slot, packet.family, &peer, kind, packet.key);
        let Some(forward) = found else { return Reason::NoPolicy as u32 };
        verdict.forward = forward;
        match forward.reverse() {
            // An ICMP type without counterpart has no R, whatever its hint says.
            _ if kind == Kind::Icmp as u32 => REVERSE,
            Reverse::Depends => REVERSE,
            reverse => self.by_both(forward, matches!(reverse, Reverse::Open)),
        }
    }

    /// R, where F does not know it.
    #[inline(always)]
    pub(super) fn by_reverse(&self, verdict: &mut Verdict) -> u32 {
        let packet = self.packet;
        let kind = packet.kind();
        let forward = verdict.forward;
        // F alone judges what has no counterpart.
        let Some(key) = mirrored_key(packet, kind) else {
            return self.by_both(forward, forward.allows());
        };
        if !matches!(forward.reverse(), Reverse::Depends) {
            return self.by_both(forward, matches!(forward.reverse(), Reverse::Open));
        }
        let Some(reverse) = self.ask(self.direction.reverse(), packet, kind, key) else {
            return Reason::NoPolicy as u32;
        };
        verdict.reverse = reverse;
        self.by_both(forward, reverse.allows())
    }

    /// What F and R together ask for: a reason, or the step that finds it.
    #[inline(always)]
    fn by_both(&self, forward: Decision, reverse_allows: bool) -> u32 {
        match (forward.allows(), reverse_allows) {
            (true, false) => OPEN_OR_UPDATE,
            (false, true) => ANSWER,
            (true, true) => Reason::Rule as u32,
            (false, false) => denial(forward, self.packet) as u32,
        }
    }

    /// F allows, R does not: the packet passes, and its connection is remembered.
    #[inline(always)]
    pub(super) fn open_or_update(&self, verdict: &mut Verdict) -> Reason {
        let Some(table) = self.env.table() else { return Reason::Rule };
        let packet = self.packet;
        let now = self.env.now();
        let opening = conntrack::opening(packet);
        let key = Key::of_opener(packet, self.entry.zone, self.direction);
        if let Some(found) = conntrack::find(table, &key, now) {
            verdict.hit = true;
            if self.env.writes() {
                let place = found.place;
                // What the rules of now let start, or go on while we learn, loses its mark.
                let marked = place.marked()
                    && matches!(opening, Opening::None)
                    && !self.learns(ENTRY_LEARN_PEER, now);
                self.update(table, &found, Sender::Opener, now, marked);
            }
            return Reason::Rule;
        }
        let state = match opening {
            Opening::Opens(state) => state,
            Opening::None if self.learns(ENTRY_LEARN_PEER, now) => State::Established,
            Opening::None => return Reason::Rule,
        };
        // While the other side's connection lives that only monitor mode let through, this is its
        // answer, and opens none of its own.
        let answered = Key::of_answered(packet, self.entry.zone, self.direction);
        if let Some(found) = conntrack::find(table, &answered, now)
            && found.place.marked()
        {
            return Reason::Rule;
        }
        match self.insert(&key, state, now, false) {
            Opened::Full => Reason::TableFull,
            _ => Reason::Rule,
        }
    }

    /// F denies, R allows: the packet passes if it is part of a connection that the other side
    /// opened.
    #[inline(always)]
    pub(super) fn denied_unless_answer(&self, verdict: &mut Verdict) -> u32 {
        let packet = self.packet;
        if mirrored_key(packet, packet.kind()).is_none() {
            return denial(verdict.forward, packet) as u32;
        }
        if let Answer::Part = self.answer(verdict) {
            // The packet counts for R's rule.
            if matches!(verdict.forward.reverse(), Reverse::Open) {
                return ANSWER_RULE;
            }
            return Reason::Connection as u32;
        }
        match conntrack::could_open(packet) {
            Opening::None => Reason::NoConnection as u32,
            Opening::Opens(_) => denial(verdict.forward, packet) as u32,
        }
    }

    /// The packet is an answer, and R's rule is not known yet. The compiler's word is a hint; the
    /// rule's word counts.
    #[inline(always)]
    pub(super) fn answer_rule(&self, verdict: &mut Verdict) -> Reason {
        let packet = self.packet;
        let kind = packet.kind();
        let Some(key) = mirrored_key(packet, kind) else { return denial(verdict.forward, packet) };
        let Some(reverse) = self.ask(self.direction.reverse(), packet, kind, key) else {
            return Reason::NoPolicy;
        };
        verdict.reverse = reverse;
        if reverse.allows() { Reason::Connection } else { denial(verdict.forward, packet) }
    }

    /// Looks for the connection that the packet answers, and updates it.
    #[inline(always)]
    fn answer(&self, verdict: &mut Verdict) -> Answer {
        let Some(table) = self.env.table() else { return Answer::Stranger };
        let packet = self.packet;
        if packet.has(GROUP) {
            return Answer::Stranger;
        }
        let now = self.env.now();
        let key = Key::of_answered(packet, self.entry.zone, self.direction);
        let Some(found) = conntrack::find(table, &key, now) else {
            if !self.learns(ENTRY_LEARN_OWN, now) {
                return Answer::Stranger;
            }
            return match self.insert(&key, State::Established, now, false) {
                Opened::Full => Answer::Stranger,
                _ => Answer::Part,
            };
        };
        let place = found.place;
        if place.marked() || !conntrack::admits(place.state(), packet) {
            return Answer::Stranger;
        }
        verdict.hit = true;
        if self.env.writes() {
            self.update(table, &found, Sender::Other, now, false);
        }
        Answer::Part
    }

    /// Monitor mode remembers what it let through, so that its answers do not look like connections
    /// of the other side (spec §2.20).
    #[inline(always)]
    pub(super) fn note_denied(&self) {
        if !self.env.writes() {
            return;
        }
        let Some(table) = self.env.table() else { return };
        let packet = self.packet;
        let now = self.env.now();
        let key = Key::of_opener(packet, self.entry.zone, self.direction);
        if let Some(found) = conntrack::find(table, &key, now) {
            if found.place.marked() {
                self.update(table, &found, Sender::Opener, now, true);
            }
        } else if let Opening::Opens(state) = conntrack::opening(packet) {
            self.insert(&key, state, now, true);
        }
    }

    /// Whether a packet towards the protected side may show a connection that is older than the
    /// rules (spec §2.12).
    #[inline(always)]
    fn learns(&self, flag: u32, now: u32) -> bool {
        let packet = self.packet;
        self.entry.flags & flag != 0
            && now < self.entry.learn_until
            && matches!(self.direction, Direction::Ingress)
            && packet.kind() as u8 == Kind::Tcp as u8
            && packet.detail & (tcp::SYN | tcp::RST) == 0
            && !packet.has(GROUP)
    }

    #[inline(always)]
    fn update(&self, table: &E::Table, found: &Found, sender: Sender, now: u32, marked: bool) {
        let timeouts = &self.settings.timeouts;
        self.env.update(table, found, self.packet, sender, timeouts, now, marked);
    }

    /// Inserts an entry, or says that it would if nothing may be written.
    #[inline(always)]
    pub(super) fn insert(&self, key: &Key, state: State, now: u32, marked: bool) -> Opened {
        if !self.env.writes() {
            return Opened::Free;
        }
        let Some(table) = self.env.table() else { return Opened::Free };
        let timeouts = &self.settings.timeouts;
        let kind = self.packet.kind();
        for _ in 0..ATTEMPTS {
            let opened = self.env.open(table, key, state, kind, timeouts, now, marked);
            match opened {
                Opened::Lost => continue,
                Opened::Evicted => self.env.evicted(self.direction),
                Opened::Free | Opened::Full => {}
            }
            return opened;
        }
        Opened::Full
    }
}
