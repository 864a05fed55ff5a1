//! What is true of every course after every step, whatever broke: each function is one promise.

use std::{collections::BTreeMap, time::Duration};

use ringfence_engine::EndReason;
use ringfence_tests::world::World;

use super::view::View;

/// Until both ends agree that a call is over. Without a path the media end it after 60 s; the rest is for phones that are asked whether they
/// live and for lost messages between phone and engine.
const AGREED: Duration = Duration::from_secs(75);

/// From a ring to the last moment at which a phone rings because of it: 30 s of ringing, 3 s that a ring may be late, and 2 s for what is sent
/// to the phone again.
const RINGS: Duration = Duration::from_secs(35);

/// From dialling to the last envelope of a call: 6 s for set-up, seven pauses of 7 s at most, 10 s that an envelope waits for a relay, 1 s more
/// for its connection.
const POSTS: Duration = Duration::from_secs(66);

/// How much longer that takes where a relay answers late: each of seven envelopes may wait ten seconds for it, and the pause to the next begins
/// then.
const LATE_POSTS: Duration = Duration::from_secs(70);

/// How long media look for a path after the end of a call, to say it, and how long its allocations take to be released without an answer.
const MEDIA_END: Duration = Duration::from_secs(15);

/// How long an engine posts an ending of a process before it.
const ENDINGS: Duration = Duration::from_secs(601);

/// How long an envelope waits for a relay that is away, and for the others that come back with its sender.
const WAITS: Duration = Duration::from_secs(12);

/// The callee's answer goes over relays as well when no confirmation came for so long.
const ANSWER_DIRECT: Duration = Duration::from_secs(2);

/// A fault explains the end of a call for so long: as long as a call waits for a path or for its phone.
const EXPLAINS: Duration = Duration::from_secs(75);

/// How long a hang-up is on its way where nothing is broken.
const HANGS_UP: Duration = Duration::from_secs(15);

/// How long a call waits for a path, at least: a minute, less what it takes to notice and to announce that it is lost.
const WAITED: Duration = Duration::from_secs(58);

/// Until sound is there again once nothing is broken any more. Where both sides lost their ways, the caller says its new address over relays at
/// pauses of 8 s at most, and 10 s later where it does not learn whether they took it; a relay that is back meanwhile is not used before.
const HEARD: Duration = Duration::from_secs(20);

/// How long two who talk may hear nothing where nothing is broken: a handshake on links that lose packets.
const SILENT: Duration = Duration::from_secs(4);

/// What faults there are, for promises that hold without them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// Faults that last.
    pub(super) active: usize,
    /// When the last one began or ended.
    pub(super) changed: Option<Duration>,
    /// The sum of the errors of two clocks, at most.
    pub(super) clock_error: Duration,
}

impl Quiet {
    /// Whether nothing was broken for so long.
    fn since(&self, span: Duration, now: Duration) -> bool {
        self.active == 0 && self.changed.is_none_or(|at| at + span < now)
    }
}

/// What the promises need to remember.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Since when a phone has been in a call that the other side does not know.
    alone: BTreeMap<usize, Duration>,
    /// When a phone last got sound, and how much it had got.
    heard: BTreeMap<usize, (Duration, usize)>,
    /// Who was rung by whom, and when.
    rung: Vec<(String, String, Duration)>,
    looked: Option<Duration>,
}

impl Promises {
    /// An engine or a thief has posted a ring.
    pub(super) fn note_ring(&mut self, caller: String, callee: String, at: Duration) {
        self.rung.push((caller, callee, at));
    }

    /// Everything that has to be true after a step.
    pub(super) fn check(
        &mut self,
        world: &World,
        view: &View,
        quiet: &Quiet,
    ) -> Result<(), String> {
        closed_microphone(world, view)?;
        silent_phones(world, view)?;
        silence_to_strangers(world, view, quiet)?;
        no_counter_twice(view)?;
        self.no_ghost_ring(world, view, quiet)?;
        self.ends_agree(world, view)?;
        // The others change slowly.
        let now = world.clock();
        if self
            .looked
            .is_none_or(|at| at + Duration::from_secs(1) <= now)
        {
            self.looked = Some(now);
            self.both_hear(world, view, quiet)?;
            no_end_without_a_fault(view, quiet, now)?;
            no_early_end(view, now)?;
        }
        Ok(())
    }

