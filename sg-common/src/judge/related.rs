//! ICMP errors (spec §2.10).

use super::flow::mirrored_key;
use super::{Case, Env};
use crate::classifier::Reverse;
use crate::conntrack::{self, Key};
use crate::packet::Packet;

/// What [`Case::is_related`] says.
pub(super) const NO: u32 = 0;
pub(super) const YES: u32 = 1;
pub(super) const ASK_CONNECTIONS: u32 = 2;

impl<E: Env> Case<'_, E> {
    /// [`YES`] if the error is about a packet that was allowed both ways, [`ASK_CONNECTIONS`] if it may
    /// be about a connection. It has to go to the sender of what it quotes, and neither comes from nor
    /// goes to somebody who is blocked.
    #[inline(always)]
    pub(super) fn is_related(&self, quoted: &Packet) -> u32 {
        if self.packet.destination != quoted.source || self.packet.family != quoted.family {
            return NO;
        }
        if self.is_blocked() {
            return NO;
        }
        if self.allowed_both_ways(quoted) { YES } else { ASK_CONNECTIONS }
    }

    /// Whether the error's own peer is blocked. An explicit deny does not stop errors, a block does.
    #[inline(always)]
    fn is_blocked(&self) -> bool {
        let packet = self.packet;
        match self.classify(self.direction, packet, self.direction, packet.kind(), packet.key) {
            Some(forward) => forward.is_block(),
            None => true,
        }
    }

    /// Whether F and R of the quoted packet allow it. It went the other way.
    #[inline(always)]
    fn allowed_both_ways(&self, quoted: &Packet) -> bool {
        let travels = self.direction.reverse();
        let kind = quoted.kind();
        let Some(forward) = self.classify(travels, quoted, travels, kind, quoted.key) else {
            return false;
        };
        if !forward.allows() {
            return false;
        }
        let Some(key) = mirrored_key(quoted, kind) else { return true };
        match forward.reverse() {
            Reverse::Open => true,
            Reverse::Closed => false,
            Reverse::Depends => match self.classify(self.direction, quoted, travels, kind, key) {
                Some(reverse) => reverse.allows(),
                None => false,
            },
        }
    }

    /// Whether the quoted packet is one of a connection's, of either side. The error changes
    /// nothing about that: anybody may have sent it.
    #[inline(always)]
    pub(super) fn of_connection(&self, quoted: &Packet) -> bool {
        let Some(table) = self.env.table() else { return false };
        let now = self.env.now();
        let travels = self.direction.reverse();
        let opener = Key::of_opener(quoted, self.entry.zone, travels);
        if let Some(found) = conntrack::find(table, &opener, now) {
            return !found.place.marked();
        }
        let answered = Key::of_answered(quoted, self.entry.zone, travels);
        match conntrack::find(table, &answered, now) {
            Some(found) => !found.place.marked(),
            None => false,
        }
    }
}
