//! The fixtures themselves, without any filter: what the other tests see drop or pass is the
//! filter's doing.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use sg_tests::foreign::{Foreign, Place};
use sg_tests::frame::{self, V4, flag, protocol};
use sg_tests::net::{End, Net, host, host6, mac, peer, v4, v6};
use sg_tests::probe::Probe;
use sg_tests::tun::Tun;
use sg_tests::wire::{self, Wire};
use sg_tests::{ping, services};

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn clients_reach_servers_without_a_filter() {
    let net = Net::new();
    let _tcp = services::tcp_echo(&net.host, host(7));
    let _udp = services::udp_echo(&net.host, host(7));
    let _udp6 = services::udp_echo(&net.host, host6(7));
    let _http = services::http(&net.host, host6(80), "it works");
    assert!(services::tcp_works(net.peer(), host(7)));
    assert!(services::udp_works(net.peer(), host(7)));
    assert!(services::udp_works(net.peer(), host6(7)));
    assert_eq!(services::http_get(net.peer(), host6(80)).unwrap(), "it works");
    assert!(services::connect(net.peer(), host(8)).is_err());
    assert!(ping::answers(net.peer(), v4(End::Host, 0)));
    assert!(ping::answers(&net.host, v6(End::Peer, 0)));
    let (sent, received) = services::transfer(&net.host, net.peer(), peer(9), 1_000_000);
    assert_eq!(sent, received);
    let probe = Probe::start(net.peer(), &net.host, host(5), Duration::from_micros(100));
    probe.await_arrival();
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn frames_are_seen_behind_every_hook() {
    let net = Net::new();
    let tap = wire::behind(&net.host, "nic0", "tc");
    let near = Wire::open(&net.host, "nic0");
    let far = Wire::open(net.peer(), "peer0");
    let packet = V4::new(v4(End::Peer, 0), v4(End::Host, 0), protocol::TCP).bytes(&frame::tcp(
        1024,
        80,
        flag::SYN,
    ));
    let frames: Vec<_> = [
        frame::ethernet(mac(End::Host, 0), frame::IPV4, &packet),
        frame::tagged(mac(End::Host, 0), &[(frame::VLAN, 5)], frame::IPV4, &packet),
        frame::ethernet(mac(End::Host, 0), frame::IPV4, &packet[..1]),
        frame::ethernet([0xff; 6], 0x8864, &[0; 20]),
    ]
    .into();
    assert_eq!(wire::passed(&far, &tap, &frames), [true; 4]);
    assert_eq!(wire::passed(&near, &far, &frames), [true; 4]);
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn tun_devices_carry_packets() {
    let net = Net::new();
    let tun = Tun::create(&net.host, "tun0");
    net.host.ip("address add 10.9.0.1/24 dev tun0");
    net.host.ip("link set tun0 up");
    let stranger = Ipv4Addr::new(10, 9, 0, 2);
    tun.send(
        &V4::new(stranger, Ipv4Addr::new(10, 9, 0, 1), protocol::ICMP)
            .bytes(&frame::icmp(8, 0, 7, b"hello")),
    );
    sg_tests::wait::until("the echo reply", || {
        tun.receive(Duration::from_millis(500))
            .is_some_and(|packet| packet[0] >> 4 == 4 && packet[9] == 1 && packet[20] == 0)
    });
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn foreign_programs_attach() {
    let net = Net::new();
    let _xdp = Foreign::attach(&net.host, "nic0", Place::Xdp).unwrap();
    for place in [Place::IngressFirst, Place::EgressFirst, Place::EgressLast] {
        Foreign::attach(&net.host, "nic0", place).unwrap();
    }
    assert!(net.host.ip("link show nic0").contains("prog/xdp"));
}

#[test]
#[cfg_attr(not(root), ignore = "needs root")]
fn nothing_stays_behind() {
    let net = Net::with_peers(2);
    let (name, state) = (net.host.name().to_owned(), net.sg.state().to_owned());
    std::fs::create_dir(net.sg.bpffs()).unwrap();
    let pins = net.sg.bpffs().to_owned();
    drop(net);
    assert!(!Path::new("/run/netns").join(name).exists());
    assert!(!state.exists() && !pins.exists());
}
