//! A SIP phone in software: SIP and RTP over UDP on loopback, with audio that a program supplies and consumes.
//!
//! It registers to a line of an engine like any SIP phone (RFC 3261). Its audio is G.711 mu-law in frames of 20 ms (RFC 3551). The demo's
//! phones and the examples that embed an engine use it. It handles one call at a time, and has no transfer, hold, several lines, TCP or
//! SRTP. Its SIP is `ringfence_sip::client`.

mod receiver;
mod sender;
pub mod tape;
mod task;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use receiver::RtpReceiver;
pub use ringfence_sip::client::{PhoneEvent, Registration};
use task::{PhoneCommand, PhoneTask};

/// Samples per second.
pub const RATE: u32 = 8_000;
/// Samples per frame.
pub const FRAME: usize = 160;
/// Length of a frame.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// Events that wait for the phone's owner; a call has about ten.
const EVENTS: usize = 64;

/// The audio of a phone: what it sends, and what happens to what it receives. Samples are 16 bits, linear, at [`RATE`].
pub trait PhoneAudio: Send + 'static {
    /// The next 20 ms to send. Called only during calls.
    fn next_frame(&mut self) -> [i16; FRAME];

    /// Handles a received frame at its time of arrival, without a jitter buffer; lost frames are left out.
    fn handle_frame(&mut self, frame: &[i16], at: Instant);
}

/// A running phone. Dropping it stops it.
#[derive(Debug)]
pub struct Softphone {
    commands: mpsc::Sender<PhoneCommand>,
    events: mpsc::Receiver<(Instant, PhoneEvent)>,
    receiver: Arc<Mutex<RtpReceiver>>,
    task: JoinHandle<()>,
}

impl Softphone {
    /// Starts a phone on loopback, which registers at once.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn plug_in(registration: Registration, audio: impl PhoneAudio) -> io::Result<Self> {
        let at = loopback(registration.line);
        let (sip, rtp) = (open(at).await?, open(at).await?);
        sip.connect(registration.line).await?;
        let (commands, received) = mpsc::channel(EVENTS);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let receiver = Arc::default();
        let task = PhoneTask::new(
            registration,
            (sip, rtp),
            Box::new(audio),
            Arc::clone(&receiver),
            event_sender,
        )?;
        Ok(Self {
            commands,
            events,
            receiver,
            task: tokio::spawn(task.run(received)),
        })
    }

    /// Dials a number.
    pub async fn dial(&self, number: &str) {
        self.send(PhoneCommand::Dial(number.to_owned())).await;
    }

    /// Answers.
    pub async fn pick_up(&self) {
        self.send(PhoneCommand::PickUp).await;
    }

    /// Hangs up, or declines a ringing call.
    pub async fn hang_up(&self) {
        self.send(PhoneCommand::HangUp).await;
    }

    /// The next event and its time; `None` once the phone has failed.
    pub async fn event(&mut self) -> Option<(Instant, PhoneEvent)> {
        self.events.recv().await
    }

    /// Packets that the other end numbered and that never arrived.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lost()
    }

    async fn send(&self, command: PhoneCommand) {
        // `event` shows that a phone has stopped.
        drop(self.commands.send(command).await);
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The loopback address of the family of the line's server.
const fn loopback(line: SocketAddr) -> IpAddr {
    match line {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a phone's socket, on loopback only"
)]
async fn open(at: IpAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind((at, 0)).await
}
