//! A gateway that has run for a month: the binding of its line has ended, and a renewed one is given to it.

use std::time::Duration;

use ringfence::lines::book_updates::follow_book;
use ringfence::lines::renew::Renewals;
use ringfence::net::book::{BookCopy, Freshness};
use ringfence_book::{Binding, BindingError, Day};
use ringfence_engine::LineUpdateError;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::servers::{SOON, Servers, is_ringing, refused, sees};

fn with_last_day(binding: &Binding, day: Day) -> Binding {
    let (number, identity) = (binding.number(), *binding.identity());
    Binding::from_parts(number, identity, day, *binding.signature())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_rings_again_once_its_binding_is_renewed() {
    let servers = Servers::build().await;
    let [mut stored_a, stored_b] = servers.stored_engines().await;
    let good = Binding::decode(&stored_a.line.binding).unwrap();
    let ended = with_last_day(&good, Day::new(1));
    stored_a.line.binding = ended.encode().to_vec();
    stored_a.config.no_answer = Duration::from_secs(1);
    let (mut a, mut b) = (
        stored_a.open(&servers, 0).await,
        stored_b.open(&servers, 1).await,
    );
    a.phone.dial(&b.number).await;
    assert_eq!(a.refused().await, 480, "an expired binding is refused");

    // The next download of the book: the copy changes, and what is due is renewed.
    let mut copy = BookCopy::open(&stored_a.config.state, servers.book.book_key()).unwrap();
    let snapshot = Some(copy.refresh(&stored_a.client).await.unwrap());
    let (tell, fresh) = watch::channel(Freshness::default());
    let (key, line) = (servers.book.book_key(), stored_a.line);
    let mut renewals = Renewals::new(stored_a.store, stored_a.client, key, vec![line]);
    tell.send_replace(Freshness {
        snapshot,
        error: None,
        clock: None,
    });
    let ringing = async {
        loop {
            a.phone.dial(&b.number).await;
            tokio::select! {
                _ = sees(&mut b.phone, is_ringing) => break,
                status = refused(&mut a.phone) => assert_eq!(status, 480),
            }
        }
    };
    tokio::select! {
        () = follow_book(&a.gateway, fresh, &mut renewals, None) => panic!("it goes on for ever"),
        rang = timeout(SOON, ringing) => assert!(rang.is_ok(), "it never rang"),
    }
    assert_eq!(renewals.lines()[0].binding, good.encode());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_takes_no_binding_that_the_book_did_not_give_its_line() {
    let servers = Servers::build().await;
    let [stored_a, stored_b] = servers.stored_engines().await;
    let a = stored_a.open(&servers, 0).await;
    let theirs = Binding::decode(&stored_b.line.binding).unwrap();
    let own = Binding::decode(&stored_a.line.binding).unwrap();
    let longer = with_last_day(&own, own.expires().plus(1));
    for (binding, fault) in [
        (theirs, LineUpdateError::NoSuchLine),
        (longer, LineUpdateError::Worthless(BindingError::Signature)),
    ] {
        assert_eq!(a.gateway.renew_binding(binding).await, Err(fault));
    }
    assert_eq!(a.gateway.renew_binding(own).await, Ok(()));
}
