//! Seeds and marks.

use super::*;
use crate::lives::{HANDSHAKE, play};

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
