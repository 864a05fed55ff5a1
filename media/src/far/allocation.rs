//! Our allocation on the TURN server (RFC 8656), driven without waiting.
//!
//! The TURN client keeps at least 50 ms between two of its requests, which would cost a call two or three such pauses.
//! The client gets the time from this file, so its clock is put forward over each pause ([`MAX_SKIPS`] bounds how often),
//! and to its next refresh when the owner asks whether the allocation still stands.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use turn_client_proto::api::{
    BindChannelError, CreatePermissionError, Transmit, TurnClientApi, TurnConfig, TurnEvent,
    TurnPeerData, TurnPollRet, TurnRecvRet,
};
use turn_client_proto::stun::Instant as TurnInstant;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::{AddressFamily, TransportType, TurnCredentials};

use super::channels::MediaChannels;
use super::config::{FarConfig, TurnTransport};
use super::replies::{self, TurnRefusal, TurnReplies};

/// Pauses of the TURN client that are skipped in one call: Allocate, permissions and channels for
/// [`MAX_RELAYED_ADDRESSES`](crate::description::MAX_RELAYED_ADDRESSES), permissions for eight other servers, and the deletion. They put
/// its clock forward by 1.2 s at most.
const MAX_SKIPS: u32 = 24;

/// The pause that the TURN client keeps between two requests.
const CADENCE: Duration = Duration::from_millis(50);

/// First retransmission of a TURN request. RFC 8489 section 6.2.1 advises 500 ms where the path is unknown; here a person
/// waits, and the wire may lose a third.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(100);

/// Longest time between two retransmissions: a server that comes back is met soon after.
const LONGEST_REQUEST_TIMEOUT: Duration = Duration::from_millis(250);

/// Transmissions of one request: 8 s in all, so that a refresh fails early enough to be tried again. The client doubles a number for each,
/// which must stay below 2^32.
const REQUEST_TRANSMISSIONS: u32 = 32;

/// When the client gives a request up, and a moment.
const REQUEST_LIMIT: Duration = Duration::from_secs(9);

/// Rounds of the loop in one call of [`Allocation::poll`]; far more than a client can need.
const MAX_ROUNDS: usize = 64;

/// What happened to the allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AllocationEvent {
    /// The allocation stands; its relayed address.
    Ready(SocketAddr),
    /// There is no allocation; the server's error code if it gave one.
    Refused(Option<u16>),
    /// Packets to and from this IP address pass.
    Permitted(IpAddr),
    /// The server refuses this IP address.
    Forbidden(IpAddr),
    /// The server has granted a request: the allocation stands.
    Confirmed,
    /// The server says that it has no such allocation of ours: it has started again, or our address has changed.
    Unknown,
    /// The server refuses the login that the allocation was made with.
    LoginOver,
    /// The allocation is gone: deleted, expired or never there.
    Gone,
}

turn_client_proto::impl_client!(Client, (Udp, TurnClientUdp), (Stream, TurnClientTcp));

/// One allocation on one server.
pub(super) struct Allocation {
    client: Client,
    transport: TransportType,
    server: SocketAddr,
    local: SocketAddr,
    base: Instant,
    skew: Duration,
    skips: u32,
    last_request: Option<TurnInstant>,
    replies: TurnReplies,
    channels: MediaChannels,
    refused: Option<u16>,
    confirmed: bool,
    unknown: bool,
    login_over: bool,
    timeout: Option<Instant>,
    gone: bool,
}

