//! Connections: keys, places, the life of a connection, and what a full table does.

mod support;

use std::cell::Cell;
use std::collections::HashMap;

use proptest::prelude::*;
use sg_common::classifier::Kind;
use sg_common::conntrack::{
    Key, Opened, Opening, Place, Seed, Sender, State, find, open, opening, refresh, search, seed,
    timeout,
};
use sg_common::packet::tcp::{ACK, FIN, RST, SYN};
use sg_common::packet::{Address, GROUP, NO_SCTP_CHUNK, Packet, protocol};
use sg_common::tables::{Timeouts, WAYS};
use sg_common::verdict::Direction;
use support::{Filter, Memory, Raced, ZONE, icmp, key, other, sctp, tcp, udp};

use Sender::{Opener, Other};

const STATES: [State; 13] = [
    State::Free,
    State::Busy,
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinOpener,
    State::FinOther,
    State::Closing,
    State::OneWay,
    State::Answered,
    State::SctpOpening,
    State::SctpEstablished,
    State::SctpClosing,
];

/// A key that differs from others in one port.
fn numbered(port: u16) -> Key {
    let addresses = (support::OPENER, support::OTHER);
    Key::new(ZONE, Direction::Egress, (4, protocol::TCP), addresses, (port, 443))
}

#[test]
fn a_reply_has_the_key_of_what_it_answers_and_nothing_else_has() {
    let pairs = [
        (tcp(Opener, SYN), tcp(Other, SYN | ACK)),
        (udp(Opener), udp(Other)),
        (sctp(Opener, 1), sctp(Other, 2)),
        (icmp(Opener, 4, 8), icmp(Other, 4, 0)),
        (icmp(Opener, 4, 13), icmp(Other, 4, 14)),
        (icmp(Opener, 4, 15), icmp(Other, 4, 16)),
        (icmp(Opener, 4, 17), icmp(Other, 4, 18)),
        (icmp(Opener, 6, 128), icmp(Other, 6, 129)),
        (icmp(Opener, 6, 139), icmp(Other, 6, 140)),
        (other(Opener, 47), other(Other, 47)),
        // ICMP over the wrong family is a protocol without ports.
        over(6, (icmp(Opener, 4, 8), icmp(Other, 4, 0))),
    ];
    for (sent, reply) in &pairs {
        assert_eq!(key(sent, Opener), key(reply, Other), "{sent:?}");
        let others = pairs.iter().filter(|(one, _)| one != sent);
        for (_, stranger) in others {
            assert_ne!(key(sent, Opener), key(stranger, Other), "{sent:?} {stranger:?}");
        }
        let real = key(sent, Opener);
        assert_ne!(real, Key::of_answered(reply, ZONE + 1, Direction::Ingress), "zone");
        assert_ne!(real, Key::of_answered(reply, ZONE, Direction::Egress), "direction");
        assert_ne!(real, key(reply, Opener), "a reply opens nothing that it answers");
        for changed in changes(reply) {
            let same = key(&changed, Other) == real;
            // What is no port in this protocol is no part of the key.
            let ports = (changed.source_port, changed.key) != (reply.source_port, reply.key);
            assert_eq!(same, ports && reply.kind() == Kind::Other, "{reply:?} {changed:?}");
        }
    }
}

fn over(family: u8, (sent, reply): (Packet, Packet)) -> (Packet, Packet) {
    (Packet { family, ..sent }, Packet { family, ..reply })
}

/// The packet with each of its parts changed in turn; both halves of an address.
fn changes(packet: &Packet) -> Vec<Packet> {
    let (source, destination) = (packet.source, packet.destination);
    let high = |address: Address| Address { high: address.high ^ 1, ..address };
    let low = |address: Address| Address { low: address.low ^ 1 << 31, ..address };
    vec![
        Packet { source: high(source), ..*packet },
        Packet { source: low(source), ..*packet },
        Packet { destination: high(destination), ..*packet },
        Packet { destination: low(destination), ..*packet },
        Packet { protocol: 200, ..*packet },
        Packet { family: packet.family ^ 2, ..*packet },
        Packet { source_port: packet.source_port ^ 1, ..*packet },
        Packet { key: packet.key ^ 1 << 8, ..*packet },
    ]
}

#[test]
fn the_code_of_an_icmp_message_is_no_part_of_the_key_and_a_query_answers_nothing() {
    let sent = icmp(Opener, 4, 8);
    let reply = icmp(Other, 4, 0);
    assert_eq!(key(&sent, Opener), key(&Packet { key: reply.key | 3, ..reply }, Other));
    let queries: Vec<Packet> = [8, 13, 15, 17].map(|query| icmp(Other, 4, query)).to_vec();
    for query in &queries {
        for number in 0..=255 {
            assert_ne!(key(&icmp(Opener, 4, number), Opener), key(query, Other));
        }
    }
}

