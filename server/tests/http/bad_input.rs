//! Bodies that no client of ours sends: oversized, cut short, of the wrong type, with strange members or keys. Each gets one clear
//! answer, and nothing is lost.

use serde_json::{Value, json};

use crate::client::{activate, book, challenge, form, get, operator, post, post_with};

/// A form for each path that takes one, as it should be but for its proofs.
fn forms() -> Vec<(&'static str, Value)> {
    let (id, hex64, b32, b64) = (
        "0".repeat(32),
        "0".repeat(128),
        "A".repeat(43),
        "A".repeat(86),
    );
    let key = |curve: &str| json!({ "kty": "OKP", "crv": curve, "x": b32 });
    vec![
        (
            "/api/activate",
            json!({
                "code": "", "signingKey": key("Ed25519"), "encryptionKey": key("X25519"), "serial": 1,
                "listingSignature": b64, "signature": b64, "ringKeyProof": b32,
            }),
        ),
        ("/api/auth/challenge", json!({ "number": "1" })),
        (
            "/api/auth/verify",
            json!({ "challengeId": id, "number": "1", "signature": hex64 }),
        ),
        (
            "/api/v1/members",
            json!({ "challengeId": id, "number": "1", "signature": hex64 }),
        ),
        (
            "/api/v1/keys/rotate",
            json!({
                "challengeId": id, "number": "1", "listing": "A".repeat(256), "signature": b64, "ringKeyProof": b32,
            }),
        ),
        (
            "/api/v1/numbers/deactivate",
            json!({ "challengeId": id, "number": "1", "signature": b64 }),
        ),
        ("/api/v1/turn-credentials", json!({ "members": b32 })),
        ("/api/admin/revoke", json!({ "number": "1" })),
    ]
}

/// The form with each of its members spoilt in every way, and one with an unknown member.
fn spoilt(form: &Value) -> Vec<Value> {
    let members = form.as_object().unwrap();
    let mut forms = vec![json!([]), json!(null), json!("text"), json!(0)];
    forms.push(Value::Array(members.values().cloned().collect()));
    for name in members.keys() {
        for wrong in [json!(-1), json!(1.5), json!(true), json!([]), json!({})] {
            let mut form = form.clone();
            form[name] = wrong;
            forms.push(form);
        }
    }
    let mut form = form.clone();
    form["colour"] = json!("red");
    forms.push(form);
    forms
}

#[tokio::test]
async fn forms_of_the_wrong_shape_are_bad_requests() {
    let book = book().await;
    let token = operator(&book);
    for (path, form) in forms() {
        for wrong in spoilt(&form) {
            let answer = post_with(&book, path, &token, wrong.to_string().as_bytes()).await;
            let expected = (400, json!({ "error": "bad_request" }));
            assert_eq!(answer.told(), expected, "{path} {wrong}");
        }
        let text = form.to_string();
        for end in [1, text.len() / 2, text.len() - 1] {
            let answer = post_with(&book, path, &token, &text.as_bytes()[..end]).await;
            assert_eq!(answer.status, 400, "{path} cut at {end}");
        }
        let twice = format!("{text}{text}");
        assert_eq!(
            post_with(&book, path, &token, twice.as_bytes())
                .await
                .status,
            400
        );
        let long = format!("{}{text}", " ".repeat(9_000));
        let answer = post_with(&book, path, &token, long.as_bytes()).await;
        assert_eq!(
            answer.told(),
            (413, json!({ "error": "too_large" })),
            "{path}"
        );
    }
    assert_eq!(get(&book, "/api/v1/newest").await.status, 200);
}

#[tokio::test]
async fn texts_of_the_wrong_length_or_spelling_are_bad_requests() {
    let book = book().await;
    for (path, form) in forms() {
        for (name, value) in form.as_object().unwrap() {
            let free_text = ["number", "members", "code"].contains(&name.as_str());
            let Some(text) = value.as_str().filter(|_| !free_text) else {
                continue;
            };
            let shorter = &text[1..];
            for wrong in [
                shorter,
                &format!("{text}0"),
                &format!("{shorter}+"),
                &format!("{text}="),
                "",
            ] {
                let mut form = form.clone();
                form[name] = json!(wrong);
                let answer = post(&book, path, &form).await;
                let expected = (400, json!({ "error": "bad_request" }));
                assert_eq!(answer.told(), expected, "{path} {name} {wrong}");
            }
        }
    }
}

#[tokio::test]
async fn a_listing_with_a_bad_key_is_no_new_ring_key() {
    let book = book().await;
    let number = activate(&book, 5).await;
    let before = get(&book, &format!("/api/keys/{number}")).await;
    // Low order, not canonical, and no point at all, in the place of either key.
    let bad = [[0; 32], [0xff; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }];
    for key in bad {
        for place in [0, 32] {
            let mut listing = [7; 192];
            listing[place..place + 32].copy_from_slice(&key);
            let (id, _) = challenge(&book).await;
            let form = json!({
                "number": number, "challengeId": id, "listing": ringfence_book::wire::Base64(listing),
                "signature": "A".repeat(86), "ringKeyProof": "A".repeat(43),
            });
            let answer = post(&book, "/api/v1/keys/rotate", &form).await;
            assert_eq!(answer.told(), (400, json!({ "error": "invalid" })));
        }
    }
    book.close_epoch_now().await.unwrap();
    assert_eq!(
        get(&book, &format!("/api/keys/{number}")).await.body,
        before.body
    );
    let issue = book.issue().await.unwrap();
    let good = form(&book, &issue.code, 6);
    assert_eq!(post(&book, "/api/activate", &good).await.status, 200);
}
