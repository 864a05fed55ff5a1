//! The media of a simulated engine's calls: ports, TURN sockets and bridges. It does the work of the real media tasks
//! (`gateway/src/run/media_task.rs`).

use std::{net::SocketAddr, time::Instant};

use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder, NearPort};
use ringfence_media::{Bridge, BridgeOutput};

use super::{EngineHost, HostOutput};

/// The first ports for phones' audio and video; both count up.
const FIRST_NEAR_PORT: u16 = 16_384;
const FIRST_VIDEO_PORT: u16 = 24_576;

/// A call's WebRTC side: its socket to its TURN server, and the bridge.
#[derive(Debug)]
pub(super) struct OpenFar {
    pub(super) local: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) talk: Bridge,
}

/// The media of one call.
#[derive(Debug, Default)]
pub(super) struct CallMedia {
    pub(super) near: Option<SocketAddr>,
    pub(super) video: Option<SocketAddr>,
    pub(super) far: Option<OpenFar>,
}

impl EngineHost {
    pub(crate) fn handle_rtp(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
    ) {
        let media = self
            .media
            .values_mut()
            .find(|media| media.near == Some(to) || media.video == Some(to));
        let Some(CallMedia {
            video,
            far: Some(OpenFar { talk, .. }),
            ..
        }) = media
        else {
            return;
        };
        if *video == Some(to) {
            talk.handle_video(from, bytes, now);
        } else {
            talk.handle_rtp(from, bytes, now);
        }
    }

    pub(crate) fn handle_turn(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        let talks = self.all_media().filter_map(|media| media.far.as_mut());
        for far in talks.filter(|far| far.local == to) {
            far.talk.handle_turn(bytes, now);
        }
        self.handle_race_packet(to, bytes, now);
    }

    pub(super) fn all_media(&mut self) -> impl Iterator<Item = &mut CallMedia> {
        self.media.values_mut().chain(&mut self.closing)
    }

    pub(super) fn drain_media(&mut self, now: Instant, out: &mut Vec<HostOutput>) {
        let mut events = Vec::new();
        let ports: Vec<_> = self.media.values().filter_map(|media| media.near).collect();
        let mut inside = Vec::new();
        for (call, media) in &mut self.media {
            let (from, before) = (media.near, out.len());
            drain_call_media(media, out, |event| events.push((*call, event)));
            // Packets between two calls that a transfer has joined do not leave the machine.
            let said = out.split_off(before);
            for output in said {
                match (output, from) {
                    (HostOutput::Rtp { to, bytes }, Some(from)) if ports.contains(&to) => {
                        inside.push((from, to, bytes));
                    }
                    (output, _) => out.push(output),
                }
            }
        }
        for (from, to, bytes) in &inside {
            self.handle_rtp((*from, *to), bytes, now);
        }
        if !inside.is_empty() {
            self.drain_media(now, out);
        }
        self.closing.retain_mut(|media| {
            drain_call_media(media, out, |_| {});
            // A closed WebRTC leg has no timer.
            let far = media.far.as_ref();
            far.is_some_and(|far| far.talk.next_timeout().is_some())
        });
        for (call, event) in events {
            self.engine.handle_media(call, event, now);
        }
    }

    pub(super) fn handle_order(
        &mut self,
        call: CallLabel,
        order: MediaOrder,
        now: Instant,
        out: &mut Vec<HostOutput>,
    ) {
        match order {
            MediaOrder::OpenNear { at, video } => {
                self.calls += 1;
                let port = FIRST_NEAR_PORT + 2 * self.calls;
                let video = video.then_some(FIRST_VIDEO_PORT + 2 * self.calls);
                let near = at.iter().map(|ip| NearPort {
                    audio: SocketAddr::new(*ip, port),
                    video,
                });
                let near: Vec<_> = near.collect();
                let media = self.media.entry(call).or_default();
                media.near = near.first().map(|near| near.audio);
                media.video = media
                    .near
                    .zip(video)
                    .map(|(near, port)| SocketAddr::new(near.ip(), port));
                self.engine.handle_media(call, MediaEvent::Near(near), now);
            }
            MediaOrder::SendToPhone { to, bytes } => {
                out.push(HostOutput::Rtp { to, bytes });
            }
            MediaOrder::OpenFar { avoid } => self.start_race(call, &avoid, now),
            MediaOrder::Close => self.close(call, now, out),
            order => match self.racing.get_mut(&call) {
                Some(racing) if !racing.recovers() => racing.hold(order),
                _ => self.handle_call_order(call, order, now),
            },
        }
    }

    pub(super) fn handle_call_order(&mut self, call: CallLabel, order: MediaOrder, now: Instant) {
        if let MediaOrder::Connect { remote, .. } = &order {
            self.heard_of.push(remote.clone());
        }
        let media = self.media.get_mut(&call);
        let Some(OpenFar { talk, .. }) = media.and_then(|media| media.far.as_mut()) else {
            return;
        };
        match order {
            MediaOrder::Attach(terms) => talk.attach_phone(*terms, now),
            MediaOrder::Detach => talk.detach_phone(now),
            MediaOrder::Connect { remote, role } => {
                if talk.connect(&remote, role, now).is_err() {
                    let refused = MediaEvent::Refused(MediaFailure::NoPath);
                    self.engine.handle_media(call, refused, now);
                }
            }
            MediaOrder::Meet(remote) => talk.meet(remote, now),
            MediaOrder::OpenMicrophone => talk.open_microphone(now),
            MediaOrder::Press { event, millis } => {
                talk.send_dtmf(event, millis, now);
            }
            MediaOrder::Datagram { to, bytes } => {
                talk.send_datagram(to, &bytes, now);
            }
            MediaOrder::Control(frame) => {
                talk.send_control(&frame, now);
            }
            MediaOrder::OpenNear { .. }
            | MediaOrder::OpenFar { .. }
            | MediaOrder::SendToPhone { .. }
            | MediaOrder::Close => {}
        }
    }

    /// The call is over for the engine. Its WebRTC leg stays until its allocation is released.
    fn close(&mut self, call: CallLabel, now: Instant, out: &mut Vec<HostOutput>) {
        self.end_race(call, now);
        let Some(mut media) = self.media.remove(&call) else {
            return;
        };
        if let Some(OpenFar { talk, .. }) = &mut media.far {
            talk.close(now);
            out.push(HostOutput::Over(call, Box::new(talk.stats())));
            self.closing.push(media);
        }
    }
}

fn drain_call_media(
    media: &mut CallMedia,
    out: &mut Vec<HostOutput>,
    mut tell: impl FnMut(MediaEvent),
) {
    let Some(OpenFar {
        local,
        server,
        talk,
    }) = &mut media.far
    else {
        return;
    };
    while let Some(output) = talk.poll() {
        match output {
            BridgeOutput::ToServer(bytes) => out.push(HostOutput::ToTurn {
                from: *local,
                to: *server,
                bytes,
            }),
            BridgeOutput::ToPhone { to, bytes } | BridgeOutput::VideoToPhone { to, bytes } => {
                out.push(HostOutput::Rtp { to, bytes });
            }
            BridgeOutput::Event(event) => tell(MediaEvent::Bridge(event)),
        }
    }
}
