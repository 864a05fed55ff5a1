//! How much one visitor may ask, send and hold open.

use ringfence_daemon::forwarded::ForwardedHeader;
use ringfence_daemon::forwarded::Proxies;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Limits};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout};

use crate::client::{
    activate, book, config, connect_from, form, get, get_request, get_with, post, post_request,
    post_with, raw_from, read_out,
};

async fn strict(proxies: &[&str], limits: Limits) -> PhoneBook {
    let networks: Vec<String> = proxies.iter().map(|&text| text.to_owned()).collect();
    let config = Config {
        proxies: Proxies::new(&networks, ForwardedHeader::XForwardedFor).unwrap(),
        limits,
        ..config()
    };
    PhoneBook::start(config).await.unwrap()
}

const FEW: Limits = Limits {
    reads_per_minute: 5,
    asks_per_minute: 3,
};

#[tokio::test]
async fn a_client_beyond_its_rate_learns_when_to_retry_and_nothing_else() {
    let book = strict(&[], FEW).await;
    let number = activate(&book, 5).await;
    for _ in 0..5 {
        assert_eq!(get(&book, "/api/keys/1").await.status, 200);
    }
    let refused = get(&book, &format!("/api/keys/{number}")).await;
    assert_eq!(refused.told(), (429, json!({ "error": "too_often" })));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    for path in [
        "/api/keys/1",
        "/api/keys/x",
        "/api/nothing",
        "/api/v1/newest",
    ] {
        let other = get(&book, path).await;
        let without_wait = |head: Vec<&str>| {
            head.into_iter()
                .filter(|line| !line.starts_with("retry-after"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(other.body, refused.body);
        assert_eq!(
            without_wait(other.head_without_date()),
            without_wait(refused.head_without_date())
        );
    }
    // One of three was the activation.
    for expected in [200, 200, 429] {
        let asked = post_with(&book, "/api/auth/challenge", "", b"").await;
        assert_eq!(asked.status, expected);
    }
}

#[tokio::test]
async fn every_address_has_its_own_share() {
    let book = strict(&[], FEW).await;
    let request = get_request("/api/v1/newest", "");
    for from in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        for _ in 0..5 {
            assert_eq!(raw_from(from, &book, request.as_bytes()).await.status, 200);
        }
        assert_eq!(raw_from(from, &book, request.as_bytes()).await.status, 429);
    }
}

#[tokio::test]
async fn a_configured_proxy_is_believed_and_another_client_is_not() {
    let book = strict(&["127.0.0.1"], FEW).await;
    let ask_for = |visitor: u8| {
        get_request(
            "/api/v1/newest",
            &format!("x-forwarded-for: 198.51.100.1, 192.0.2.{visitor}\r\n"),
        )
    };
    for visitor in [1, 2] {
        for _ in 0..5 {
            let request = ask_for(visitor);
            let answer = raw_from([127, 0, 0, 1], &book, request.as_bytes()).await;
            assert_eq!(answer.status, 200);
        }
        let request = ask_for(visitor);
        let answer = raw_from([127, 0, 0, 1], &book, request.as_bytes()).await;
        assert_eq!(answer.status, 429);
    }
    let mut statuses = Vec::new();
    for visitor in 10..16 {
        let request = ask_for(visitor);
        let answer = raw_from([127, 0, 0, 9], &book, request.as_bytes()).await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
}

#[tokio::test]
async fn codes_that_begin_alike_are_tried_so_often_from_wherever() {
    let book = book().await;
    let (used, other) = (book.issue().await.unwrap(), book.issue().await.unwrap());
    let good = form(&book, &used.code, 5);
    assert_eq!(post(&book, "/api/activate", &good).await.status, 200);
    let wrong = form(&book, &used.code, 6).to_string();
    let mut answers = Vec::new();
    for visitor in 0..20 {
        let header = format!("x-forwarded-for: 192.0.2.{visitor}\r\n");
        answers.push(post_with(&book, "/api/activate", &header, wrong.as_bytes()).await);
    }
    let (last, before) = answers.split_last().unwrap();
    assert!(before.iter().all(|answer| answer.status == 400));
    assert_eq!(last.told(), (429, json!({ "error": "too_often" })));
    let other = form(&book, &other.code, 7);
    assert_eq!(post(&book, "/api/activate", &other).await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let book = book().await;
    let long = format!("x-long: {}\r\n", "x".repeat(17 * 1024));
    assert_eq!(get_with(&book, "/api/v1/newest", &long).await.status, 431);
    let many = "x-many: x\r\n".repeat(64);
    assert_eq!(get_with(&book, "/api/v1/newest", &many).await.status, 431);
    let some = "x-many: x\r\n".repeat(50);
    assert_eq!(get_with(&book, "/api/v1/newest", &some).await.status, 200);
}

/// Time is moved by hand, but the sockets are real.
#[tokio::test(start_paused = true)]
async fn who_sends_a_request_byte_by_byte_is_shown_the_door() {
    let book = book().await;
    for begun in [
        "GET /api/v1/network HTTP/1.1\r\nhost:",
        "POST /api/activate HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(book.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let drip = async {
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        };
        let mut answer = Vec::new();
        let ended = async {
            tokio::select! {
                () = drip => {}
                _ = reader.read_to_end(&mut answer) => {}
            }
        };
        timeout(Duration::from_secs(60), ended).await.expect(begun);
    }
}

#[tokio::test]
async fn one_address_holds_so_many_connections_and_no_more() {
    let book = strict(&[], Limits::NONE).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(connect_from([127, 0, 0, 2], &book).await);
    }
    let mut refused = connect_from([127, 0, 0, 2], &book).await;
    assert!(read_out(&mut refused).await.is_empty());
    let request = get_request("/api/v1/newest", "");
    let neighbour = raw_from([127, 0, 0, 3], &book, request.as_bytes()).await;
    assert_eq!(neighbour.status, 200);
    held.pop();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let mut stream = connect_from([127, 0, 0, 2], &book).await;
        let _ = stream.write_all(request.as_bytes()).await;
        if !read_out(&mut stream).await.is_empty() {
            return;
        }
    }
    panic!("a connection that ended still counts");
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_an_idle_visitor_is_not_waited_for() {
    let book = book().await;
    let issue = book.issue().await.unwrap();
    let request = post_request(
        "/api/activate",
        "",
        form(&book, &issue.code, 5).to_string().as_bytes(),
    );
    let (begin, rest) = request.split_at(request.len() - 10);
    let mut idle = TcpStream::connect(book.address()).await.unwrap();
    let mut busy = TcpStream::connect(book.address()).await.unwrap();
    busy.write_all(begin).await.unwrap();
    // Until its head was read, a request is not under way.
    assert_eq!(get(&book, "/api/v1/newest").await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let address = book.address();
    let stopping = tokio::spawn(book.stop());
    assert!(read_out(&mut idle).await.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
    busy.write_all(rest).await.unwrap();
    let answer = read_out(&mut busy).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    timeout(Duration::from_secs(5), stopping)
        .await
        .unwrap()
        .unwrap();
}
