//! The specification's own examples, what each change of a signed request does, and rotation.

use std::{fs, time::Duration};

use proptest::prelude::*;

use super::*;

/// The secret and the request of the reference libraries' tests and of the specification's examples.
const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const SEED: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID_GIVEN: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const BY_SYMMETRIC: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BY_PAIR: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

fn keys(text: &str) -> Keys {
    Keys::parse(text).expect("secrets")
}

fn verify(secrets: &str, signature: &str) -> Result<(), Unverified> {
    keys(secrets).verify(ID_GIVEN, &AT.to_string(), signature, BODY, AT, TOLERANCE)
}

#[test]
fn the_known_examples_are_signed_as_the_reference_does() {
    assert_eq!(keys(SYMMETRIC).sign(ID_GIVEN, AT, BODY), BY_SYMMETRIC);
    assert_eq!(keys(PAIR).sign(ID_GIVEN, AT, BODY), BY_PAIR);
    assert_eq!(keys(SEED).sign(ID_GIVEN, AT, BODY), BY_PAIR, "a private key without its public one is the same key");
}

#[test]
fn each_kind_of_secret_verifies_its_own_kind_of_signature() {
    for (secret, signature) in [(SYMMETRIC, BY_SYMMETRIC), (PAIR, BY_PAIR), (PUBLIC, BY_PAIR)] {
        assert_eq!(verify(secret, signature), Ok(()));
    }
    for (secret, signature) in [(SYMMETRIC, BY_PAIR), (PUBLIC, BY_SYMMETRIC)] {
        assert_eq!(verify(secret, signature), Err(Unverified::Signature));
    }
    // The version says how it is to be read: a tag under the other name is none.
    assert_eq!(verify(SYMMETRIC, &BY_SYMMETRIC.replace("v1,", "v1a,")), Err(Unverified::Signature));
}

#[test]
fn during_a_rotation_all_sign_and_any_verifies() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let both = keys(&format!("{other}\n{SYMMETRIC} {PAIR}")).sign(ID_GIVEN, AT, BODY);
    assert_eq!(both.split(' ').count(), 3);
    for secret in [other, SYMMETRIC, PAIR, PUBLIC] {
        assert_eq!(verify(secret, &both), Ok(()), "{secret}");
    }
    assert_eq!(verify(&format!("{other} {SYMMETRIC}"), BY_SYMMETRIC), Ok(()));
    assert_eq!(verify("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", &both), Err(Unverified::Signature));
}

