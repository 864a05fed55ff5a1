//! Socket monitor: reads the sockets of this process from `/proc` (proc(5)) again and again while the test call lasts, and records
//! every remote address.
//!
//! It does not rely on the engine's own records. It sees sockets, not packets, and may miss a socket that exists for less than the pause
//! between two looks. It does not see name servers that another process asks (systemd-resolved over D-Bus, nscd).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Sockets that are recorded, at most.
const MOST: usize = 4_096;
/// The kernel's tables of sockets; `true` for UDP.
const TABLES: [(&str, bool); 4] = [
    ("/proc/self/net/udp", true),
    ("/proc/self/net/udp6", true),
    ("/proc/self/net/tcp", false),
    ("/proc/self/net/tcp6", false),
];

/// A socket of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProcessSocket {
    pub(super) is_udp: bool,
    pub(super) local: SocketAddr,
    /// Port 0 if it is not connected.
    pub(super) remote: SocketAddr,
}

/// A thread that looks at the sockets until it is stopped.
#[derive(Debug)]
pub(super) struct SocketMonitor {
    done: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<ProcessSocket>>>,
    looking: JoinHandle<()>,
}

impl SocketMonitor {
    /// Starts the thread; `None` if the system does not list sockets.
    pub(super) fn begin() -> Option<Self> {
        sockets()?;
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (end, record) = (Arc::clone(&done), Arc::clone(&seen));
        let looking = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let found = sockets().unwrap_or_default();
                let mut seen = record.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.len() < MOST {
                    seen.extend(found);
                }
                drop(seen);
                std::thread::sleep(PAUSE);
            }
        });
        Some(Self {
            done,
            seen,
            looking,
        })
    }

    /// Stops the thread and returns every socket that it saw.
    pub(super) fn stop(self) -> BTreeSet<ProcessSocket> {
        self.done.store(true, Ordering::Relaxed);
        let seen = Arc::clone(&self.seen);
        // After a panic of the thread, what it recorded is still there.
        drop(self.looking.join());
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen)
    }
}

/// The sockets of this process at this moment.
pub(super) fn sockets() -> Option<BTreeSet<ProcessSocket>> {
    let ours = inodes()?;
    let mut found = BTreeSet::new();
    for (table, is_udp) in TABLES {
        // A system without IPv6 has no such tables.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        let rows = text.lines().skip(1).filter_map(|line| row(line, is_udp));
        found.extend(
            rows.filter(|(inode, _)| ours.contains(inode))
                .map(|(_, socket)| socket),
        );
    }
    Some(found)
}

/// The inodes of this process's sockets.
fn inodes() -> Option<BTreeSet<u64>> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    let number = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let name = target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?;
        name.parse().ok()
    };
    Some(entries.flatten().filter_map(number).collect())
}

/// A row of a table: the socket's inode, and its two addresses.
fn row(line: &str, is_udp: bool) -> Option<(u64, ProcessSocket)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let socket = ProcessSocket {
        is_udp,
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
    };
    Some((fields.get(9)?.parse().ok()?, socket))
}

/// Parses `0100007F:1F90`: 32-bit words in the machine's byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, place) in bytes.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let read = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(read("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        let six = "00000000000000000000000001000000:0035";
        assert_eq!(read(six).as_deref(), Some("[::1]:53"));
        assert_eq!(read("0100007F"), None);
        assert_eq!(read("xyz:1"), None);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the socket that the monitor must see"
    )]
    fn a_socket_that_is_gone_at_the_end_was_seen() {
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let remote = other.local_addr().unwrap();
        let monitor = SocketMonitor::begin().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(remote).unwrap();
        let expected = ProcessSocket {
            is_udp: true,
            local: socket.local_addr().unwrap(),
            remote,
        };
        let start = crate::clock::now();
        while !monitor.seen.lock().unwrap().contains(&expected) {
            assert!(start.elapsed() < Duration::from_secs(20), "it was not seen");
            std::thread::yield_now();
        }
        drop(socket);
        assert!(monitor.stop().contains(&expected));
    }
}
