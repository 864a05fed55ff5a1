//! One task a call that moves its media: the phone's RTP ports on one side, the TURN socket on the other, and the bridge of
//! `ringfence-media` between them.
//!
//! A packet never changes tasks: it is read, handled and sent on in the same turn of this loop.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder};
use ringfence_media::far::TurnWay;
use ringfence_media::{Bridge, BridgeEvent, BridgeOutput, MediaStats};
use tokio::sync::{mpsc, watch};

use super::recovery::Recovery;
use super::way_out::{self, OpenMedia, Racing};
use crate::clock::{now, until};
use crate::net::rtp_ports::{PortPair, RtpPorts, recv};
use crate::turn::allocation_io::release;
use crate::turn::pool::{AllocationPoolHandle, Checks, Home};
use crate::turn::servers::TurnServers;
use crate::turn::{SendOutcome, TurnSocket};

/// Largest packet that is read: more than an Ethernet frame carries.
const PACKET: usize = 2_048;

/// How often the event loop gets the figures of a call so far.
const STATS: Duration = Duration::from_secs(1);

/// What a media task tells the event loop.
#[derive(Debug)]
pub(crate) enum MediaTaskEvent {
    /// An input for the engine.
    Engine(CallLabel, MediaEvent),
    /// The figures of a call so far.
    Stats(CallLabel, Box<MediaStats>),
    /// The media of a call has ended; these are its final figures.
    Ended(CallLabel, Box<MediaStats>),
}

/// What the media tasks of all calls share.
#[derive(Clone, Debug)]
pub(crate) struct MediaTaskContext {
    /// The allocation that is kept ready.
    pub(crate) allocations: AllocationPoolHandle,
    /// The servers to ask when none is ready.
    pub(crate) turn: TurnServers,
    /// Changes when this machine reaches the world another way than before.
    pub(crate) network: watch::Receiver<u64>,
    /// To the event loop.
    pub(crate) events: mpsc::Sender<MediaTaskEvent>,
}

/// Serves one call until its orders end.
pub(crate) async fn run(
    call: CallLabel,
    context: MediaTaskContext,
    mut orders: mpsc::Receiver<MediaOrder>,
) {
    // One entry for each address at which phones of the line registered, until it is known which phone has the call. Before
    // that, no phone sends media, so only the first is read.
    let mut ports: Vec<RtpPorts> = Vec::new();
    let (mut media, mut racing): (Option<OpenMedia>, Option<Racing>) = (None, None);
    let (mut audio_rtp, mut audio_rtcp) = ([0; PACKET], [0; PACKET]);
    let (mut video_rtp, mut video_rtcp) = ([0; PACKET], [0; PACKET]);
    let mut from_turn = Vec::with_capacity(PACKET);
    let mut stats_at = now() + STATS;
    let mut recovery = Recovery::default();
    let mut network = context.network.clone();
    network.mark_unchanged();
    loop {
        if let Some(media) = &mut media {
            if !drain(media, ports.first(), call, &context).await {
                break;
            }
            recovery.follow(media, &context);
        }
        let timeout = media.as_ref().and_then(|media| media.bridge.next_timeout());
        let check = media.as_ref().and_then(|media| media.waiting.as_ref());
        let wake = check.map_or(stats_at, |(checks, _)| checks.at().min(stats_at));
        let timeout = media
            .is_some()
            .then(|| timeout.map_or(wake, |(at, _)| at.min(wake)));
        tokio::select! {
            order = orders.recv() => match order {
                None | Some(MediaOrder::Close) => break,
                Some(MediaOrder::OpenNear { at, video }) => {
                    ports = RtpPorts::open(&at, video).await;
                    notify(call, &context, opened(&at, &ports)).await;
                }
                Some(MediaOrder::OpenFar { avoid }) => {
                    media = way_out::take_ready(&avoid, &context).await;
                    racing = media.is_none().then(|| Racing::start(&avoid, &context));
                }
                Some(order) => {
                    if let MediaOrder::Attach(terms) = &order {
                        ports.retain(|ports| ports.local() == terms.local);
                    }
                    match &mut racing {
                        Some(racing) => racing.hold(order),
                        None => carry_out(order, media.as_mut(), call, &context).await,
                    }
                }
            },
            outcome = way_out::outcome(racing.as_mut()) => {
                media = way_out::open(outcome, call, &context).await;
                for order in racing.take().map(Racing::into_held).unwrap_or_default() {
                    carry_out(order, media.as_mut(), call, &context).await;
                }
            }
            winner = recovery.winner() => {
                if let Some(media) = &mut media {
                    recovery.adopt(winner, media);
                }
            }
            Ok(()) = network.changed() => {
                if let Some(racing) = &mut racing {
                    recovery.end_race(racing.begin_again(&context));
                }
                recovery.handle_network_change(media.as_mut());
            }
            packet = recv(ports.first().map(|ports| &ports.audio.rtp), &mut audio_rtp) => {
                let (length, from) = packet;
                if let (Some(bytes), Some(media)) = (audio_rtp.get(..length), &mut media) {
                    media.bridge.handle_rtp(from, bytes, now());
                }
            }
            packet = recv(ports.first().and_then(|ports| ports.audio.rtcp.as_ref()), &mut audio_rtcp) => {
                let (length, from) = packet;
                if let (Some(bytes), Some(media)) = (audio_rtcp.get(..length), &mut media) {
                    media.bridge.handle_rtcp(from, bytes, now());
                }
            }
            packet = recv(video(&ports).map(|video| &video.rtp), &mut video_rtp) => {
                handle_video(packet, &video_rtp, media.as_mut());
            }
            packet = recv(video(&ports).and_then(|video| video.rtcp.as_ref()), &mut video_rtcp) => {
                handle_video(packet, &video_rtcp, media.as_mut());
            }
            open = recv_turn(open_turn(media.as_mut()), &mut from_turn) => {
                if let Some(media) = &mut media {
                    handle_turn(open, &from_turn, media);
                }
            }
            () = until(timeout) => {
                if let Some(media) = &mut media {
                    handle_timeout(media);
                }
            }
        }
        if let Some(media) = media.as_ref().filter(|_| stats_at <= now()) {
            stats_at = now() + STATS;
            let figures = Box::new(media.bridge.stats());
            // A loop that is behind can do without this second.
            context
                .events
                .try_send(MediaTaskEvent::Stats(call, figures))
                .ok();
        }
    }
    if let Some(racing) = racing {
        racing.end().await;
    }
    finish(call, &context, ports, media).await;
    recovery.end().await;
}

