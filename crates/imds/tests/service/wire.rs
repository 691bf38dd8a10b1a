//! Authentication, methods, tokens and headers: reference sections 1 and 2.

use std::sync::LazyLock;

use imds::{
    Delivery, Endpoint, HeaderField, InstanceSpec, MAX_TTL, NOT_FOUND_PAGE, Outcome, Reply, Request, Status,
    TokenKey, TokenMode, respond,
};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use crate::common::{KEY, TestService, body, now};

fn service(tokens: TokenMode) -> TestService {
    TestService::new(&InstanceSpec::default(), &["app"], tokens)
}

/// For tests with many cases.
static SERVICES: LazyLock<[TestService; 2]> =
    LazyLock::new(|| [service(TokenMode::Optional), service(TokenMode::Required)]);

fn token(ttl: u32) -> String {
    TokenKey::new(KEY).issue(ttl, [3; 8], now())
}

fn with_token<'a>(method: &'a str, target: &'a str, token: &'a str) -> Request<'a> {
    Request { token: HeaderField::One(token.as_bytes()), ..Request::new(method, target) }
}

fn put<'a>(target: &'a str, ttl: &'a str) -> Request<'a> {
    Request { token_ttl: HeaderField::One(ttl.as_bytes()), ..Request::new("PUT", target) }
}

fn is_empty_plain(reply: &Reply) -> bool {
    reply.body().is_empty() && reply.content_length() == 0 && reply.content_type().as_str() == "text/plain"
}

const PATHS: [&str; 9] = [
    "/",
    "/latest",
    "/latest/meta-data/",
    "/latest/meta-data/instance-id",
    "/latest/meta-data/no-such",
    "/no-such",
    "/1999-01-01/meta-data/",
    "/latest/api/token",
    "/2021-03-23/api/token",
];

#[test]
fn without_a_valid_token_everything_is_401_where_tokens_are_required() {
    let service = service(TokenMode::Required);
    let over = TokenKey::new(KEY).issue(60, [0; 8], now() - 1.hour());
    let foreign = TokenKey::new([1; 32]).issue(60, [0; 8], now());
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS", "PATCH", "TRACE", "BREW"] {
            if (method, path) == ("PUT", "/latest/api/token") {
                continue;
            }
            let mut request = Request::new(method, path);
            for field in [
                HeaderField::Absent,
                HeaderField::Several,
                HeaderField::One(b""),
                HeaderField::One(b"invalid"),
                HeaderField::One(over.as_bytes()),
                HeaderField::One(foreign.as_bytes()),
                HeaderField::One(b"\xff\xfe"),
            ] {
                request.token = field;
                let reply = service.reply(&request);
                assert_eq!(reply.status(), Status::Unauthorized, "{method} {path} {field:?}");
                assert!(is_empty_plain(&reply) && reply.token_ttl().is_none(), "{method} {path} {field:?}");
            }
        }
    }
}

#[test]
fn where_tokens_are_optional_only_a_bad_one_is_401() {
    let service = service(TokenMode::Optional);
    let reply = service.get("/latest/meta-data/instance-id");
    assert_eq!((reply.status(), reply.delivery()), (Status::Ok, Delivery::V1));
    assert_eq!(reply.token_ttl(), None);
    for bad in [HeaderField::One(b"invalid".as_slice()), HeaderField::One(b""), HeaderField::Several] {
        let request = Request { token: bad, ..Request::new("GET", "/latest/meta-data/instance-id") };
        let reply = service.reply(&request);
        assert_eq!((reply.status(), reply.delivery()), (Status::Unauthorized, Delivery::V2));
    }
    let (valid, useless) = (token(60), token(0));
    let good = service.reply(&with_token("GET", "/latest/meta-data/instance-id", &valid));
    assert_eq!((good.status(), good.delivery(), good.token_ttl()), (Status::Ok, Delivery::V2, Some(60)));
    let used = service.reply(&with_token("GET", "/latest/meta-data/instance-id", &useless));
    assert_eq!(used.status(), Status::Unauthorized);
}

