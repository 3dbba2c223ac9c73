//! Where the gate listens. Over TCP there is one listener per thread on the same address, so that
//! the kernel spreads connections and no accept queue is shared; over a Unix socket threads share
//! one.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::error::Error;
use super::socket::Plain;

/// Connections the kernel may hold for a thread that is busy.
const BACKLOG: i32 = 1_024;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket: for callers on this machine who may open that file.
    Unix(PathBuf),
}

impl Place {
    /// Whether only callers on this machine reach it.
    pub fn is_this_machine(&self) -> bool {
        match self {
            Place::Tcp(address) => address.ip().is_loopback(),
            Place::Unix(_) => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// Its address.
    Tcp(SocketAddr),
    /// A process of this machine.
    Unix,
}

impl Remote {
    /// Its address; this machine's own for a Unix socket.
    pub fn ip(&self) -> IpAddr {
        match self {
            Remote::Tcp(address) => address.ip(),
            Remote::Unix => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Tcp(address) => address.fmt(f),
            Remote::Unix => f.write_str("unix"),
        }
    }
}

/// Reads `host:port`, a bare `:port`, which means every address of the machine, or `unix:/path`.
///
/// # Errors
/// When it names no address.
pub fn place(text: &str) -> Result<Place, Error> {
    let wrong = || Error::Address { text: text.to_owned() };
    if let Some(path) = text.strip_prefix("unix:").filter(|_| cfg!(unix)) {
        return if path.is_empty() { Err(wrong()) } else { Ok(Place::Unix(path.into())) };
    }
    let full = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    if let Ok(address) = full.parse() {
        return Ok(Place::Tcp(address));
    }
    full.to_socket_addrs().map_err(|_| wrong())?.next().map(Place::Tcp).ok_or_else(wrong)
}

/// A listener of one thread.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// The same, watched by the thread's event loop.
#[derive(Debug)]
pub(super) enum Watched {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Must be called on the thread's event loop.
    pub(super) fn watched(self) -> io::Result<Watched> {
        Ok(match self {
            Listener::Tcp(listener) => Watched::Tcp(tokio::net::TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Listener::Unix(listener) => {
                Watched::Unix(tokio::net::UnixListener::from_std(listener)?)
            }
        })
    }
}

impl Watched {
    pub(super) async fn accept(&self) -> io::Result<(Plain, Remote)> {
        match self {
            Watched::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok((Plain::Tcp(stream), Remote::Tcp(remote)))
            }
            #[cfg(unix)]
            Watched::Unix(listener) => Ok((Plain::Unix(listener.accept().await?.0), Remote::Unix)),
        }
    }
}

/// `count` listeners on one place, and where it truly is: port 0 is chosen once and shared.
///
/// # Errors
/// When another process has the place, or it may not be used.
pub(super) fn open(wanted: &Place, count: usize) -> Result<(Vec<Listener>, Place), Error> {
    let failed = |source| Error::Listen { address: wanted.to_string(), source };
    let count = count.max(1);
    match wanted {
        Place::Tcp(address) => {
            // With SO_REUSEPORT a second server of the same user would silently share the address
            // and take half of the requests: a first socket without it finds out.
            let probe = socket(*address).map_err(failed)?;
            probe.bind(&(*address).into()).map_err(failed)?;
            let chosen = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(*address);
            drop(probe);
            let listeners = (0..count)
                .map(|_| listener(chosen).map(Listener::Tcp).map_err(failed))
                .collect::<Result<_, _>>()?;
            Ok((listeners, Place::Tcp(chosen)))
        }
        #[cfg(unix)]
        Place::Unix(path) => {
            let first = unix(path).map_err(failed)?;
            let mut listeners = Vec::new();
            for _ in 1..count {
                listeners.push(Listener::Unix(first.try_clone().map_err(failed)?));
            }
            listeners.push(Listener::Unix(first));
            Ok((listeners, wanted.clone()))
        }
        #[cfg(not(unix))]
        Place::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
    }
}

/// Listens on a file that its owner alone may open. A file that a server left behind is taken over,
/// one that somebody listens on is not, and one that is no socket is nobody's to remove.
#[cfg(unix)]
fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if let Ok(about) = std::fs::symlink_metadata(path) {
        if !about.file_type().is_socket() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // Before it listens: nobody gets in between.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Takes away what listening left in the file system.
pub(super) fn leave(place: &Place) {
    if let Place::Unix(path) = place {
        // Somebody may have done so already.
        let _ = std::fs::remove_file(path);
    }
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
pub(super) fn prepare(stream: &Plain) {
    if let Plain::Tcp(stream) = stream {
        // A peer that has already gone makes this fail; reading will tell.
        let _ = SockRef::from(stream).set_tcp_nodelay(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        assert_eq!(place(":8080").unwrap(), Place::Tcp("0.0.0.0:8080".parse().unwrap()));
        assert_eq!(place("[::1]:0").unwrap(), Place::Tcp("[::1]:0".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in ["", "8080", "localhost", "127.0.0.1:70000", "unix:"] {
            let error = place(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn an_address_somebody_listens_on_is_refused() {
        let any = Place::Tcp("127.0.0.1:0".parse().unwrap());
        let (listeners, taken) = open(&any, 2).unwrap();
        assert_eq!(listeners.len(), 2);
        assert!(matches!(open(&taken, 1), Err(Error::Listen { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_file_is_its_owners_and_only_a_forgotten_one_is_taken_over() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smrt.sock");
        let here = Place::Unix(path.clone());
        let first = open(&here, 2).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(open(&here, 1), Err(Error::Listen { .. })));
        drop(first);
        drop(open(&here, 1).unwrap());
        let file = folder.path().join("data");
        std::fs::write(&file, "rows").unwrap();
        assert!(open(&Place::Unix(file.clone()), 1).is_err());
        assert_eq!(std::fs::read(file).unwrap(), b"rows");
    }
}
