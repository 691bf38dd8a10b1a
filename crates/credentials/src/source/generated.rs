//! Credentials made here: well-formed for every SDK, plainly fake to a reader, of no use at AWS. A pure
//! function of a seed, the role and the time, so there is nothing to keep fresh.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use crate::credentials::{Credentials, Secret, add};

/// EC2 renews about hourly (reference 5.1).
const ROTATION: i64 = 3600;
/// EC2's credentials are good for just over six hours: 6 h 0 min to 6 h 35 min were seen.
const VALIDITY: SignedDuration = SignedDuration::from_hours(6);
const VALIDITY_SPREAD: u64 = 35 * 60;
/// Every key begins so: AWS makes none with this word in this place by design, and people see it.
const KEY_START: &str = "ASIAFAKE";
const SECRET_START: &str = "FAKE";
/// The bytes whose base64 is `IQoJb3JpZ2luX2Vj`, as real tokens begin.
const TOKEN_START: &str = "!\n\torigin_ec";
/// Bytes in a token, before base64: 1,000 characters without padding.
const TOKEN_BYTES: usize = 750;

/// What generated credentials are made from. Keep it, and they stay the same across a restart.
#[derive(Clone)]
pub struct Seed {
    key: [u8; 32],
    anchor: Timestamp,
}

impl Seed {
    /// `key`: 32 random bytes. `anchor`: when the instance was launched; the hourly renewals count from
    /// it, so that no credentials are older than the instance.
    pub fn new(key: [u8; 32], anchor: Timestamp) -> Self {
        Seed { key, anchor }
    }

