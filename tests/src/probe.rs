//! A stream of datagrams that must never, or always, get through.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::wait;

/// Datagrams sent from one namespace to a port in another without a pause, and a count of those
/// that arrive. Both ends stop on drop.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    arrived: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// Starts the stream, with a `pause` between datagrams.
    ///
    /// # Panics
    /// If no socket can be had.
    #[must_use]
    pub fn start(from: &Namespace, to: &Namespace, address: SocketAddr, pause: Duration) -> Self {
        let receiver = to.run(|| UdpSocket::bind(address)).expect("bind the probe's port");
        receiver.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
        let any: SocketAddr =
            if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let sender = from.run(|| UdpSocket::bind(any)).expect("a socket");
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let arrived = Arc::new(AtomicU64::new(0));
        let sending = {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if sender.send_to(b"probe", address).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(pause);
                }
            })
        };
        let receiving = {
            let (stop, arrived) = (Arc::clone(&stop), Arc::clone(&arrived));
            std::thread::spawn(move || {
                let mut buffer = [0; 16];
                while !stop.load(Ordering::Relaxed) {
                    if receiver.recv_from(&mut buffer).is_ok() {
                        arrived.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        Self { stop, sent, arrived, threads: vec![sending, receiving] }
    }

    /// Datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Datagrams that arrived so far.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Waits until `count` more datagrams have been sent.
    pub fn send_more(&self, count: u64) {
        let goal = self.sent() + count;
        wait::until("the probe goes on", || self.sent() >= goal);
    }

    /// Waits until one more datagram has arrived.
    pub fn await_arrival(&self) {
        let before = self.arrived();
        wait::until("the probe's datagrams arrive", || self.arrived() > before);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