    /// No phone rings for a caller who has long gone. Nothing stops the phone of an engine that is dead.
    fn no_ghost_ring(&self, world: &World, view: &View, quiet: &Quiet) -> Result<(), String> {
        let now = world.clock();
        let within = RINGS + quiet.clock_error;
        for (phone, seen) in view.phones.iter().enumerate() {
            let is_called = |(caller, callee, at): &(String, String, Duration)| {
                *caller == seen.peer && *callee == seen.number && now <= *at + within
            };
            // An engine that starts again tells its phones.
            let started = view.started.get(&seen.engine);
            let is_told = started.is_none_or(|at| *at + Duration::from_secs(5) < now)
                && !world.host(seen.engine).is_off();
            if is_told && world.handset(phone).is_ringing() && !self.rung.iter().any(is_called) {
                return Err(format!(
                    "phone {phone} rings, and {} does not call",
                    seen.peer
                ));
            }
        }
        Ok(())
    }

    /// Both ends agree within a bound whether there is a call.
    fn ends_agree(&mut self, world: &World, view: &View) -> Result<(), String> {
        let now = world.clock();
        for phone in 0..view.phones.len() {
            let is_alone = world.handset(phone).is_talking()
                && !world.host(view.phones[phone].engine).is_off()
                && view.partner(phone, world).is_none();
            if !is_alone {
                self.alone.remove(&phone);
            } else if *self.alone.entry(phone).or_insert(now) + AGREED < now {
                return Err(format!("phone {phone} is alone in its call for {AGREED:?}"));
            }
        }
        Ok(())
    }

    /// Where nothing is broken, two who talk hear each other.
    fn both_hear(&mut self, world: &World, view: &View, quiet: &Quiet) -> Result<(), String> {
        let now = world.clock();
        for (phone, seen) in view.phones.iter().enumerate() {
            let packets = world.handset(phone).received_audio().packets();
            let partner = view.partner(phone, world);
            // Of two phones of a line that talk with one number, none can be told from the other.
            let is_only = view.phones.iter().enumerate().all(|(other, there)| {
                other == phone || there.engine != seen.engine || there.peer != seen.peer
            });
            let is_heard = is_only
                && world.handset(phone).is_talking()
                && partner.is_some_and(|there| {
                    world.handset(there).is_talking()
                        && !seen.is_held
                        && !view.phones[there].is_held
                });
            let (since, known) = self.heard.entry(phone).or_insert((now, packets));
            if !is_heard || *known != packets || !quiet.since(HEARD, now) {
                (*since, *known) = (now, packets);
            } else if *since + SILENT < now {
                return Err(format!("phone {phone} hears nothing for {SILENT:?}"));
            }
        }
        Ok(())
    }
}

/// The microphone is closed until the other side has proved its key: no sound leaves a machine before, only fill for a call that was answered.
fn closed_microphone(world: &World, view: &View) -> Result<(), String> {
    for engine in &view.border.borrow().sound {
        let mut has_right = false;
        for ((its, label), call) in &view.calls {
            if its != engine || !call.lives(world.clock(), MEDIA_END) {
                continue;
            }
            has_right |= call.proved.is_some() || call.answer_sent.is_some();
            let figures = world.host(*engine).figures(*label);
            let passed = figures.map_or(0, |figures| figures.from_phone.passed);
            if passed > 0 && call.proved.is_none() {
                return Err(format!(
                    "engine {engine} sends sound to a side that has proved nothing"
                ));
            }
        }
        if !has_right {
            return Err(format!(
                "engine {engine} sends frames, and has no answered call"
            ));
        }
    }
    Ok(())
}

/// A phone gets no sound before a person answers.
fn silent_phones(world: &World, view: &View) -> Result<(), String> {
    for phone in &view.border.borrow().sound_to {
        let talked = view.phones[*phone].talked;
        // The phone is told of the end of its call a moment later than its sound ends, or earlier; what left before the end is still on its way.
        let is_late = |at| world.clock() > at + Duration::from_secs(1);
        // Its 200 is on the way to it, or, where it dialled its caller back, waits for that one's confirmation; or it has lost its power, which
        // its engine has not noticed yet.
        let engine = view.phones[*phone].engine;
        let is_answered = view.calls_of(engine).any(|call| {
            let lives = call.ended.is_none_or(|(at, _)| !is_late(at));
            lives && (call.proved.is_some() || call.answer_sent.is_some())
        });
        if talked.is_none_or(is_late) && !is_answered {
            return Err(format!("phone {phone} gets sound, and is in no call"));
        }
    }
    Ok(())
}