    /// `label` and `parts` mixed with the key: 32 bytes that say nothing of it.
    fn mix(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A number that differs by `parts` but not by run.
    pub(crate) fn number(&self, label: &str, parts: &[&[u8]]) -> u64 {
        let bytes = self.mix(label, parts);
        u64::from_be_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
    }
}

/// When the credentials that `role` has at `now` were made: the last full hour since the anchor, or
/// `renewed` if that was later.
pub(crate) fn issued_at(seed: &Seed, now: Timestamp, renewed: Option<Timestamp>) -> Timestamp {
    // The second that `now` is in: `as_second` names the one after it before 1970.
    let second = now.as_second() - i64::from(now.subsec_nanosecond() < 0);
    let age = second.saturating_sub(seed.anchor.as_second());
    let hour = Timestamp::from_second(second - age.rem_euclid(ROTATION)).unwrap_or(Timestamp::MIN);
    renewed.filter(|renewed| *renewed > hour && *renewed <= now).unwrap_or(hour)
}

/// The credentials of `role` made at `issued`, a whole second.
pub(crate) fn generate(seed: &Seed, role: &str, issued: Timestamp) -> Credentials {
    let second = issued.as_second().to_be_bytes();
    let parts: [&[u8]; 2] = [role.as_bytes(), &second];
    let spread = seed.number("validity", &parts) % VALIDITY_SPREAD;
    Credentials {
        access_key_id: format!("{KEY_START}{}", base32(&seed.mix("key id", &parts), 12)),
        secret_access_key: Secret::new(format!(
            "{SECRET_START}{}",
            STANDARD.encode(&seed.mix("secret", &parts)[..27])
        )),
        token: Some(Secret::new(token(seed, role, issued))),
        expiration: Some(add(issued, VALIDITY + SignedDuration::from_secs(spread as i64))),
        last_updated: issued,
        account_id: None,
    }
}

/// Base64 of a text that says what it is, filled up so that it is as long as AWS's and differs by role
/// and hour.
fn token(seed: &Seed, role: &str, issued: Timestamp) -> String {
    // IAM's role names have at most 64 characters; a longer one must leave room for what differs.
    let shown: String = role.chars().take(64).collect();
    let mut text = format!(
        "{TOKEN_START}2 FAKE SESSION TOKEN made by fake-metadata for role {shown} at {issued:.0}; it is worth nothing at AWS. ",
    );
    let mut block = 0u32;
    while text.len() < TOKEN_BYTES {
        let bytes =
            seed.mix("token", &[role.as_bytes(), &issued.as_second().to_be_bytes(), &block.to_be_bytes()]);
        text.push_str(&base32(&bytes, 32));
        block += 1;
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(TOKEN_BYTES);
    STANDARD.encode(bytes)
}

/// `length` characters of the alphabet that key ids are written in, one a byte of `bytes`.
fn base32(bytes: &[u8; 32], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes[..length].iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed(byte: u8) -> Seed {
        Seed::new([byte; 32], "2026-11-21T09:17:03Z".parse().unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn current(seed: &Seed, role: &str, now: Timestamp) -> Credentials {
        generate(seed, role, issued_at(seed, now, None))
    }

    #[test]
    fn they_have_the_form_of_ec2s() {
        let made = current(&seed(1), "BaseIAMRole", at("2026-11-21T12:00:00.75Z"));
        assert!(made.access_key_id.len() == 20 && made.access_key_id.starts_with("ASIA"));
        assert!(made.access_key_id.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
        let secret = made.secret_access_key.expose();
        assert!(
            secret.len() == 40 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
        );
        let token = made.token.as_ref().unwrap().expose();
        assert!(token.len() == 1000 && token.starts_with("IQoJb3JpZ2luX2Vj"), "{token}");
        assert_eq!(made.last_updated, at("2026-11-21T11:17:03Z"));
        assert_eq!(made.expiration.unwrap().subsec_nanosecond(), 0);
    }

    #[test]
    fn a_reader_sees_that_they_are_fake() {
        let made = current(&seed(1), "app", at("2026-11-21T12:00:00Z"));
        let text = String::from_utf8(STANDARD.decode(made.token.unwrap().expose()).unwrap()).unwrap();
        assert!(
            text.contains("FAKE SESSION TOKEN made by fake-metadata for role app at 2026-11-21T11:17:03Z"),
            "{text}"
        );
        assert!(made.access_key_id.contains("FAKE") && made.secret_access_key.expose().starts_with("FAKE"));
    }

    #[test]
    fn they_differ_by_seed_role_and_hour_and_by_nothing_else() {
        let now = at("2026-11-21T12:00:00Z");
        let one = current(&seed(1), "a", now);
        assert_eq!(current(&seed(1), "a", at("2026-11-21T12:17:02Z")), one);
        for other in [
            current(&seed(2), "a", now),
            current(&seed(1), "b", now),
            current(&seed(1), "a", at("2026-11-21T12:17:03Z")),
        ] {
            assert_ne!(other.access_key_id, one.access_key_id);
            assert_ne!(other.secret_access_key, one.secret_access_key);
            assert_ne!(other.token, one.token);
        }
    }

    #[test]
    fn renewing_counts_until_the_next_hour() {
        let renewed = Some(at("2026-11-21T12:05:00Z"));
        let issued = |now| issued_at(&seed(1), at(now), renewed);
        assert_eq!(issued("2026-11-21T12:04:59Z"), at("2026-11-21T11:17:03Z"));
        assert_eq!(issued("2026-11-21T12:06:00Z"), at("2026-11-21T12:05:00Z"));
        assert_eq!(issued("2026-11-21T12:17:03Z"), at("2026-11-21T12:17:03Z"));
    }

    #[test]
    fn before_1970_they_are_not_made_later_than_asked_for() {
        let hour = Timestamp::from_second(seed(1).anchor.as_second() - 15_000_000 * ROTATION).unwrap();
        assert!(hour < Timestamp::UNIX_EPOCH);
        let just_before = hour - SignedDuration::from_nanos(1);
        assert_eq!(issued_at(&seed(1), hour, None), hour);
        assert_eq!(issued_at(&seed(1), just_before, None), hour - SignedDuration::from_secs(ROTATION));
        assert_eq!(issued_at(&seed(1), Timestamp::MIN, None), Timestamp::MIN);
    }

    proptest! {
        #[test]
        fn at_every_moment_they_are_fresh_and_coherent(second in -100_000_000_000i64..100_000_000_000, nanos in 0i32..1_000_000_000, role in "[a-zA-Z0-9+=,.@_-]{1,64}") {
            let now = Timestamp::new(second, if second < 0 { -nanos } else { nanos }).unwrap();
            let made = current(&seed(7), &role, now);
            let expiration = made.expiration.unwrap();
            prop_assert!(made.last_updated <= now);
            prop_assert!(now.duration_since(made.last_updated) <= SignedDuration::from_hours(1) + SignedDuration::from_secs(1));
            prop_assert!(expiration.duration_since(now) > SignedDuration::from_hours(4));
            let validity = expiration.duration_since(made.last_updated);
            prop_assert!(validity >= VALIDITY && validity <= VALIDITY + SignedDuration::from_mins(35));
            prop_assert_eq!(made.last_updated.subsec_nanosecond() + expiration.subsec_nanosecond(), 0);
            prop_assert_eq!(made.token.unwrap().expose().len(), 1000);
        }
    }
}
