//! Why an upstream's answer cannot be passed on, and what a client is told then.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::LEADS_BACK;

/// Why there is nothing to pass on.
///
/// SDKs of AWS take 502, 503 and 504 alike: those that retry do (reference 6.2), no other status of 4xx or
/// 5xx makes more of them do so. So the status is the one that tells a person most.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// No answer in time: 504.
    #[error("{0}")]
    Late(String),
    /// No connection, or no answer that is one: 502.
    #[error("{0}")]
    Broken(String),
    /// The answer is our own: 508.
    #[error("{LEADS_BACK}")]
    Loop,
}

impl Failure {
    /// Nothing came within this time.
    pub(super) fn late(limit: Duration) -> Failure {
        Failure::Late(format!("no answer within {} ms", limit.as_millis()))
    }

    /// What went wrong, in the words of the last cause. `connecting` is how long a connection may take.
    pub(super) fn of(error: &(dyn Error + 'static), connecting: Duration) -> Failure {
        let mut last = error;
        let mut timed_out = false;
        loop {
            timed_out |=
                last.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut);
            match last.source() {
                Some(cause) => last = cause,
                None => break,
            }
        }
        if timed_out {
            return Failure::Late(format!("no connection within {} ms", connecting.as_millis()));
        }
        Failure::Broken(last.to_string())
    }

    /// What a client is answered.
    pub(crate) fn status(&self) -> imds::Status {
        match self {
            Failure::Late(_) => imds::Status::GatewayTimeout,
            Failure::Broken(_) => imds::Status::BadGateway,
            Failure::Loop => imds::Status::LoopDetected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_last_cause_is_told_and_lateness_is_its_own_status() {
        let within = Duration::from_millis(250);
        let refused = Failure::of(&Outer(io::Error::other("connection refused")), within);
        assert_eq!(refused, Failure::Broken("connection refused".into()));
        assert_eq!(refused.status(), imds::Status::BadGateway);
        let late = Failure::of(&Outer(io::ErrorKind::TimedOut.into()), within);
        assert_eq!(late, Failure::Late("no connection within 250 ms".into()));
        assert_eq!(late.status(), imds::Status::GatewayTimeout);
        assert_eq!(Failure::Loop.status(), imds::Status::LoopDetected);
    }
}