#[test]
fn a_token_is_granted_for_0_to_21600_seconds() {
    for mode in [TokenMode::Optional, TokenMode::Required] {
        let service = service(mode);
        for (ttl, granted) in [("0", 0), ("1", 1), ("300", 300), ("21600", 21_600), (" 60 ", 60)] {
            for path in
                ["/latest/api/token", "/latest/api/token/", "//latest/api/./token?x=1", "/latest/%61pi/token"]
            {
                let reply = service.reply(&put(path, ttl));
                assert_eq!(reply.status(), Status::Ok, "{path} {ttl}");
                assert!(reply.is_token() && reply.delivery() == Delivery::V2);
                assert_eq!((reply.token_ttl(), reply.content_length()), (Some(granted), 56));
                let used = service.reply(&with_token("GET", "/", body(&reply)));
                assert_eq!(used.status() == Status::Ok, granted > 0, "{ttl}");
            }
        }
        for ttl in ["", "-1", "+5", "5.0", "21601", "invalid", "1 2", "1,2", "0x10", "99999999999999999999"] {
            let reply = service.reply(&put("/latest/api/token", ttl));
            assert_eq!(reply.status(), Status::BadRequest, "{ttl:?}");
            assert!(is_empty_plain(&reply) && !reply.is_token() && reply.token_ttl().is_none());
        }
        for field in [HeaderField::Absent, HeaderField::Several] {
            let request = Request { token_ttl: field, ..Request::new("PUT", "/latest/api/token") };
            assert_eq!(service.reply(&request).status(), Status::BadRequest);
        }
    }
}

#[test]
fn a_forwarded_put_is_403_whatever_else_it_says() {
    let service = service(TokenMode::Optional);
    let valid = token(60);
    for ttl in ["60", "-1", "invalid"] {
        let mut request = put("/latest/api/token", ttl);
        request.forwarded_for = true;
        request.token = HeaderField::One(valid.as_bytes());
        let reply = service.reply(&request);
        assert_eq!(reply.status(), Status::Forbidden);
        assert!(is_empty_plain(&reply) && reply.token_ttl().is_none());
    }
    let mut get = Request::new("GET", "/latest/meta-data/instance-id");
    get.forwarded_for = true;
    assert_eq!(service.reply(&get).status(), Status::Ok, "the documentation speaks of PUT alone");
}

#[test]
fn a_client_renewing_a_dead_token_gets_a_new_one() {
    let service = service(TokenMode::Required);
    let mut request = put("/latest/api/token", "60");
    request.token = HeaderField::One(b"over");
    assert!(service.reply(&request).is_token());
}

#[test]
fn every_put_gives_another_token_and_all_of_them_count() {
    let service = service(TokenMode::Required);
    let tokens: Vec<String> = (0..10)
        .map(|nonce| {
            let request = Request { nonce: [nonce; 8], ..put("/latest/api/token", "60") };
            body(&service.reply(&request)).to_owned()
        })
        .collect();
    for token in &tokens {
        assert_eq!(service.reply(&with_token("GET", "/", token)).status(), Status::Ok);
        assert_eq!(tokens.iter().filter(|other| *other == token).count(), 1);
    }
}

#[test]
fn a_token_of_a_version_is_forbidden() {
    let valid = token(60);
    for (mode, tokenless) in
        [(TokenMode::Optional, Status::Forbidden), (TokenMode::Required, Status::Unauthorized)]
    {
        let service = service(mode);
        for path in ["/2021-03-23/api/token", "/1.0/api/token/", "/no-such/api/token", "/api/token"] {
            assert_eq!(service.reply(&put(path, "60")).status(), tokenless, "{path}");
            let mut request = put(path, "60");
            request.token = HeaderField::One(valid.as_bytes());
            let reply = service.reply(&request);
            assert_eq!((reply.status(), reply.token_ttl()), (Status::Forbidden, Some(60)), "{path}");
            assert!(is_empty_plain(&reply));
        }
    }
}

