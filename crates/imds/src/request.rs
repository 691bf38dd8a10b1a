//! A request as the front hands it over: what decides the answer, and nothing else of HTTP.

use bytes::Bytes;
use jiff::Timestamp;

use crate::documents;

/// A header that should come once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField<'a> {
    /// Not sent.
    Absent,
    /// Sent once, with these bytes.
    One(&'a [u8]),
    /// Sent more than once. No SDK does that; the token header then counts as malformed (401), the TTL
    /// header as well (400). What EC2 answers is not known.
    Several,
}

/// Random bytes that make a session token unlike every other.
pub type Nonce = [u8; 8];

/// One request. Borrowed from the front; making one costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method as it came, case kept: methods are case-sensitive.
    pub method: &'a str,
    /// The raw request target: path and query, undecoded. An absolute form loses its scheme and authority.
    pub target: &'a str,
    /// `X-aws-ec2-metadata-token`.
    pub token: HeaderField<'a>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub token_ttl: HeaderField<'a>,
    /// Whether any `X-Forwarded-For` came, whatever its value.
    pub forwarded_for: bool,
    /// The key of the role this caller has ([`crate::RoleEntry::key`]); `None`: no role, no `iam/`.
    /// A key the snapshot does not know counts as no role.
    pub role: Option<&'a str>,
    /// Fresh random bytes; read for a token PUT alone, so any value will do for other methods.
    pub nonce: Nonce,
}

impl<'a> Request<'a> {
    /// A request without any of the service's headers and without a role.
    pub fn new(method: &'a str, target: &'a str) -> Request<'a> {
        Request {
            method,
            target,
            token: HeaderField::Absent,
            token_ttl: HeaderField::Absent,
            forwarded_for: false,
            role: None,
            nonce: [0; 8],
        }
    }
}

/// How the caller asked: EC2 hands v1 and v2 callers different role credentials
/// (IAM context key `ec2:RoleDelivery`), and the log says which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// IMDSv1: no token header.
    V1,
    /// IMDSv2: a token header, or the request for a token.
    V2,
}

impl Delivery {
    /// `v1` or `v2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::V1 => "v1",
            Delivery::V2 => "v2",
        }
    }
}

/// Whose credentials a path asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RoleKey {
    /// The role of that key ([`crate::RoleEntry::key`]), at `iam/security-credentials/NAME`.
    Role(std::sync::Arc<str>),
    /// The instance's own identity role, at `identity-credentials/ec2/security-credentials/ec2-instance`.
    Ec2Instance,
}

/// What a source said when asked for credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum RoleAnswer {
    /// Credentials to hand out.
    Success {
        /// `ASIA` and 16 characters for a session, `AKIA` for long-lived keys.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: String,
        /// The session token; without one the `Token` line is left out.
        token: Option<String>,
        /// When the source handed them out.
        last_updated: Timestamp,
        /// When they end.
        expiration: Timestamp,
        /// The account of the credentials, shown on the extended path alone.
        account_id: Option<String>,
    },
    /// The source failed; EC2 says so with HTTP 200 and a `Code`.
    Failure {
        /// EC2's code, such as `AssumeRoleUnauthorizedAccess`.
        code: String,
        /// The sentence for the client.
        message: String,
        /// When the failure was found.
        last_updated: Timestamp,
    },
}

impl std::fmt::Debug for RoleAnswer {
    /// Never prints a key, a secret or a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RoleAnswer::Success { expiration, .. } => write!(f, "Success(until {expiration})"),
            RoleAnswer::Failure { code, .. } => write!(f, "Failure({code})"),
        }
    }
}

/// A [`RoleAnswer`] as it is served. Written once for as long as the answer stays the same: credentials are
/// what is asked for most.
#[derive(Clone)]
pub struct RoleDocument {
    plain: Bytes,
    extended: Bytes,
    last_updated: Timestamp,
}

impl RoleDocument {
    /// Writes the document.
    pub fn new(answer: &RoleAnswer) -> RoleDocument {
        let (RoleAnswer::Success { last_updated, .. } | RoleAnswer::Failure { last_updated, .. }) = answer;
        RoleDocument {
            plain: documents::credentials(answer, false).into(),
            extended: documents::credentials(answer, true).into(),
            last_updated: *last_updated,
        }
    }

    /// The body; with `extended`, the account is told too.
    pub(crate) fn body(&self, extended: bool) -> Bytes {
        if extended { self.extended.clone() } else { self.plain.clone() }
    }

    /// When the source handed the credentials out.
    pub(crate) fn last_updated(&self) -> Timestamp {
        self.last_updated
    }
}

impl std::fmt::Debug for RoleDocument {
    /// Never prints a key, a secret or a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoleDocument(of {})", self.last_updated)
    }
}
