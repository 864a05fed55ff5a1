//! The phone's task: it connects the SIP client, the RTP socket and the audio of the program that owns the phone.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ringfence_media::sdp::{read_answer, read_offer, write_answer, write_offer};
use ringfence_media::{Codec, OwnMedia, Srtp};
use ringfence_sip::client::{ClientOutput, PhoneClient, PhoneEvent, Registration};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use super::{FRAME_TIME, PhoneAudio};
use crate::clock;
use crate::clock::until;

/// Largest datagram that is read.
const DATAGRAM: usize = 8 * 1024;

/// A command from the phone's owner.
#[derive(Debug)]
pub(super) enum PhoneCommand {
    Dial(String),
    PickUp,
    HangUp,
}

pub(super) struct PhoneTask {
    client: PhoneClient,
    sip: UdpSocket,
    rtp: UdpSocket,
    media: SocketAddr,
    sender: RtpSender,
    audio: Box<dyn PhoneAudio>,
    receiver: Arc<Mutex<RtpReceiver>>,
    /// The caller's SDP, until this phone answers.
    offer: Option<Vec<u8>>,
    /// Where audio is sent during a call.
    remote: Option<SocketAddr>,
    events: mpsc::Sender<(Instant, PhoneEvent)>,
}

impl PhoneTask {
    pub(super) fn new(
        registration: Registration,
        (sip, rtp): (UdpSocket, UdpSocket),
        audio: Box<dyn PhoneAudio>,
        receiver: Arc<Mutex<RtpReceiver>>,
        events: mpsc::Sender<(Instant, PhoneEvent)>,
    ) -> io::Result<Self> {
        Ok(Self {
            client: PhoneClient::new(registration, sip.local_addr()?, rand::random()),
            sip,
            media: rtp.local_addr()?,
            rtp,
            sender: RtpSender::new(),
            audio,
            receiver,
            offer: None,
            remote: None,
            events,
        })
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<PhoneCommand>) {
        let mut frames = interval(FRAME_TIME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
        self.client.register(clock::now());
        let (mut signal, mut packet) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
        loop {
            if self.drain_client().await.is_none() {
                return;
            }
            self.wait(&mut frames, (&mut signal, &mut packet), &mut commands)
                .await;
            if commands.is_closed() {
                return;
            }
        }
    }

    /// Waits for the next event and handles it.
    async fn wait(
        &mut self,
        frames: &mut Interval,
        (signal, packet): (&mut [u8], &mut [u8]),
        commands: &mut mpsc::Receiver<PhoneCommand>,
    ) {
        let timeout = self.client.next_timeout().map(|(at, _)| at);
        tokio::select! {
            Some(command) = commands.recv() => self.handle_command(command),
            // An error is an ICMP message about an earlier datagram; retransmissions show whether the line is reachable.
            Ok(length) = self.sip.recv(signal) => {
                self.client.handle_packet(signal.get(..length).unwrap_or_default(), clock::now());
            }
            Ok(length) = self.rtp.recv(packet) => {
                self.handle_packet(packet.get(..length).unwrap_or_default());
            }
            _ = frames.tick() => self.send_frame(),
            () = until(timeout) => self.client.handle_timeout(clock::now()),
        }
    }

    /// Carries out the SIP client's output. `None` once the phone has been dropped.
    async fn drain_client(&mut self) -> Option<()> {
        while let Some(output) = self.client.poll() {
            match output {
                // The SIP client retransmits lost datagrams.
                ClientOutput::Send(bytes) => drop(self.sip.send(&bytes).await),
                ClientOutput::Event(event) => {
                    self.handle_event(&event);
                    self.events.send((clock::now(), event)).await.ok()?;
                }
            }
        }
        Some(())
    }

    fn handle_event(&mut self, event: &PhoneEvent) {
        match event {
            PhoneEvent::Incoming { sdp, .. } => {
                self.offer = Some(sdp.clone());
                self.client.ring(clock::now());
            }
            PhoneEvent::Answered { sdp } => {
                let own = OwnMedia::plain(self.media, 1);
                self.remote = read_answer(sdp, &own).ok().map(|media| media.rtp);
            }
            PhoneEvent::HungUp | PhoneEvent::Cancelled | PhoneEvent::Refused { .. } => {
                self.remote = None;
            }
            PhoneEvent::Registered | PhoneEvent::RemoteRinging | PhoneEvent::Confirmed => {}
        }
    }

    fn handle_command(&mut self, command: PhoneCommand) {
        let now = clock::now();
        match command {
            PhoneCommand::Dial(number) => {
                let offer = write_offer(&self.own(), &[Codec::Pcmu]);
                self.client.call(&number, offer, now);
            }
            PhoneCommand::PickUp => {
                let offer = self.offer.take();
                let Some(offer) = offer.and_then(|sdp| read_offer(&sdp, Srtp::Off).ok()) else {
                    return self.client.hang_up(now);
                };
                self.remote = Some(offer.rtp);
                let answer = write_answer(&self.own(), &offer, &[Codec::Pcmu]);
                self.client.answer(answer, now);
            }
            PhoneCommand::HangUp => {
                self.remote = None;
                self.client.hang_up(now);
            }
        }
    }

    fn own(&self) -> OwnMedia {
        OwnMedia::plain(self.media, u64::from(rand::random::<u32>()))
    }

    fn handle_packet(&mut self, packet: &[u8]) {
        let frame = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(packet);
        // Called without the lock, because the audio's owner may hold locks too.
        if let Some(frame) = frame {
            self.audio.handle_frame(&frame, clock::now());
        }
    }

    fn send_frame(&mut self) {
        let Some(remote) = self.remote else { return };
        let packet = self.sender.packet(&self.audio.next_frame());
        // The other end counts a lost frame.
        drop(self.rtp.try_send_to(&packet, remote));
    }
}
