//! One task per call that moves its sound: the phone's RTP port on one side, the TURN socket
//! on the other, and the media core between them.
//!
//! No packet leaves this task for another one: what comes in is handled and sent on at once.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence_engine::{CallLabel, MediaEvent, MediaFault, MediaOrder};
use ringfence_media::far::FarLeg;
use ringfence_media::{Figures, Talk, TalkEvent, TalkOutput};
use tokio::sync::mpsc;

use crate::net::rtp_ports::{PortPair, RtpPorts, recv};
use crate::turn::TurnSocket;
use crate::turn::pool::{AllocationPoolHandle, WarmAllocation};
use crate::turn::servers::TurnServers;

/// Largest packet of sound that is read: Ethernet's size, with room for a jumbo phone.
const PACKET: usize = 2_048;

/// How often the loop is shown what a call's sound is so far.
const GLANCE: Duration = Duration::from_secs(1);

/// What a call's task tells the loop.
#[derive(Debug)]
pub(crate) enum MediaTaskEvent {
    /// Something for the engine.
    Event(CallLabel, MediaEvent),
    /// What a call's sound is so far.
    Glance(CallLabel, Box<Figures>),
    /// The call's sound is over, and this is what it was.
    Over(CallLabel, Box<Figures>),
}

/// Everything the tasks of all calls share.
#[derive(Clone, Debug)]
pub(crate) struct MediaTaskContext {
    /// Where a relayed address is ready.
    pub(crate) shelf: AllocationPoolHandle,
    /// Where relayed addresses come from when none is ready.
    pub(crate) lobby: TurnServers,
    /// To the loop.
    pub(crate) words: mpsc::Sender<MediaTaskEvent>,
}

#[derive(Debug)]
struct Sound {
    talk: Talk,
    turn: TurnSocket,
}

/// Serves one call until its orders end.
pub(crate) async fn serve(
    call: CallLabel,
    studio: MediaTaskContext,
    mut orders: mpsc::Receiver<MediaOrder>,
) {
    // One at each address where phones of the line registered, until it is known which phone has
    // the call. Only then is there something to be heard at others than the first.
    let mut near: Vec<RtpPorts> = Vec::new();
    let mut sound: Option<Sound> = None;
    let (mut from_phone, mut from_turn) = ([0; PACKET], Vec::with_capacity(PACKET));
    let (mut aside, mut seen, mut reported) = ([0; PACKET], [0; PACKET], [0; PACKET]);
    let mut glance = now() + GLANCE;
    loop {
        if let Some(sound) = &mut sound
            && !drain(sound, near.first(), call, &studio).await
        {
            break;
        }
        let alarm = sound.as_ref().and_then(|sound| sound.talk.next_alarm());
        let alarm = alarm.map(|(at, _)| at.min(glance));
        tokio::select! {
            order = orders.recv() => match order {
                None | Some(MediaOrder::Close) => break,
                Some(MediaOrder::OpenNear { at, video }) => {
                    near = RtpPorts::open(&at, video).await;
                    tell(call, &studio, opened(&at, &near)).await;
                }
                Some(MediaOrder::OpenFar) => sound = open_far(call, &studio).await,
                Some(order) => {
                    if let MediaOrder::Attach(terms) = &order {
                        near.retain(|ports| ports.local() == terms.local);
                    }
                    if let Some(fault) = obey(order, sound.as_mut()) {
                        tell(call, &studio, MediaEvent::Refused(fault)).await;
                    }
                }
            },
            packet = recv(near.first().map(|near| &near.sound.rtp), &mut from_phone) => {
                let (length, from) = packet;
                if let (Some(bytes), Some(sound)) = (from_phone.get(..length), &mut sound) {
                    sound.talk.handle_rtp(from, bytes, now());
                }
            }
            packet = recv(near.first().and_then(|near| near.sound.rtcp.as_ref()), &mut aside) => {
                let (length, from) = packet;
                if let (Some(bytes), Some(sound)) = (aside.get(..length), &mut sound) {
                    sound.talk.handle_rtcp(from, bytes, now());
                }
            }
            packet = recv(video(&near).map(|video| &video.rtp), &mut seen) => {
                see(packet, &seen, sound.as_mut());
            }
            packet = recv(video(&near).and_then(|video| video.rtcp.as_ref()), &mut reported) => {
                see(packet, &reported, sound.as_mut());
            }
            open = recv_turn(sound.as_mut().map(|sound| &mut sound.turn), &mut from_turn) => {
                if let Some(sound) = &mut sound {
                    if open {
                        sound.talk.handle_turn(&from_turn, now());
                    } else {
                        sound.talk.handle_turn_closed(now());
                    }
                }
            }
            () = until(alarm) => {
                if let Some(sound) = &mut sound {
                    sound.talk.handle_timeout(now());
                }
            }
        }
        if let Some(sound) = sound.as_ref().filter(|_| glance <= now()) {
            glance = now() + GLANCE;
            let figures = Box::new(sound.talk.figures());
            // A loop with so much to hear draws no curves.
            drop(studio.words.try_send(MediaTaskEvent::Glance(call, figures)));
        }
    }
    finish(call, &studio, near, sound).await;
}

