//! How our own requests are recognised when an upstream leads back to us: a header of ours names every
//! daemon that a request has come through.
//!
//! Not `Via` (RFC 9110, 7.6.3): a metadata service refuses what looks like it came through a proxy
//! (X-Forwarded-For on EC2), and might come to refuse that too.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the daemons a request has come through.
pub(crate) const HOPS: HeaderName = HeaderName::from_static(HOPS_FIELD);
pub(crate) const HOPS_FIELD: &str = "x-fake-metadata-via";
/// Daemons in a row; more than anybody has on purpose.
const MAX_HOPS: usize = 8;

/// The name of this daemon, for as long as it runs. No secret: it only says "this came from here".
pub(crate) struct Marker(String);

impl Marker {
    /// A name unlike any other's.
    pub(crate) fn new() -> io::Result<Marker> {
        Ok(Marker(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?)))
    }

    /// Whether a request was on its way through this daemon before, or through too many of them.
    pub(crate) fn came_round(&self, headers: &HeaderMap) -> bool {
        self.is_in(headers) || names(headers).count() >= MAX_HOPS
    }

    /// Whether this daemon is named.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        names(headers).any(|name| name == self.0)
    }

    /// What the request says that is made for one with these headers: the daemons so far, and this one.
    pub(crate) fn onward(&self, headers: &HeaderMap) -> HeaderValue {
        // Only what looks like names of daemons, so that no client writes a header of our request.
        let is_name = |name: &&str| name.len() == self.0.len() && name.bytes().all(|b| b.is_ascii_hexdigit());
        let mut all: Vec<&str> = names(headers).filter(is_name).take(MAX_HOPS).collect();
        all.push(&self.0);
        HeaderValue::from_str(&all.join(", ")).expect("hexadecimal digits, commas and spaces make a value")
    }
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(HOPS).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(marker: &Marker, headers: &HeaderMap) -> HeaderMap {
        HeaderMap::from_iter([(HOPS, marker.onward(headers))])
    }

    #[test]
    fn a_request_that_comes_back_is_recognised_however_far_it_went() {
        let (one, two, three) = (Marker::new().unwrap(), Marker::new().unwrap(), Marker::new().unwrap());
        let fresh = HeaderMap::new();
        assert!(!one.came_round(&fresh));
        let sent = after(&two, &after(&one, &fresh));
        assert!(one.came_round(&sent) && two.came_round(&sent));
        assert!(!three.came_round(&sent));
    }

    #[test]
    fn too_many_in_a_row_are_a_loop() {
        let last = Marker::new().unwrap();
        let mut headers = HeaderMap::new();
        for _ in 0..MAX_HOPS {
            assert!(!last.came_round(&headers));
            headers = after(&Marker::new().unwrap(), &headers);
        }
        assert!(last.came_round(&headers));
    }

    #[test]
    fn what_a_client_writes_there_is_not_passed_on() {
        let marker = Marker::new().unwrap();
        let headers = HeaderMap::from_iter([(HOPS, HeaderValue::from_static("evil, 0123456789abcdef"))]);
        assert_eq!(marker.onward(&headers).to_str().unwrap(), format!("0123456789abcdef, {}", marker.0));
    }
}