impl Allocation {
    /// Prepares to allocate; the first request comes from [`poll`](Self::poll).
    pub(super) fn new(config: &FarConfig, now: Instant) -> Self {
        let turn = &config.turn;
        let mut terms =
            TurnConfig::new(TurnCredentials::new(&turn.username, turn.password.expose()));
        // Without the attribute a server gives an IPv4 address.
        if config.relays_ipv6 {
            terms.set_address_family(AddressFamily::IPV6);
        }
        // The server checks time-limited credentials by the user name, which must be readable and identifies no user.
        terms.set_anonymous_username(Feature::Disabled);
        terms.set_request_retransmits(
            REQUEST_TIMEOUT,
            LONGEST_REQUEST_TIMEOUT,
            REQUEST_TRANSMISSIONS,
            REQUEST_TIMEOUT * 10,
        );
        let (client, transport) = match turn.transport {
            TurnTransport::Udp => (
                TurnClientUdp::allocate(config.local, turn.addr, terms).into(),
                TransportType::Udp,
            ),
            TurnTransport::Stream => (
                TurnClientTcp::allocate(config.local, turn.addr, terms).into(),
                TransportType::Tcp,
            ),
        };
        Self {
            client,
            transport,
            server: turn.addr,
            local: config.local,
            base: now,
            skew: Duration::ZERO,
            skips: 0,
            last_request: None,
            replies: TurnReplies::default(),
            channels: MediaChannels::new(transport == TransportType::Tcp),
            refused: None,
            confirmed: false,
            unknown: false,
            login_over: false,
            timeout: None,
            gone: false,
        }
    }