proptest! {
    #[test]
    fn a_hash_names_buckets_of_the_table(seed: u64, port: u16, buckets in 1_u32..1 << 22) {
        let hash = numbered(port).hash(seed, buckets);
        prop_assert!(hash.buckets.iter().all(|bucket| *bucket < buckets));
        prop_assert!(hash.fingerprint < 1 << 24);
        prop_assert_eq!(hash, numbered(port).hash(seed, buckets));
        prop_assert_ne!(hash, numbered(port ^ 1).hash(seed, buckets));
        prop_assert_ne!(hash, numbered(port).hash(!seed, buckets));
    }
}

proptest! {
    #[test]
    fn a_place_keeps_its_parts(state in 0_usize..13, print in 0_u32..1 << 24, ends: u32, mark: bool, now in seconds()) {
        let place = Place::new(STATES[state], print, ends, mark);
        let word = u64::from(mark) * (1 << 63)
            + state as u64 * (1 << 56)
            + u64::from(print) * (1 << 32)
            + u64::from(ends);
        prop_assert_eq!(place.0, word);
        prop_assert_eq!(place.state(), STATES[state]);
        prop_assert_eq!((place.fingerprint(), place.ends(), place.marked()), (print, ends, mark));
        prop_assert_eq!(place.lives(now), state > 1 && ends > now);
    }

    /// Through a table of one bucket, where one place holds any word beside the key's entry.
    #[test]
    fn a_key_is_found_where_state_print_and_time_fit(
        state in 0_usize..13, other_print in prop::option::of(0_u32..1 << 24), ends in seconds(), mark: bool, now in seconds(),
    ) {
        let table = Memory::new(1, 1);
        let key = numbered(1);
        open(&table, &key, State::Answered, Kind::Udp, &Timeouts::default(), 0, false);
        let own = key.hash(1, 1).fingerprint;
        let print = other_print.unwrap_or(own);
        let place = Place::new(STATES[state], print, ends, mark);
        table.set(0, place);
        let found = search(&table, &key, now).map(|found| (found.entry, found.place));
        let fits = state > 1 && print == own && ends > now;
        prop_assert_eq!(found, fits.then_some((0, place)));
    }

    /// The choice of a place against plain arithmetic, through a table of one bucket.
    #[test]
    fn an_opening_packet_takes_the_place_that_arithmetic_says(
        full in prop::collection::vec((0_usize..13, seconds(), any::<bool>()), WAYS as usize),
        available in 0_usize..3,
        now in seconds(),
        opening in 0_u32..1000,
        one_way in 0_u32..1000,
        rest in 0_u32..1000,
    ) {
        let timeouts = Timeouts { tcp_opening: opening, udp_one_way: one_way, other: rest, ..Timeouts::default() };
        let idle = |timeout: u32| i64::from(timeout) + 1 + i64::from(timeout) / 64;
        let table = Memory::new(1, 1);
        let mut best: Option<(i64, u32)> = None;
        for (way, (state, ends, mark)) in (0..).zip(full) {
            // Most tables have no place to spare, or all but a few would end there.
            let (state, ends) = match available {
                0 => (state, ends),
                _ => (state.max(1), ends.max(now.saturating_add(1))),
            };
            table.set(way, Place::new(STATES[state], way, ends, mark));
            let since = |timeout| (i64::from(ends) - idle(timeout)).max(1);
            let used = match STATES[state] {
                _ if state == 0 || ends <= now => 0,
                State::SynSent | State::SynReceived => since(opening),
                State::OneWay => since(one_way),
                State::SctpOpening => since(rest),
                _ => continue,
            };
            if best.is_none_or(|(least, _)| used < least) {
                best = Some((used, way));
            }
        }
        let before = table.places();
        let opened = open(&table, &numbered(1), State::SynSent, Kind::Tcp, &timeouts, now, false);
        let expected = match best {
            None => Opened::Full,
            Some((0, _)) => Opened::Free,
            Some(_) => Opened::Evicted,
        };
        prop_assert_eq!(opened, expected);
        let after = table.places();
        let changed = (0..WAYS).filter(|way| before[*way as usize] != after[*way as usize]);
        prop_assert_eq!(changed.collect::<Vec<_>>(), best.map(|(_, way)| way).into_iter().collect::<Vec<_>>());
    }
}

/// Seconds of a clock, often near its start, its end and each other.
fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..40, 900_u32..2100, any::<u32>(), u32::MAX - 40..=u32::MAX]
}

