//! A phone without hands or a loudspeaker: SIP and RTP over UDP on this machine, its sound given and taken by a program.
//!
//! It registers to a line of an engine like any SIP phone (RFC 3261), and its sound is G.711 mu-law in frames of 20 ms (RFC 3551).
//! The demo's phones and the examples that embed an engine are built on it. One call at a time; what a desk phone knows beyond
//! that (transfer, hold, several lines, TCP, SRTP) is not here.

mod task;
pub mod g711;
mod receiver;
pub mod tape;
pub mod ua;
mod sender;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use task::{Body, Finger};
use receiver::Reception;
pub use ua::{PhoneEvent, Registration};

/// Samples per second.
pub const RATE: u32 = 8_000;
/// Samples per frame.
pub const FRAME: usize = 160;
/// Length of a frame.
pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// Events that wait for the one who holds the phone; a call has about ten.
const EVENTS: usize = 64;

/// What is said into a phone, and what becomes of what it hears. Samples are 16 bits, linear, at [`RATE`].
pub trait Sound: Send + 'static {
    /// The next 20 ms for the other side. Asked for during calls alone.
    fn say(&mut self) -> [i16; FRAME];

    /// A frame of the other side, as it arrived: late ones come late, lost ones never.
    fn hear(&mut self, frame: &[i16], at: Instant);
}

/// A running phone. Dropping it unplugs it.
#[derive(Debug)]
pub struct Softphone {
    fingers: mpsc::Sender<Finger>,
    events: mpsc::Receiver<(Instant, PhoneEvent)>,
    reception: Arc<Mutex<Reception>>,
    task: JoinHandle<()>,
}

impl Softphone {
    /// Plugs a phone in on loopback; it registers at once.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn plug_in(registration: Registration, sound: impl Sound) -> io::Result<Self> {
        let (sip, rtp) = (loopback().await?, loopback().await?);
        sip.connect(registration.line).await?;
        let (fingers, pressed) = mpsc::channel(EVENTS);
        let (tell, events) = mpsc::channel(EVENTS);
        let reception = Arc::default();
        let body = Body::new(
            registration,
            (sip, rtp),
            Box::new(sound),
            Arc::clone(&reception),
            tell,
        )?;
        Ok(Self {
            fingers,
            events,
            reception,
            task: tokio::spawn(body.live(pressed)),
        })
    }

    /// Dials a number.
    pub async fn dial(&self, number: &str) {
        self.press(Finger::Dial(number.to_owned())).await;
    }

    /// Answers.
    pub async fn pick_up(&self) {
        self.press(Finger::PickUp).await;
    }

    /// Hangs up, or declines a call that rings.
    pub async fn hang_up(&self) {
        self.press(Finger::HangUp).await;
    }

    /// The next thing that happened, and when; `None` once the phone is broken.
    pub async fn event(&mut self) -> Option<(Instant, PhoneEvent)> {
        self.events.recv().await
    }

    /// Packets that the other side numbered and that never came.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.reception
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lost()
    }

    async fn press(&self, finger: Finger) {
        // A phone that has stopped shows in `event`.
        drop(self.fingers.send(finger).await);
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a phone's socket, on loopback only"
)]
async fn loopback() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await
}
