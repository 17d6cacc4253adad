//! Real servers and clients.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketType};

use super::place::{self, command_in, inside, join};
use crate::command;

/// How long a client waits for an answer. On a link without delay an answer takes less than a
/// thousandth of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a client asks for, of which server, and from which of its own addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) kind: Kind,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
}

/// The protocols of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page of an HTTP server at this port.
    Http(u16),
    /// A datagram to an echo server at this port.
    Udp(u16),
    /// An ICMP or ICMPv6 echo.
    Ping,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What the client got; `None` if nothing came back.
    pub(super) got: Option<String>,
    /// The client's port, 0 for an echo.
    pub(super) port: u16,
}

/// Starts an HTTP server at each of `http` and a UDP echo server at each of `udp`, over IPv4 and
/// IPv6, and returns when they listen. They end with the process.
pub(super) fn serve(namespace: &'static str, http: &[u16], udp: &[u16]) -> Result<()> {
    for &port in http {
        let listen = move || TcpListener::bind(any(port)).context("no listener");
        let listener = join(inside(namespace, listen))?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is no business of the server's.
                thread::spawn(move || drop(answer_http(stream)));
            }
        });
    }
    for &port in udp {
        let listen = move || UdpSocket::bind(any(port)).context("no socket");
        let socket = join(inside(namespace, listen))?;
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], peer);
                }
            }
        });
    }
    Ok(())
}

/// All addresses of both families.
fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

fn answer_http(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    stream.write_all(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello")?;
    if request.starts_with(b"GET /endless ") {
        loop {
            stream.write_all(&[b'.'; 4096])?;
            // Steady, not fast: this shows whether it stops, not how much goes through.
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Sends a probe from a namespace and waits for the answer.
pub(super) fn send(namespace: &str, probe: Probe) -> Result<Answer> {
    let address = |port| SocketAddr::new(probe.to, port);
    match probe.kind {
        Kind::Http(port) => {
            let (stream, local) = match connect(probe.from, address(port), PATIENCE)? {
                (Some(stream), local) => (stream, local),
                (None, local) => return Ok(Answer { got: None, port: local }),
            };
            Ok(Answer { got: get(stream, "/")?, port: local })
        }
        Kind::Udp(port) => {
            let socket = UdpSocket::bind((probe.from, 0)).context("no socket")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            let start = Instant::now();
            socket.send_to(b"hello", address(port)).context("nothing could be sent")?;
            let mut buffer = [0; 16];
            let got = match socket.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    Some(format!("{length} bytes back in {}", took(start.elapsed())))
                }
                Err(error) if timed_out(&error) => None,
                Err(error) => return Err(error).context("the echo failed"),
            };
            Ok(Answer { got, port: socket.local_addr()?.port() })
        }
        Kind::Ping => {
            let patience = PATIENCE.as_secs().to_string();
            let output = command::output(
                command_in(namespace, "ping")
                    .args(["-n", "-c", "1", "-W", &patience, "-I"])
                    .arg(probe.from.to_string())
                    .arg(probe.to.to_string()),
            )?;
            // 1: nothing came back. Anything else is the client's own failure.
            let text = String::from_utf8_lossy(&output.stdout);
            let got = match output.status.code() {
                Some(0) => {
                    let time = text.split_once("time=").and_then(|(_, rest)| rest.lines().next());
                    Some(format!("reply in {}", time.unwrap_or("time unknown")))
                }
                Some(1) => None,
                _ => bail!("ping failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
            };
            Ok(Answer { got, port: 0 })
        }
    }
}

/// Opens a connection from a given address. Without one: nothing answered in time. The second
/// value is the port on this side.
fn connect(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<(Option<TcpStream>, u16)> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).context("no socket")?;
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).context("no address")?;
    // Lets `connect` end with EINPROGRESS after this time.
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Send,
        Some(patience),
    )?;
    let connected = rustix::net::connect(&socket, &to);
    let stream = TcpStream::from(socket);
    let port = stream.local_addr()?.port();
    match connected {
        Ok(()) => Ok((Some(stream), port)),
        Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::TIMEDOUT) => Ok((None, port)),
        Err(error) => Err(error).with_context(|| format!("no connection to {to}")),
    }
}

/// Fetches a page. `None` if the answer stops coming.
fn get(mut stream: TcpStream, page: &str) -> Result<Option<String>> {
    let start = Instant::now();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {page} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => {
            let first = answer.lines().next().unwrap_or_default();
            let status = first.split_once(' ').map_or(first, |(_, status)| status);
            Ok(Some(format!("{status} in {}", took(start.elapsed()))))
        }
        Err(error) if timed_out(&error) => Ok(None),
        Err(error) => Err(error).context("the answer broke off"),
    }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn took(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A download that goes on until it is dropped.
pub(super) struct Download {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    /// Longest time without a byte, in microseconds.
    longest_gap: AtomicU64,
    ended: AtomicBool,
}

impl Download {
    /// Starts a download from the namespace of the world and returns when it flows.
    pub(super) fn start(from: IpAddr, to: SocketAddr) -> Result<Self> {
        let (stream, _) = join(inside(place::WORLD, move || connect(from, to, PATIENCE)))?;
        let mut stream = stream.with_context(|| format!("no connection to {to}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /endless HTTP/1.0\r\n\r\n")?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut last = Instant::now();
            while !theirs.stop.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(length) if length > 0 => {
                        let gap = u64::try_from(last.elapsed().as_micros()).unwrap_or(u64::MAX);
                        last = Instant::now();
                        theirs.longest_gap.fetch_max(gap, Ordering::Relaxed);
                        theirs.bytes.fetch_add(length as u64, Ordering::Relaxed);
                    }
                    _ => break,
                }
            }
            theirs.ended.store(true, Ordering::Relaxed);
        });
        Ok(Self { shared })
    }

    /// What arrived so far, and the longest time in which nothing did.
    ///
    /// # Errors
    /// The download broke off.
    pub(super) fn so_far(&self) -> Result<(u64, Duration)> {
        if self.shared.ended.load(Ordering::Relaxed) {
            bail!("the download broke off");
        }
        let gap = self.shared.longest_gap.load(Ordering::Relaxed);
        Ok((self.shared.bytes.load(Ordering::Relaxed), Duration::from_micros(gap)))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// One attempt of a client that opens connection after connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) begun: Instant,
    pub(super) over: Instant,
    /// Whether the connection was opened.
    pub(super) open: bool,
}

/// Opens one connection after another until `enough` has seen what it waits for. It is shown every
/// attempt when it is over.
pub(super) fn knock(
    from: IpAddr,
    to: SocketAddr,
    mut enough: impl FnMut(&Attempt) -> bool + Send + 'static,
) -> thread::JoinHandle<Result<Vec<Attempt>>> {
    /// Long enough for a handshake, and shorter than the second after which a lost SYN is repeated.
    const HANDSHAKE: Duration = Duration::from_millis(100);
    inside(place::WORLD, move || {
        let mut attempts = Vec::new();
        loop {
            let begun = Instant::now();
            let (stream, _) = connect(from, to, HANDSHAKE)?;
            let attempt = Attempt { begun, over: Instant::now(), open: stream.is_some() };
            attempts.push(attempt);
            if enough(&attempt) {
                return Ok(attempts);
            }
            thread::sleep(Duration::from_millis(2));
        }
    })
}
