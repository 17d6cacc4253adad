//! Random lives against a map.

use super::*;

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
        Kind::Icmp => &[(State::IcmpOneWay, 30), (State::Answered, 30)],
        Kind::Sctp => &[
            (State::SctpOpening, 600),
            (State::SctpEstablished, 432_000),
            (State::SctpClosing, 600),
        ],
        Kind::Other => &[(State::OtherOneWay, 600), (State::Answered, 600)],
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
                    let weak = [
                        State::SynSent,
                        State::SynReceived,
                        State::OneWay,
                        State::IcmpOneWay,
                        State::OtherOneWay,
                        State::SctpOpening,
                    ];
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
