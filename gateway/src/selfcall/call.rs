//! The built-in call: phone A dials line B, both hear the other's tone, A hangs up; everything on the way is timed.

use std::time::{Duration, Instant};

use ringfence_media::Figures;
use ringfence_sip::{Password, User};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::phone::{Heard, Phone};
use super::report::{Actor, CallReport, Timeline, tenths};
use super::stack::{End, Stack};
use crate::clock;
use crate::run::event::Event;
use crate::softphone::{PhoneEvent, Registration};

/// What phone A says and phone B listens for, and the other way round, in hertz.
const TONES: [f64; 2] = [440.0, 1_000.0];
/// Time for the relays to connect and for phones to register.
const READY: Duration = Duration::from_secs(10);
/// How long a person takes to dial. The engines mint their first stamps meanwhile.
const DIALLING: Duration = Duration::from_millis(500);
/// Time for each step of the call.
const STEP: Duration = Duration::from_secs(10);
/// How long phone B rings before somebody picks up.
const RINGING: Duration = Duration::from_millis(300);
/// How long both talk, from the first sound on.
const TALK: Duration = Duration::from_secs(3);
/// Between two looks at what was heard.
const LOOK: Duration = Duration::from_millis(5);
/// Part of the talk in which the tone must be heard.
const LEAST_TONE: f64 = 0.9;
/// Longest silence that is not noticed as a drop-out of the system rather than of a busy machine.
const LONGEST_GAP: Duration = Duration::from_millis(250);
/// Lost packets of a hundred that are forgiven.
const MOST_LOST: u64 = 1;

/// Where the call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallFault {
    /// A phone has no socket.
    #[error("a built-in phone cannot open a socket")]
    Phone,
    /// An engine reached no relay.
    #[error("the engines did not reach the Nostr relay within {} s", READY.as_secs())]
    Relay,
    /// A phone did not register.
    #[error("phone {0} did not register to its line")]
    Register(char),
    /// The callee's phone did not ring.
    #[error("phone B did not ring within {} s", STEP.as_secs())]
    Ring,
    /// The caller's phone was refused.
    #[error("phone A was refused with status {0}")]
    Refused(u16),
    /// The answer did not reach the caller.
    #[error("phone A did not hear of the answer within {} s", STEP.as_secs())]
    Answer,
    /// A phone never heard the other.
    #[error("phone {0} did not hear the other side")]
    Silence(char),
    /// A phone heard too little.
    #[error("phone {0} heard too little of the tone")]
    Tone(char),
    /// A phone heard a gap.
    #[error("phone {0} heard a gap in the tone")]
    Gap(char),
    /// Too many packets were lost.
    #[error("too many packets were lost")]
    Loss,
    /// Something other than a relayed path was used, or nothing is known of it.
    #[error("the path was not relayed on both sides")]
    Path,
    /// The hang-up did not reach both sides.
    #[error("phone {0} did not hear of the hang-up")]
    HangUp(char),
}

/// A call under way.
struct Scene<'a> {
    stack: &'a Stack,
    watches: [broadcast::Receiver<Event>; 2],
    timeline: Timeline,
    report: CallReport,
    talk: Duration,
}

/// Places the call. The report says whether all of it held; the timeline has whatever happened.
pub async fn place(stack: &Stack) -> (CallReport, Timeline) {
    place_for(stack, TALK).await
}

/// The same with a talk of this length.
pub async fn place_for(stack: &Stack, talk: Duration) -> (CallReport, Timeline) {
    let [a, b] = &stack.ends;
    let mut scene = Scene {
        stack,
        watches: [a.gateway.watch(), b.gateway.watch()],
        timeline: Timeline::default(),
        report: CallReport::default(),
        talk,
    };
    let outcome = scene.run().await;
    scene.hear_engines();
    let fault = outcome.err();
    scene.report.ok = fault.is_none();
    scene.report.error = fault.map(|fault| fault.to_string());
    (scene.report, scene.timeline)
}