/// Time has passed: an allocation that waits is checked as in the pool.
fn handle_timeout(media: &mut OpenMedia) {
    let now = now();
    media.bridge.handle_timeout(now);
    if let Some((checks, _)) = &mut media.waiting
        && checks.are_due(now)
    {
        media.bridge.check(now);
    }
}

/// Closes the WebRTC side: its last packets leave, and the allocation is released, even one that was only requested yet. The far
/// leg itself bounds how long that may take.
async fn finish(
    call: CallLabel,
    context: &MediaTaskContext,
    ports: Vec<RtpPorts>,
    media: Option<OpenMedia>,
) {
    drop(ports);
    let Some(OpenMedia {
        bridge,
        turn,
        waiting,
        ..
    }) = media
    else {
        return;
    };
    let figures = Box::new(bridge.stats());
    // At shutdown the loop may be gone.
    context
        .events
        .send(MediaTaskEvent::Ended(call, figures))
        .await
        .ok();
    let (bridge, turn) = match give_back(bridge, turn, waiting) {
        Left::Nothing => return,
        Left::Way(way, turn) => return release(*way, turn).await,
        Left::Bridge(bridge, turn) => (*bridge, turn),
    };
    let mut media = OpenMedia {
        bridge,
        turn,
        is_closed: false,
        waiting: None,
    };
    media.bridge.close(now());
    let mut from_turn = Vec::with_capacity(PACKET);
    loop {
        while let Some(output) = media.bridge.poll() {
            if let BridgeOutput::ToServer(bytes) = output {
                media.turn.send(&bytes);
            }
        }
        // A far leg that has closed has no timeout.
        let Some((timeout, _)) = media.bridge.next_timeout() else {
            break;
        };
        tokio::select! {
            open = recv_turn(Some(&mut media.turn), &mut from_turn) => {
                handle_turn(open, &from_turn, &mut media);
            }
            () = until(Some(timeout)) => media.bridge.handle_timeout(now()),
        }
    }
}

/// What a call that is over leaves to be ended.
enum Left {
    Nothing,
    Way(Box<TurnWay>, TurnSocket),
    Bridge(Box<Bridge>, TurnSocket),
}

/// Gives an allocation back to the pool that had no peer; returns what is to be ended here.
fn give_back(bridge: Bridge, turn: TurnSocket, waiting: Option<(Checks, Home)>) -> Left {
    let Some((checks, home)) = waiting else {
        return Left::Bridge(Box::new(bridge), turn);
    };
    match bridge.into_waiting() {
        Ok(way) => match home.give_back(way, turn, checks) {
            Some((way, turn)) => Left::Way(Box::new(way), turn),
            None => Left::Nothing,
        },
        Err(bridge) => {
            home.note_lost();
            Left::Bridge(bridge, turn)
        }
    }
}

