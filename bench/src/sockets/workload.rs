//! What sockets do in a turn: a client and a server, a thread and a CPU each.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use sg_tests::namespace::Namespace;

use super::PORT;
use crate::clock::{Cpu, ThreadClock};
use crate::lane::Lane;
use crate::measure::Effort;

/// Bytes of a datagram.
const DATAGRAM: usize = 64;

/// Datagrams that one system call sends or receives.
const BATCH: usize = 64;

/// Bytes that a socket may hold of what was received: that of the datagrams, so that a server which
/// has to wait for its CPU does not lose them at once.
const BUFFER: usize = 8 << 20;

/// Bytes that one system call of a stream writes or reads.
const CHUNK: usize = 128 << 10;

/// No system call of a turn may block for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Times that a turn is repeated in which nothing came through.
const REPEATS: usize = 5;

/// How often the server of datagrams looks whether the turn is over.
const LOOK: Duration = Duration::from_millis(20);

/// What client and server do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Datagrams of 64 bytes to the server, as many as the client can send.
    Datagrams,
    /// One TCP stream to the server.
    Stream,
    /// TCP connections, one after the other: opened by the client, accepted and closed by the
    /// server, closed by the client.
    Connections,
    /// One byte there and one back, again and again on one TCP connection.
    Transactions,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    /// Units in a second that reached their end, in [`Workload::rate`]'s unit.
    pub(super) rate: f64,
    /// Nanoseconds of CPU time of client, server and softirqs together for each
    /// [`Workload::unit`].
    pub(super) cost: f64,
    /// Share of what was sent and did not arrive, 0 to 1.
    pub(super) lost: f64,
}

impl Workload {
    /// All of them.
    pub(super) const ALL: [Self; 4] =
        [Self::Datagrams, Self::Stream, Self::Connections, Self::Transactions];

    /// Name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Datagrams => "UDP datagrams of 64 bytes",
            Self::Stream => "one TCP stream",
            Self::Connections => "TCP connections",
            Self::Transactions => "TCP request and response",
        }
    }

    /// What its rate counts.
    pub(super) const fn rate(self) -> &'static str {
        match self {
            Self::Datagrams => "datagrams/s",
            Self::Stream => "Gbit/s",
            Self::Connections => "connections/s",
            Self::Transactions => "transactions/s",
        }
    }

    /// What its cost is for.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Datagrams => "datagram",
            Self::Stream => "KiB",
            Self::Connections => "connection",
            Self::Transactions => "transaction",
        }
    }

    /// What it counts while it runs (datagrams, bytes, …), in units of rate and of cost.
    fn scale(self) -> (f64, f64) {
        match self {
            Self::Stream => (8e-9, 1.0 / 1024.0),
            Self::Datagrams | Self::Connections | Self::Transactions => (1.0, 1.0),
        }
    }

    /// Runs it through a lane: a quarter of the time of a turn unseen, then a turn.
    pub(super) fn turn(
        self,
        client: &Namespace,
        lane: &Lane,
        cpus: [Cpu; 2],
        effort: Effort,
    ) -> Result<Figures> {
        for _ in 0..REPEATS {
            if let Some(figures) = self.once(client, lane, cpus, effort)? {
                return Ok(figures);
            }
        }
        bail!("nothing came through in any of {REPEATS} turns")
    }

    /// One turn; `None` if nothing came through. Who lost a CPU at the wrong moment may wait for a
    /// timer of TCP as long as a turn takes.
    fn once(
        self,
        client: &Namespace,
        lane: &Lane,
        cpus: [Cpu; 2],
        effort: Effort,
    ) -> Result<Option<Figures>> {
        let shared = Arc::new(Shared::default());
        let threads = self.start(client, lane, cpus, &shared)?;
        let turn = Duration::from_millis(effort.milliseconds.into());
        let measured = measure(&threads, &shared, cpus, turn, effort.wall);
        shared.stop.store(true, Ordering::Relaxed);
        for (thread, which) in threads.into_iter().zip(["client", "server"]) {
            let ended = thread.join().map_err(|_| anyhow!("the {which} panicked"))?;
            ended.with_context(|| format!("the {which} failed"))?;
        }
        let (before, after) = measured.context("a thread ended before its turn")?;
        let count = after.done - before.done;
        if count <= 0.0 {
            return Ok(None);
        }
        let (of_rate, of_cost) = self.scale();
        let sent = after.sent - before.sent;
        Ok(Some(Figures {
            rate: count * of_rate / (after.at - before.at).as_secs_f64(),
            cost: (after.busy - before.busy) / (count * of_cost),
            // What was under way at the beginning may make it negative.
            lost: if sent > 0.0 { (1.0 - count / sent).max(0.0) } else { 0.0 },
        }))
    }

    /// Starts client and server.
    fn start(
        self,
        client: &Namespace,
        lane: &Lane,
        cpus: [Cpu; 2],
        shared: &Arc<Shared>,
    ) -> Result<[JoinHandle<io::Result<()>>; 2]> {
        let address = SocketAddr::from((lane.address, PORT));
        let server = &lane.namespace;
        if self == Self::Datagrams {
            let receiver = server.run(|| receiver(address)).context("no socket for datagrams")?;
            let sender = client.run(|| sender(address)).context("no socket for datagrams")?;
            return Ok([
                begin(client, cpus[0], shared, move |shared| send_datagrams(&sender, shared)),
                begin(server, cpus[1], shared, move |shared| take_datagrams(&receiver, shared)),
            ]);
        }
        let listener =
            server.run(|| TcpListener::bind(address)).context("the server cannot listen")?;
        if self == Self::Connections {
            return Ok([
                begin(client, cpus[0], shared, move |shared| connect(address, shared)),
                begin(server, cpus[1], shared, move |shared| accept(&listener, shared)),
            ]);
        }
        let near = client
            .run(|| TcpStream::connect_timeout(&address, PATIENCE))
            .context("the client cannot connect")?;
        let (far, _) = listener.accept().context("the server cannot accept")?;
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
        }
        Ok(if self == Self::Stream {
            [
                begin(client, cpus[0], shared, move |shared| write(near, shared)),
                begin(server, cpus[1], shared, move |shared| read(far, shared)),
            ]
        } else {
            [
                begin(client, cpus[0], shared, move |shared| ask(near, shared)),
                begin(server, cpus[1], shared, move |_| answer(far)),
            ]
        })
    }
}