    /// Takes one frame from the server. Peer data is returned; TURN messages are handled; anything else is an error.
    pub(super) fn receive<'a>(
        &mut self,
        frame: &'a [u8],
        now: Instant,
    ) -> Result<Option<TurnPeerData<&'a [u8]>>, Stray> {
        match self.replies.read(frame, now) {
            Some(TurnRefusal::Allocate(code)) => self.refused = Some(code),
            Some(TurnRefusal::Unknown) => self.unknown = true,
            Some(TurnRefusal::LoginOver) => self.login_over = true,
            None => {}
        }
        let transmit = Transmit::new(frame, self.transport, self.server, self.local);
        match self.client.recv(transmit, self.at(now)) {
            TurnRecvRet::PeerData(data) => Ok(Some(data)),
            // The client has checked the server's integrity attribute and the transaction.
            TurnRecvRet::Handled => {
                self.confirmed |= replies::is_success(frame);
                Ok(None)
            }
            TurnRecvRet::PeerIcmp { .. } => Ok(None),
            TurnRecvRet::Ignored(_)
                if self.refused.is_some() || self.unknown || self.login_over =>
            {
                Ok(None)
            }
            TurnRecvRet::Ignored(_) => Err(Stray),
        }
    }

    /// Polls the client: frames for the server go to `send`, events to `notify`. With `hurry`, its pauses are skipped.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        hurry: bool,
        mut send: impl FnMut(Vec<u8>),
        mut notify: impl FnMut(AllocationEvent),
    ) {
        if self.gone {
            return;
        }
        if let Some(code) = self.refused.take() {
            self.gone = true;
            notify(AllocationEvent::Refused(Some(code)));
            return;
        }
        if std::mem::take(&mut self.unknown) {
            notify(AllocationEvent::Unknown);
        }
        if std::mem::take(&mut self.login_over) {
            notify(AllocationEvent::LoginOver);
        }
        if std::mem::take(&mut self.confirmed) {
            notify(AllocationEvent::Confirmed);
        }
        for _ in 0..MAX_ROUNDS {
            let at = self.at(now);
            while let Some(transmit) = self.client.poll_transmit(at) {
                self.last_request = Some(at);
                self.replies.sent(&transmit.data, now);
                send(transmit.data.to_vec());
            }
            while let Some(event) = self.client.poll_event() {
                if let TurnEvent::ChannelCreateFailed(_, peer) = &event {
                    self.channels.forget(*peer);
                }
                if let Some(event) = translate(&event) {
                    notify(event);
                }
            }
            match self.client.poll(at) {
                TurnPollRet::WaitUntil(until) if until <= at => {}
                TurnPollRet::WaitUntil(until) => {
                    let wait = until.duration_since(at);
                    if !(hurry && self.is_pause(until) && self.skips < MAX_SKIPS) {
                        self.timeout = Some(now + wait);
                        return;
                    }
                    self.skips += 1;
                    self.skew += wait;
                }
                // TCP allocations (RFC 6062) are never requested.
                TurnPollRet::AllocateTcpSocket { .. } | TurnPollRet::TcpClose { .. } => {}
                TurnPollRet::Closed => {
                    while let Some(event) = self.client.poll_event() {
                        if let Some(event) = translate(&event) {
                            notify(event);
                        }
                    }
                    self.gone = true;
                    self.timeout = None;
                    notify(AllocationEvent::Gone);
                    return;
                }
            }
        }
        // The client asks for more rounds than it can need: continue a little later instead of spinning.
        self.timeout = Some(now + CADENCE);
    }

    /// Requests a permission for `ip`.
    pub(super) fn permit(&mut self, ip: IpAddr, now: Instant) -> Result<(), CreatePermissionError> {
        let at = self.at(now);
        self.client.create_permission(TransportType::Udp, ip, at)
    }

    /// Requests a channel to `peer`, whose header is shorter than that of a Send indication.
    pub(super) fn bind(&mut self, peer: SocketAddr, now: Instant) -> Result<(), BindChannelError> {
        let at = self.at(now);
        self.client.bind_channel(TransportType::Udp, peer, at)
    }

    /// The frame that carries `data` to `peer`, if its permission is granted.
    pub(super) fn wrap(
        &mut self,
        peer: SocketAddr,
        data: Vec<u8>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let at = self.at(now);
        let transmit = self
            .client
            .send_to(TransportType::Udp, peer, data, at)
            .ok()??;
        let mut frame = transmit.build().data;
        self.channels.note(peer, &frame);
        if self.transport == TransportType::Tcp {
            ringfence_turn_framing::pad(&mut frame);
        }
        Some(frame)
    }

    /// The channels by which media passes without the client.
    pub(super) fn channels(&self) -> &MediaChannels {
        &self.channels
    }

    /// Puts the client's clock forward to its next refresh of the allocation or of a permission; the request comes from
    /// the next [`poll`](Self::poll). The client only refreshes sooner than it must. Nothing is done while another request is on its
    /// way, whose answer is as good.
    pub(super) fn refresh_early(&mut self, now: Instant) {
        // Over a stream the client sends no request again, and would give up the one that waits.
        let since = match self.transport {
            TransportType::Tcp => REQUEST_LIMIT,
            TransportType::Udp => LONGEST_REQUEST_TIMEOUT,
        };
        if self.replies.is_awaited(since, now) {
            return;
        }
        let wait = self.timeout.map(|at| at.saturating_duration_since(now));
        self.skew += wait.unwrap_or_default();
    }

    /// The round trip to the server.
    pub(super) fn round_trip(&self) -> Duration {
        self.replies.round_trip()
    }

    /// Deletes the allocation; the request comes from the next [`poll`](Self::poll). False if there is none.
    pub(super) fn delete(&mut self, now: Instant) -> bool {
        self.skips = self.skips.saturating_sub(2);
        let at = self.at(now);
        self.client.delete(at).is_ok()
    }

    /// Whether the server holds no allocation of ours and will get no request for one.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Our own address as the server sees it.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.replies.mapped()
    }

    /// When to call [`poll`](Self::poll) again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// Whether `until` is the end of the pause after the last request, rather than a retransmission or a refresh.
    fn is_pause(&self, until: TurnInstant) -> bool {
        self.last_request
            .is_some_and(|last| until <= last + CADENCE)
    }

    fn at(&self, now: Instant) -> TurnInstant {
        TurnInstant::ZERO + now.saturating_duration_since(self.base) + self.skew
    }
}

// The client's own Debug prints the password.
impl std::fmt::Debug for Allocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allocation")
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

/// Bytes from the server's socket that do not belong to this allocation.
#[derive(Debug)]
pub(super) struct Stray;

fn translate(event: &TurnEvent) -> Option<AllocationEvent> {
    match event {
        TurnEvent::AllocationCreated(_, address) => Some(AllocationEvent::Ready(*address)),
        TurnEvent::AllocationCreateFailed(_) => Some(AllocationEvent::Refused(None)),
        TurnEvent::PermissionCreated(_, ip) => Some(AllocationEvent::Permitted(*ip)),
        TurnEvent::PermissionCreateFailed(_, ip) => Some(AllocationEvent::Forbidden(*ip)),
        // Without a channel, packets travel in Send indications, which only have a longer header.
        TurnEvent::ChannelCreated(..) | TurnEvent::ChannelCreateFailed(..) => None,
        TurnEvent::TcpConnected(_) | TurnEvent::TcpConnectFailed(_) => None,
    }
}
