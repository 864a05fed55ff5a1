//! Each route once, as a client uses it, and what is no route.

use std::net::SocketAddr;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use ringfence_book::wire::{
    Activated, Challenged, Curve, Issued, NetworkSettings, NumberKeys, Verified,
};
use ringfence_book::{ActivationCode, BookKey, Challenge, IdentityKey, Number, Tile};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Database};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{activate, book, form, get, post, post_with, raw};

#[tokio::test]
async fn a_number_is_issued_activated_and_found() {
    let book = book().await;
    let token = book.first_token().unwrap().text().to_owned();
    let issued = post_with(
        &book,
        "/api/admin/issue-number",
        &format!("authorization: Bearer {token}\r\n"),
        b"",
    )
    .await;
    let issued: Issued = serde_json::from_slice(&issued.body).unwrap();
    let code: ActivationCode = issued.activation_code.parse().unwrap();
    let network: NetworkSettings =
        serde_json::from_slice(&get(&book, "/api/v1/network").await.body).unwrap();
    assert_eq!(&network, book.network());
    let answer = post(&book, "/api/activate", &form(&book, &code, 5)).await;
    let activated: Activated = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(activated.number, issued.number);
    book.close_epoch_now().await.unwrap();
    let identity = IdentityKey::from(&SigningKey::from_bytes(&[5; 32]));
    let keys: NumberKeys = serde_json::from_slice(
        &get(&book, &format!("/api/keys/{}", issued.number))
            .await
            .body,
    )
    .unwrap();
    assert_eq!(
        keys.signing_key.on(Curve::Ed25519),
        Some(identity.as_bytes())
    );
    let tile = Tile::decode(&get(&book, "/api/v1/tiles/0").await.body).unwrap();
    let number: Number = issued.number.parse().unwrap();
    let (_, slot) = network.plan.place(number).unwrap();
    assert_eq!(*tile.listing(slot).unwrap().identity(), identity);
    book.stop().await;
}

#[tokio::test]
async fn what_no_phone_could_dial_is_a_bad_request() {
    let book = book().await;
    for text in [
        "abc",
        "-1",
        "+20000",
        "12345678901234567",
        "%31%2f",
        "2e4",
        "%D9%A2",
        "%ff",
    ] {
        assert_eq!(
            get(&book, &format!("/api/keys/{text}")).await.status,
            400,
            "{text}"
        );
    }
}

