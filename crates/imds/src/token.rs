//! Session tokens of IMDSv2: made and checked without keeping any.
//!
//! A token is 40 bytes, in URL-safe base64 with padding 56 characters, as EC2's are: three bytes that make it
//! start `AQAEA` like EC2's recent ones, the expiry (milliseconds since 1970, 48 bits), a random nonce, and
//! 23 bytes of HMAC-SHA256 over all that. Whoever holds the key accepts it until it ends, so tokens survive a
//! restart and cost no memory.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::request::Nonce;

/// The length of a token in characters.
pub const TOKEN_LENGTH: usize = 56;
/// The longest life a token may ask for, in seconds: six hours.
pub const MAX_TTL: u32 = 21_600;

const BYTES: usize = 40;
const PREFIX: [u8; 3] = [1, 0, 4];
const EXPIRY: std::ops::Range<usize> = 3..9;
const NONCE: std::ops::Range<usize> = 9..17;
const SIGNED: usize = 17;

/// The secret behind an instance's tokens. Cheap to clone; prints nothing.
#[derive(Clone)]
pub struct TokenKey {
    /// Key schedule done once: a check costs two compressions instead of four.
    mac: Hmac<Sha256>,
}

impl TokenKey {
    /// The key made of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> TokenKey {
        TokenKey { mac: Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length") }
    }

    /// A token that is valid for `ttl` seconds from `now`. With a TTL of 0 it is well-formed and never valid,
    /// as on EC2.
    pub fn issue(&self, ttl: u32, nonce: Nonce, now: Timestamp) -> String {
        let expiry = milliseconds(now).saturating_add(u64::from(ttl) * 1000);
        let mut bytes = [0; BYTES];
        bytes[..3].copy_from_slice(&PREFIX);
        bytes[EXPIRY].copy_from_slice(&expiry.to_be_bytes()[2..]);
        bytes[NONCE].copy_from_slice(&nonce);
        let mac = self.mac.clone().chain_update(&bytes[..SIGNED]).finalize().into_bytes();
        bytes[SIGNED..].copy_from_slice(&mac[..BYTES - SIGNED]);
        URL_SAFE.encode(bytes)
    }

    /// The seconds a token has left, rounded up (so 1 to [`MAX_TTL`]), or `None` for one that is malformed,
    /// forged, of another key, or over.
    pub fn remaining(&self, token: &[u8], now: Timestamp) -> Option<u32> {
        if token.len() != TOKEN_LENGTH {
            return None;
        }
        // Room for the decoder's estimate, which counts the padding as bytes.
        let mut bytes = [0; BYTES + 2];
        if URL_SAFE.decode_slice(token, &mut bytes).ok()? != BYTES {
            return None;
        }
        let bytes = &bytes[..BYTES];
        let mac = self.mac.clone().chain_update(&bytes[..SIGNED]);
        mac.verify_truncated_left(&bytes[SIGNED..]).ok()?;
        let mut expiry = [0; 8];
        expiry[2..].copy_from_slice(&bytes[EXPIRY]);
        let left = u64::from_be_bytes(expiry).checked_sub(milliseconds(now))?.div_ceil(1000);
        // A clock set back after the token was made must not show more life than anyone can ask for.
        (left > 0).then(|| left.min(u64::from(MAX_TTL)) as u32)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

fn milliseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// The TTL a header asks for: decimal digits and at most [`MAX_TTL`]. White space around it is HTTP's and is
/// dropped; a sign, a fraction or an empty value is refused (what EC2 does with those is not known; no client
/// sends them).
pub(crate) fn parse_ttl(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let ttl: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (ttl <= MAX_TTL).then_some(ttl)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-09-26T11:03:58.5Z".parse().unwrap()
    }

    #[test]
    fn looks_like_ec2s() {
        let token = TokenKey::new([7; 32]).issue(21_600, [9; 8], now());
        assert_eq!(token.len(), 56);
        assert!(token.starts_with("AQAEA") && token.ends_with("=="), "{token}");
    }

    #[test]
    fn lives_as_long_as_asked() {
        let key = TokenKey::new([7; 32]);
        let token = key.issue(60, [0; 8], now());
        let left = |later: jiff::Span| key.remaining(token.as_bytes(), now() + later);
        assert_eq!(left(0.seconds()), Some(60));
        assert_eq!(left(1.milliseconds()), Some(60));
        assert_eq!(left(59_999.milliseconds()), Some(1));
        assert_eq!(left(60.seconds()), None);
        assert_eq!(left((-1).hours()), Some(3660));
        assert_eq!(left((-40).hours()), Some(MAX_TTL));
    }

    #[test]
    fn a_ttl_of_zero_is_useless_at_once() {
        let key = TokenKey::new([7; 32]);
        assert_eq!(key.remaining(key.issue(0, [0; 8], now()).as_bytes(), now()), None);
    }

    #[test]
    fn ttl_spellings() {
        for (text, ttl) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("21600", Some(21_600)),
            (" 60 ", Some(60)),
            ("007", Some(7)),
            ("21601", None),
            ("-1", None),
            ("+5", None),
            ("5.0", None),
            ("5 5", None),
            ("0x10", None),
            ("", None),
            ("invalid", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_ttl(text.as_bytes()), ttl, "{text:?}");
        }
        assert_eq!(parse_ttl(b"\xb2"), None);
    }

    proptest! {
        #[test]
        fn a_changed_byte_or_key_is_refused(
            key in any::<[u8; 32]>(), other in any::<[u8; 32]>(), nonce in any::<Nonce>(),
            at in 0..TOKEN_LENGTH, byte in any::<u8>(),
        ) {
            let tokens = TokenKey::new(key);
            let token = tokens.issue(300, nonce, now());
            prop_assert_eq!(tokens.remaining(token.as_bytes(), now()), Some(300));
            prop_assert!(key == other || TokenKey::new(other).remaining(token.as_bytes(), now()).is_none());
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            prop_assert!(changed == token.as_bytes() || tokens.remaining(&changed, now()).is_none());
        }

        #[test]
        fn any_bytes_are_taken_without_panic(token in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(TokenKey::new([1; 32]).remaining(&token, now()), None);
        }
    }
}
