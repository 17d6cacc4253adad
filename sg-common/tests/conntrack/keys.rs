//! Keys: what belongs to a connection and what does not, and where it is looked for.

use super::*;

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
