//! What an engine does after every input: phones and joined calls are heard and lamps lit until all is quiet; what is to be
//! saved is told, and stamps are ordered for what is then to be sent.

use std::time::Instant;

use ringfence_sip as sip;

use crate::call::{Call, Happening};
use crate::engine::Engine;
use crate::output::Output;

impl Engine {
    /// After every input: hears what the phones' side and joined calls have to say, which may move calls, which may
    /// move phones, until all is quiet.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.agent.poll() {
                match output {
                    sip::Output::Send { flow, bytes } => {
                        self.out.push_back(Output::Phone { flow, bytes })
                    }
                    sip::Output::Close { flow } => self.out.push_back(Output::HangUpFlow(flow)),
                    sip::Output::Event(event) => self.handle_leg(event, now),
                }
            } else if let Some((call, news)) = self.news.pop_front() {
                self.tell(call, Happening::News(news), now);
            } else if !self.light_lamps(now) {
                break;
            }
        }
        if std::mem::take(&mut self.ledger_changed) {
            self.out.push_back(Output::Ledger);
        }
        self.order_stamps(now);
    }

    pub(crate) fn order_stamps(&mut self, now: Instant) {
        let calls: usize = self.calls.values().map(Call::lacks).sum();
        let waiting = calls + self.courier.lacks();
        let count = self.stock.order(waiting, self.clock.wall(now));
        if count > 0 {
            self.out.push_back(Output::WantStamps(count));
        }
    }
}