#[test]
fn nothing_signed_may_change() {
    let keys = keys(SYMMETRIC);
    let at = AT.to_string();
    let check = |id: &str, timestamp: &str, body: &[u8]| keys.verify(id, timestamp, BY_SYMMETRIC, body, AT, TOLERANCE);
    assert_eq!(check(ID_GIVEN, &at, BODY), Ok(()));
    assert_eq!(check("another", &at, BODY), Err(Unverified::Signature));
    assert_eq!(check(ID_GIVEN, &(AT + 1).to_string(), BODY), Err(Unverified::Signature));
    assert_eq!(check(ID_GIVEN, &at, br#"{"test":2432232314}"#), Err(Unverified::Signature), "serialized anew");
    assert_eq!(check(ID_GIVEN, &format!("0{at}"), BODY), Err(Unverified::Signature));
}

#[test]
fn where_the_id_ends_must_be_clear() {
    // Signed as id `a`, time 1, body `2.x`; read as id `a.1`, time 2, body `x` it has the same content.
    let keys = keys(SYMMETRIC);
    let signature = keys.sign("a", 1, b"2.x");
    assert_eq!(keys.verify("a", "1", &signature, b"2.x", 1, TOLERANCE), Ok(()));
    assert_eq!(keys.verify("a.1", "2", &signature, b"x", 1, TOLERANCE), Err(Unverified::Id));
    assert_eq!(keys.verify("", "1", &signature, b"x", 1, TOLERANCE), Err(Unverified::Id));
}

#[test]
fn a_signature_holds_for_as_long_as_is_tolerated_and_no_longer() {
    let keys = keys(SYMMETRIC);
    let check = |now: u64| keys.verify(ID_GIVEN, &AT.to_string(), BY_SYMMETRIC, BODY, now, TOLERANCE);
    for now in [AT - 300, AT, AT + 300] {
        assert_eq!(check(now), Ok(()));
    }
    assert_eq!(check(AT + 301), Err(Unverified::Old));
    assert_eq!(check(AT - 301), Err(Unverified::Early));
    for timestamp in ["", "-1", "+1614265330", "1614265330.0", " 1614265330", "99999999999999999999999"] {
        let found = keys.verify(ID_GIVEN, timestamp, BY_SYMMETRIC, BODY, AT, Duration::MAX);
        assert_eq!(found, Err(Unverified::Timestamp), "{timestamp:?}");
    }
}

#[test]
fn what_is_no_signature_is_passed_over() {
    for signature in ["", "v1", "v1,", "v1,AAAA", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1, ,", "v1a,AAAA"] {
        assert_eq!(verify(&format!("{SYMMETRIC} {PUBLIC}"), signature), Err(Unverified::Signature), "{signature:?}");
    }
    assert_eq!(verify(SYMMETRIC, &format!("v1a,AAAA v2,x nonsense {BY_SYMMETRIC}")), Ok(()));
    let many = "v1,AAAA ".repeat(SIGNATURES_MAX);
    assert_eq!(verify(SYMMETRIC, &format!("{many}{BY_SYMMETRIC}")), Err(Unverified::Signature), "work is bounded");
}

#[test]
fn a_text_that_is_no_secret_says_why() {
    let why = |text: &str| Keys::parse(text).expect_err(text).to_string();
    assert_eq!(why(" \n"), "there is no secret in it");
    assert_eq!(why("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "a secret begins with `whsec_`, `whsk_` or `whpk_`");
    assert_eq!(why("whsec_!"), "what follows `whsec_` is no base64");
    assert_eq!(why("whsec_AAAA"), "3 bytes are too few: a `whsec_` has 24 to 64");
    assert_eq!(why("whsk_AAAA"), KeyFault::Private.to_string());
    assert_eq!(why(&PAIR.replace("Kvg==", "Kvw==")), KeyFault::Private.to_string(), "another's public key");
    assert_eq!(why("whpk_AAAA"), KeyFault::Public.to_string());
    assert!(Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA").is_ok(), "padding was lost");
}

#[test]
fn files_are_read_anew_when_they_change_and_a_file_that_is_gone_is_a_secret_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, format!("{SYMMETRIC}\n")).unwrap();
    let ring = Keyring::new(vec![Secret::File(file.clone())], Purpose::Sign);
    let start = Instant::now();
    let after = |seconds| ring.keys(start + Duration::from_secs(seconds));
    assert_eq!(after(0).unwrap().sign(ID_GIVEN, AT, BODY), BY_SYMMETRIC);
    fs::write(&file, format!("{SYMMETRIC}\n{PAIR}\n")).unwrap();
    assert_eq!(after(0).unwrap().sign(ID_GIVEN, AT, BODY), BY_SYMMETRIC, "looked at once a second");
    assert_eq!(after(2).unwrap().sign(ID_GIVEN, AT, BODY), format!("{BY_SYMMETRIC} {BY_PAIR}"));
    fs::write(&file, PUBLIC).unwrap();
    let fault = after(4).unwrap_err().to_string();
    assert!(fault.contains("cannot sign") && fault.contains(file.to_str().unwrap()), "{fault}");
    fs::remove_file(&file).unwrap();
    assert!(matches!(after(6), Err(KeyFault::File(_))));
    fs::write(&file, PAIR).unwrap();
    assert_eq!(after(8).unwrap().sign(ID_GIVEN, AT, BODY), BY_PAIR);
}

#[test]
fn nothing_prints_a_secret() {
    let ring = Keyring::new(vec![Secret::Inline(SYMMETRIC.into())], Purpose::Verify);
    let shown = format!("{ring:?} {:?}", ring.keys(Instant::now()).unwrap());
    assert!(!shown.contains("MfKQ") && shown.contains("***"), "{shown}");
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_one_changed_byte_does_not(
        id in "[a-zA-Z0-9_-]{1,40}",
        at in 0_u64..4_000_000_000,
        body in prop::collection::vec(any::<u8>(), 1..300),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let ring = keys(&format!("{SYMMETRIC} {SEED}"));
        let signature = ring.sign(&id, at, &body);
        let at_text = at.to_string();
        let mut other = body.clone();
        other[flip.index(body.len())] ^= 1 << bit;
        for secret in [SYMMETRIC, PUBLIC] {
            prop_assert_eq!(keys(secret).verify(&id, &at_text, &signature, &body, at, TOLERANCE), Ok(()));
            prop_assert_eq!(
                keys(secret).verify(&id, &at_text, &signature, &other, at, TOLERANCE),
                Err(Unverified::Signature)
            );
        }
    }
}
