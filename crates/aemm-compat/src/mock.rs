//! Request and time to reply, as AEMM decides: the path is cleaned, then looked up; where IMDSv2 is asked for, what
//! is registered wants a token, while listings of folders, the token request and pages of 404 do not.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use crate::config::{Command, Config, Start};
use crate::defaults::{DYNAMIC, META_DATA};
use crate::document::{list, object};
use crate::instant::{Instant, rfc3339};
use crate::reply::Reply;
use crate::routes::{Fixed, Route, Routes};
use crate::tokens::Tokens;

/// Spot and rebalance notices answer at these paths alone; moved elsewhere they are an empty 200.
const INSTANCE_ACTION: &str = "/latest/meta-data/spot/instance-action";
const TERMINATION_TIME: &str = "/latest/meta-data/spot/termination-time";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
const TARGET_LIFECYCLE_STATE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
/// How long after the request an instance is terminated, unless told otherwise.
const WARNING: SignedDuration = SignedDuration::from_mins(2);

/// What of a request decides the answer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query as they came.
    pub target: &'a str,
    /// `X-aws-ec2-metadata-token`, the first of several.
    pub token: Option<&'a str>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`, the first of several.
    pub token_ttl: Option<&'a str>,
    /// Who asks.
    pub client: IpAddr,
}

/// The service: configuration, tokens, and which clients have seen which event.
#[derive(Debug)]
pub struct Mock {
    command: Command,
    config: Arc<Config>,
    routes: Routes,
    start: Timestamp,
    tokens: Tokens,
    spot_clients: HashSet<String>,
    event_clients: HashSet<String>,
    asg_clients: HashSet<String>,
    /// Once terminated, always: AEMM never goes back.
    terminated: bool,
}

impl Mock {
    /// The service as it starts.
    pub fn new(command: Command, config: Arc<Config>, start: Timestamp) -> Mock {
        Mock {
            command,
            routes: Routes::new(command, &config),
            config,
            start,
            tokens: Tokens::default(),
            spot_clients: HashSet::new(),
            event_clients: HashSet::new(),
            asg_clients: HashSet::new(),
            terminated: false,
        }
    }

    /// Takes another configuration, with `--watch-config-file`.
    pub fn replace(&mut self, config: Arc<Config>) {
        self.routes = Routes::new(self.command, &config);
        self.config = config;
    }

