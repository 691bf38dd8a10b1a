//! A service of one instance, asked the way the daemon asks: what a reply needs is found out and given.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use imds::{
    Delivery, Endpoint, Instance, InstanceError, InstanceSpec, Need, Outcome, Overrides, Reply, Request,
    RoleAnswer, RoleDocument, RoleEntry, Signatures, Signer, Snapshot, Status, TokenKey, TokenMode, Trees,
    respond,
};
use jiff::Timestamp;
use rsa::rand_core::{CryptoRng, RngCore};
use serde_json::Value;

pub const KEY: [u8; 32] = [42; 32];
pub const NOW: &str = "Sat, 26 Sep 2026 12:00:00 GMT";

pub fn now() -> Timestamp {
    "2026-09-26T12:00:00Z".parse().unwrap()
}

/// A signer that is the same in every run; making an RSA key takes a moment.
pub static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::generate(&mut Counter(1)).unwrap());

/// Not random at all, which is what a test wants.
pub struct Counter(pub u64);

impl RngCore for Counter {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    /// SplitMix64.
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]));
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Counter {}

pub struct TestService {
    pub snapshot: Snapshot,
    /// As the daemon does, each document is signed once.
    signed: Mutex<HashMap<Bytes, Signatures>>,
}

impl TestService {
    pub fn new(spec: &InstanceSpec, roles: &[&str], tokens: TokenMode) -> TestService {
        let instance = Instance::resolve(spec, now()).unwrap();
        let roles: Vec<RoleEntry> = roles.iter().map(|name| RoleEntry::new(name)).collect();
        let trees = Trees::build(&instance, &roles, &Overrides::default()).unwrap();
        TestService::of(trees, tokens)
    }

    pub fn of(trees: Trees, tokens: TokenMode) -> TestService {
        let snapshot = Snapshot {
            tokens,
            endpoint: Endpoint::Enabled,
            token_key: TokenKey::new(KEY),
            trees,
            modified: now(),
        };
        TestService { snapshot, signed: Mutex::default() }
    }

    /// The reply, with whatever it needs.
    pub fn reply(&self, request: &Request<'_>) -> Reply {
        match respond(&self.snapshot, request, now()) {
            Outcome::Reply(reply) => reply,
            Outcome::Needs(Need::Credentials { delivery, reply, .. }) => reply.with(&credentials(delivery)),
            Outcome::Needs(Need::Signatures { document, signing_time, reply }) => {
                let mut signed = self.signed.lock().unwrap();
                let made = signed.entry(document.clone());
                reply.with(made.or_insert_with(|| SIGNER.sign(document, signing_time).unwrap()))
            }
        }
    }

    pub fn get(&self, target: &str) -> Reply {
        self.reply(&Request::new("GET", target))
    }

    pub fn get_as(&self, role: &str, target: &str) -> Reply {
        self.reply(&Request { role: Some(role), ..Request::new("GET", target) })
    }
}

pub fn credentials(delivery: Delivery) -> RoleDocument {
    RoleDocument::new(&answer(delivery))
}

pub fn answer(delivery: Delivery) -> RoleAnswer {
    RoleAnswer::Success {
        access_key_id: format!("ASIAEXAMPLE{}", delivery.as_str().to_uppercase()),
        secret_access_key: "not a secret".to_owned(),
        token: Some("IQoJb3JpZ2luX2Vj".to_owned()),
        last_updated: now(),
        expiration: "2026-09-26T18:00:00Z".parse().unwrap(),
        account_id: Some("123456789012".to_owned()),
    }
}

pub fn body(reply: &Reply) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

pub fn parse(text: &str) -> InstanceSpec {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

pub fn service(text: &str) -> TestService {
    TestService::new(&parse(text), &["app"], TokenMode::Optional)
}

pub fn refused(text: &str) -> InstanceError {
    match Instance::resolve(&parse(text), now()) {
        Ok(_) => panic!("not refused: {text}"),
        Err(error) => error,
    }
}

pub fn leaf(service: &TestService, path: &str) -> String {
    let reply = service.get_as("app", &format!("/latest/meta-data/{path}"));
    match reply.status() {
        Status::Ok => body(&reply).to_owned(),
        status => format!("<{}>", status.code()),
    }
}

pub fn document(service: &TestService) -> Value {
    serde_json::from_str(body(&service.get("/latest/dynamic/instance-identity/document"))).unwrap()
}

/// The leaf of the primary interface.
pub fn own(service: &TestService, path: &str) -> String {
    leaf(service, &format!("network/interfaces/macs/{}/{path}", leaf(service, "mac")))
}

/// What the leaves of the interface with a device number say.
pub fn of_device<'a>(service: &'a TestService, device: &str) -> impl Fn(&str) -> String + 'a {
    let at = |mac: &str, path: &str| leaf(service, &format!("network/interfaces/macs/{mac}{path}"));
    let macs = leaf(service, "network/interfaces/macs");
    let mac = macs.lines().find(|mac| at(mac, "device-number") == device).unwrap().to_owned();
    move |path| at(&mac, path)
}