#[test]
fn methods() {
    let service = service(TokenMode::Required);
    let valid = token(60);
    let ask = |method, path| service.reply(&with_token(method, path, &valid));
    for path in ["/", "/latest/meta-data", "/latest/meta-data/instance-id", "/latest/meta-data/instance-id/"]
    {
        let get = ask("GET", path);
        let head = ask("HEAD", path);
        assert_eq!(get.status(), Status::Ok);
        assert!(head.body().is_empty() && !get.body().is_empty());
        let headers =
            |reply: &Reply| reply.headers(now(), true).map(|(n, v)| format!("{n:?} {v}")).collect::<Vec<_>>();
        assert_eq!(headers(&get), headers(&head));
        let options = ask("OPTIONS", path);
        assert_eq!((options.status(), options.allowed()), (Status::Ok, Some("OPTIONS, GET, HEAD")));
        assert!(is_empty_plain(&options));
        for method in ["POST", "DELETE", "PUT", "PATCH", "TRACE", "BREW", "get", ""] {
            let reply = ask(method, path);
            assert_eq!((reply.status(), reply.token_ttl()), (Status::Forbidden, Some(60)), "{method} {path}");
            assert!(is_empty_plain(&reply) && reply.allowed().is_none());
        }
    }
    assert_eq!(ask("HEAD", "/no-such").status(), Status::NotFound);
    assert_eq!((ask("HEAD", "/no-such").content_length(), ask("HEAD", "/no-such").body().len()), (339, 0));
    assert_eq!(ask("OPTIONS", "/no-such").status(), Status::NotFound);
    assert_eq!(ask("OPTIONS", "*").allowed(), Some("OPTIONS, GET, HEAD"));
    assert_eq!(ask("POST", "/no-such").status(), Status::Forbidden);
}

#[test]
fn the_token_path_takes_put_alone() {
    let service = service(TokenMode::Required);
    let valid = token(60);
    for method in ["GET", "HEAD", "POST", "DELETE", "PATCH"] {
        let reply = service.reply(&with_token(method, "/latest/api/token", &valid));
        assert_eq!(reply.status(), Status::NotAllowed, "{method}");
        assert_eq!(reply.status().reason(), Some("Not Allowed"));
        assert_eq!((reply.allowed(), reply.token_ttl()), (Some("OPTIONS, PUT"), Some(60)));
        assert!(is_empty_plain(&reply));
    }
    let options = service.reply(&with_token("OPTIONS", "/latest/api/token", &valid));
    assert_eq!((options.status(), options.allowed()), (Status::Ok, Some("OPTIONS, PUT")));
    assert_eq!(service.reply(&with_token("GET", "/latest/api", &valid)).status(), Status::NotFound);
}

#[test]
fn a_switched_off_endpoint_forbids_everything() {
    let mut service = service(TokenMode::Optional);
    service.snapshot.endpoint = Endpoint::Disabled;
    let valid = token(60);
    for path in PATHS {
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "POST"] {
            let mut request = with_token(method, path, &valid);
            request.token_ttl = HeaderField::One(b"60");
            let reply = service.reply(&request);
            assert_eq!(reply.status(), Status::Forbidden, "{method} {path}");
            assert!(is_empty_plain(&reply) && reply.token_ttl().is_none() && reply.allowed().is_none());
        }
    }
}

#[test]
fn what_is_not_there_is_the_page() {
    let service = service(TokenMode::Optional);
    for path in [
        "/no-such",
        "/latest/no-such",
        "/latest/meta-data/no-such",
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/Instance-Id",
        "/LATEST/meta-data/instance-id",
        "/latest/meta-data/instance-i",
        "/latest/meta-data/public-ipv4",
        "/latest/user-data",
        "/latest/dynamic/fws/instance-monitoring",
        "/latest/meta-data/iam/",
        "/latest/meta-data/%ff",
        "/latest/meta-data/instance-id%00",
        "/latest/meta-data/instance-id%0a",
        "/1.0/dynamic/",
        "*",
    ] {
        let reply = service.get(path);
        assert_eq!(reply.status(), Status::NotFound, "{path}");
        assert_eq!(body(&reply), NOT_FOUND_PAGE, "{path}");
        assert_eq!(reply.content_type().as_str(), "text/html");
    }
}