/// Carries out an order; the engine learns if that is impossible.
async fn carry_out(
    order: MediaOrder,
    media: Option<&mut OpenMedia>,
    call: CallLabel,
    context: &MediaTaskContext,
) {
    let Some(OpenMedia {
        bridge, waiting, ..
    }) = media
    else {
        return;
    };
    match order {
        MediaOrder::Attach(terms) => bridge.attach_phone(*terms, now()),
        MediaOrder::Detach => bridge.detach_phone(now()),
        MediaOrder::Connect { remote, role } => {
            if let Err(error) = bridge.connect(&remote, role, now()) {
                tracing::debug!(%error, "the other side's description cannot be used");
                notify(call, context, MediaEvent::Refused(MediaFailure::NoPath)).await;
            } else {
                *waiting = None;
            }
        }
        MediaOrder::Meet(remote) => bridge.meet(remote, now()),
        MediaOrder::OpenMicrophone => bridge.open_microphone(now()),
        MediaOrder::Press { event, millis } => {
            let sent = bridge.send_dtmf(event, millis);
            tracing::trace!(sent, "key press");
        }
        MediaOrder::Datagram { to, bytes } => {
            let sent = bridge.send_datagram(to, &bytes, now());
            tracing::trace!(sent, "datagram");
        }
        MediaOrder::Control(frame) => {
            let sent = bridge.send_control(&frame, now());
            tracing::trace!(sent, "control frame");
        }
        _ => {}
    }
}

/// Carries out everything that the bridge asks. False when the event loop is gone.
async fn drain(
    media: &mut OpenMedia,
    ports: Option<&RtpPorts>,
    call: CallLabel,
    context: &MediaTaskContext,
) -> bool {
    while let Some(output) = media.bridge.poll() {
        match output {
            BridgeOutput::ToServer(bytes) => {
                if media.turn.send(&bytes) == SendOutcome::Unreachable {
                    media.bridge.handle_turn_unreachable(now());
                }
            }
            BridgeOutput::ToPhone { to, bytes } => {
                send(ports.map(|ports| &ports.audio), &bytes, to);
            }
            BridgeOutput::VideoToPhone { to, bytes } => {
                send(ports.and_then(|ports| ports.video.as_ref()), &bytes, to);
            }
            BridgeOutput::Event(event) => {
                if let BridgeEvent::Failed(error) = &event {
                    tracing::info!(%call, "the media path failed: {error}");
                }
                if !notify(call, context, MediaEvent::Bridge(event)).await {
                    return false;
                }
            }
        }
    }
    true
}

pub(super) async fn notify(call: CallLabel, context: &MediaTaskContext, event: MediaEvent) -> bool {
    let event = MediaTaskEvent::Engine(call, event);
    context.events.send(event).await.is_ok()
}

/// What the engine learns of ports that were to be bound.
fn opened(at: &[IpAddr], ports: &[RtpPorts]) -> MediaEvent {
    if ports.is_empty() && !at.is_empty() {
        MediaEvent::Refused(MediaFailure::NoPort)
    } else {
        MediaEvent::Near(ports.iter().map(RtpPorts::describe).collect())
    }
}

/// The ports for video, if the call may have some.
fn video(ports: &[RtpPorts]) -> Option<&PortPair> {
    ports.first()?.video.as_ref()
}

/// Handles a packet of a video port, RTP or RTCP.
fn handle_video((length, from): (usize, SocketAddr), buffer: &[u8], media: Option<&mut OpenMedia>) {
    if let (Some(bytes), Some(media)) = (buffer.get(..length), media) {
        media.bridge.handle_video(from, bytes, now());
    }
}

fn handle_turn(open: bool, packet: &[u8], media: &mut OpenMedia) {
    if open {
        media.bridge.handle_turn(packet, now());
    } else {
        media.is_closed = true;
        media.bridge.handle_turn_closed(now());
    }
}

/// The socket to the TURN server, unless it is closed.
fn open_turn(media: Option<&mut OpenMedia>) -> Option<&mut TurnSocket> {
    let media = media.filter(|media| !media.is_closed)?;
    Some(&mut media.turn)
}

/// Sends the phone a packet. A lost one is not repeated, as on any network.
fn send(ports: Option<&PortPair>, bytes: &[u8], to: SocketAddr) {
    let sent = ports.map(|ports| ports.rtp.try_send_to(bytes, to));
    if !matches!(sent, Some(Ok(_))) {
        tracing::trace!("a packet for the phone was lost");
    }
}

async fn recv_turn(turn: Option<&mut TurnSocket>, buffer: &mut Vec<u8>) -> bool {
    match turn {
        Some(turn) => turn.recv(buffer).await,
        None => std::future::pending().await,
    }
}
