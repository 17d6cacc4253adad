//! Places: the word, who may be in it, and which one an opening packet takes.

use super::*;

proptest! {
    #[test]
    fn a_place_keeps_its_parts(state in 0_usize..STATES.len(), print in 0_u32..1 << 24, ends: u32, mark: bool, now in seconds()) {
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
        state in 0_usize..STATES.len(), other_print in prop::option::of(0_u32..1 << 24), ends in seconds(), mark: bool, now in seconds(),
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
        full in prop::collection::vec((0_usize..STATES.len(), seconds(), any::<bool>()), WAYS as usize),
        available in 0_usize..3,
        now in seconds(),
        opening in 0_u32..1000,
        one_way in 0_u32..1000,
        icmp in 0_u32..1000,
        rest in 0_u32..1000,
    ) {
        let timeouts = Timeouts { tcp_opening: opening, udp_one_way: one_way, icmp, other: rest, ..Timeouts::default() };
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
            let since = |timeout| (i64::from(ends) - idle(timeout)).max(8);
            let used = match STATES[state] {
                _ if state == 0 || ends <= now => 0,
                State::SynSent | State::SynReceived => since(opening),
                State::OneWay => since(one_way),
                State::IcmpOneWay => since(icmp),
                State::OtherOneWay | State::SctpOpening => since(rest),
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
