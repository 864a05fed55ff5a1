//! The test call: phone A dials line B, each phone must receive the other's tone, phone A hangs up. Every step is timed.

use std::time::{Duration, Instant};

use ringfence_media::MediaStats;
use ringfence_sip::{Password, User};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::outcome::{READY, STEP, TestCallError, judge};
use super::phone::{ReceivedTone, TonePhone};
use super::report::{CallReport, Timeline, TimelineActor, tenths};
use super::stack::{Stack, StackEnd};
use crate::clock;
use crate::run::event::Event;
use crate::softphone::{PhoneEvent, Registration};

/// The tone that phone A sends and phone B expects, then the reverse, in hertz.
const TONES: [f64; 2] = [440.0, 1_000.0];
/// A pause before dialling, as a person makes. The engines compute their first proofs of work meanwhile.
const DIALLING: Duration = Duration::from_millis(500);
/// How long phone B rings before it answers.
const RINGING: Duration = Duration::from_millis(300);
/// Length of the talk, from the first tone on.
const TALK: Duration = Duration::from_secs(3);
/// Between two looks at the tone detectors.
const LOOK: Duration = Duration::from_millis(5);
/// A call under way.
struct TestCall<'a> {
    stack: &'a Stack,
    watches: [broadcast::Receiver<Event>; 2],
    timeline: Timeline,
    report: CallReport,
    talk: Duration,
}

/// Places the call. The report says whether everything worked; the timeline lists every step.
pub async fn place(stack: &Stack) -> (CallReport, Timeline) {
    place_for(stack, TALK).await
}

/// Places the call with a talk of this length.
pub async fn place_for(stack: &Stack, talk: Duration) -> (CallReport, Timeline) {
    let [a, b] = &stack.ends;
    let mut scene = TestCall {
        stack,
        watches: [a.gateway.events(), b.gateway.events()],
        timeline: Timeline::default(),
        report: CallReport::default(),
        talk,
    };
    let outcome = scene.run().await;
    scene.hear_engines();
    let error = outcome.err();
    scene.report.ok = error.is_none();
    scene.report.error = error.map(|error| error.to_string());
    (scene.report, scene.timeline)
}

