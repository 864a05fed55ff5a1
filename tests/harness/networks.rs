//! Network namespaces of Linux: a house whose engine has three uplinks, one of them with IPv6 alone, to the world with the servers and the other
//! engine. Uplinks change, go down and come back while programs run.
//!
//! ```text
//!  home: lo, an engine, its phones ── 10.77.0.0/24 ──┐
//!                                  ── 10.77.1.0/24 ──┼─ world: 10.77.9.1, fd77:9::1, servers, the other engine, its phones
//!                                  ── fd77:2::/64  ──┘
//! ```

use std::{
    cell::RefCell,
    collections::hash_map::RandomState,
    fs::File,
    hash::{BuildHasher as _, Hasher as _},
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    panic::resume_unwind,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where the servers of the world are.
pub const SERVERS: Ipv4Addr = Ipv4Addr::new(10, 77, 9, 1);
/// Where its TURN servers are as well.
pub const SERVERS_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 9, 0, 0, 0, 0, 0, 1);
/// The uplink without IPv4.
pub const IPV6_UPLINK: usize = 2;

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// A network namespace, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The place of this thread, if it works in one.
    pub fn here() -> Option<Self> {
        PLACE.with_borrow(Clone::clone)
    }

    /// Does some work in a thread that is there, with all sockets and programs that it opens.
    ///
    /// # Panics
    /// When the namespace is gone, and with the work.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let there = || {
            let namespace = File::open(self.path()).expect("the namespace is there");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("it was made by us");
            PLACE.set(Some(self.clone()));
            work()
        };
        thread::scope(|scope| scope.spawn(there).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The file by which programs enter it.
    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }
}

/// Does some work in a place, or here.
pub fn inside<T: Send>(place: Option<&Place>, work: impl FnOnce() -> T + Send) -> T {
    match place {
        Some(place) if Place::here().as_ref() != Some(place) => place.inside(work),
        _ => work(),
    }
}

/// A house with three uplinks, one of which is in use.
#[derive(Debug)]
pub struct Networks {
    /// The house.
    pub home: Place,
    /// Everything else.
    pub world: Place,
    in_use: AtomicUsize,
}

impl Networks {
    /// Makes them, with the first uplink up. `None` without the rights, or without iproute2.
    pub fn lay() -> Option<Self> {
        let id = RandomState::new().build_hasher().finish() % 1_000_000;
        let networks = Self {
            home: Place(format!("rf{id}h")),
            world: Place(format!("rf{id}w")),
            in_use: AtomicUsize::new(0),
        };
        let (home, world) = (&networks.home.0, &networks.world.0);
        let mut steps = vec![
            format!("netns add {home}"),
            format!("netns add {world}"),
            format!("-n {home} link set lo up"),
            format!("-n {world} link set lo up"),
            format!("-n {world} addr add {SERVERS}/32 dev lo"),
            format!("-n {world} addr add {SERVERS_IPV6}/128 dev lo"),
        ];
        for uplink in [0, 1, IPV6_UPLINK] {
            steps.extend([
                format!(
                    "link add u{uplink} netns {home} type veth peer name u{uplink} netns {world}"
                ),
                format!(
                    "-n {world} addr add {} dev u{uplink}{}",
                    address(uplink, 1),
                    no_detection(uplink)
                ),
                format!("-n {world} link set u{uplink} up"),
                format!("-n {home} link set u{uplink} up"),
            ]);
        }
        let laid = steps
            .iter()
            .all(|step| ip(&step.split(' ').collect::<Vec<_>>(), ""));
        if !laid {
            return None;
        }
        networks.connect(0);
        Some(networks)
    }

    /// The uplink that is in use, or was before the last one went down.
    pub fn uplink(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// An uplink comes up, with an address and the default route.
    pub fn connect(&self, uplink: usize) {
        self.in_use.store(uplink, Ordering::Relaxed);
        self.change(&Self::connecting(uplink));
    }

    /// An uplink goes down.
    pub fn disconnect(&self, uplink: usize) {
        self.change(&Self::disconnecting(uplink));
    }

    /// The house leaves the uplink in use for another one at the same moment. Links stay up: one that comes up carries nothing for a second.
    pub fn move_to(&self, uplink: usize) {
        let old = self.in_use.swap(uplink, Ordering::Relaxed);
        self.change(&(Self::connecting(uplink) + &format!("addr flush dev u{old}\n")));
    }

    /// The cable of an uplink is pulled or plugged, which no program in the house is told.
    pub fn plug(&self, uplink: usize, is_plugged: bool) {
        let state = if is_plugged { "up" } else { "down" };
        let name = format!("u{uplink}");
        let done = ip(&["-n", &self.world.0, "link", "set", &name, state], "");
        assert!(done, "the network can be changed");
    }

    fn connecting(uplink: usize) -> String {
        let (own, router) = (address(uplink, 2), address(uplink, 1));
        let (router, _) = router.split_once('/').expect("it has a length");
        format!(
            "link set u{uplink} up\naddr replace {own} dev u{uplink}{}\nroute replace default via {router} dev u{uplink}\n",
            no_detection(uplink)
        )
    }

    fn disconnecting(uplink: usize) -> String {
        format!("addr flush dev u{uplink}\nlink set u{uplink} down\n")
    }

    fn change(&self, steps: &str) {
        let done = ip(&["-n", &self.home.0, "-batch", "-"], steps);
        assert!(done, "the network can be changed:\n{steps}");
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for place in [&self.home, &self.world] {
            ip(&["netns", "del", &place.0], "");
        }
    }
}

/// An address of an uplink's network.
fn address(uplink: usize, host: u8) -> String {
    match uplink {
        IPV6_UPLINK => format!("fd77:{uplink}::{host}/64"),
        _ => format!("10.77.{uplink}.{host}/24"),
    }
}

/// An IPv6 address can be used at once only without the search for another host that has it (RFC 4862 section 5.4).
const fn no_detection(uplink: usize) -> &'static str {
    match uplink {
        IPV6_UPLINK => " nodad",
        _ => "",
    }
}

/// Runs iproute2 with this input; whether it succeeds.
fn ip(arguments: &[&str], input: &str) -> bool {
    let started = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut child) = started else {
        return false;
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have closed it.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait().is_ok_and(|status| status.success())
}
