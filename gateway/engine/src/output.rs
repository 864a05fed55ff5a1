//! Everything an engine asks its shell to do.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ringfence_book::Number;
use ringfence_media::far::Role;
use ringfence_media::{Description, NegotiatedMedia};
use ringfence_sip as sip;

use crate::call::step::CallStep;
use crate::line::saved_state::CallWay;
use crate::sealed::envelope::Envelope;
use crate::sealed::proof_of_work::{EventKeyPair, ProofOfWork};
use crate::trust::contacts::ContactUpdate;
use crate::trust::own_record::FalseRecord;
use crate::trust::roots::SplitView;

/// A random short name for one call, for logs and the shell's tables. It never leaves the
/// machine and says nothing about who calls whom.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallLabel(pub(crate) u32);

impl std::str::FromStr for CallLabel {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u32::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for CallLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for CallLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallLabel({self})")
    }
}

/// Names one [`SealedEvent`], so that the shell can report how many relays took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostId(pub(crate) u64);

/// One envelope for the relays, in an event that the proof of work's one-time key signs.
#[derive(Debug)]
pub struct SealedEvent {
    /// What [`crate::Engine::handle_posted`] is told.
    pub id: PostId,
    /// The proof of work, and with it the event key whose secret the shell holds.
    pub proof: ProofOfWork,
    /// The bucket tag. Relays see it; many lines share one.
    pub bucket: u16,
    /// 1,024 bytes that only the callee can open.
    pub envelope: Envelope,
    /// Whether relays shall keep it ([`crate::sealed::note::LIFE`]): a text or a missed-call note. Relays see which it is of the two kinds
    /// of event.
    pub is_note: bool,
}

/// What to do with a call's media. Orders for one call are carried out in their order.
#[derive(Debug)]
pub enum MediaOrder {
    /// Bind local ports for the phone's RTP, and report [`crate::MediaEvent::Near`]. Those that are not the one of
    /// [`Self::Attach`] may be closed then. Nothing leaves the machine.
    OpenNear {
        /// Addresses where phones of the line registered.
        at: Vec<IpAddr>,
        /// Whether video needs a port as well.
        video: bool,
    },
    /// Allocate at a TURN server, and report the allocation.
    OpenFar {
        /// The other engine's relayed addresses, where they are known: another server is to be preferred, so that no server has both
        /// sides of the call.
        avoid: Vec<IpAddr>,
    },
    /// The phone's media terms; again whenever the phone changes them.
    Attach(Box<NegotiatedMedia>),
    /// Meet the other engine at its relayed addresses.
    Connect {
        /// The other engine's media description.
        remote: Description,
        /// Which of the two engines this is.
        role: Role,
    },
    /// The other engine has lost its relayed address and may be met at this one, too.
    Meet(SocketAddr),
    /// From here the phone's audio is sent.
    OpenMicrophone,
    /// Send a key press to the phone within its audio (RFC 4733).
    Press {
        /// 0 to 15.
        event: u8,
        /// How long, in milliseconds.
        millis: u16,
    },
    /// Send a packet of sound to a phone, from the port that was bound for it. Only where no far leg is: nothing but the phone takes part.
    SendToPhone {
        /// Where the phone hears.
        to: SocketAddr,
        /// RTP, or SRTP where that was agreed.
        bytes: Vec<u8>,
    },
    /// Send a datagram of 1,024 bytes to a relayed address of the other engine.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The sealed message.
        bytes: Vec<u8>,
    },
    /// Send a control frame on the call's data channel.
    Control(Vec<u8>),
    /// The phone has left the call: from here nothing of it is sent, and nothing goes to it. What the engines tell each other still passes.
    Detach,
    /// Free everything: TURN allocation, port, keys. The last order for a call.
    Close,
}

/// An action for the shell. Those for one phone, one call or one relay keep their order.
#[derive(Debug)]
pub enum Output {
    /// Send SIP bytes to a phone.
    Phone {
        /// The socket and peer they go to.
        flow: sip::Flow,
        /// One datagram, or a piece of a stream.
        bytes: Vec<u8>,
    },
    /// Close a phone's connection.
    CloseFlow(sip::Flow),
    /// Publish an envelope.
    Post(SealedEvent),
    /// Make this many proofs of work and bring them with [`crate::Engine::handle_proof_of_work`].
    WantProofs(usize),
    /// The same for one event key that was drawn before.
    WantProofFor(EventKeyPair),
    /// Carry out an order for a call's media.
    Media {
        /// Which call.
        call: CallLabel,
        /// What to do.
        order: MediaOrder,
    },
    /// Something was learnt about a number: to be saved. The count goes back with [`crate::Engine::handle_contacts`].
    ContactUpdate {
        /// Counted from 1.
        count: u64,
        /// What.
        learnt: ContactUpdate,
    },
    /// Something that must outlive this process has changed: [`crate::Engine::saved_state`] is to be saved.
    SavedState,
    /// What the next process must know, if this one is killed, has changed: [`crate::Engine::restart_state`] is to be saved, as soon as
    /// possible.
    RestartState,
    /// The machine has slept, or its clock was set: connections of before may be dead, though nothing says so. They are to be checked,
    /// or made anew.
    CheckConnections,
    /// Two roots of one epoch prove that the phone book shows different contents to different engines: to be kept, and shown to the user.
    SplitView(Box<SplitView>),
    /// The phone book lists one of this engine's numbers with keys that are not its own: to be kept, and told to the user.
    FalseRecord(FalseRecord),
    /// A call has come one step further: for the timeline, never for decisions.
    Step {
        /// Which call.
        call: CallLabel,
        /// Who calls whom.
        parties: CallParties,
        /// What happened.
        step: CallStep,
    },
}

/// The two numbers of a call. Its `Debug` output names neither.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallParties {
    /// The line of this engine.
    pub line: Number,
    /// The other number; `None` when what was dialled is no number.
    pub peer: Option<Number>,
    /// Who called.
    pub direction: CallWay,
}

impl fmt::Debug for CallParties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallParties(..)")
    }
}

/// What the shell has not fetched yet, in its order. The shell fetches all of it after every input.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    posts: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn extend(&mut self, outputs: impl IntoIterator<Item = Output>) {
        self.queue.extend(outputs);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Posts an envelope that relays pass on and do not keep.
    pub(crate) fn post(&mut self, proof: ProofOfWork, bucket: u16, envelope: Envelope) -> PostId {
        self.post_as(false, proof, bucket, envelope)
    }

    /// Posts an envelope for relays to keep.
    pub(crate) fn post_note(
        &mut self,
        proof: ProofOfWork,
        bucket: u16,
        envelope: Envelope,
    ) -> PostId {
        self.post_as(true, proof, bucket, envelope)
    }

    fn post_as(
        &mut self,
        is_note: bool,
        proof: ProofOfWork,
        bucket: u16,
        envelope: Envelope,
    ) -> PostId {
        self.posts += 1;
        let id = PostId(self.posts);
        self.push(Output::Post(SealedEvent {
            id,
            proof,
            bucket,
            envelope,
            is_note,
        }));
        id
    }
}