impl TestCall<'_> {
    async fn run(&mut self) -> Result<(), TestCallError> {
        let [a, b] = &self.stack.ends;
        relays_ready(a).await?;
        relays_ready(b).await?;
        let [low, high] = TONES;
        let (mut phone_a, mut phone_b) =
            (plug_in(a, low, high).await?, plug_in(b, high, low).await?);
        self.expect(&mut phone_a, TimelineActor::CallingPhone, |event| {
            *event == PhoneEvent::Registered
        })
        .await
        .ok_or(TestCallError::Register('A'))?;
        self.expect(&mut phone_b, TimelineActor::CalledPhone, |event| {
            *event == PhoneEvent::Registered
        })
        .await
        .ok_or(TestCallError::Register('B'))?;
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
        phone_a: &mut TonePhone,
        phone_b: &mut TonePhone,
    ) -> Result<Instant, TestCallError> {
        let [_, b] = &self.stack.ends;
        let dialled = clock::now();
        let number = b.line.number.to_string();
        self.timeline.add(
            dialled,
            TimelineActor::CallingPhone,
            format!("dials {number}: INVITE"),
        );
        phone_a.dial(&number).await;
        let rings = |event: &PhoneEvent| matches!(event, PhoneEvent::Incoming { .. });
        let mut aside = Vec::new();
        let rang = tokio::select! {
            rang = self.expect(phone_b, TimelineActor::CalledPhone, rings) => rang.ok_or(TestCallError::Ring),
            status = refused(phone_a, &mut aside) => Err(TestCallError::Refused(status)),
        };
        for (at, event) in aside {
            self.timeline
                .add(at, TimelineActor::CallingPhone, describe(&event));
        }
        let (rang, _) = rang?;
        self.report.invite_to_ringing_ms = Some(tenths(rang - dialled));
        tokio::time::sleep(RINGING).await;
        let answered = clock::now();
        self.timeline
            .add(answered, TimelineActor::CalledPhone, "answers: 200 OK");
        phone_b.pick_up().await;
        let over = |event: &PhoneEvent| {
            matches!(
                event,
                PhoneEvent::Answered { .. } | PhoneEvent::Refused { .. }
            )
        };
        match self
            .expect(phone_a, TimelineActor::CallingPhone, over)
            .await
            .ok_or(TestCallError::Answer)?
            .1
        {
            PhoneEvent::Refused { status, .. } => Err(TestCallError::Refused(status)),
            _ => Ok(answered),
        }
    }

    /// Waits until both phones detect their tone, then for the length of the talk. Returns what phones A and B detected.
    async fn talk(
        &mut self,
        phone_a: &TonePhone,
        phone_b: &TonePhone,
        answered: Instant,
    ) -> Result<[ReceivedTone; 2], TestCallError> {
        let both = async {
            loop {
                if let (Some(at_a), Some(at_b)) = (phone_a.heard().first, phone_b.heard().first) {
                    return (at_a, at_b);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let Ok((at_a, at_b)) = timeout(STEP, both).await else {
            return Err(TestCallError::Silence(if phone_a.heard().first.is_none() {
                'A'
            } else {
                'B'
            }));
        };
        let [low, high] = TONES;
        self.timeline.add(
            at_a,
            TimelineActor::CallingPhone,
            format!("receives {high} Hz"),
        );
        self.timeline.add(
            at_b,
            TimelineActor::CalledPhone,
            format!("receives {low} Hz"),
        );
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
    async fn end(
        &mut self,
        phone_a: &mut TonePhone,
        phone_b: &mut TonePhone,
    ) -> Result<(), TestCallError> {
        self.timeline
            .add(clock::now(), TimelineActor::CallingPhone, "hangs up: BYE");
        phone_a.hang_up().await;
        let hung_up = |event: &PhoneEvent| *event == PhoneEvent::HungUp;
        self.expect(phone_b, TimelineActor::CalledPhone, hung_up)
            .await
            .ok_or(TestCallError::HangUp('B'))?;
        self.expect(phone_a, TimelineActor::CallingPhone, hung_up)
            .await
            .ok_or(TestCallError::HangUp('A'))?;
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

    /// Waits for an event of a phone; the events before it go into the timeline.
    async fn expect(
        &mut self,
        phone: &mut TonePhone,
        actor: TimelineActor,
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

    /// The figures of one engine's call, once its media have ended.
    async fn figures(&mut self, index: usize) -> Option<MediaStats> {
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

    /// Adds the engines' events that were not read yet to the timeline.
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

fn engine(index: usize) -> TimelineActor {
    if index == 0 {
        TimelineActor::CallingEngine
    } else {
        TimelineActor::CalledEngine
    }
}

async fn relays_ready(end: &StackEnd) -> Result<(), TestCallError> {
    let mut relays = end.relays.clone();
    let ready = relays.wait_for(|state| state.connected > 0 && state.listening > 0);
    match timeout(READY, ready).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(TestCallError::Relay),
    }
}

async fn plug_in(end: &StackEnd, says: f64, hears: f64) -> Result<TonePhone, TestCallError> {
    let registration = Registration {
        user: User::new(end.line.account.user.clone()),
        password: Password::new(end.line.account.password.expose()),
        line: end
            .gateway
            .udp()
            .first()
            .copied()
            .ok_or(TestCallError::Phone)?,
    };
    TonePhone::plug_in(registration, says, hears)
        .await
        .map_err(|_| TestCallError::Phone)
}

/// Resolves only when the phone's INVITE is refused. The phone's other events go into `aside`.
async fn refused(phone: &mut TonePhone, aside: &mut Vec<(Instant, PhoneEvent)>) -> u16 {
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
        PhoneEvent::Refused { method, status } => format!("receives {status} to {method}"),
        PhoneEvent::RemoteRinging => "receives ringback: 180".to_owned(),
        PhoneEvent::Incoming { from, .. } => format!("rings: INVITE from {from}"),
        PhoneEvent::Answered { .. } => "receives the answer: 200 OK".to_owned(),
        PhoneEvent::Confirmed => "has the ACK".to_owned(),
        PhoneEvent::Cancelled => "stops ringing: CANCEL".to_owned(),
        PhoneEvent::HungUp => "call over".to_owned(),
    }
}
