//! Small servers and clients: echo, HTTP, bulk.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::namespace::Namespace;

/// How long a client waits for an answer that may well not come.
pub const PATIENCE: Duration = Duration::from_millis(1500);
/// How often a server looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// A server on a thread; ends on drop.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || work(&seen))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves each TCP connection with `serve`, on a thread of its own.
fn serve_tcp(
    namespace: &Namespace,
    address: SocketAddr,
    serve: impl Fn(TcpStream, &AtomicBool) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    let listener = namespace
        .run(|| TcpListener::bind(address))
        .unwrap_or_else(|error| panic!("listen on {address}: {error}"));
    listener.set_nonblocking(true).expect("a socket");
    Server::start(move |stop| {
        std::thread::scope(|scope| {
            while !stop.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    let serve = &serve;
                    scope.spawn(move || {
                        let _ = stream.set_nonblocking(false);
                        let _ = stream.set_read_timeout(Some(LOOK));
                        let _ = serve(stream, stop);
                    });
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
    })
}

/// Reads whatever comes next; `None` if the server has to end or the client has.
fn next(stream: &mut TcpStream, buffer: &mut [u8], stop: &AtomicBool) -> Option<usize> {
    while !stop.load(Ordering::Relaxed) {
        match stream.read(buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(error) if is_timeout(&error) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Whether an error says only that nothing came in time.
#[must_use]
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A TCP server that sends back what it gets.
#[must_use]
pub fn tcp_echo(namespace: &Namespace, address: SocketAddr) -> Server {
    serve_tcp(namespace, address, |mut stream, stop| {
        let mut buffer = [0; 4096];
        while let Some(count) = next(&mut stream, &mut buffer, stop) {
            stream.write_all(&buffer[..count])?;
        }
        Ok(())
    })
}

/// A UDP server that sends back what it gets.
///
/// # Panics
/// If the address cannot be had.
#[must_use]
pub fn udp_echo(namespace: &Namespace, address: SocketAddr) -> Server {
    let socket = namespace
        .run(|| UdpSocket::bind(address))
        .unwrap_or_else(|error| panic!("bind {address}: {error}"));
    socket.set_read_timeout(Some(LOOK)).expect("a socket");
    Server::start(move |stop| {
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((count, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..count], from);
            }
        }
    })
}

/// An HTTP/1.1 server that answers every GET with `body`.
#[must_use]
pub fn http(namespace: &Namespace, address: SocketAddr, body: &'static str) -> Server {
    serve_tcp(namespace, address, move |mut stream, stop| {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let Some(count) = next(&mut stream, &mut buffer, stop) else { return Ok(()) };
            request.extend(&buffer[..count]);
        }
        let status = if request.starts_with(b"GET ") { "200 OK" } else { "405 Not allowed" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    })
}

/// Fetches `/` and returns the body.
///
/// # Errors
/// What connecting and reading give, and an answer other than 200.
pub fn http_get(namespace: &Namespace, address: SocketAddr) -> io::Result<String> {
    let mut stream = connect_within(namespace, address, PATIENCE)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer.clone()))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, head));
    }
    Ok(body.to_owned())
}

/// Opens a TCP connection that has to come about: a SYN that was lost is sent again.
///
/// # Errors
/// The kernel's; `TimedOut` after 10 seconds.
pub fn connect(namespace: &Namespace, address: SocketAddr) -> io::Result<TcpStream> {
    connect_within(namespace, address, Duration::from_secs(10))
}

fn connect_within(
    namespace: &Namespace,
    address: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    let stream = namespace.run(|| TcpStream::connect_timeout(&address, limit))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `text` over a connection to an echo server and reads it back.
///
/// # Errors
/// If it does not come back within [`PATIENCE`].
pub fn echo(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    if back == text.as_bytes() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "another text came back"))
    }
}

/// Whether a new connection to a TCP echo server gets through and works.
#[must_use]
pub fn tcp_works(namespace: &Namespace, address: SocketAddr) -> bool {
    connect_within(namespace, address, PATIENCE)
        .and_then(|mut stream| echo(&mut stream, "hello"))
        .is_ok()
}

/// Whether a UDP echo server answers a new socket.
///
/// # Panics
/// If no socket can be had.
#[must_use]
pub fn udp_works(namespace: &Namespace, address: SocketAddr) -> bool {
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = namespace.run(|| UdpSocket::bind(any)).expect("a socket");
    udp_asks(&socket, address)
}

/// Whether a UDP echo server answers this socket.
///
/// # Panics
/// If the socket cannot be set up.
#[must_use]
pub fn udp_asks(socket: &UdpSocket, address: SocketAddr) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut buffer = [0; 16];
    socket.send_to(b"hello", address).is_ok()
        && matches!(socket.recv_from(&mut buffer), Ok((5, from)) if from == address)
}

/// Sends `bytes` bytes of a fixed pattern from one namespace to a listener in another and returns
/// the SHA-256 of what was sent and of what arrived.
///
/// # Panics
/// If no connection comes about.
#[must_use]
pub fn transfer(
    from: &Namespace,
    to: &Namespace,
    address: SocketAddr,
    bytes: usize,
) -> ([u8; 32], [u8; 32]) {
    let listener = to.run(|| TcpListener::bind(address)).expect("listen");
    let receiver = std::thread::spawn(move || -> io::Result<[u8; 32]> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(hash.finalize().into());
            }
            hash.update(&buffer[..count]);
        }
    });
    let mut stream = connect(from, address).expect("connect for the transfer");
    let mut hash = Sha256::new();
    let mut random = crate::rng::Rng::new(bytes as u64);
    let mut block = vec![0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&random.draw().to_le_bytes());
        }
        let part = &block[..left.min(block.len())];
        stream.write_all(part).expect("send");
        hash.update(part);
        left -= part.len();
    }
    drop(stream);
    (hash.finalize().into(), receiver.join().expect("receiver").expect("receive"))
}
