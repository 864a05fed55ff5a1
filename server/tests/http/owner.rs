//! What the owner of a number and the members ask, and how all refusals look alike.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfence_book::challenge::sign_deactivation;
use ringfence_book::turn_credentials::{TurnSecret, expiry, password_for};
use ringfence_book::wire::{Curve, Members, NumberKeys, Rotated, TurnCredentials};
use ringfence_book::{Listing, Number, Possession, RingKey};
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Config;
use serde_json::{Value, json};
use x25519_dalek::StaticSecret;

use crate::client::{
    Answer, SERIAL, activate, book, challenge, config, form, get, get_with, hex, keys_of, operator,
    post, post_with,
};

const INVALID: &str = "invalid";

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A rotation of the identity of this seed to the ring key of another.
async fn rotation(book: &PhoneBook, number: &str, seed: u8, ring: u8) -> Value {
    let ((identity, _), ring) = (keys_of(seed), StaticSecret::from([ring; 32]));
    let (id, challenge) = challenge(book).await;
    let network = book.network();
    let listing = Listing::sign(&identity, RingKey::from(&ring), SERIAL + 1);
    let proof = Possession::prove_rotation(
        &identity,
        &ring,
        number.parse().unwrap_or(Number::new(0)),
        &listing,
        &challenge,
        &network.proof_key,
    );
    json!({
        "number": number, "challengeId": id, "listing": base64(&listing.encode()),
        "signature": base64(&proof.signature), "ringKeyProof": base64(&proof.ring_key_proof),
    })
}

async fn deactivation(book: &PhoneBook, number: &str, seed: u8) -> Value {
    let (id, challenge) = challenge(book).await;
    let numeric = number.parse().unwrap_or(Number::new(0));
    let signature = sign_deactivation(&keys_of(seed).0, numeric, &challenge);
    json!({ "number": number, "challengeId": id, "signature": base64(&signature) })
}

async fn answer(book: &PhoneBook, number: &str, seed: u8) -> Value {
    let (id, challenge) = challenge(book).await;
    let signature = hex(&challenge.answer(&keys_of(seed).0));
    json!({ "number": number, "challengeId": id, "signature": signature })
}

async fn ring_key(book: &PhoneBook, number: &str) -> [u8; 32] {
    let keys: NumberKeys =
        serde_json::from_slice(&get(book, &format!("/api/keys/{number}")).await.body).unwrap();
    *keys.encryption_key.on(Curve::X25519).unwrap()
}

#[tokio::test]
async fn a_new_ring_key_is_published_with_the_next_epoch() {
    let book = book().await;
    let number = activate(&book, 5).await;
    let before = ring_key(&book, &number).await;
    let form = rotation(&book, &number, 5, 9).await;
    let rotated: Rotated =
        serde_json::from_slice(&post(&book, "/api/v1/keys/rotate", &form).await.body).unwrap();
    assert_eq!(rotated.epochs, 1);
    assert_eq!(ring_key(&book, &number).await, before);
    book.close_epoch_now().await.unwrap();
    let expected = RingKey::from(&StaticSecret::from([9; 32]));
    assert_eq!(&ring_key(&book, &number).await, expected.as_bytes());
    let again = post(&book, "/api/v1/keys/rotate", &form).await;
    assert_eq!(again.told(), (400, json!({ "error": INVALID })));
}

#[tokio::test]
async fn a_number_is_given_up_by_its_owner() {
    let book = book().await;
    let number = activate(&book, 5).await;
    let before = ring_key(&book, &number).await;
    let form = deactivation(&book, &number, 5).await;
    let done = post(&book, "/api/v1/numbers/deactivate", &form).await;
    assert_eq!(done.told(), (200, json!({})));
    book.close_epoch_now().await.unwrap();
    assert_ne!(ring_key(&book, &number).await, before);
    let proof = answer(&book, &number, 5).await;
    assert_eq!(post(&book, "/api/v1/members", &proof).await.status, 400);
    let seen = get_with(&book, "/api/admin/numbers", &operator(&book)).await;
    assert_eq!(seen.json()["numbers"][0]["state"], "retired");
}

#[tokio::test]
async fn a_client_that_is_not_the_owner_gets_the_same_answer_for_every_number() {
    let book = book().await;
    let number = activate(&book, 5).await;
    let retired = activate(&book, 6).await;
    let form = deactivation(&book, &retired, 6).await;
    post(&book, "/api/v1/numbers/deactivate", &form).await;
    book.close_epoch_now().await.unwrap();
    let waiting = book.issue().await.unwrap().number.to_string();
    let taken = [&number, &retired, &waiting];
    let free = (20_000..20_256)
        .map(|free| free.to_string())
        .find(|free| !taken.contains(&free))
        .unwrap();
    let mut answers: Vec<Answer> = Vec::new();
    for claimed in [
        &number,
        &retired,
        &waiting,
        &free,
        "19999",
        "4294967295",
        "no number",
    ] {
        let form = rotation(&book, claimed, 7, 8).await;
        answers.push(post(&book, "/api/v1/keys/rotate", &form).await);
        let form = deactivation(&book, claimed, 7).await;
        answers.push(post(&book, "/api/v1/numbers/deactivate", &form).await);
        for path in ["/api/auth/verify", "/api/v1/members"] {
            let form = answer(&book, claimed, 7).await;
            answers.push(post(&book, path, &form).await);
        }
    }
    for refused in &answers {
        assert_eq!(refused.told(), (400, json!({ "error": INVALID })));
        assert_eq!(refused.head_without_date(), answers[0].head_without_date());
    }
    let before = ring_key(&book, &number).await;
    let mut spoilt = rotation(&book, &number, 5, 9).await;
    spoilt["ringKeyProof"] = json!("A".repeat(43));
    let refused = post(&book, "/api/v1/keys/rotate", &spoilt).await;
    assert_eq!(refused.told(), (400, json!({ "error": INVALID })));
    book.close_epoch_now().await.unwrap();
    assert_eq!(ring_key(&book, &number).await, before);
}