/// An engine sends nothing because of what others sent: it posts for calls that its own phones began, and for answers that are not confirmed;
/// it asks TURN servers for calls that its own people began or took.
fn silence_to_strangers(world: &World, view: &View, quiet: &Quiet) -> Result<(), String> {
    let now = world.clock();
    let posts = match quiet.since(POSTS, now) {
        true => POSTS,
        false => POSTS + LATE_POSTS,
    };
    let border = view.border.borrow();
    for engine in &border.posted {
        let killed = view.killed.get(engine);
        let may = killed.is_some_and(|at| *at + ENDINGS >= now)
            || view.calls_of(*engine).any(|call| match call.is_dialled {
                true => call.began + posts >= now || call.lost.is_some(),
                false => {
                    call.proved.is_none_or(|at| now <= at + WAITS)
                        && call.answer_sent.is_some_and(|at| at + ANSWER_DIRECT <= now)
                }
            });
        if !may {
            return Err(format!("engine {engine} posts, and none of its calls does"));
        }
    }
    for engine in &border.to_turn {
        let may = view
            .calls_of(*engine)
            .any(|call| (call.is_dialled || call.is_picked_up) && call.lives(now, MEDIA_END));
        if !may {
            return Err(format!(
                "engine {engine} talks to a TURN server, and has no call"
            ));
        }
    }
    Ok(())
}

/// No two messages are sealed with one key and one counter: the hint is made of both.
fn no_counter_twice(view: &View) -> Result<(), String> {
    match view.border.borrow().sealed_twice {
        Some(hint) => Err(format!("two messages under the hint {hint:02x?}")),
        None => Ok(()),
    }
}

/// A call that was connected ends because a person ends it, or because something is broken.
fn no_end_without_a_fault(view: &View, quiet: &Quiet, now: Duration) -> Result<(), String> {
    if !quiet.since(EXPLAINS, now) {
        return Ok(());
    }
    for ((engine, _), call) in &view.calls {
        if let Some((at, Some(reason))) = call.ended
            && call.is_talking()
            && at + Duration::from_secs(2) > now
            && matches!(
                reason,
                EndReason::NoMedia | EndReason::NotConfirmed | EndReason::PhoneGone
            )
        {
            return Err(format!(
                "engine {engine} lost a call without a fault: {reason:?}"
            ));
        }
        // From the answer on: an engine that is told so before anything was heard rings off a call that the other side still has.
        if let Some((at, Some(EndReason::HungUpThere))) = call.ended
            && at + Duration::from_secs(2) > now
            && !has_left(view, *engine, at)
        {
            return Err(format!(
                "engine {engine} was told of a hang-up that was none"
            ));
        }
    }
    Ok(())
}

/// Whether a call of another engine than this has ended before this moment in any other way than that it was told so.
fn has_left(view: &View, than: usize, now: Duration) -> bool {
    let mut others = view.calls.iter().filter(|((engine, _), _)| *engine != than);
    others.any(|(_, call)| {
        call.ended.is_some_and(|(at, reason)| {
            reason != Some(EndReason::HungUpThere) && at <= now && now <= at + HANGS_UP
        })
    })
}

/// A call that was heard waits for a path as long as it was lost for less than a minute.
fn no_early_end(view: &View, now: Duration) -> Result<(), String> {
    for ((engine, _), call) in &view.calls {
        if let Some((at, Some(EndReason::NoMedia))) = call.ended
            && call.is_talking()
            && at + Duration::from_secs(2) > now
            && call.lost.is_none_or(|lost| lost + WAITED > at)
        {
            return Err(format!(
                "engine {engine} gave a call up that was lost at {:?}",
                call.lost
            ));
        }
    }
    Ok(())
}

/// Whether some phone is in a call that the other side does not know.
pub(super) fn is_one_alone(world: &World, view: &View) -> bool {
    let mut phones = 0..view.phones.len();
    phones.any(|phone| world.handset(phone).is_talking() && view.partner(phone, world).is_none())
}

/// When everybody has hung up and nothing is broken, nothing is left of any call.
pub(super) fn nothing_left(world: &World, view: &View) -> Result<(), String> {
    for phone in 0..view.phones.len() {
        if !world.handset(phone).is_free() {
            return Err(format!("phone {phone} is in a call in the end"));
        }
    }
    let engines = view.phones.iter().map(|phone| phone.engine);
    for engine in engines {
        let host = world.host(engine);
        if !host.engine.is_idle() || host.media() > 0 {
            return Err(format!("engine {engine} has a call in the end"));
        }
    }
    Ok(())
}
