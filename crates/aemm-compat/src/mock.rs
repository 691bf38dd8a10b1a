//! Request and time to reply, as AEMM decides: the path is cleaned, then looked up; where IMDSv2 is asked for, what
//! is registered wants a token, while listings of folders, the token request and pages of 404 do not. What AEMM
//! logs of a request is kept until the next one.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};

use crate::config::{Command, Config, Start};
use crate::defaults::{DYNAMIC, META_DATA};
use crate::document::{list, object};
use crate::instant::{Instant, rfc3339};
use crate::log;
use crate::path::{IN_PATHS, clean, decode};
use crate::reply::Reply;
use crate::routes::{Fixed, Route, Routes, Service};
use crate::tokens::{Check, Tokens};

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
    pub client: SocketAddr,
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
    log: Vec<String>,
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
            log: Vec::new(),
        }
    }

    /// Takes another configuration, with `--watch-config-file`.
    pub fn replace(&mut self, config: Arc<Config>) {
        self.routes = Routes::new(self.command, &config);
        self.config = config;
    }

    /// What AEMM logs of the request that was answered last: lines without the time.
    pub fn logged(&self) -> &[String] {
        &self.log
    }

    /// The reply to a request; `random` is read for a token.
    pub fn answer(&mut self, request: &Request<'_>, random: [u8; 32], now: Timestamp) -> Reply {
        self.log.clear();
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
            None => self.sub_listing(path),
            Some(Route::Token) => self.token(request, random, now),
            Some(_) if self.config.imdsv2 && !self.is_let_through(request.token, now) => Reply::error(401),
            Some(Route::Index) => self.listing(path, "latest\n".into()),
            Some(Route::Categories) => self.listing(path, "dynamic\nmeta-data\nuser-data\n".into()),
            Some(Route::MetaData) => self.listing(path, self.routes.top(META_DATA)),
            Some(Route::Dynamic) => self.listing(path, self.routes.top(DYNAMIC)),
            Some(Route::Fixed(service, fixed)) => self.fixed(path, service, fixed),
            Some(Route::Spot) => self.spot(path, request.client, now),
            Some(Route::Events) => self.events(path, request.client, now),
            Some(Route::AsgLifecycle) => self.asg_lifecycle(path, request, now),
        }
    }

    fn text(&mut self, text: impl Into<String>) -> Reply {
        self.log.push(log::returned("text mock response"));
        Reply::text(text)
    }

    fn json(&mut self, text: String) -> Reply {
        self.log.push(log::returned("JSON mock response"));
        Reply::json(text)
    }

    fn sub_listing(&mut self, path: &str) -> Reply {
        self.log.push(format!("Received request to CatchAllHandler:  {path}"));
        match self.routes.sub_listing(path) {
            Some(listing) => self.text(listing),
            None => Reply::error(404),
        }
    }

    fn listing(&mut self, path: &str, listing: String) -> Reply {
        self.log.push(format!("Received request to display paths:  {path}"));
        self.text(listing)
    }

    fn fixed(&mut self, path: &str, service: Service, fixed: Fixed) -> Reply {
        let what = match service {
            Service::MetaData => "static metadata",
            Service::Dynamic => "dynamic metadata",
            Service::UserData => "userdata",
        };
        self.log.push(format!("Received request to mock {what}: {path}"));
        match fixed {
            Fixed::Text(text) => self.text(text),
            Fixed::Json(text) => self.json(text),
            Fixed::JsonText(text) => {
                self.log.push(log::returned("JSON text/plain mock response"));
                Reply::text(text)
            }
            Fixed::Octets(bytes) => {
                self.log.push(log::returned("octet stream response"));
                Reply::octets(bytes.to_vec())
            }
        }
    }

    fn is_let_through(&mut self, token: Option<&str>, now: Timestamp) -> bool {
        let check = self.tokens.check(token, now);
        let line = match check {
            Check::Absent => "Token required; No token provided.",
            Check::Unknown => "Invalid token provided",
            Check::Ended => "Token has expired",
            Check::Good => "Token validated!",
        };
        self.log.push(line.to_owned());
        check == Check::Good
    }

    fn token(&mut self, request: &Request<'_>, random: [u8; 32], now: Timestamp) -> Reply {
        self.log.push(format!("GenerateToken Received request: {} {}", request.method, request.target));
        if request.method != "PUT" {
            return Reply::empty();
        }
        match self.tokens.grant(request.token_ttl, random, now) {
            Some((token, ttl)) => {
                self.log.push(log::returned("text mock response"));
                Reply::token(token, ttl)
            }
            None => {
                self.log.push(log::wrong_ttl(request.token_ttl));
                Reply::error(400)
            }
        }
    }

    fn spot(&mut self, path: &str, client: SocketAddr, now: Timestamp) -> Reply {
        self.log.push(log::asked("spot interruption", path, client));
        let count = self.config.ip_count;
        if let Some(line) =
            shut_out(&mut self.spot_clients, client, count, "Spot ITN or Rebalance Recommendation")
        {
            self.log.push(line);
            return Reply::error(404);
        }
        let (name, due) = match path {
            INSTANCE_ACTION | TERMINATION_TIME => ("MockTriggerTime", &self.config.mock),
            REBALANCE => ("RebalanceTriggerTime", &self.config.rebalance),
            _ => return Reply::empty(),
        };
        if let Some(line) = waiting(name, due, self.start, now) {
            self.log.push(line);
            return Reply::error(404);
        }
        let settings = &self.config.settings;
        let configured = |key: &str| settings.text(key).filter(|text| !text.is_empty());
        let end = || rfc3339(now.checked_add(WARNING).unwrap_or(now));
        let time = configured("spot.time").unwrap_or_else(end);
        match path {
            INSTANCE_ACTION => {
                let action = Value::from(settings.text("spot.action"));
                self.json(object(&vec![("action", action), ("time", Value::from(time))]))
            }
            TERMINATION_TIME => self.text(time),
            _ => {
                let notice = configured("spot.rebalance-rec-time").unwrap_or_else(|| rfc3339(now));
                self.json(object(&vec![("noticeTime", Value::from(notice))]))
            }
        }
    }

    fn events(&mut self, path: &str, client: SocketAddr, now: Timestamp) -> Reply {
        self.log.push(log::asked("scheduled event", path, client));
        let count = self.config.ip_count;
        if let Some(line) = shut_out(&mut self.event_clients, client, count, "Scheduled Event")
            .or_else(|| waiting("MockTriggerTime", &self.config.mock, self.start, now))
        {
            self.log.push(line);
            return Reply::error(404);
        }
        let text = |key: &str| self.config.settings.text(key).unwrap_or_default();
        let date = |key: &str| match Instant::parse(&text(key)) {
            Some(instant) => json!(instant.event_date()),
            None => json!("1 Jan 0001 00:00:00 GMT"),
        };
        let code = text("events.code");
        let event = list(&[vec![
            ("Code", json!(code)),
            ("Description", json!(format!("The instance is scheduled for {code}"))),
            ("State", json!(text("events.state"))),
            ("EventId", json!(text("metadata.values.event-id"))),
            ("NotBefore", date("events.not-before")),
            ("NotAfter", date("events.not-after")),
            ("NotBeforeDeadline", date("events.not-before-deadline")),
        ]]);
        self.json(event)
    }

    fn asg_lifecycle(&mut self, path: &str, request: &Request<'_>, now: Timestamp) -> Reply {
        let count = self.config.ip_count;
        if let Some(line) = shut_out(&mut self.asg_clients, request.client, count, "ASG Lifecycle State") {
            self.log.push(line);
            return Reply::error(404);
        }
        if path != TARGET_LIFECYCLE_STATE {
            return Reply::empty();
        }
        self.terminated |= waiting("", &self.config.asg_termination, self.start, now).is_none();
        match request.method {
            "GET" => self.text(if self.terminated { "Terminated" } else { "InService" }),
            _ => Reply::empty(),
        }
    }
}