#[test]
fn near_the_end_of_the_clock_an_entry_lasts_to_the_end_and_not_beyond() {
    let table = Memory::new(1, 4);
    let (key, timeouts, now) = (numbered(1), Timeouts::default(), u32::MAX - 5);
    open(&table, &key, State::Established, Kind::Tcp, &timeouts, now, false);
    let found = find(&table, &key, now).expect("the clock has not wrapped");
    refresh(&table, &found, State::Closing, 120, false, now + 1);
    assert_eq!(find(&table, &key, u32::MAX - 1).expect("lives").place.state(), State::Closing);
    assert!(find(&table, &key, u32::MAX).is_none());
}

/// Sends the packets of a script, each with the state that it leaves.
#[track_caller]
fn play(filter: &Filter, packet: fn(Sender, u8) -> Packet, script: &[(Sender, u8, State)]) {
    for (step, &(sender, detail, state)) in script.iter().enumerate() {
        let after = filter.send(&packet(sender, detail), sender);
        assert_eq!(after, Some(state), "step {step}: {sender:?} sends {detail:#x}");
    }
}

const HANDSHAKE: [(Sender, u8, State); 3] = [
    (Opener, SYN, State::SynSent),
    (Other, SYN | ACK, State::SynReceived),
    (Opener, ACK, State::Established),
];

#[test]
fn a_tcp_connection_opens_lives_and_closes() {
    let mut filter = Filter::new();
    let (ack, answer) = (tcp(Opener, ACK), tcp(Other, ACK));
    assert_eq!(filter.send(&ack, Opener), None, "nothing but a SYN opens");
    assert_eq!(filter.send(&answer, Other), None, "nothing to answer");
    for (step, timeout) in HANDSHAKE.iter().zip([60, 60, 432_000]) {
        play(&filter, tcp, &[*step]);
        filter.idles_for(&ack, Opener, timeout);
        filter.idles_for(&answer, Other, timeout);
    }
    play(&filter, tcp, &[(Other, ACK, State::Established), (Opener, ACK, State::Established)]);
    assert_eq!(filter.send(&tcp(Other, SYN), Other), None, "the other side opens its own");
    // Half closed, data goes on from the other side, however often the FIN is sent.
    let half = [
        (Opener, FIN | ACK, State::FinOpener),
        (Opener, FIN | ACK, State::FinOpener),
        (Other, ACK, State::FinOpener),
    ];
    play(&filter, tcp, &half);
    filter.idles_for(&ack, Opener, 432_000);
    play(&filter, tcp, &[(Other, FIN | ACK, State::Closing), (Opener, ACK, State::Closing)]);
    filter.idles_for(&ack, Opener, 120);
    // What is late does not bring it back, the next connection with these ports does.
    play(&filter, tcp, &[(Other, FIN | ACK, State::Closing), (Other, SYN | ACK, State::Closing)]);
    play(&filter, tcp, &[(Opener, SYN | ACK, State::Closing)]);
    play(&filter, tcp, &HANDSHAKE[..1]);
    filter.idles_for(&ack, Opener, 60);
    play(&filter, tcp, &HANDSHAKE[1..]);
    filter.idles_for(&ack, Opener, 432_000);
}

#[test]
fn the_other_side_may_close_first() {
    let filter = Filter::new();
    play(&filter, tcp, &HANDSHAKE);
    let close = [
        (Other, FIN | ACK, State::FinOther),
        (Other, FIN | ACK, State::FinOther),
        (Opener, ACK, State::FinOther),
        (Opener, FIN | ACK, State::Closing),
    ];
    play(&filter, tcp, &close);
}

#[test]
fn a_fin_before_the_last_ack_of_the_handshake_counts() {
    let filter = Filter::new();
    play(&filter, tcp, &HANDSHAKE[..2]);
    play(&filter, tcp, &[(Opener, FIN | ACK, State::FinOpener), (Other, FIN, State::Closing)]);
    let filter = Filter::new();
    play(&filter, tcp, &HANDSHAKE[..2]);
    play(&filter, tcp, &[(Other, FIN | ACK, State::FinOther), (Opener, FIN, State::Closing)]);
}

#[test]
fn a_reset_of_either_side_closes_in_every_state() {
    for (sender, steps) in [(Opener, 1), (Opener, 2), (Opener, 3), (Other, 1), (Other, 3)] {
        let mut filter = Filter::new();
        play(&filter, tcp, &HANDSHAKE[..steps]);
        play(&filter, tcp, &[(sender, RST | ACK, State::Closing)]);
        filter.idles_for(&tcp(Opener, ACK), Opener, 120);
        play(&filter, tcp, &HANDSHAKE);
    }
}

