//! Every road out of the sandbox, tried from inside and, so that a test can fail, from outside.
//!
//! The probe is this very test binary, started again to run [`the_probe`] alone. It enters the sandbox
//! on its own thread, where the product enters on the only one there is.

#![cfg(target_os = "linux")]

use std::io::{IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use smrt::sandbox::{Limits, Rules, enter};
use socket2::{Domain, Protocol, Socket, Type};

type Outcome = Result<(), String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What the outside has made ready, handed to the probe by a variable each.
struct World {
    folder: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    _path: UnixListener,
    _abstract: UnixListener,
    victim: Child,
    address: usize,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/credentials"), "[default]\n").unwrap();
        std::fs::create_dir(folder.path().join("mount")).unwrap();
        let name = format!("smrt-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let victim = Command::new("sleep").arg("600").env("SECRET", "s").spawn().unwrap();
        // Where the victim's own program lies in its memory.
        let maps = loop {
            let maps = std::fs::read_to_string(format!("/proc/{}/maps", victim.id())).unwrap();
            if maps.contains("sleep") || maps.contains("coreutils") || maps.contains("busybox") {
                break maps;
            }
        };
        let start = maps.split('-').next().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        World {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp,
            _path: UnixListener::bind(folder.path().join("socket")).unwrap(),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            address: usize::from_str_radix(start, 16).unwrap(),
            folder,
            victim,
        }
    }

    /// How the road `road` went, from inside the sandbox or outside.
    fn tried(&self, road: &str, inside: bool) -> Outcome {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sandbox::the_probe", "--nocapture", "--test-threads=1"])
            .env_clear()
            .env("SMRT_PROBE", road)
            .env("INSIDE", if inside { "1" } else { "0" })
            .env("FOLDER", self.folder.path())
            .env("TCP", self.tcp.local_addr().unwrap().to_string())
            .env("UDP", self.udp.local_addr().unwrap().to_string())
            .env("ABSTRACT", format!("smrt-{}", std::process::id()))
            .env("VICTIM", self.victim.id().to_string())
            .env("ADDRESS", self.address.to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let line = said.lines().find_map(|line| line.split_once("probe: ").map(|(_, told)| told));
        match line {
            Some("out") => Ok(()),
            Some(told) => Err(told.strip_prefix("in: ").unwrap_or(told).to_owned()),
            None => panic!("the probe for {road} said nothing: {said} ({})", output.status),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn victim() -> Pid {
    Pid::from_raw(variable("VICTIM").parse().unwrap())
}

/// A road: its name, whether only the superuser has it outside, and the way.
const ROADS: &[(&str, bool, fn(&Path) -> Outcome)] = &[
    ("tcp", false, |_| TcpStream::connect(variable("TCP")).map(drop).map_err(text)),
    ("tcp, listening", false, |_| TcpListener::bind("127.0.0.1:0").map(drop).map_err(text)),
    ("udp", false, |_| {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        socket.send_to(b"out", variable("UDP")).map(drop).map_err(text)
    }),
    ("dns", false, |_| ("localhost", 80).to_socket_addrs().map(drop).map_err(text)),
    ("raw", true, |_| socket(Domain::IPV4, Some(Protocol::ICMPV4))),
    ("packet", true, |_| socket(Domain::from(libc::AF_PACKET), None)),
    ("netlink", false, |_| socket(Domain::from(libc::AF_NETLINK), None)),
    ("unix, by path", false, |folder| {
        UnixStream::connect(folder.join("socket")).map(drop).map_err(text)
    }),
    ("unix, abstract", false, |_| {
        let address = SocketAddr::from_abstract_name(variable("ABSTRACT")).map_err(text)?;
        UnixStream::connect_addr(&address).map(drop).map_err(text)
    }),
    ("io_uring", false, |_| io_uring::IoUring::new(4).map(drop).map_err(text)),
    ("ptrace", false, |_| {
        nix::sys::ptrace::attach(victim()).map_err(text)?;
        nix::sys::wait::waitpid(victim(), None).map_err(text)?;
        nix::sys::ptrace::detach(victim(), None).map_err(text)
    }),
    ("process_vm_readv", false, |_| {
        let mut bytes = [0; 4];
        let there = [RemoteIoVec { base: variable("ADDRESS").parse().unwrap(), len: 4 }];
        process_vm_readv(victim(), &mut [IoSliceMut::new(&mut bytes)], &there).map_err(text)?;
        if &bytes == b"\x7fELF" { Ok(()) } else { Err("read something else".to_owned()) }
    }),
    ("the environment of another process", false, |_| {
        let bytes = std::fs::read(format!("/proc/{}/environ", victim())).map_err(text)?;
        if bytes.starts_with(b"SECRET=s") || !bytes.is_empty() {
            Ok(())
        } else {
            Err("empty".into())
        }
    }),
    ("the memory of another process", false, |_| {
        std::fs::File::open(format!("/proc/{}/mem", victim())).map(drop).map_err(text)
    }),
    ("the parent's environment", false, |_| {
        let parent = std::os::unix::process::parent_id();
        std::fs::read(format!("/proc/{parent}/environ")).map(drop).map_err(text)
    }),
    ("credentials", false, |folder| {
        std::fs::read(folder.join(".aws/credentials")).map(drop).map_err(text)
    }),
    ("a file of the system", false, |_| std::fs::read("/etc/passwd").map(drop).map_err(text)),
    ("a new file outside", false, |folder| {
        std::fs::write(folder.join("out"), b"out").map_err(text)
    }),
    ("a link in its own folder", false, |folder| {
        std::os::unix::fs::symlink("/etc/passwd", folder.join("own/link")).map_err(text)?;
        std::fs::read(folder.join("own/link")).map(drop).map_err(text)
    }),
    ("exec", false, |_| Command::new("/bin/true").status().map(drop).map_err(text)),
    ("mount", true, |folder| {
        let place = folder.join("mount");
        let kind = Some("tmpfs");
        nix::mount::mount(kind, &place, kind, nix::mount::MsFlags::empty(), None::<&str>)
            .map_err(text)?;
        nix::mount::umount(&place).map_err(text)
    }),
    ("setns", true, |_| {
        let own = std::fs::File::open("/proc/self/ns/net").map_err(text)?;
        setns(own, CloneFlags::CLONE_NEWNET).map_err(text)
    }),
    ("unshare", true, |_| unshare(CloneFlags::CLONE_NEWUTS).map_err(text)),
    ("a signal to another process", false, |_| kill(victim(), Signal::SIGCONT).map_err(text)),
    ("a core file", false, |_| {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(text)?;
        // Raising it again; as far as this process ever could.
        setrlimit(Resource::RLIMIT_CORE, hard.max(1), hard.max(1)).map_err(text)
    }),
];

fn socket(domain: Domain, protocol: Option<Protocol>) -> Outcome {
    Socket::new(domain, Type::from(libc::SOCK_RAW), protocol).map(drop).map_err(text)
}

/// Not a test of its own: what the others start again.
#[test]
fn the_probe() {
    let Ok(road) = std::env::var("SMRT_PROBE") else { return };
    let folder = variable("FOLDER");
    let folder = Path::new(&folder);
    if variable("INSIDE") == "1" {
        let rules = Rules {
            writes: vec![folder.join("own")],
            limits: Limits { files: Some(64), ..Limits::default() },
            ..Rules::default()
        };
        if let Err(error) = enter(&rules) {
            println!("probe: cannot enter: {error}");
            return;
        }
        // What it may do, it can still do: otherwise every road would be closed by accident.
        std::fs::write(folder.join("own/mine"), b"mine").unwrap();
        assert_eq!(std::fs::read(folder.join("own/mine")).unwrap(), b"mine");
        std::thread::spawn(|| vec![1_u8; 1 << 20].len()).join().unwrap();
        let (mut one, mut other) = (std::io::empty(), std::io::sink());
        std::io::copy(&mut one, &mut other).unwrap();
        one.read_to_end(&mut Vec::new()).unwrap();
        other.write_all(b"x").unwrap();
    }
    let (_, _, way) = ROADS.iter().find(|(name, _, _)| *name == road).unwrap();
    match way(folder) {
        Ok(()) => println!("probe: out"),
        Err(why) => println!("probe: in: {why}"),
    }
}

#[test]
fn threat_18_every_road_out_of_the_sandbox_is_closed_and_open_without_it() {
    let world = World::new();
    std::fs::create_dir(world.folder.path().join("own")).unwrap();
    let superuser = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if let Err(why) = world.tried("tcp", true)
        && why.starts_with("cannot enter")
    {
        println!("skipped: {why}");
        return;
    }
    let mut tried = 0;
    for (road, only_superuser, _) in ROADS {
        let inside = world.tried(road, true);
        assert!(inside.is_err(), "{road} leads out of the sandbox");
        // The control: the same probe, and nothing else is different.
        let outside = world.tried(road, false);
        match &outside {
            Ok(()) => tried += 1,
            Err(why) if *only_superuser && !superuser => {
                println!("{road}: only the superuser has this road outside ({why})");
            }
            Err(why) => panic!("{road} is closed outside too, so the test shows nothing: {why}"),
        }
        println!("{road}: inside {inside:?}");
        let _ = std::fs::remove_file(world.folder.path().join("own/link"));
    }
    assert!(tried >= 18, "{tried}");
}