impl Scene<'_> {
    async fn run(&mut self) -> Result<(), CallFault> {
        let [a, b] = &self.stack.ends;
        relays_ready(a).await?;
        relays_ready(b).await?;
        let [low, high] = TONES;
        let (mut phone_a, mut phone_b) =
            (plug_in(a, low, high).await?, plug_in(b, high, low).await?);
        self.expect(&mut phone_a, Actor::CallingPhone, |event| {
            *event == PhoneEvent::Registered
        })
        .await
        .ok_or(CallFault::Register('A'))?;
        self.expect(&mut phone_b, Actor::CalledPhone, |event| {
            *event == PhoneEvent::Registered
        })
        .await
        .ok_or(CallFault::Register('B'))?;
        self.timeline = Timeline::default();
        tokio::time::sleep(DIALLING).await;
        let answered = self.connect(&mut phone_a, &mut phone_b).await?;
        let heard = self.talk(&phone_a, &phone_b, answered).await;
        self.end(&mut phone_a, &mut phone_b).await?;
        judge(&heard?, &self.report, self.talk)
    }

    /// Dials, rings, answers. Returns the moment of the answer.
    async fn connect(
        &mut self,
        phone_a: &mut Phone,
        phone_b: &mut Phone,
    ) -> Result<Instant, CallFault> {
        let [_, b] = &self.stack.ends;
        let dialled = clock::now();
        let number = b.line.number.to_string();
        self.timeline.add(
            dialled,
            Actor::CallingPhone,
            format!("dials {number}: INVITE"),
        );
        phone_a.dial(&number).await;
        let rings = |event: &PhoneEvent| matches!(event, PhoneEvent::Incoming { .. });
        let mut aside = Vec::new();
        let rang = tokio::select! {
            rang = self.expect(phone_b, Actor::CalledPhone, rings) => rang.ok_or(CallFault::Ring),
            status = refused(phone_a, &mut aside) => Err(CallFault::Refused(status)),
        };
        for (at, event) in aside {
            self.timeline.add(at, Actor::CallingPhone, describe(&event));
        }
        let (rang, _) = rang?;
        self.report.invite_to_ringing_ms = Some(tenths(rang - dialled));
        tokio::time::sleep(RINGING).await;
        let answered = clock::now();
        self.timeline
            .add(answered, Actor::CalledPhone, "is picked up: 200 OK");
        phone_b.pick_up().await;
        let over = |event: &PhoneEvent| {
            matches!(
                event,
                PhoneEvent::Answered { .. } | PhoneEvent::Refused { .. }
            )
        };
        match self
            .expect(phone_a, Actor::CallingPhone, over)
            .await
            .ok_or(CallFault::Answer)?
            .1
        {
            PhoneEvent::Refused { status, .. } => Err(CallFault::Refused(status)),
            _ => Ok(answered),
        }
    }

    /// Waits for sound both ways, then lets both talk. What was heard by A and by B.
    async fn talk(
        &mut self,
        phone_a: &Phone,
        phone_b: &Phone,
        answered: Instant,
    ) -> Result<[Heard; 2], CallFault> {
        let both = async {
            loop {
                if let (Some(at_a), Some(at_b)) = (phone_a.heard().first, phone_b.heard().first) {
                    return (at_a, at_b);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let Ok((at_a, at_b)) = timeout(STEP, both).await else {
            return Err(CallFault::Silence(if phone_a.heard().first.is_none() {
                'A'
            } else {
                'B'
            }));
        };
        let [low, high] = TONES;
        self.timeline
            .add(at_a, Actor::CallingPhone, format!("hears {high} Hz"));
        self.timeline
            .add(at_b, Actor::CalledPhone, format!("hears {low} Hz"));
        self.report.answer_to_audio_ms =
            Some(tenths(at_a.max(at_b).saturating_duration_since(answered)));
        tokio::time::sleep(self.talk).await;
        let heard = [phone_a.heard(), phone_b.heard()];
        self.report.tone_s = heard
            .each_ref()
            .map(|heard| (heard.tone.as_secs_f64() * 100.0).round() / 100.0);
        self.report.longest_gap_ms = heard.each_ref().map(|heard| tenths(heard.longest_gap));
        Ok(heard)
    }

    /// Hangs up, and collects what the engines counted.
    async fn end(&mut self, phone_a: &mut Phone, phone_b: &mut Phone) -> Result<(), CallFault> {
        self.timeline
            .add(clock::now(), Actor::CallingPhone, "hangs up: BYE");
        phone_a.hang_up().await;
        let hung_up = |event: &PhoneEvent| *event == PhoneEvent::HungUp;
        self.expect(phone_b, Actor::CalledPhone, hung_up)
            .await
            .ok_or(CallFault::HangUp('B'))?;
        self.expect(phone_a, Actor::CallingPhone, hung_up)
            .await
            .ok_or(CallFault::HangUp('A'))?;
        let lost = [phone_a.heard().lost, phone_b.heard().lost];
        for (index, lost) in lost.into_iter().enumerate() {
            let figures = self.figures(index).await;
            let counted = figures.as_ref().map_or(0, |figures| figures.to_phone.lost);
            self.report.lost += lost.max(counted);
            let ours = figures
                .and_then(|figures| figures.candidate_types)
                .map_or("none", |(ours, _)| ours);
            self.report.candidate_types.push(ours.to_owned());
        }
        Ok(())
    }

    /// Waits for an event of a phone; those on the way go into the timeline.
    async fn expect(
        &mut self,
        phone: &mut Phone,
        actor: Actor,
        wanted: impl Fn(&PhoneEvent) -> bool,
    ) -> Option<(Instant, PhoneEvent)> {
        let search = async {
            while let Some((at, event)) = phone.event().await {
                self.timeline.add(at, actor, describe(&event));
                if wanted(&event) {
                    return Some((at, event));
                }
            }
            None
        };
        timeout(STEP, search).await.ok().flatten()
    }

    /// The figures of one engine's call, when its sound is over.
    async fn figures(&mut self, index: usize) -> Option<Figures> {
        let actor = engine(index);
        let (watch, timeline) = (self.watches.get_mut(index)?, &mut self.timeline);
        let search = async {
            loop {
                match watch.recv().await {
                    Ok(Event::Step { step, at, .. }) => timeline.add(at, actor, step.to_string()),
                    Ok(Event::Figures { figures, .. }) => return Some(*figures),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        };
        timeout(STEP, search).await.ok().flatten()
    }

    /// Puts what the engines said and nobody has read yet into the timeline.
    fn hear_engines(&mut self) {
        for (index, watch) in self.watches.iter_mut().enumerate() {
            loop {
                match watch.try_recv() {
                    Ok(Event::Step { step, at, .. }) => {
                        self.timeline.add(at, engine(index), step.to_string())
                    }
                    Ok(Event::Figures { .. }) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
        }
    }
}

fn engine(index: usize) -> Actor {
    if index == 0 {
        Actor::CallingEngine
    } else {
        Actor::CalledEngine
    }
}

async fn relays_ready(end: &End) -> Result<(), CallFault> {
    let mut relays = end.relays.clone();
    let ready = relays.wait_for(|state| state.connected > 0 && state.listening > 0);
    match timeout(READY, ready).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(CallFault::Relay),
    }
}

async fn plug_in(end: &End, says: f64, hears: f64) -> Result<Phone, CallFault> {
    let registration = Registration {
        user: User::new(end.line.account.user.clone()),
        password: Password::new(end.line.account.password.expose()),
        line: end.gateway.udp().first().copied().ok_or(CallFault::Phone)?,
    };
    Phone::plug_in(registration, says, hears)
        .await
        .map_err(|_| CallFault::Phone)
}

/// Resolves when the phone's INVITE is refused, and not before. What else the phone notices goes into `aside`.
async fn refused(phone: &mut Phone, aside: &mut Vec<(Instant, PhoneEvent)>) -> u16 {
    while let Some((at, event)) = phone.event().await {
        aside.push((at, event.clone()));
        if let PhoneEvent::Refused { status, .. } = event {
            return status;
        }
    }
    std::future::pending().await
}

fn describe(event: &PhoneEvent) -> String {
    match event {
        PhoneEvent::Registered => "is registered".to_owned(),
        PhoneEvent::Refused { method, status } => format!("hears {status} to {method}"),
        PhoneEvent::RemoteRinging => "hears ringback: 180".to_owned(),
        PhoneEvent::Incoming { from, .. } => format!("rings: INVITE from {from}"),
        PhoneEvent::Answered { .. } => "hears the answer: 200 OK".to_owned(),
        PhoneEvent::Confirmed => "has the ACK".to_owned(),
        PhoneEvent::Cancelled => "stops ringing: CANCEL".to_owned(),
        PhoneEvent::HungUp => "call over".to_owned(),
    }
}

/// Whether what was promised was heard.
fn judge(heard: &[Heard; 2], report: &CallReport, talk: Duration) -> Result<(), CallFault> {
    for (heard, name) in heard.iter().zip(['A', 'B']) {
        if heard.tone < talk.mul_f64(LEAST_TONE) {
            return Err(CallFault::Tone(name));
        }
        if heard.longest_gap > LONGEST_GAP {
            return Err(CallFault::Gap(name));
        }
    }
    let frames = report.tone_s.iter().sum::<f64>() * 50.0;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a call of seconds has some hundred packets"
    )]
    if (report.lost * 100) as f64 > frames * MOST_LOST as f64 {
        return Err(CallFault::Loss);
    }
    if report.candidate_types != ["relay", "relay"] {
        return Err(CallFault::Path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(tone: u64, gap: u64) -> Heard {
        Heard {
            tone: Duration::from_millis(tone),
            longest_gap: Duration::from_millis(gap),
            lost: 0,
            first: None,
        }
    }

    fn good() -> CallReport {
        CallReport {
            tone_s: [3.0, 3.0],
            candidate_types: vec!["relay".to_owned(); 2],
            ..CallReport::default()
        }
    }

    #[test]
    fn a_good_call_is_good() {
        assert_eq!(
            judge(&[heard(2_990, 3), heard(3_000, 0)], &good(), TALK),
            Ok(())
        );
    }

    #[test]
    fn silence_gaps_loss_and_direct_paths_are_failures() {
        let fine = heard(3_000, 0);
        assert_eq!(
            judge(&[fine.clone(), heard(1_000, 0)], &good(), TALK),
            Err(CallFault::Tone('B'))
        );
        assert_eq!(
            judge(&[heard(3_000, 300), fine.clone()], &good(), TALK),
            Err(CallFault::Gap('A'))
        );
        let both = [fine.clone(), fine];
        assert_eq!(
            judge(&both, &CallReport { lost: 4, ..good() }, TALK),
            Err(CallFault::Loss)
        );
        let direct = CallReport {
            candidate_types: vec!["relay".to_owned(), "host".to_owned()],
            ..good()
        };
        assert_eq!(judge(&both, &direct, TALK), Err(CallFault::Path));
    }
}