#[test]
fn what_is_sent_again_in_the_handshake_changes_nothing() {
    let filter = Filter::new();
    let [syn, syn_ack, ack] = HANDSHAKE;
    play(&filter, tcp, &[syn, syn, syn_ack, syn_ack, (Opener, SYN, State::SynReceived), ack, ack]);
    play(&filter, tcp, &[(Other, SYN | ACK, State::Established)]);
    play(&filter, tcp, &[(Opener, SYN, State::Established)]);
}

#[test]
fn both_sides_may_open_at_once() {
    let filter = Filter::new();
    let open = [
        (Opener, SYN, State::SynSent),
        (Other, SYN, State::SynReceived),
        (Opener, SYN | ACK, State::Established),
        (Other, SYN | ACK, State::Established),
    ];
    play(&filter, tcp, &open[..2]);
    assert_eq!(filter.send(&tcp(Other, SYN), Other), None, "only while ours is unanswered");
    play(&filter, tcp, &open[2..]);
}

#[test]
fn udp_lives_longer_once_it_was_answered() {
    let mut filter = Filter::new();
    assert_eq!(filter.send(&udp(Other), Other), None);
    assert_eq!(filter.send(&udp(Opener), Opener), Some(State::OneWay));
    filter.idles_for(&udp(Opener), Opener, 30);
    filter.now += 29;
    assert_eq!(filter.send(&udp(Opener), Opener), Some(State::OneWay));
    filter.idles_for(&udp(Other), Other, 30);
    assert_eq!(filter.send(&udp(Other), Other), Some(State::Answered));
    filter.idles_for(&udp(Other), Other, 180);
    filter.now += 179;
    assert_eq!(filter.send(&udp(Opener), Opener), Some(State::Answered));
    filter.idles_for(&udp(Opener), Opener, 180);
}

#[test]
fn icmp_queries_are_answered_by_their_own_type() {
    for (family, query, reply) in [(4, 8, 0), (4, 13, 14), (4, 17, 18), (6, 128, 129)] {
        let mut filter = Filter::new();
        let (sent, answer) = (icmp(Opener, family, query), icmp(Other, family, reply));
        assert_eq!(
            filter.send(&icmp(Opener, family, reply), Opener),
            None,
            "a reply opens nothing"
        );
        assert_eq!(filter.send(&sent, Opener), Some(State::OneWay));
        filter.idles_for(&answer, Other, 30);
        assert_eq!(filter.send(&icmp(Other, family, query), Other), None);
        assert_eq!(filter.send(&icmp(Other, family, reply ^ 2), Other), None);
        assert_eq!(filter.send(&answer, Other), Some(State::Answered));
        filter.idles_for(&sent, Opener, 30);
    }
}

#[test]
fn an_sctp_association_opens_lives_and_ends() {
    let (init, init_ack, data, abort) = (1, 2, 0, 6);
    let (cookie_echo, cookie_ack, shutdown, shutdown_complete) = (10, 11, 7, 14);
    let mut filter = Filter::new();
    assert_eq!(filter.send(&sctp(Opener, data), Opener), None, "only INIT opens");
    let handshake = [
        (Opener, init, State::SctpOpening),
        (Other, init_ack, State::SctpOpening),
        (Opener, cookie_echo, State::SctpOpening),
        (Other, NO_SCTP_CHUNK, State::SctpOpening),
        (Other, cookie_ack, State::SctpEstablished),
    ];
    play(&filter, sctp, &handshake[..4]);
    filter.idles_for(&sctp(Opener, data), Opener, 600);
    play(&filter, sctp, &handshake[4..]);
    filter.idles_for(&sctp(Other, data), Other, 432_000);
    assert_eq!(filter.send(&sctp(Other, init), Other), None);
    play(&filter, sctp, &[(Opener, shutdown, State::SctpEstablished)]);
    play(&filter, sctp, &[(Opener, shutdown_complete, State::SctpClosing)]);
    filter.idles_for(&sctp(Opener, data), Opener, 600);
    // The same ports again; a lost COOKIE ACK shows in the data behind it.
    play(&filter, sctp, &handshake[..3]);
    play(
        &filter,
        sctp,
        &[(Other, data, State::SctpEstablished), (Other, abort, State::SctpClosing)],
    );
}

#[test]
fn any_other_protocol_is_answered_by_itself() {
    let mut filter = Filter::new();
    assert_eq!(filter.send(&other(Opener, 47), Opener), Some(State::OneWay));
    assert_eq!(filter.send(&other(Other, 50), Other), None);
    filter.idles_for(&other(Opener, 47), Opener, 600);
    assert_eq!(filter.send(&other(Other, 47), Other), Some(State::Answered));
    filter.idles_for(&other(Other, 47), Other, 600);
}

