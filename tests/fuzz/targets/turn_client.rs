//! A hostile TURN server: replies that are altered before they are signed (RFC 8656), frames of any bytes, data of any peer, over UDP
//! and over a stream that is cut anywhere. The leg never panics, serves its timers, and answers an input with a bounded number of packets.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringfence_fuzz::call::Call;
use ringfence_fuzz::hostile_peer::PEER;
use ringfence_fuzz::turn_stub::{Heard, Reply};
use ringfence_media::far::{FarEvent, FarOutput, Role, TurnTransport};
use ringfence_media::{Codec, Description};
use stun_types::message::{MessageClass, Method, TransactionId};

/// Frames that one input may lead to: far more than a handful of requests with their refusals.
const MAX_FRAMES: usize = 400;

/// A lie in the server's next reply.
struct Lie<'a>(u8, u8, &'a [u8]);

impl Lie<'_> {
    fn tell(&self, reply: &mut Reply) {
        let Self(kind, number, bytes) = self;
        let count = reply.attributes.len().max(1);
        match kind % 8 {
            0 => reply.class = MessageClass::Error,
            1 => reply.class = MessageClass::Success,
            2 => reply.attributes.retain(|(kind, _)| *kind != u16::from(*number)),
            3 => reply.attributes.push((u16::from(*number), bytes.to_vec())),
            4 => {
                if let Some((_, value)) = reply.attributes.get_mut(usize::from(*number) % count) {
                    *value = bytes.to_vec();
                }
            }
            5 => reply.is_signed = !reply.is_signed,
            6 => reply.method = Method::new(u16::from(number % 12)),
            _ => reply.transaction = TransactionId::from(u128::from(*number)),
        }
    }
}

struct Client<'a> {
    call: Call,
    transport: TurnTransport,
    lies: Vec<Lie<'a>>,
    is_mute: bool,
}

impl Client<'_> {
    fn hand_over(&mut self, frame: &[u8]) {
        let middle = match self.transport {
            TurnTransport::Udp => 0,
            TurnTransport::Stream => frame.len() / 2,
        };
        let (first, second) = frame.split_at(middle);
        if !first.is_empty() {
            self.call.leg.handle_turn(first, self.call.now);
        }
        self.call.leg.handle_turn(second, self.call.now);
    }

    /// Answers every request until the leg is quiet.
    fn drain(&mut self) {
        let mut frames = 0;
        while let Some(output) = self.call.leg.poll() {
            let frame = match output {
                FarOutput::ToServer(frame) => frame,
                FarOutput::Event(FarEvent::Allocated(_)) => {
                    self.call.is_connected = true;
                    continue;
                }
                FarOutput::Event(_) => continue,
            };
            frames += 1;
            assert!(frames < MAX_FRAMES, "one input leads to {frames} frames");
            let heard = self.call.stub.handle(&frame);
            if let (Heard::Request(mut reply), false) = (heard, self.is_mute) {
                for lie in self.lies.drain(..) {
                    lie.tell(&mut reply);
                }
                self.hand_over(&reply.write());
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.call.now + time;
        self.drain();
        for _ in 0..200 {
            let next = self.call.leg.next_timeout().map(|(at, _)| at);
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.call.now = self.call.now.max(next);
            self.call.leg.handle_timeout(self.call.now);
            let due = self.call.leg.next_timeout();
            let due = due.filter(|(at, _)| *at <= self.call.now);
            assert!(due.is_none(), "due for ever: {due:?}");
            self.drain();
        }
        self.call.now = end;
    }

    fn connect(&mut self) {
        let remote = Description {
            ufrag: "fuzz".to_owned(),
            pwd: "thepasswordofthehostilepeer".to_owned(),
            fingerprint: [7; 32],
            ssrc: 1,
            relayed_addresses: vec![PEER],
            codecs: vec![Codec::Pcmu],
            video: None,
        };
        // A leg without an allocation refuses.
        let _ = self.call.leg.connect(&remote, Role::Caller, self.call.now);
    }
}

fuzz_target!(|script: (u8, Vec<(u8, u8, Vec<u8>)>)| {
    let (setup, acts) = script;
    let transport = if setup & 1 == 0 { TurnTransport::Udp } else { TurnTransport::Stream };
    let mut client = Client {
        call: Call::new(transport),
        transport,
        lies: Vec::new(),
        is_mute: false,
    };
    if setup & 2 != 0 {
        client.drain();
        assert!(client.call.is_connected, "an honest server grants the allocation");
    }
    for (act, number, bytes) in acts.iter().take(64) {
        let bytes = bytes.get(..bytes.len().min(1_500)).unwrap_or_default();
        match act % 16 {
            0 => client.advance(Duration::from_millis(u64::from(*number) * 20)),
            1 => client.advance(Duration::from_secs(u64::from(*number) * 4)),
            2 => client.hand_over(bytes),
            3 => {
                // Bytes behind the beginning of a reply to the newest request.
                let reply = Reply {
                    class: MessageClass::Success,
                    method: Method::new(u16::from(number % 12)),
                    transaction: client.call.stub.last_request.unwrap_or(TransactionId::from(1)),
                    attributes: Vec::new(),
                    is_signed: number & 0x80 != 0,
                };
                let frame = [&reply.write()[..], bytes].concat();
                client.hand_over(&frame);
            }
            4 => {
                let frame = client.call.stub.wrap(PEER, bytes);
                client.hand_over(&frame);
            }
            5 => client.connect(),
            6 => client.call.leg.check(client.call.now),
            7 => client.is_mute = number & 1 != 0,
            8 if number & 0x0f == 0 => client.call.leg.close(client.call.now),
            9 if number & 0x0f == 0 => client.call.leg.handle_turn_closed(client.call.now),
            lie => client.lies.push(Lie(lie, *number, bytes)),
        }
        client.drain();
    }
    client.advance(Duration::from_secs(1_800));
});