/// What client, server and who measures them share.
#[derive(Debug, Default)]
struct Shared {
    /// What came to its end.
    done: AtomicU64,
    /// What was sent, where that may differ.
    sent: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Once the turn is over, the other side may be gone.
    fn unless_over<T>(&self, result: io::Result<T>) -> io::Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.over() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A moment of a turn.
struct Moment {
    at: Instant,
    /// Nanoseconds that everybody who works for the turn ran so far.
    busy: f64,
    done: f64,
    sent: f64,
}

/// The beginning and the end of what is measured.
fn measure<T>(
    threads: &[JoinHandle<T>; 2],
    shared: &Shared,
    cpus: [Cpu; 2],
    turn: Duration,
    apart: bool,
) -> io::Result<(Moment, Moment)> {
    let [client, server] = threads;
    let clocks = [ThreadClock::of(client)?, ThreadClock::of(server)?];
    let look = || -> io::Result<Moment> {
        let softirqs = cpus
            .map(|cpu| cpu.softirq_thread_time() + if apart { cpu.interrupt_time() } else { 0.0 });
        Ok(Moment {
            busy: clocks[0].now()? + clocks[1].now()? + softirqs.iter().sum::<f64>(),
            at: Instant::now(),
            done: shared.done.load(Ordering::Relaxed) as f64,
            sent: shared.sent.load(Ordering::Relaxed) as f64,
        })
    };
    std::thread::sleep(turn / 4);
    let before = look()?;
    std::thread::sleep(turn);
    Ok((before, look()?))
}

/// Starts one side on its CPU.
fn begin(
    namespace: &Namespace,
    cpu: Cpu,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> io::Result<()> + Send + 'static,
) -> JoinHandle<io::Result<()>> {
    let shared = Arc::clone(shared);
    namespace.spawn(move || {
        cpu.hold()?;
        work(&shared)
    })
}

fn receiver(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(LOOK))?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    Ok(socket)
}

fn sender(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// Calls `work` with a batch of messages, each of which has the same bytes.
fn with_messages<T>(work: impl FnOnce(&mut [libc::mmsghdr; BATCH]) -> T) -> T {
    let mut bytes = [0x53_u8; DATAGRAM];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: DATAGRAM };
    // SAFETY: all bits zero are a message without address, parts and control data.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for message in &mut messages {
        message.msg_hdr.msg_iov = &raw mut part;
        message.msg_hdr.msg_iovlen = 1;
    }
    work(&mut messages)
}

/// What a call that counts messages returned.
fn counted(result: libc::c_int) -> io::Result<u64> {
    u64::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn send_datagrams(socket: &UdpSocket, shared: &Shared) -> io::Result<()> {
    with_messages(|messages| {
        while !shared.over() {
            // SAFETY: the messages, and what they point at, outlive the call.
            let result = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, 0)
            };
            if let Some(count) = shared.unless_over(counted(result))? {
                shared.sent.fetch_add(count, Ordering::Relaxed);
            }
        }
        Ok(())
    })
}

fn take_datagrams(socket: &UdpSocket, shared: &Shared) -> io::Result<()> {
    with_messages(|messages| {
        while !shared.over() {
            // SAFETY: the messages, and what they point at, outlive the call. Nobody reads
            // their bytes, so all may be written to one place.
            let result = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    messages.as_mut_ptr(),
                    BATCH as u32,
                    libc::MSG_WAITFORONE,
                    std::ptr::null_mut(),
                )
            };
            match counted(result) {
                Ok(count) => drop(shared.done.fetch_add(count, Ordering::Relaxed)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}

fn write(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let chunk = vec![0x53; CHUNK];
    while !shared.over() {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

fn read(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            count => drop(shared.done.fetch_add(count as u64, Ordering::Relaxed)),
        }
    }
}

fn connect(address: SocketAddr, shared: &Shared) -> io::Result<()> {
    let once = || -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // The server closes first, so ports of the client are free at once.
        match stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("the server sent what nobody asked for")),
        }
    };
    while !shared.over() {
        if shared.unless_over(once())?.is_some() {
            shared.done.fetch_add(1, Ordering::Relaxed);
        }
    }
    // A server that waits for a connection looks up.
    drop(TcpStream::connect(address));
    Ok(())
}

fn accept(listener: &TcpListener, shared: &Shared) -> io::Result<()> {
    while !shared.over() {
        drop(listener.accept()?);
    }
    Ok(())
}

fn ask(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut byte = [0x53];
    while !shared.over() {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}
