//! One task per call that moves its sound: the phone's RTP port on one side, the TURN socket
//! on the other, and the media core between them.
//!
//! No packet leaves this task for another one: what comes in is handled and sent on at once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ringfence_engine::{CallLabel, MediaEvent, MediaFault, MediaOrder};
use ringfence_media::far::FarLeg;
use ringfence_media::{Figures, Talk, TalkEvent, TalkOutput};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::lobby::Lobby;
use super::patience::patiently;
use super::spare::{Shelf, Spare};
use super::turn::TurnSocket;

/// Tries for an even RTP port whose odd neighbour is free too (RFC 3550 11).
const PORT_TRIES: usize = 64;

/// Largest packet of sound that is read: Ethernet's size, with room for a jumbo phone.
const PACKET: usize = 2_048;

/// How often the loop is shown what a call's sound is so far.
const GLANCE: Duration = Duration::from_secs(1);

/// What a call's task tells the loop.
#[derive(Debug)]
pub(crate) enum Word {
    /// Something for the engine.
    Event(CallLabel, MediaEvent),
    /// What a call's sound is so far.
    Glance(CallLabel, Box<Figures>),
    /// The call's sound is over, and this is what it was.
    Over(CallLabel, Box<Figures>),
}

/// Everything the tasks of all calls share.
#[derive(Clone, Debug)]
pub(crate) struct Studio {
    /// Where a relayed address is ready.
    pub(crate) shelf: Shelf,
    /// Where relayed addresses come from when none is ready.
    pub(crate) lobby: Lobby,
    /// To the loop.
    pub(crate) words: mpsc::Sender<Word>,
}

/// The phone's two ports. What comes to the second is RTCP, which ends here: it names the
/// phone.
#[derive(Debug)]
struct NearPorts {
    local: SocketAddr,
    rtp: UdpSocket,
    rtcp: Option<UdpSocket>,
}

#[derive(Debug)]
struct Sound {
    talk: Talk,
    turn: TurnSocket,
}

/// Serves one call until its orders end.
pub(crate) async fn serve(call: CallLabel, studio: Studio, mut orders: mpsc::Receiver<MediaOrder>) {
    // One at each address where phones of the line registered, until it is known which phone has
    // the call. Only then is there something to be heard at others than the first.
    let mut near: Vec<NearPorts> = Vec::new();
    let mut sound: Option<Sound> = None;
    let (mut from_phone, mut from_turn) = ([0; PACKET], Vec::with_capacity(PACKET));
    let mut aside = [0; PACKET];
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
                Some(MediaOrder::OpenNear(at)) => near = open_near(&at, call, &studio).await,
                Some(MediaOrder::OpenFar) => sound = open_far(call, &studio).await,
                Some(order) => {
                    if let MediaOrder::Attach(terms) = &order {
                        near.retain(|ports| ports.local == terms.local);
                    }
                    if let Some(fault) = obey(order, sound.as_mut()) {
                        tell(call, &studio, MediaEvent::Refused(fault)).await;
                    }
                }
            },
            packet = recv_near(near.first().map(|near| &near.rtp), &mut from_phone) => {
                let (length, from) = packet;
                if let (Some(bytes), Some(sound)) = (from_phone.get(..length), &mut sound) {
                    sound.talk.handle_rtp(from, bytes, now());
                }
            }
            _ = recv_near(near.first().and_then(|near| near.rtcp.as_ref()), &mut aside) => {}
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
            drop(studio.words.try_send(Word::Glance(call, figures)));
        }
    }
    finish(call, &studio, near, sound).await;
}

/// Ends the far leg in good order: the goodbye leaves, and the relayed address is given back,
/// even one that was only asked for yet. The far leg itself bounds how long that may take.
async fn finish(call: CallLabel, studio: &Studio, near: Vec<NearPorts>, sound: Option<Sound>) {
    // No more sound for the phone.
    drop(near);
    let Some(mut sound) = sound else {
        return;
    };
    sound.talk.close(now());
    let figures = Box::new(sound.talk.figures());
    // The loop may be gone already; the sound is over all the same.
    drop(studio.words.send(Word::Over(call, figures)).await);
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
    near: Option<&NearPorts>,
    call: CallLabel,
    studio: &Studio,
) -> bool {
    while let Some(output) = sound.talk.poll() {
        match output {
            TalkOutput::ToServer(bytes) => {
                sound.turn.send(&bytes);
            }
            TalkOutput::ToPhone { to, bytes } => {
                // Lost sound is not sent again.
                let sent = near.map(|near| near.rtp.try_send_to(&bytes, to));
                if !matches!(sent, Some(Ok(_))) {
                    tracing::trace!("a packet for the phone was lost");
                }
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

async fn open_near(at: &[IpAddr], call: CallLabel, studio: &Studio) -> Vec<NearPorts> {
    let mut opened = Vec::with_capacity(at.len());
    for ip in at {
        // An address that this machine has lost: phones there are not reached in any case.
        opened.extend(bind_pair(*ip).await.ok());
    }
    let event = if opened.is_empty() && !at.is_empty() {
        MediaEvent::Refused(MediaFault::NoPort)
    } else {
        MediaEvent::Near(opened.iter().map(|ports| ports.local).collect())
    };
    tell(call, studio, event).await;
    opened
}

/// Takes the spare, whose relay the engine hears of at once, or dials; then the relay comes later.
async fn open_far(call: CallLabel, studio: &Studio) -> Option<Sound> {
    if let Some(Spare { leg, turn, local }) = studio.shelf.take().await {
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

async fn tell(call: CallLabel, studio: &Studio, event: MediaEvent) -> bool {
    studio.words.send(Word::Event(call, event)).await.is_ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the phone's own port, on the address it registers at"
)]
async fn bind_pair(ip: IpAddr) -> io::Result<NearPorts> {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((ip, 0)).await?;
        let local = rtp.local_addr()?;
        let port = local.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
        {
            rtp.writable().await?;
            return Ok(NearPorts {
                local,
                rtp,
                rtcp: Some(rtcp),
            });
        }
    }
    // Nearly all ports are taken: sound matters more than an RTCP port that only discards.
    let rtp = UdpSocket::bind((ip, 0)).await?;
    rtp.writable().await?;
    Ok(NearPorts {
        local: rtp.local_addr()?,
        rtp,
        rtcp: None,
    })
}

async fn recv_near(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    match socket {
        Some(socket) => patiently(socket, || socket.try_recv_from(buffer)).await,
        None => std::future::pending().await,
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
