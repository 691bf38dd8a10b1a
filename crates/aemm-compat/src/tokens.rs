//! Session tokens as AEMM makes them: 32 random bytes in base64, remembered until they end.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

/// The longest life of a token, in seconds.
const MAX_TTL: i64 = 21_600;
/// How many tokens are remembered; beyond that the one that ends first is forgotten. AEMM has no bound.
const REMEMBERED: usize = 65_536;

/// What a token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Absent,
    Unknown,
    Ended,
    Good,
}

/// The tokens in use.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    ends: HashMap<String, Timestamp>,
}

impl Tokens {
    /// A new token and its life in seconds, or `None` when the TTL header's value is wrong: absent, no number
    /// as Go's `Atoi` reads it, or not within 1 to 21600.
    pub(crate) fn grant(
        &mut self,
        ttl: Option<&str>,
        random: [u8; 32],
        now: Timestamp,
    ) -> Option<(String, i64)> {
        let ttl: i64 = ttl?.parse().ok().filter(|ttl| (1..=MAX_TTL).contains(ttl))?;
        let token = STANDARD.encode(random);
        self.make_room(now);
        let end = now.checked_add(SignedDuration::from_secs(ttl)).unwrap_or(Timestamp::MAX);
        self.ends.insert(token.clone(), end);
        Some((token, ttl))
    }

    /// What a token is worth now.
    pub(crate) fn check(&self, token: Option<&str>, now: Timestamp) -> Check {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Check::Absent };
        match self.ends.get(token) {
            None => Check::Unknown,
            Some(end) if now < *end => Check::Good,
            Some(_) => Check::Ended,
        }
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.ends.len() < REMEMBERED {
            return;
        }
        self.ends.retain(|_, end| now < *end);
        while self.ends.len() >= REMEMBERED {
            let Some(first) = self.ends.iter().min_by_key(|(_, end)| **end).map(|(token, _)| token.clone())
            else {
                return;
            };
            self.ends.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_token_lives_as_long_as_asked_for() {
        let mut tokens = Tokens::default();
        let (token, ttl) = tokens.grant(Some("1"), [0xff; 32], now()).unwrap();
        assert_eq!((token.len(), ttl), (44, 1));
        assert_eq!(tokens.check(Some(&token), now()), Check::Good);
        assert_eq!(tokens.check(Some(&token), now() + SignedDuration::from_secs(1)), Check::Ended);
        assert_eq!(tokens.check(Some("other"), now()), Check::Unknown);
        assert_eq!(tokens.check(Some(""), now()), Check::Absent);
        assert_eq!(tokens.check(None, now()), Check::Absent);
    }

    #[test]
    fn the_ttl_is_a_number_from_1_to_21600() {
        let granted = |ttl| Tokens::default().grant(ttl, [0; 32], now()).map(|(_, ttl)| ttl);
        assert_eq!(granted(Some("21600")), Some(21_600));
        assert_eq!(granted(Some("+5")), Some(5), "as Go reads numbers");
        for wrong in
            [None, Some(""), Some("0"), Some("-1"), Some("21601"), Some("5.0"), Some(" 5"), Some("x")]
        {
            assert_eq!(granted(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn tokens_are_forgotten_when_there_are_too_many() {
        let mut tokens = Tokens::default();
        for number in 0..=REMEMBERED as u32 {
            let mut random = [0; 32];
            random[..4].copy_from_slice(&number.to_be_bytes());
            tokens.grant(Some(if number == 0 { "5" } else { "6" }), random, now()).unwrap();
        }
        assert_eq!(tokens.ends.len(), REMEMBERED);
        let first = tokens.check(Some(&STANDARD.encode([0; 32])), now());
        assert_eq!(first, Check::Unknown, "the one that ended first");
    }
}
