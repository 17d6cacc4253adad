//! Frames whose headers lie outside the linear part of the socket buffer.

use std::net::Ipv4Addr;

use sg_tests::frame::{self, V4, protocol};
use sg_tests::net::Net;
use sg_tests::tun::Tun;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);
const MAC: [u8; 6] = [2, 0, 0, 0, 9, 1];

fn syn(port: u16) -> Vec<u8> {
    let packet = V4 { options: vec![1; 40], ..V4::new(PEER, OWN, protocol::TCP) };
    let segment = frame::tcp(40_000, port, frame::flag::SYN);
    frame::ethernet(MAC, frame::IPV4, &packet.bytes(&segment))
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn headers_outside_the_linear_part_are_read_and_not_taken_for_cut_off() {
    for hook in ["tc", "xdp-generic", "auto"] {
        let net = Net::new();
        let tap = Tun::tap_of_pieces(&net.host, "tap0");
        net.host.ip("link set tap0 address 02:00:00:00:09:01");
        net.host.ip("address add 10.9.1.1/24 dev tap0");
        net.host.ip("link set tap0 up");
        net.sg
            .apply(&format!(
                "[groups.g]\n[[groups.g.ingress]]\nprotocol = \"tcp\"\nport = 80\n\
                 [interfaces.tap0]\ngroups = [\"g\"]\nhook = \"{hook}\"\n"
            ))
            .ok();
        let (allowed, denied) = (syn(80), syn(81));
        // Inside the fixed header, the options, and the TCP header; and in three pieces.
        let splits = [14, 15, 24, 33, 34, 35, 54, 73, 74, 75, 80, 92];
        for frame in [&allowed, &denied] {
            for split in splits {
                tap.send_in_pieces(&[&frame[..split], &frame[split..]]);
                let (first, rest) = frame.split_at(14);
                let (second, third) = rest.split_at(split - 14 + 1);
                tap.send_in_pieces(&[first, second, third]);
            }
            tap.send_in_pieces(&[frame]);
        }
        let count = 2 * splits.len() as u64 + 1;
        let stats = net.sg.stats();
        let reason = |reason| stats.reason("tap0", "ingress", reason);
        let found = (reason("rule"), reason("implicit-deny"), reason("truncated"));
        assert_eq!(found, (count, count, 0), "{hook}");
    }
}
