//! Several CPUs at once.

use super::*;

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
