//! What an answer tells about a number: nothing. Numbers that are active, wait for their code, were given up or revoked, or were never
//! assigned, and texts outside any plan: the same status, the same head, bodies of the same length and shape.

use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::{Config, Limits};
use serde_json::{Value, json};

use crate::client::{Answer, activate, challenge, config, form, get, operator, post, post_with};

/// One number in each state, all of one length.
async fn one_of_each(book: &PhoneBook) -> Vec<String> {
    let (active, revoked) = (activate(book, 5).await, activate(book, 6).await);
    let waiting = book.issue().await.unwrap().number.to_string();
    let withdrawn = book.issue().await.unwrap().number.to_string();
    for number in [&revoked, &withdrawn] {
        let form = json!({ "number": number }).to_string();
        let done = post_with(book, "/api/admin/revoke", &operator(book), form.as_bytes()).await;
        assert_eq!(done.status, 200);
    }
    book.close_epoch_now().await.unwrap();
    let taken = [&active, &revoked, &waiting, &withdrawn];
    let free = (20_000..20_256)
        .map(|free| free.to_string())
        .find(|free| !taken.contains(&free))
        .unwrap();
    let mut numbers = vec![active, revoked, waiting, withdrawn, free];
    numbers.extend(["19999", "20256", "00000", "99999"].map(str::to_owned));
    numbers
}

async fn scene() -> (PhoneBook, Vec<String>) {
    let config = Config {
        limits: Limits::NONE,
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    let numbers = one_of_each(&book).await;
    (book, numbers)
}

fn assert_same(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, answers[0].status);
        assert_eq!(answer.head_without_date(), answers[0].head_without_date());
        assert_eq!(answer.body.len(), answers[0].body.len());
    }
}

/// The body with what must differ taken out.
fn shape(answer: &Answer, secrets: &[(&str, usize)]) -> Value {
    let mut value = answer.json();
    for (pointer, length) in secrets {
        let secret = value.pointer_mut(pointer).unwrap().take();
        assert_eq!(secret.as_str().unwrap().len(), *length, "{pointer}");
    }
    value
}

#[tokio::test]
async fn keys_of_every_number_look_alike_and_stay() {
    let (book, numbers) = scene().await;
    let mut answers = Vec::new();
    for number in &numbers {
        let answer = get(&book, &format!("/api/keys/{number}")).await;
        assert_eq!(answer.json()["number"], number.as_str());
        let again = get(&book, &format!("/api/keys/{number}")).await;
        assert_eq!(again.body, answer.body);
        answers.push(answer);
    }
    assert_same(&answers);
    let secrets = [
        ("/number", 5),
        ("/signingKey/x", 43),
        ("/encryptionKey/x", 43),
    ];
    for answer in &answers {
        assert_eq!(shape(answer, &secrets), shape(&answers[0], &secrets));
    }
}

#[tokio::test]
async fn challenges_are_for_every_number_and_failed_answers_are_one() {
    let (book, numbers) = scene().await;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    for number in &numbers {
        let ask = post(&book, "/api/auth/challenge", &json!({ "number": number })).await;
        let id = ask.json()["challengeId"].clone();
        asked.push(ask);
        let form = json!({ "challengeId": id, "number": number, "signature": "00".repeat(64) });
        answered.push(post(&book, "/api/auth/verify", &form).await);
    }
    assert_same(&asked);
    let secrets = [("/challengeId", 32), ("/challenge", 64), ("/nonce", 64)];
    for answer in &asked {
        assert_eq!(
            shape(answer, &secrets),
            json!({ "challengeId": null, "challenge": null, "nonce": null })
        );
    }
    assert_same(&answered);
    for answer in &answered {
        assert_eq!(answer.told(), (400, json!({ "error": "invalid" })));
    }
}

#[tokio::test]
async fn codes_that_are_no_good_are_refused_alike() {
    let (book, _) = scene().await;
    let used = book.issue().await.unwrap();
    let good = form(&book, &used.code, 20);
    assert_eq!(post(&book, "/api/activate", &good).await.status, 200);
    let withdrawn = book.issue().await.unwrap();
    let revoke = json!({ "number": withdrawn.number.to_string() }).to_string();
    let done = post_with(
        &book,
        "/api/admin/revoke",
        &operator(&book),
        revoke.as_bytes(),
    )
    .await;
    assert_eq!(done.status, 200);
    let elsewhere = PhoneBook::start(config()).await.unwrap();
    let unknown = elsewhere.issue().await.unwrap();
    let mut answers = Vec::new();
    for code in [&used.code, &withdrawn.code, &unknown.code] {
        answers.push(post(&book, "/api/activate", &form(&book, code, 21)).await);
    }
    let mut mistyped = form(&book, &unknown.code, 21);
    mistyped["code"] = json!("0000-0000-0000-0000-0000-0000-0000");
    answers.push(post(&book, "/api/activate", &mistyped).await);
    assert_same(&answers);
    for answer in &answers {
        assert_eq!(answer.told(), (400, json!({ "error": "invalid_code" })));
    }
}

#[tokio::test]
async fn a_challenge_of_another_book_is_no_challenge() {
    let (book, other) = (scene().await.0, scene().await.0);
    let (id, _) = challenge(&other).await;
    let form = json!({ "challengeId": id, "number": "20000", "signature": "00".repeat(64) });
    let answer = post(&book, "/api/auth/verify", &form).await;
    assert_eq!(answer.told(), (400, json!({ "error": "invalid" })));
}