#[test]
fn user_data_is_bytes_under_every_version() {
    let bytes: &[u8] = b"\x1f\x8b\x00\xff#cloud-config\n";
    let spec = InstanceSpec { user_data_bytes: Some(bytes.into()), ..InstanceSpec::default() };
    let service = TestService::new(&spec, &[], TokenMode::Optional);
    for version in imds::VERSIONS {
        for path in [format!("/{version}/user-data"), format!("/{version}/user-data/")] {
            let reply = service.get(&path);
            assert_eq!(
                (reply.status(), reply.content_type().as_str()),
                (Status::Ok, "application/octet-stream")
            );
            assert_eq!(reply.body(), bytes);
        }
    }
}

#[test]
fn dates_are_in_order() {
    let service = service(TokenMode::Optional);
    let later = now() + 90.minutes();
    let outcome = respond(&service.snapshot, &Request::new("GET", "/latest/meta-data/mac"), later);
    let Outcome::Reply(reply) = outcome else { panic!("needs nothing") };
    let value = |wanted: &str| {
        let mut headers = reply.headers(later, false);
        headers.find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value.to_string())
    };
    assert_eq!(value("Last-Modified").as_deref(), Some("Sat, 26 Sep 2026 12:00:00 GMT"));
    assert_eq!(value("Date").as_deref(), Some("Sat, 26 Sep 2026 13:30:00 GMT"));
}

proptest! {
    /// Whatever comes in, the answer is one the service has, and a body belongs to its headers.
    #[test]
    fn any_request_gets_a_reply_of_the_service(
        method in "(GET|HEAD|PUT|OPTIONS|POST|[A-Z]{0,5})",
        target in "(/latest/meta-data/|/latest/|/|)[ -~]{0,30}",
        token in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..70)),
        ttl in proptest::option::of("[ -~]{0,7}"),
        forwarded_for: bool, required: bool,
    ) {
        let service = &SERVICES[usize::from(required)];
        let reply = service.reply(&Request {
            token: token.as_deref().map_or(HeaderField::Absent, HeaderField::One),
            token_ttl: ttl.as_deref().map_or(HeaderField::Absent, |ttl| HeaderField::One(ttl.as_bytes())),
            forwarded_for,
            role: Some("app"),
            ..Request::new(&method, &target)
        });
        prop_assert!([200, 400, 401, 403, 404, 405].contains(&reply.status().code()));
        prop_assert!(method == "HEAD" || reply.body().len() == reply.content_length());
        prop_assert!(reply.token_ttl().is_none() || reply.is_token(), "no valid token was sent");
        prop_assert_eq!(reply.headers(now(), true).filter(|(name, _)| name.as_str() == "Server").count(), 1);
    }

    #[test]
    fn a_token_lives_exactly_as_long_as_granted(ttl in 1..=MAX_TTL, milliseconds in 0i64..22_000_000) {
        let service = &SERVICES[1];
        let token = token(ttl);
        let later: Timestamp = now() + SignedDuration::from_millis(milliseconds);
        let Outcome::Reply(reply) =
            respond(&service.snapshot, &with_token("GET", "/", &token), later)
        else { panic!("needs nothing") };
        let left = i64::from(ttl) * 1000 - milliseconds;
        let expected = (left > 0).then(|| u32::try_from((left + 999) / 1000).unwrap());
        prop_assert_eq!(reply.token_ttl(), expected);
        prop_assert_eq!(reply.status() == Status::Ok, left > 0);
    }
}