/// Ends the far leg in good order: the goodbye leaves, and the relayed address is given back,
/// even one that was only asked for yet. The far leg itself bounds how long that may take.
async fn finish(
    call: CallLabel,
    studio: &MediaTaskContext,
    near: Vec<RtpPorts>,
    sound: Option<Sound>,
) {
    // No more sound for the phone.
    drop(near);
    let Some(mut sound) = sound else {
        return;
    };
    sound.talk.close(now());
    let figures = Box::new(sound.talk.figures());
    // The loop may be gone already; the sound is over all the same.
    drop(studio.words.send(MediaTaskEvent::Over(call, figures)).await);
    let mut from_turn = Vec::with_capacity(PACKET);
    loop {
        say_last_words(&mut sound);
        // A far leg that is closed waits for nothing any more.
        let Some((alarm, _)) = sound.talk.next_alarm() else {
            break;
        };
        tokio::select! {
            open = recv_turn(Some(&mut sound.turn), &mut from_turn) => {
                if open {
                    sound.talk.handle_turn(&from_turn, now());
                } else {
                    sound.talk.handle_turn_closed(now());
                }
            }
            () = until(Some(alarm)) => sound.talk.handle_timeout(now()),
        }
    }
}

/// Sends what a closing far leg still has to say to the TURN server.
fn say_last_words(sound: &mut Sound) {
    while let Some(output) = sound.talk.poll() {
        if let TalkOutput::ToServer(bytes) = output {
            sound.turn.send(&bytes);
        }
    }
}

/// Carries out an order; what it cannot do, the engine must hear of.
fn obey(order: MediaOrder, sound: Option<&mut Sound>) -> Option<MediaFault> {
    let Sound { talk, .. } = sound?;
    match order {
        MediaOrder::Attach(terms) => talk.attach_phone(terms, now()),
        MediaOrder::Connect { remote, role } => {
            let connected = talk.connect(&remote, role, now());
            return connected.err().map(|fault| {
                tracing::debug!(%fault, "the other side's description cannot be used");
                MediaFault::NoPath
            });
        }
        MediaOrder::OpenMicrophone => talk.open_microphone(now()),
        MediaOrder::Press { event, millis } => {
            let said = talk.press(event, millis);
            tracing::trace!(said, "key press");
        }
        MediaOrder::Control(frame) => {
            let sent = talk.send_control(&frame, now());
            tracing::trace!(sent, "control frame");
        }
        _ => {}
    }
    None
}

/// Carries out all that the media core asks. False when there is nobody left to tell.
async fn drain(
    sound: &mut Sound,
    near: Option<&RtpPorts>,
    call: CallLabel,
    studio: &MediaTaskContext,
) -> bool {
    while let Some(output) = sound.talk.poll() {
        match output {
            TalkOutput::ToServer(bytes) => {
                sound.turn.send(&bytes);
            }
            TalkOutput::ToPhone { to, bytes } => {
                // Lost sound is not sent again.
                send(near.map(|near| &near.sound), &bytes, to);
            }
            TalkOutput::VideoToPhone { to, bytes } => {
                send(near.and_then(|near| near.video.as_ref()), &bytes, to);
            }
            TalkOutput::Event(event) => {
                if !tell(call, studio, MediaEvent::Talk(event)).await {
                    return false;
                }
            }
        }
    }
    true
}

/// Takes the spare, whose relay the engine hears of at once, or dials; then the relay comes later.
async fn open_far(call: CallLabel, studio: &MediaTaskContext) -> Option<Sound> {
    if let Some(WarmAllocation { leg, turn, local }) = studio.shelf.take().await {
        let allocated = MediaEvent::Talk(TalkEvent::Allocated(local));
        tell(call, studio, allocated).await;
        let talk = Talk::new(leg, rand::random());
        return Some(Sound { talk, turn });
    }
    let Some((turn, config)) = studio.lobby.enter().await else {
        tell(call, studio, MediaEvent::Refused(MediaFault::NoTurn)).await;
        return None;
    };
    let far = FarLeg::new(config, rand::random(), now());
    Some(Sound {
        talk: Talk::new(far, rand::random()),
        turn,
    })
}

async fn tell(call: CallLabel, studio: &MediaTaskContext, event: MediaEvent) -> bool {
    studio
        .words
        .send(MediaTaskEvent::Event(call, event))
        .await
        .is_ok()
}

/// What the engine hears of ports that were to be bound.
fn opened(at: &[IpAddr], near: &[RtpPorts]) -> MediaEvent {
    if near.is_empty() && !at.is_empty() {
        MediaEvent::Refused(MediaFault::NoPort)
    } else {
        MediaEvent::Near(near.iter().map(RtpPorts::named).collect())
    }
}

/// The ports for moving pictures, if the call may have some.
fn video(near: &[RtpPorts]) -> Option<&PortPair> {
    near.first()?.video.as_ref()
}

/// Takes a packet of moving pictures, or about them.
fn see((length, from): (usize, SocketAddr), buffer: &[u8], sound: Option<&mut Sound>) {
    if let (Some(bytes), Some(sound)) = (buffer.get(..length), sound) {
        sound.talk.handle_video(from, bytes, now());
    }
}

/// Sends the phone a packet. What is lost is not sent again.
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

async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    crate::clock::now()
}
