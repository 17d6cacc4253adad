//! A stream of numbered datagrams, of which none may be lost or come out of turn.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;
use crate::realtime;
use crate::services::is_timeout;
use crate::wait;

/// Datagrams in flight at most: no queue on the way overflows.
const WINDOW: u64 = 64;
/// How long nothing may arrive before what is in flight counts as lost, and the stream goes on.
const LOST: Duration = Duration::from_secs(2);

/// What became of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Datagrams sent.
    pub sent: u64,
    /// Those that did not arrive.
    pub lost: u64,
    /// Those that arrived after one that was sent later.
    pub late: u64,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    /// Whether no more will be sent.
    done: AtomicBool,
    sent: AtomicU64,
    arrived: AtomicU64,
    /// The number that is to arrive next.
    next: AtomicU64,
    late: AtomicU64,
}

/// Datagrams from one namespace to a port in another as fast as they arrive. One CPU sends them, as
/// the kernel itself keeps no order between CPUs.
#[derive(Debug)]
pub struct Numbered {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Numbered {
    /// Starts the stream.
    ///
    /// # Panics
    /// If no socket can be had.
    #[must_use]
    pub fn start(from: &Namespace, to: &Namespace, address: SocketAddr) -> Self {
        let receiver = to.run(|| UdpSocket::bind(address)).expect("bind the stream's port");
        receiver.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
        let any: SocketAddr =
            if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let sender = from.run(|| UdpSocket::bind(any)).expect("a socket");
        sender.connect(address).expect("an address of the other end");
        let counts = Arc::new(Counts::default());
        let (sending, receiving) = (Arc::clone(&counts), Arc::clone(&counts));
        let threads = vec![
            std::thread::spawn(move || send(&sending, &sender)),
            std::thread::spawn(move || receive(&receiving, &receiver)),
        ];
        Self { counts, threads }
    }

    /// Waits until so many more have been sent.
    pub fn send_more(&self, count: u64) {
        let sent = || self.counts.sent.load(Ordering::Relaxed);
        let goal = sent() + count;
        wait::until("the stream goes on", || sent() >= goal);
    }

    /// Ends the stream, and waits for what is under way.
    #[must_use]
    pub fn end(mut self) -> Outcome {
        self.join();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sent = get(&self.counts.sent);
        Outcome { sent, lost: sent - get(&self.counts.arrived), late: get(&self.counts.late) }
    }

    fn join(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.join();
    }
}

fn send(counts: &Counts, sender: &UdpSocket) {
    realtime::pin(0);
    // The first number of those that may be in flight.
    let mut base = 0;
    let mut number = 0_u64;
    let mut moved = Instant::now();
    while !counts.stop.load(Ordering::Relaxed) {
        let next = counts.next.load(Ordering::Acquire);
        if next > base {
            (base, moved) = (next, Instant::now());
        }
        if number - base < WINDOW {
            if sender.send(&number.to_be_bytes()).is_ok() {
                number += 1;
                counts.sent.store(number, Ordering::Release);
            }
        } else if moved.elapsed() > LOST {
            (base, moved) = (number, Instant::now());
        } else {
            std::thread::yield_now();
        }
    }
    counts.done.store(true, Ordering::Release);
}

fn receive(counts: &Counts, receiver: &UdpSocket) {
    let mut buffer = [0; 8];
    let mut quiet = Instant::now();
    loop {
        match receiver.recv(&mut buffer) {
            Ok(8) => {
                let number = u64::from_be_bytes(buffer);
                let next = counts.next.load(Ordering::Relaxed);
                counts.arrived.fetch_add(1, Ordering::Relaxed);
                if number < next {
                    counts.late.fetch_add(1, Ordering::Relaxed);
                } else {
                    counts.next.store(number + 1, Ordering::Release);
                }
                quiet = Instant::now();
            }
            Ok(_) => {}
            // An ICMP error that belongs to the socket is no datagram.
            Err(error) if !is_timeout(&error) => {}
            Err(_) => {
                let done = counts.done.load(Ordering::Acquire);
                let sent = counts.sent.load(Ordering::Relaxed);
                let all = counts.arrived.load(Ordering::Relaxed) == sent;
                if done && (all || quiet.elapsed() > LOST) {
                    return;
                }
            }
        }
    }
}
