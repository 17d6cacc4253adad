//! Full tables.

use super::*;

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

/// Ways fill from the first on, and a key goes to the emptier of its buckets.
#[test]
fn a_table_holds_as_many_connections_as_were_asked_for() {
    for connections in [1000, 20_000, 60_000] {
        let (table, timeouts) = (Memory::new(7, buckets_for(connections)), Timeouts::default());
        let refused = (0..connections)
            .filter(|number| {
                let addresses = (support::OPENER, support::OTHER);
                let ports = (*number as u16, (*number >> 16) as u16);
                let key = Key::new(ZONE, Direction::Egress, (4, protocol::TCP), addresses, ports);
                let state = State::Established;
                open(&table, &key, state, Kind::Tcp, &timeouts, 1, false) != Opened::Free
            })
            .count();
        assert_eq!(refused, 0, "of {connections}");
    }
}

/// The one that was used longest ago gives way, whatever protocols the others are of.
#[test]
fn one_way_entries_of_all_protocols_are_compared_by_their_last_use() {
    let order = [State::OtherOneWay, State::OneWay, State::IcmpOneWay, State::SynSent];
    for turn in 0..order.len() {
        let mut states = order;
        states.rotate_left(turn);
        let all: Vec<State> = states.into_iter().chain([State::Established; 4]).collect();
        let (table, timeouts, now) = filled(&all);
        for gone in 0..4 {
            assert!(find(&table, &numbered(gone), now).is_some(), "{states:?}");
            assert_eq!(open_tcp(&table, 100 + gone, &timeouts, now), Opened::Evicted);
            assert!(find(&table, &numbered(gone), now).is_none(), "{states:?}");
        }
    }
}
