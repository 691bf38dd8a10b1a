//! Why a role has no credentials: once for the client, in EC2's words, and once for the log.

use jiff::Timestamp;

use crate::credentials::whole_seconds;

/// The code where EC2 has none that we know. What EC2 says here is unconfirmed; clients only ask whether the code
/// is `Success`, and quote the message.
pub(crate) const FAILED: &str = "Failed";

/// Why a role has no credentials at the moment. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The `Code` of EC2's document: `AssumeRoleUnauthorizedAccess` or `Failed`.
    pub code: String,
    /// The `Message` of EC2's document.
    pub message: String,
    /// What to write to the log and to `status`: action target: cause (how to mend it).
    pub detail: String,
    /// Whole seconds: when this was found out.
    pub at: Timestamp,
    /// Whether nothing but a person can mend it (an MFA code, a login that has run out).
    pub needs_person: bool,
    /// Differs where the same words are said of another state of things, such as a file's content.
    pub(crate) evidence: u64,
}

impl Failure {
    /// A failure with no code of its own at EC2.
    pub(crate) fn new(detail: impl Into<String>, at: Timestamp) -> Self {
        let detail = detail.into();
        Failure {
            code: FAILED.into(),
            message: format!("fake-metadata has no credentials for this role: {detail}."),
            detail,
            at: whole_seconds(at),
            needs_person: false,
            evidence: 0,
        }
    }

    /// The same failure, marked as one that waits for a person.
    pub(crate) fn for_a_person(mut self) -> Self {
        self.needs_person = true;
        self
    }

    /// The same failure for clients in EC2's own words for a role that may not be assumed (reference 5.1).
    pub(crate) fn unauthorized(mut self, arn: &str) -> Self {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        self.code = "AssumeRoleUnauthorizedAccess".into();
        self.message = format!(
            "EC2 cannot assume the role {name}.  Please see documentation at \
             http://docs.amazonwebservices.com/IAM/latest/UserGuide/RolesTroubleshooting.html."
        );
        self
    }

    /// Whether `other` says nothing that this one has not said.
    pub(crate) fn repeats(&self, other: &Failure) -> bool {
        (&self.code, &self.detail, self.evidence) == (&other.code, &other.detail, other.evidence)
    }
}
