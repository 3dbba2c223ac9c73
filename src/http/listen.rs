//! Sockets: one listener per thread on the same address, so that the kernel spreads connections
//! and no accept queue is shared.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::error::Error;

/// Connections the kernel may hold for a thread that is busy.
const BACKLOG: i32 = 1_024;

/// Reads `host:port`; a bare `:port` means every address of the machine.
///
/// # Errors
/// When it names no address.
pub fn address(text: &str) -> Result<SocketAddr, Error> {
    let wrong = || Error::Address { text: text.to_owned() };
    let full = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    if let Ok(address) = full.parse() {
        return Ok(address);
    }
    full.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)
}

/// `count` listeners on one address. Port 0 is chosen once and shared.
///
/// # Errors
/// When another process has the address, or it may not be used.
pub(super) fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, Error> {
    let failed = |source| Error::Listen { address, source };
    // With SO_REUSEPORT a second server of the same user would silently share the address and
    // take half of the requests: a first socket without it finds out.
    let probe = socket(address).map_err(failed)?;
    probe.bind(&address.into()).map_err(failed)?;
    let chosen = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    drop(probe);
    (0..count.max(1)).map(|_| listener(chosen).map_err(failed)).collect()
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a server that has just stopped do not keep the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Makes an accepted connection answer at once instead of waiting to fill a packet.
pub(super) fn prepare(stream: &tokio::net::TcpStream) {
    // A peer that has already gone makes this fail; reading will tell.
    let _ = SockRef::from(stream).set_tcp_nodelay(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        assert_eq!(address(":8080").unwrap(), "0.0.0.0:8080".parse().unwrap());
        assert_eq!(address("[::1]:0").unwrap(), "[::1]:0".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in ["", "8080", "localhost", "127.0.0.1:70000"] {
            let error = address(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn an_address_somebody_listens_on_is_refused() {
        let first = open("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let taken = first[0].local_addr().unwrap();
        assert_eq!(taken, first[1].local_addr().unwrap());
        assert!(matches!(open(taken, 1), Err(Error::Listen { .. })));
    }
}