#[test]
fn nothing_to_multicast_or_broadcast_opens_or_answers() {
    let filter = Filter::new();
    let to_group = |packet: Packet| Packet { flags: packet.flags | GROUP, ..packet };
    for packet in [tcp(Opener, SYN), udp(Opener), icmp(Opener, 4, 8), other(Opener, 47)] {
        assert_eq!(opening(&to_group(packet)), Opening::None);
    }
    filter.send(&udp(Opener), Opener);
    assert_eq!(filter.send(&to_group(udp(Other)), Other), None);
}

/// What happens to the table in a random run.
#[derive(Clone, Debug)]
enum Step {
    /// A packet of this connection, which leaves it in a state of its protocol.
    Packet(u16, Kind, usize, bool),
    Wait(u32),
}

fn steps(keys: u16) -> impl Strategy<Value = Vec<Step>> {
    let kinds = [Kind::Tcp, Kind::Udp, Kind::Sctp, Kind::Icmp, Kind::Other];
    let kinds = prop::sample::select(kinds.to_vec());
    let packet = (0..keys, kinds, 0_usize..6, any::<bool>());
    let wait = prop_oneof![4 => 0_u32..70, 2 => 100_u32..700, 1 => 400_000_u32..440_000];
    let step = prop_oneof![
        6 => packet.prop_map(|(key, kind, state, mark)| Step::Packet(key, kind, state, mark)),
        1 => wait.prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

/// The states of a protocol and their times (spec §2.11).
fn lives(kind: Kind) -> &'static [(State, u32)] {
    match kind {
        Kind::Tcp => &[
            (State::SynSent, 60),
            (State::SynReceived, 60),
            (State::Established, 432_000),
            (State::FinOpener, 432_000),
            (State::FinOther, 432_000),
            (State::Closing, 120),
        ],
        Kind::Udp => &[(State::OneWay, 30), (State::Answered, 180)],
        Kind::Icmp => &[(State::OneWay, 30), (State::Answered, 30)],
        Kind::Sctp => &[
            (State::SctpOpening, 600),
            (State::SctpEstablished, 432_000),
            (State::SctpClosing, 600),
        ],
        Kind::Other => &[(State::OneWay, 600), (State::Answered, 600)],
    }
}

proptest! {
    /// A map from keys to state, mark and time does the same as a table with places to spare.
    #[test]
    fn the_table_does_what_a_map_does(hash_seed: u64, steps in steps(24)) {
        let (table, timeouts) = (Memory::new(hash_seed, 64), Timeouts::default());
        let mut map: HashMap<u16, (State, bool, u32, u32)> = HashMap::new();
        let mut now = 1;
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Packet(port, kind, state, mark) => {
                    let (state, time) = lives(kind)[state % lives(kind).len()];
                    prop_assert_eq!(timeout(&timeouts, state, kind), time);
                    match find(&table, &numbered(port), now) {
                        Some(found) => refresh(&table, &found, state, time, mark, now),
                        None => {
                            let key = numbered(port);
                            let opened = open(&table, &key, state, kind, &timeouts, now, mark);
                            prop_assert_eq!(opened, Opened::Free);
                        }
                    }
                    map.insert(port, (state, mark, now, time));
                }
            }
            for port in 0..24 {
                let found = find(&table, &numbered(port), now);
                let Some(&(state, mark, used, time)) = map.get(&port) else {
                    prop_assert!(found.is_none());
                    continue;
                };
                // In the last sixty-fourth and a second both are right, and what the table says
                // then stays.
                match found {
                    Some(found) => {
                        prop_assert!(now < used + time + 1 + time / 64);
                        prop_assert_eq!((found.place.state(), found.place.marked()), (state, mark));
                        prop_assert_eq!(table.copies(found.entry, now), 1);
                    }
                    None => {
                        prop_assert!(now >= used + time);
                        map.remove(&port);
                    }
                }
            }
        }
    }

    /// In a table that is far too small only half-open and one-way entries give way.
    #[test]
    fn no_pressure_takes_the_place_of_an_established_connection(hash_seed: u64, steps in steps(80)) {
        let (table, timeouts) = (Memory::new(hash_seed, 3), Timeouts::default());
        let mut staying: HashMap<u16, u32> = HashMap::new();
        let mut now = 1;
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Packet(port, kind, state, mark) => {
                    let (state, time) = lives(kind)[state % lives(kind).len()];
                    let key = numbered(port);
                    let opened = match find(&table, &key, now) {
                        Some(found) => {
                            refresh(&table, &found, state, time, mark, now);
                            Opened::Free
                        }
                        None => open(&table, &key, state, kind, &timeouts, now, mark),
                    };
                    let weak = [State::SynSent, State::SynReceived, State::OneWay, State::SctpOpening];
                    let (full, weak) = (opened == Opened::Full, weak.contains(&state));
                    prop_assert_eq!(find(&table, &key, now).is_none(), full);
                    staying.remove(&port);
                    if !full && !weak {
                        staying.insert(port, now + time);
                    }
                }
            }
            staying.retain(|_, ends| now < *ends);
            for port in staying.keys() {
                prop_assert!(find(&table, &numbered(*port), now).is_some());
            }
        }
    }
}