#[tokio::test]
async fn all_refused_activations_look_alike() {
    let book = book().await;
    let (issue, other) = (book.issue().await.unwrap(), book.issue().await.unwrap());
    let good = form(&book, &issue.code, 5);
    let changed = |member: &str, value: Value| {
        let mut form = good.clone();
        form[member] = value;
        form
    };
    let low_order_x25519 = json!({ "kty": "OKP", "crv": "X25519", "x": "A".repeat(43) });
    let identity_point = format!("AQ{}", "A".repeat(41));
    let low_order_ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "x": identity_point });
    let not_canonical =
        json!({ "kty": "OKP", "crv": "X25519", "x": format!("7{}38", "_".repeat(40)) });
    let forms = [
        changed("code", json!("")),
        changed("code", json!(other.code.text())),
        changed("code", json!("0000-0000-0000-0000-0000-0000-0000")),
        changed("encryptionKey", low_order_x25519),
        changed("encryptionKey", not_canonical),
        changed("signingKey", low_order_ed25519),
        changed("signingKey", good["encryptionKey"].clone()),
        changed("serial", json!(30_000)),
        changed("listingSignature", good["signature"].clone()),
        changed("signature", good["listingSignature"].clone()),
        changed("ringKeyProof", json!("A".repeat(43))),
    ];
    let mut answers = Vec::new();
    for form in &forms {
        answers.push(post(&book, "/api/activate", form).await);
    }
    for (answer, form) in answers.iter().zip(&forms) {
        assert_eq!(answer.status, 400, "{form}");
        assert_eq!(answer.json(), json!({ "error": "invalid_code" }), "{form}");
        assert_eq!(answer.head_without_date(), answers[0].head_without_date());
    }
    assert_eq!(post(&book, "/api/activate", &good).await.status, 200);
    assert_eq!(
        post(&book, "/api/activate", &form(&book, &issue.code, 6))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn malformed_bodies_are_bad_requests() {
    let book = book().await;
    let issue = book.issue().await.unwrap();
    let mut with_private_key = form(&book, &issue.code, 5);
    with_private_key["signingKey"]["d"] = json!("secret");
    let mut unknown_member = form(&book, &issue.code, 5);
    unknown_member["colour"] = json!("red");
    let mut short_key = form(&book, &issue.code, 5);
    short_key["signingKey"]["x"] = json!("AAAA");
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[".repeat(8_000),
        with_private_key.to_string().into(),
        unknown_member.to_string().into(),
        short_key.to_string().into(),
    ];
    for path in ["/api/activate", "/api/auth/verify"] {
        for body in &bodies {
            let answer = post_with(&book, path, "", body).await;
            assert_eq!(
                (answer.status, answer.json()),
                (400, json!({ "error": "bad_request" }))
            );
        }
    }
    assert_eq!(
        post_with(&book, "/api/auth/challenge", "", b"{")
            .await
            .status,
        400
    );
    assert_eq!(
        post_with(&book, "/api/auth/challenge", "", b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let book = book().await;
    let answer = post_with(&book, "/api/activate", "", &vec![b' '; 9_000]).await;
    assert_eq!(
        (answer.status, answer.json()),
        (413, json!({ "error": "too_large" }))
    );
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_so_in_json() {
    let book = book().await;
    let missing = get(&book, "/api/nothing").await;
    assert_eq!(
        (missing.status, missing.json()),
        (404, json!({ "error": "not_found" }))
    );
    let wrong = get(&book, "/api/activate").await;
    assert_eq!(
        (wrong.status, wrong.json()),
        (405, json!({ "error": "method_not_allowed" }))
    );
}

#[tokio::test]
async fn numbers_are_issued_to_the_operator_only() {
    let book = book().await;
    for headers in [
        "",
        "authorization: Bearer \r\n",
        "authorization: Bearer wrong\r\n",
        "authorization: Basic eDp5\r\n",
    ] {
        let answer = post_with(&book, "/api/admin/issue-number", headers, b"").await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({ "error": "unauthorized" }))
        );
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn a_number_is_proved_with_the_identity_key_once() {
    let book = book().await;
    let number = activate(&book, 5).await;
    let identity = SigningKey::from_bytes(&[5; 32]);
    let asked = post(
        &book,
        "/api/auth/challenge",
        &json!({ "number": "anything" }),
    )
    .await;
    let challenged: Challenged = serde_json::from_slice(&asked.body).unwrap();
    let challenge = Challenge::new(book.book_key(), challenged.nonce.0);
    assert_eq!(asked.json()["challenge"], challenge.text());
    let signature: String = challenge
        .answer(&identity)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let answer = json!({ "challengeId": asked.json()["challengeId"], "number": number, "signature": signature });
    let verified: Verified =
        serde_json::from_slice(&post(&book, "/api/auth/verify", &answer).await.body).unwrap();
    assert!(verified.verified);
    assert_eq!(verified.number, number);
    let again = post(&book, "/api/auth/verify", &answer).await;
    assert_eq!(
        (again.status, again.json()),
        (400, json!({ "error": "invalid" }))
    );
}

#[tokio::test]
async fn a_tile_is_sent_again_only_when_it_changed() {
    let book = book().await;
    let first = get(&book, "/api/v1/tiles/0").await;
    let etag = first.header("etag").unwrap().to_owned();
    let conditional = format!(
        "GET /api/v1/tiles/0 HTTP/1.1\r\nhost: book\r\nconnection: close\r\nif-none-match: \"x\", W/{etag}\r\n\r\n"
    );
    let unchanged = raw(&book, conditional.as_bytes()).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    activate(&book, 5).await;
    let changed = raw(&book, conditional.as_bytes()).await;
    assert_eq!((changed.status, changed.body.len()), (200, 49_152));
    for path in [
        "/api/v1/tiles/1",
        "/api/v1/tiles/65536",
        "/api/v1/tiles/x",
        "/api/v1/tiles/-1",
    ] {
        assert_eq!(get(&book, path).await.status, 404, "{path}");
    }
}

/// Time is moved by hand, but the sockets are real.
#[tokio::test(start_paused = true)]
async fn who_never_finishes_a_request_is_shown_the_door() {
    let book = book().await;
    for (begun, told) in [
        ("", ""),
        ("GET /api/v1/network HTTP/1.1\r\nhost:", ""),
        (
            "POST /api/activate HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
            "HTTP/1.1 408",
        ),
    ] {
        let mut stream = TcpStream::connect(book.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(120), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{begun}");
        assert!(answer.starts_with(told.as_bytes()), "{begun}");
        assert_eq!(answer.is_empty(), told.is_empty(), "{begun}");
    }
}

#[tokio::test]
async fn a_stopped_book_no_longer_answers() {
    let book = book().await;
    let address = book.address();
    book.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let book = book().await;
    let config = Config {
        listen: book.address(),
        database: Database::Memory,
        ..Config::default()
    };
    let error = PhoneBook::start(config).await.unwrap_err().to_string();
    assert!(
        error.contains(&book.address().to_string()) && error.contains("--listen"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unwritable_database_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::File(folder.path().join("missing").join("book.sqlite")),
        ..Config::default()
    };
    let error = PhoneBook::start(config).await.unwrap_err().to_string();
    assert!(
        error.contains("book.sqlite") && error.contains("--database"),
        "{error}"
    );
}

#[tokio::test]
async fn a_book_key_of_the_network_is_the_one_that_signs() {
    let book = book().await;
    let network: Value = get(&book, "/api/v1/network").await.json();
    assert_eq!(network["relays"], json!(["ws://relay.example"]));
    assert_eq!(network["plan"], json!({ "first": 20_000, "tiles": 1 }));
    let read: NetworkSettings = serde_json::from_value(network).unwrap();
    assert_eq!(
        read.book_key,
        BookKey::from_bytes(book.book_key().as_bytes()).unwrap()
    );
}