    /// The reply to a request; `random` is read for a token.
    pub fn answer(&mut self, request: &Request<'_>, random: [u8; 32], now: Timestamp) -> Reply {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target, None),
        };
        let Some(decoded) = decode(path) else { return Reply::error(400) };
        let path = match decoded.strip_suffix('/') {
            Some(rest) if decoded != "/" => rest,
            _ => &decoded,
        };
        let clean = clean(path);
        if clean != path {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            return Reply::moved(format!("{}{query}", utf8_percent_encode(&clean, IN_PATHS)));
        }
        match self.routes.get(path).cloned() {
            None => self.routes.sub_listing(path).map_or_else(|| Reply::error(404), Reply::text),
            Some(Route::Token) => self.token(request, random, now),
            Some(_) if self.config.imdsv2 && !self.tokens.accepts(request.token, now) => Reply::error(401),
            Some(Route::Index) => Reply::text("latest\n"),
            Some(Route::Categories) => Reply::text("dynamic\nmeta-data\nuser-data\n"),
            Some(Route::MetaData) => Reply::text(self.routes.top(META_DATA)),
            Some(Route::Dynamic) => Reply::text(self.routes.top(DYNAMIC)),
            Some(Route::Fixed(Fixed::Text(text))) => Reply::text(text),
            Some(Route::Fixed(Fixed::Json(text))) => Reply::json(text),
            Some(Route::Fixed(Fixed::Octets(bytes))) => Reply::octets(bytes.to_vec()),
            Some(Route::Spot) => self.spot(path, request.client, now),
            Some(Route::Events) => self.events(request.client, now),
            Some(Route::AsgLifecycle) => self.asg_lifecycle(path, request, now),
        }
    }

    fn token(&mut self, request: &Request<'_>, random: [u8; 32], now: Timestamp) -> Reply {
        if request.method != "PUT" {
            return Reply::empty();
        }
        match self.tokens.grant(request.token_ttl, random, now) {
            Some((token, ttl)) => Reply::token(token, ttl),
            None => Reply::error(400),
        }
    }

    fn spot(&mut self, path: &str, client: IpAddr, now: Timestamp) -> Reply {
        if !is_let_in(&mut self.spot_clients, client, self.config.ip_count) {
            return Reply::error(404);
        }
        let settings = &self.config.settings;
        let configured = |key: &str| settings.text(key).filter(|text| !text.is_empty());
        let due = match path {
            INSTANCE_ACTION | TERMINATION_TIME => &self.config.mock,
            REBALANCE => &self.config.rebalance,
            _ => return Reply::empty(),
        };
        if !has_begun(due, self.start, now) {
            return Reply::error(404);
        }
        let end = || rfc3339(now.checked_add(WARNING).unwrap_or(now));
        let time = configured("spot.time").unwrap_or_else(end);
        match path {
            INSTANCE_ACTION => Reply::json(object(&vec![
                ("action", Value::from(settings.text("spot.action"))),
                ("time", Value::from(time)),
            ])),
            TERMINATION_TIME => Reply::text(time),
            _ => {
                let notice = configured("spot.rebalance-rec-time").unwrap_or_else(|| rfc3339(now));
                Reply::json(object(&vec![("noticeTime", Value::from(notice))]))
            }
        }
    }

    fn events(&mut self, client: IpAddr, now: Timestamp) -> Reply {
        if !is_let_in(&mut self.event_clients, client, self.config.ip_count)
            || !has_begun(&self.config.mock, self.start, now)
        {
            return Reply::error(404);
        }
        let text = |key: &str| self.config.settings.text(key).unwrap_or_default();
        let date = |key: &str| match Instant::parse(&text(key)) {
            Some(instant) => json!(instant.event_date()),
            None => json!("1 Jan 0001 00:00:00 GMT"),
        };
        let code = text("events.code");
        Reply::json(list(&[vec![
            ("Code", json!(code)),
            ("Description", json!(format!("The instance is scheduled for {code}"))),
            ("State", json!(text("events.state"))),
            ("EventId", json!(text("metadata.values.event-id"))),
            ("NotBefore", date("events.not-before")),
            ("NotAfter", date("events.not-after")),
            ("NotBeforeDeadline", date("events.not-before-deadline")),
        ]]))
    }

    fn asg_lifecycle(&mut self, path: &str, request: &Request<'_>, now: Timestamp) -> Reply {
        if !is_let_in(&mut self.asg_clients, request.client, self.config.ip_count) {
            return Reply::error(404);
        }
        if path != TARGET_LIFECYCLE_STATE {
            return Reply::empty();
        }
        self.terminated |= has_begun(&self.config.asg_termination, self.start, now);
        match request.method {
            "GET" => Reply::text(if self.terminated { "Terminated" } else { "InService" }),
            _ => Reply::empty(),
        }
    }
}

/// The trigger time where one is set, else the delay after the start; both in whole seconds.
fn has_begun(due: &Start, start: Timestamp, now: Timestamp) -> bool {
    if due.trigger_time.is_empty() {
        return due.delay - (now.as_second() - start.as_second()) <= 0;
    }
    Instant::parse(&due.trigger_time).is_none_or(|instant| instant.at.as_second() <= now.as_second())
}

/// The first `count` addresses are let in, and stay so. All IPv6 clients count as one, for AEMM cuts an address at
/// its first colon.
fn is_let_in(clients: &mut HashSet<String>, client: IpAddr, count: i64) -> bool {
    let client = match client.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(_) => "[".to_owned(),
    };
    if count < 0 || clients.contains(&client) {
        return true;
    }
    let room = i64::try_from(clients.len()).is_ok_and(|len| len < count);
    if room {
        clients.insert(client);
    }
    room
}

/// What Go escapes in a path.
const IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path without percent-encoding; nothing where the encoding is wrong, which Go answers with 400.
fn decode(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let wrong = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    (!wrong).then(|| percent_decode_str(path).decode_utf8_lossy().into_owned())
}

/// The shortest spelling of a path: no empty, `.` or `..` names; a slash at the end stays.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let slash = if path.ends_with('/') && !names.is_empty() { "/" } else { "" };
    format!("/{}{slash}", names.join("/"))
}

#[cfg(test)]
mod tests;