/// A table of one bucket that holds these states, each a second younger than the one before.
fn filled(states: &[State]) -> (Memory, Timeouts, u32) {
    let (table, timeouts) = (Memory::new(1, 1), Timeouts::default());
    let mut now = 1000;
    for (port, state) in (0..).zip(states) {
        let kind = match state {
            State::OneWay | State::Answered => Kind::Udp,
            State::SctpOpening | State::SctpEstablished | State::SctpClosing => Kind::Sctp,
            _ => Kind::Tcp,
        };
        let opened = open(&table, &numbered(port), *state, kind, &timeouts, now, false);
        assert_eq!(opened, Opened::Free);
        now += 1;
    }
    (table, timeouts, now)
}

fn open_tcp(table: &Memory, port: u16, timeouts: &Timeouts, now: u32) -> Opened {
    open(table, &numbered(port), State::Established, Kind::Tcp, timeouts, now, false)
}

#[test]
fn a_full_table_gives_up_the_oldest_half_open_and_one_way_entries_and_then_refuses() {
    let states = [
        State::Established,
        State::SctpOpening,
        State::SynSent,
        State::Answered,
        State::OneWay,
        State::SynReceived,
        State::Closing,
    ];
    let (table, timeouts, now) = filled(&states);
    assert_eq!(open_tcp(&table, 7, &timeouts, now), Opened::Free, "a free place comes first");
    // Renewed, so the youngest.
    let found = find(&table, &numbered(1), now).expect("opened above");
    refresh(&table, &found, State::SctpOpening, 600, false, now + 10);
    for (new, gone) in [(100, 2), (101, 4), (102, 5), (103, 1)] {
        assert!(find(&table, &numbered(gone), now).is_some());
        assert_eq!(open_tcp(&table, new, &timeouts, now), Opened::Evicted);
        assert!(find(&table, &numbered(gone), now).is_none(), "{gone} was the oldest");
        assert!(find(&table, &numbered(new), now).is_some());
    }
    assert_eq!(open_tcp(&table, 104, &timeouts, now), Opened::Full);
    for port in [0, 3, 6, 7, 100, 101, 102, 103] {
        assert!(find(&table, &numbered(port), now).is_some(), "{port} stays");
    }
    // Closing ends after 120 seconds, and only then makes room.
    assert_eq!(open_tcp(&table, 104, &timeouts, now + 119), Opened::Full);
    assert_eq!(open_tcp(&table, 104, &timeouts, now + 122), Opened::Free);
}

#[test]
fn an_expired_entry_gives_way_before_a_half_open_one() {
    let mut states = [State::SynSent; WAYS as usize];
    states[5] = State::OneWay;
    let (table, timeouts, now) = filled(&states);
    assert_eq!(open_tcp(&table, 100, &timeouts, now + 30), Opened::Free);
    assert!((0..8).all(|port| find(&table, &numbered(port), now + 30).is_some() == (port != 5)));
}

#[test]
fn a_key_goes_to_either_of_its_buckets() {
    let (table, timeouts) = (Memory::new(1, 2), Timeouts::default());
    // Both buckets take every key that may go to either, so none is refused before all are full.
    let both = |port: &u16| {
        let [first, second] = numbered(*port).hash(1, 2).buckets;
        first != second
    };
    let ports: Vec<u16> = (0..u16::MAX).filter(both).take(17).collect();
    for port in &ports[..16] {
        assert_eq!(open_tcp(&table, *port, &timeouts, 1), Opened::Free);
    }
    assert_eq!(open_tcp(&table, ports[16], &timeouts, 1), Opened::Full);
    assert!(ports[..16].iter().all(|port| find(&table, &numbered(*port), 1).is_some()));
}

#[test]
fn a_place_whose_writer_died_is_free_again_after_a_moment() {
    let (table, timeouts, now) = filled(&[State::Established; 8]);
    table.set(3, Place::new(State::Busy, 0, now + 2, false));
    assert_eq!(open_tcp(&table, 100, &timeouts, now + 1), Opened::Full);
    assert_eq!(open_tcp(&table, 100, &timeouts, now + 2), Opened::Free);
}

#[test]
fn who_read_a_place_before_it_changed_does_not_change_it() {
    let (table, timeouts, now) = filled(&[State::SynSent; 8]);
    let stale = find(&table, &numbered(0), now).expect("opened above");
    assert_eq!(open_tcp(&table, 100, &timeouts, now), Opened::Evicted);
    refresh(&table, &stale, State::Closing, 120, true, now);
    let place = find(&table, &numbered(100), now).expect("opened above").place;
    assert_eq!((place.state(), place.marked()), (State::Established, false));
}

