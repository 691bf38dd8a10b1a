//! The decision: request, snapshot and time to reply.
//!
//! The order is EC2's (capture 2026-09-26): the endpoint's switch, the token request, authentication, the
//! method, the path. Where EC2's answer is not known the comment says what was chosen.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use serde::{Deserialize, Serialize};

use crate::documents;
use crate::identity::Signatures;
use crate::path::Path;
use crate::reply::{ContentType, Reply, Status};
use crate::request::{Delivery, HeaderField, Request, RoleDocument, RoleKey};
use crate::token::{TokenKey, parse_ttl};
use crate::tree::{Found, Leaf, SignatureKind, Tree, Trees};

/// EC2's metadata option `HttpTokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenMode {
    /// A request without a token is answered (IMDSv1).
    #[default]
    Optional,
    /// It is a 401.
    Required,
}

/// EC2's metadata option `HttpEndpoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// The service answers.
    #[default]
    Enabled,
    /// Every request is a 403.
    Disabled,
}

/// One state of the service. Immutable; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whether session tokens are required.
    pub tokens: TokenMode,
    /// Whether the service answers at all.
    pub endpoint: Endpoint,
    /// What tokens are made and checked with.
    pub token_key: TokenKey,
    /// What every caller sees.
    pub trees: Trees,
    /// When the trees last changed: Last-Modified.
    pub modified: Timestamp,
}

/// What [`respond`] comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The reply.
    Reply(Reply),
    /// What must be found out first.
    Needs(Need),
}

/// What a reply lacks, and the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The credentials of a role.
    Credentials {
        /// Whose.
        role: RoleKey,
        /// How they were asked for.
        delivery: Delivery,
        /// The reply, but for them.
        reply: CredentialsReply,
    },
    /// The signatures over a document, made as if signed at that time.
    Signatures {
        /// The identity document, byte for byte as it is served.
        document: Bytes,
        /// The `signingTime` attribute: a second after the instance's pending time.
        signing_time: Timestamp,
        /// The reply, but for them.
        reply: SignatureReply,
    },
}

/// A reply that lacks the credentials of the role that [`Need::Credentials`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialsReply {
    extended: bool,
    admitted: Admitted,
}

impl CredentialsReply {
    /// The reply with them.
    pub fn with(self, document: &RoleDocument) -> Reply {
        let body = document.body(self.extended);
        self.admitted.answer(Reply::data(ContentType::Plain, body, document.last_updated()))
    }
}

/// A reply that lacks the signatures over the document that [`Need::Signatures`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureReply {
    kind: SignatureKind,
    modified: Timestamp,
    admitted: Admitted,
}

impl SignatureReply {
    /// The reply with the one that was asked for.
    pub fn with(self, signatures: &Signatures) -> Reply {
        let text = match self.kind {
            SignatureKind::Signature => &signatures.signature,
            SignatureKind::Pkcs7 => &signatures.pkcs7,
            SignatureKind::Rsa2048 => &signatures.rsa2048,
        };
        self.admitted.answer(Reply::data(ContentType::Plain, text.clone(), self.modified))
    }
}

const TOKEN_PATH: &str = "/latest/api/token";
const METADATA_METHODS: &str = "OPTIONS, GET, HEAD";
const TOKEN_METHODS: &str = "OPTIONS, PUT";

/// How often the dates of `iam/info` and `identity-credentials/ec2/info` move on: EC2 delivers about hourly
/// (reference 5.1).
const DELIVERY_SECONDS: i64 = 3600;

/// What the service answers to a request at the time `now`.
///
/// Needs nothing but its arguments, waits for nothing and never fails. With the same arguments the answer is
/// the same.
pub fn respond(snapshot: &Snapshot, request: &Request<'_>, now: Timestamp) -> Outcome {
    let path = Path::of(request.target);
    let admitted = match admit_to(snapshot, request, &path, now) {
        Ok(admitted) => admitted,
        Err(reply) => return Outcome::Reply(reply),
    };

    let reply = if path == *TOKEN_PATH {
        // GET is known to be a 405 there (2020); the same is taken for every other method.
        match request.method {
            "OPTIONS" => Reply::allow(Status::Ok, TOKEN_METHODS),
            _ => Reply::allow(Status::NotAllowed, TOKEN_METHODS),
        }
    } else {
        let tree = snapshot.trees.tree(request.role);
        let lookup = || tree.lookup(&path);
        match request.method {
            "GET" | "HEAD" => match read(snapshot, tree, lookup(), admitted, now) {
                Ok(reply) => reply,
                Err(need) => return Outcome::Needs(need),
            },
            // `OPTIONS *` asks about the server. Of a path that is not there nothing is known; 404 is the truth.
            "OPTIONS" => match (request.target, lookup()) {
                ("*", _) => Reply::allow(Status::Ok, METADATA_METHODS),
                (_, Found::Nothing) => Reply::error(Status::NotFound),
                _ => Reply::allow(Status::Ok, METADATA_METHODS),
            },
            // POST and DELETE are known to be 403, also a PUT to a token path with a version; PUT elsewhere,
            // PATCH, TRACE and unknown methods are taken to be the same.
            _ => Reply::error(Status::Forbidden),
        }
    };
    Outcome::Reply(admitted.answer(reply))
}