#[tokio::test]
async fn a_member_gets_turn_credentials_for_a_token_that_all_have() {
    let secret = |host: &str, text: &str| (host.to_owned(), TurnSecret::new(text.to_owned()));
    let config = Config {
        // The second entry of a host is the same server; one without a secret has no credentials.
        turn: [
            "turn:a.example",
            "turns:a.example:443",
            "turn:c.example",
            "turn:b.example",
        ]
        .map(str::to_owned)
        .into(),
        turn_secrets: [
            secret("a.example", "north-sea"),
            secret("b.example", "south-sea"),
        ]
        .into(),
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let mut tokens = Vec::new();
    for seed in [5, 6] {
        let number = activate(&book, seed).await;
        let proof = answer(&book, &number, seed).await;
        let given: Members =
            serde_json::from_slice(&post(&book, "/api/v1/members", &proof).await.body).unwrap();
        tokens.push(given.members);
    }
    assert_eq!(tokens[0], tokens[1]);
    let ask = |members: &str| json!({ "members": members });
    let path = "/api/v1/turn-credentials";
    let given: TurnCredentials =
        serde_json::from_slice(&post(&book, path, &ask(&tokens[0])).await.body).unwrap();
    let hosts: Vec<&str> = given
        .servers
        .iter()
        .map(|server| server.host.as_str())
        .collect();
    assert_eq!(hosts, ["a.example", "b.example"]);
    let mut users = BTreeSet::new();
    for (server, secret) in given.servers.iter().zip(["north-sea", "south-sea"]) {
        assert_eq!(server.credentials.len(), 32);
        for login in &server.credentials {
            let secret = TurnSecret::new(secret.to_owned());
            assert_eq!(login.password, password_for(&secret, &login.user));
            assert_eq!(expiry(&login.user), Some(given.expires));
            users.insert(login.user.clone());
        }
    }
    assert_eq!(users.len(), 64, "no user name is given twice");
    let again: TurnCredentials =
        serde_json::from_slice(&post(&book, path, &ask(&tokens[1])).await.body).unwrap();
    let days = [given.expires, again.expires].map(|end| end / 86_400);
    assert!(
        given.expires.is_multiple_of(86_400) && days[1] - days[0] <= 1,
        "{days:?}"
    );
    let mut names = again.servers.iter().flat_map(|server| &server.credentials);
    assert!(names.all(|login| !users.contains(&login.user)));
    for wrong in ["", "x", &"A".repeat(43)] {
        let refused = post(&book, path, &ask(wrong)).await;
        assert_eq!(refused.told(), (400, json!({ "error": INVALID })));
    }
}

#[tokio::test]
async fn a_new_member_has_the_token_at_once_and_a_book_without_secret_has_no_credentials() {
    let book = book().await;
    let issue = book.issue().await.unwrap();
    let activated = post(&book, "/api/activate", &form(&book, &issue.code, 5)).await;
    let members = json!({ "members": activated.json()["members"] });
    let none = post(&book, "/api/v1/turn-credentials", &members).await;
    assert_eq!(none.told(), (404, json!({ "error": "not_found" })));
}

#[tokio::test]
async fn the_operator_sees_states_in_pages_and_revokes() {
    let book = book().await;
    let token = operator(&book);
    let active = activate(&book, 5).await;
    let waiting = book.issue().await.unwrap().number.to_string();
    let page = get_with(&book, "/api/admin/numbers?limit=1", &token)
        .await
        .json();
    assert_eq!(page["numbers"].as_array().unwrap().len(), 1);
    let counts = json!({ "free": 254, "waiting": 1, "active": 1, "retired": 0, "queued": 0 });
    assert_eq!(page["counts"], counts);
    let next = format!("/api/admin/numbers?from={}", page["next"]);
    let rest = get_with(&book, &next, &token).await.json();
    assert_eq!(rest["numbers"].as_array().unwrap().len(), 1);
    assert!(rest.get("next").is_none());
    let revoke = async |number: &str| {
        let form = json!({ "number": number }).to_string();
        post_with(&book, "/api/admin/revoke", &token, form.as_bytes())
            .await
            .told()
    };
    assert_eq!(revoke(&active).await, (200, json!({})));
    assert_eq!(revoke(&waiting).await, (200, json!({})));
    for nobodys in [active.as_str(), "1", "no number"] {
        assert_eq!(
            revoke(nobodys).await,
            (404, json!({ "error": "not_found" }))
        );
    }
    for wrong in ["?limit=0", "?limit=1001", "?from=x", "?colour=red"] {
        let path = format!("/api/admin/numbers{wrong}");
        assert_eq!(get_with(&book, &path, &token).await.status, 400, "{wrong}");
    }
}