#[test]
fn who_comes_second_to_a_place_leaves_it_alone() {
    for state in [State::Busy, State::Established, State::SynSent] {
        let (memory, timeouts, now) = filled(&[State::SynSent; 8]);
        // The first place is the one that is chosen.
        let theirs = Place::new(state, 5, now + 9, true);
        let table = Raced { memory, change: Cell::new(Some((0, theirs))) };
        let key = numbered(100);
        let opened = open(&table, &key, State::SynSent, Kind::Tcp, &timeouts, now, false);
        assert_eq!(opened, Opened::Lost);
        assert_eq!(table.memory.places()[0], theirs);
        assert!(find(&table, &key, now).is_none());
    }
}

#[test]
fn a_place_that_changes_while_its_entry_is_read_holds_what_it_became() {
    let key = numbered(0);
    let print = key.hash(1, 1).fingerprint;
    let cases = [
        (Place::new(State::SynReceived, print, 2000, true), true),
        (Place::new(State::SynSent, print ^ 1, 2000, false), false),
        (Place::new(State::Busy, 0, 2000, false), false),
        (Place::new(State::SynSent, print, 1000, false), false),
    ];
    for (became, found) in cases {
        let (memory, _, now) = filled(&[State::SynSent]);
        let table = Raced { memory, change: Cell::new(Some((0, became))) };
        let place = search(&table, &key, now).map(|found| found.place);
        assert_eq!(place, found.then_some(became));
    }
}

const THREADS: u16 = 4;

/// Runs a function on all threads, released at once.
fn on_threads(run: impl Fn(u16) + Sync) {
    let barrier = std::sync::Barrier::new(THREADS.into());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (run, barrier) = (&run, &barrier);
            scope.spawn(move || {
                barrier.wait();
                run(thread);
            });
        }
    });
}

#[test]
fn threads_that_open_different_connections_lose_none() {
    // Three places for each: none of them may be refused.
    let (table, timeouts, now) = (Memory::new(3, 750), Timeouts::default(), 1000);
    on_threads(|thread| {
        for port in (thread..2000).step_by(THREADS.into()) {
            let mut tries = std::iter::repeat_with(|| open_tcp(&table, port, &timeouts, now));
            assert_eq!(tries.find(|opened| *opened != Opened::Lost), Some(Opened::Free));
            assert!(find(&table, &numbered(port), now).is_some());
        }
    });
    let mut entries: Vec<u32> = (0..2000)
        .map(|port| find(&table, &numbered(port), now).expect("none is lost").entry)
        .collect();
    entries.sort_unstable();
    entries.dedup();
    assert_eq!(entries.len(), 2000, "each has an entry of its own");
    assert_eq!(table.places().iter().filter(|place| place.lives(now)).count(), 2000);
}

/// Of an eviction at the same moment nobody may see the old key with the new connection's state.
#[test]
fn threads_that_fight_for_places_never_mix_connections_up() {
    let (table, timeouts, now) = (Memory::new(3, 2), Timeouts::default(), 1000);
    on_threads(|thread| {
        for round in 0..2000_u16 {
            let port = round % 50 * THREADS + thread;
            // The mark goes with the key, so that a mixture shows.
            let mark = port % 2 == 1;
            let key = numbered(port);
            if find(&table, &key, now).is_none() {
                let state = State::SynSent;
                assert_ne!(
                    open(&table, &key, state, Kind::Tcp, &timeouts, now, mark),
                    Opened::Full
                );
            }
            for port in 0..50 * THREADS {
                if let Some(found) =
                    (port % 16 == round % 16).then(|| find(&table, &numbered(port), now)).flatten()
                {
                    assert_eq!(found.place.marked(), port % 2 == 1);
                    assert_eq!(found.place.state(), State::SynSent);
                }
            }
        }
    });
    let places = table.places();
    assert!(places.iter().all(|place| place.state() == State::SynSent), "no place stays busy");
    for entry in 0..2 * WAYS {
        assert_eq!(table.copies(entry, now), 1, "a key is opened by one thread only");
    }
}