/// A request that may be answered, and what every answer to it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    left: Option<u32>,
    delivery: Delivery,
    head: bool,
}

impl Admitted {
    /// The seconds that the request's token has left, when it had one.
    pub fn token_left(self) -> Option<u32> {
        self.left
    }

    /// Whether the caller speaks v1 or v2.
    pub fn delivery(self) -> Delivery {
        self.delivery
    }

    /// A reply as it goes to this request: with the time its token has left, and without a body for a HEAD.
    pub fn answer(self, reply: Reply) -> Reply {
        let reply = if self.head { reply.without_body() } else { reply };
        let reply = match self.left {
            Some(left) => reply.with_token_left(left),
            None => reply,
        };
        reply.delivered(self.delivery)
    }
}

/// Everything of [`respond`] that comes before the path matters, for a front that has paths answered elsewhere:
/// the endpoint's switch, the token request, authentication.
///
/// # Errors
/// The reply to a request that goes no further.
pub fn admit(snapshot: &Snapshot, request: &Request<'_>, now: Timestamp) -> Result<Admitted, Reply> {
    admit_to(snapshot, request, &Path::of(request.target), now)
}

fn admit_to(
    snapshot: &Snapshot,
    request: &Request<'_>,
    path: &Path<'_>,
    now: Timestamp,
) -> Result<Admitted, Reply> {
    if snapshot.endpoint == Endpoint::Disabled {
        return Err(Reply::error(Status::Forbidden));
    }
    if *path == *TOKEN_PATH && request.method == "PUT" {
        return Err(issue_token(snapshot, request, now));
    }
    let head = request.method == "HEAD";
    match request.token {
        HeaderField::Absent if snapshot.tokens == TokenMode::Optional => {
            Ok(Admitted { left: None, delivery: Delivery::V1, head })
        }
        HeaderField::Absent => Err(Reply::error(Status::Unauthorized)),
        HeaderField::One(token) => match snapshot.token_key.remaining(token, now) {
            Some(left) => Ok(Admitted { left: Some(left), delivery: Delivery::V2, head }),
            None => Err(unauthorized_v2()),
        },
        HeaderField::Several => Err(unauthorized_v2()),
    }
}

fn unauthorized_v2() -> Reply {
    Reply::error(Status::Unauthorized).delivered(Delivery::V2)
}

/// `PUT /latest/api/token`. A token sent along is not looked at: a client that renews one whose time is over
/// must not be refused.
fn issue_token(snapshot: &Snapshot, request: &Request<'_>, now: Timestamp) -> Reply {
    if request.forwarded_for {
        return Reply::error(Status::Forbidden).delivered(Delivery::V2);
    }
    let ttl = match request.token_ttl {
        HeaderField::One(value) => parse_ttl(value),
        HeaderField::Absent | HeaderField::Several => None,
    };
    match ttl {
        Some(ttl) => Reply::token(snapshot.token_key.issue(ttl, request.nonce, now), ttl),
        None => Reply::error(Status::BadRequest).delivered(Delivery::V2),
    }
}

/// The reply to a GET of what was found.
fn read(
    snapshot: &Snapshot,
    tree: &Tree,
    found: Found<'_>,
    admitted: Admitted,
    now: Timestamp,
) -> Result<Reply, Need> {
    let plain = |body: Bytes, modified| Reply::data(ContentType::Plain, body, modified);
    let delivered = || last_delivery(tree.launched(), now);
    Ok(match found {
        Found::Nothing => Reply::error(Status::NotFound),
        Found::Listing(listing) => plain(listing.clone(), snapshot.modified),
        Found::Leaf(Leaf::Value(value)) => plain(value.clone(), snapshot.modified),
        Found::Leaf(Leaf::UserData(data)) => {
            Reply::data(ContentType::OctetStream, data.clone(), snapshot.modified)
        }
        Found::Leaf(Leaf::IamInfo(profile)) => {
            let delivered = delivered();
            plain(documents::iam_info(profile, delivered).into(), delivered)
        }
        Found::Leaf(Leaf::IdentityInfo(account)) => {
            let delivered = delivered();
            plain(documents::identity_info(account, delivered).into(), delivered)
        }
        Found::Leaf(Leaf::Credentials { role, extended }) => {
            let reply = CredentialsReply { extended: *extended, admitted };
            return Err(Need::Credentials { role: role.clone(), delivery: admitted.delivery, reply });
        }
        Found::Leaf(Leaf::Signature { kind, document }) => {
            let reply = SignatureReply { kind: *kind, modified: snapshot.modified, admitted };
            return Err(Need::Signatures { document: document.clone(), signing_time: tree.signed(), reply });
        }
    })
}

/// The last full hour since the launch.
fn last_delivery(launched: Timestamp, now: Timestamp) -> Timestamp {
    let since = now.as_second().saturating_sub(launched.as_second()).max(0);
    let whole = SignedDuration::from_secs(since - since % DELIVERY_SECONDS);
    launched.checked_add(whole).unwrap_or(launched)
}