/// What is logged of an event that has not begun; nothing once it has. The trigger time counts where one is set, else
/// the delay after the start; both in whole seconds.
fn waiting(name: &str, due: &Start, start: Timestamp, now: Timestamp) -> Option<String> {
    if due.trigger_time.is_empty() {
        let remaining = due.delay - (now.as_second() - start.as_second());
        return (remaining > 0).then(|| log::delayed(due.delay, remaining));
    }
    let at = Instant::parse(&due.trigger_time)?;
    let remaining = at.at.as_second() - now.as_second();
    (remaining > 0).then(|| log::not_triggered(name, &at, remaining))
}

/// What is logged of a client that comes too late for an event; nothing of one that is let in. The first `count`
/// addresses are, and stay so. All IPv6 clients count as one, for AEMM cuts an address at its first colon.
fn shut_out(clients: &mut HashSet<String>, client: SocketAddr, count: i64, what: &str) -> Option<String> {
    let client = match client.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(_) => "[".to_owned(),
    };
    if count < 0 || clients.contains(&client) {
        return None;
    }
    if i64::try_from(clients.len()).is_ok_and(|len| len < count) {
        clients.insert(client);
        return None;
    }
    Some(log::not_eligible(&client, what, count))
}

#[cfg(test)]
mod tests;