/// Two may both succeed, but everyone finds the same one afterwards and the other one ends unused.
#[test]
fn of_one_connection_that_threads_open_at_once_one_entry_counts() {
    for round in 0..200_u16 {
        let (table, timeouts) = (Memory::new(u64::from(round), 4), Timeouts::default());
        let key = numbered(round);
        on_threads(|_| {
            while find(&table, &key, 1000).is_none() {
                let opened = open(&table, &key, State::SynSent, Kind::Tcp, &timeouts, 1000, false);
                assert!(matches!(opened, Opened::Free | Opened::Lost));
            }
        });
        let first = find(&table, &key, 1000).expect("one of them succeeded");
        assert!(table.copies(first.entry, 1000) <= THREADS.into());
        refresh(&table, &first, State::Established, 432_000, false, 1001);
        let now = 1000 + 62;
        let found = find(&table, &key, now).expect("renewed");
        assert_eq!((found.entry, found.place.state()), (first.entry, State::Established));
        assert_eq!(table.copies(found.entry, now), 1);
    }
}

/// A connection of this protocol that is known from elsewhere.
fn known(protocol: u8) -> Seed {
    Seed {
        zone: ZONE,
        opened: Direction::Egress,
        family: 4,
        protocol,
        addresses: (support::OPENER, support::OTHER),
        ports: match protocol {
            protocol::ICMP => (77, 8),
            protocol::TCP | protocol::UDP | protocol::SCTP => (40_000, 443),
            _ => (0, 0),
        },
    }
}

#[test]
fn a_seeded_connection_goes_on_both_ways_with_its_full_time() {
    let cases = [
        (protocol::TCP, tcp(Opener, ACK), tcp(Other, ACK), State::Established, 432_000),
        (protocol::UDP, udp(Opener), udp(Other), State::Answered, 180),
        (protocol::SCTP, sctp(Opener, 0), sctp(Other, 0), State::SctpEstablished, 432_000),
        (protocol::ICMP, icmp(Opener, 4, 8), icmp(Other, 4, 0), State::Answered, 30),
        (47, other(Opener, 47), other(Other, 47), State::Answered, 600),
    ];
    for (protocol, sent, reply, state, time) in cases {
        let mut filter = Filter::new();
        assert!(seed(&filter.table, &filter.timeouts, &known(protocol), filter.now));
        filter.idles_for(&sent, Opener, time);
        filter.idles_for(&reply, Other, time);
        assert_eq!(filter.send(&reply, Other), Some(state));
        // Again renews it and makes no second one.
        filter.now += time / 2;
        assert!(seed(&filter.table, &filter.timeouts, &known(protocol), filter.now));
        filter.idles_for(&sent, Opener, time);
        assert_eq!(filter.table.places().iter().filter(|place| place.lives(filter.now)).count(), 1);
    }
}

#[test]
fn a_seed_establishes_what_is_half_open_and_takes_its_mark() {
    let filter = Filter::new();
    let key = key(&tcp(Opener, SYN), Opener);
    open(&filter.table, &key, State::SynSent, Kind::Tcp, &filter.timeouts, filter.now, true);
    assert!(seed(&filter.table, &filter.timeouts, &known(protocol::TCP), filter.now));
    let place = filter.place(&tcp(Other, ACK), Other).expect("seeded");
    assert_eq!((place.state(), place.marked()), (State::Established, false));
}

#[test]
fn a_seed_evicts_and_is_refused_like_a_packet() {
    let (table, timeouts, now) = filled(&[State::OneWay; 8]);
    assert!(seed(&table, &timeouts, &known(protocol::TCP), now));
    assert!(find(&table, &numbered(0), now).is_none());
    let (table, timeouts, now) = filled(&[State::Established; 8]);
    assert!(!seed(&table, &timeouts, &known(protocol::TCP), now));
    assert!((0..8).all(|port| find(&table, &numbered(port), now).is_some()));
}

#[test]
fn a_mark_stays_through_the_life_of_a_connection_and_goes_when_asked() {
    let filter = Filter::new();
    let (table, timeouts, now) = (&filter.table, &filter.timeouts, filter.now);
    let key = key(&tcp(Opener, SYN), Opener);
    open(table, &key, State::SynSent, Kind::Tcp, timeouts, now, true);
    let marked = || filter.place(&tcp(Other, ACK), Other).expect("opened above").marked();
    assert!(marked());
    play(&filter, tcp, &HANDSHAKE[1..]);
    assert!(marked(), "packets leave it");
    // The same state and time: only the mark is a reason to write.
    let found = find(table, &key, now).expect("opened above");
    refresh(table, &found, State::Established, 432_000, false, now);
    assert!(!marked());
    let found = find(table, &key, now).expect("opened above");
    refresh(table, &found, State::Established, 432_000, true, now);
    assert!(marked());
}

#[test]
fn a_marked_entry_is_as_easily_evicted_as_any() {
    let (table, timeouts, now) = filled(&[State::Established; 7]);
    open(&table, &numbered(7), State::OneWay, Kind::Udp, &timeouts, now, true);
    assert_eq!(open_tcp(&table, 100, &timeouts, now), Opened::Evicted);
    assert!(!find(&table, &numbered(100), now).expect("opened").place.marked());
}
