//! Scripted lives of connections: states and times.

use super::*;

/// Sends the packets of a script, each with the state that it leaves.
#[track_caller]
pub(crate) fn play(
    filter: &Filter,
    packet: fn(Sender, u8) -> Packet,
    script: &[(Sender, u8, State)],
) {
    for (step, &(sender, detail, state)) in script.iter().enumerate() {
        let after = filter.send(&packet(sender, detail), sender);
        assert_eq!(after, Some(state), "step {step}: {sender:?} sends {detail:#x}");
    }
}

pub(crate) const HANDSHAKE: [(Sender, u8, State); 3] = [
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
        assert_eq!(filter.send(&sent, Opener), Some(State::IcmpOneWay));
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
    assert_eq!(filter.send(&other(Opener, 47), Opener), Some(State::OtherOneWay));
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
