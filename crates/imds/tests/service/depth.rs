//! Every request that was made to a real t3.nano on 2026-09-26 gets the reply it got there.

use imds::{HeaderField, NOT_FOUND_PAGE, Request, TokenKey, TokenMode};
use serde_json::Value;

use crate::common::{KEY, NOW, TestService, now};

#[test]
fn every_row_of_the_capture_is_reproduced() {
    let mut spec: imds::InstanceSpec = toml::from_str(include_str!("../data/depth.toml")).unwrap();
    // Of the user data only length and hash are known.
    spec.user_data = Some("#".repeat(8327));
    let service = TestService::new(&spec, &["stackd-ec2-instances-d63233436ede"], TokenMode::Required);
    let mut rows = 0;
    for line in include_str!("../data/depth.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row.get("method").is_some() {
            check(&service, &row);
            rows += 1;
        }
    }
    assert_eq!(rows, 280);
}

fn check(service: &TestService, row: &Value) {
    let text = |key: &str| row[key].as_str();
    let (method, path) = (text("method").unwrap(), text("path").unwrap());
    let token = TokenKey::new(KEY).issue(300, [1; 8], now());
    let header = |name: &str| row["request_headers"].get(name).and_then(Value::as_str);
    // A PUT without recorded headers carried a TTL of 300.
    let ttl = match row.get("request_headers") {
        None if method == "PUT" => Some("300"),
        _ => header("X-aws-ec2-metadata-token-ttl-seconds"),
    };
    let mut request = Request::new(method, path);
    request.role = Some("stackd-ec2-instances-d63233436ede");
    request.token_ttl = ttl.map_or(HeaderField::Absent, |ttl| HeaderField::One(ttl.as_bytes()));
    request.forwarded_for = header("X-Forwarded-For").is_some();
    if row["token"] == true {
        request.token = HeaderField::One(token.as_bytes());
    }
    let reply = service.reply(&request);

    let at = format!("{method} {path}, token: {}", row["token"]);
    assert_eq!(u64::from(reply.status().code()), row["code"], "{at}");
    assert_eq!(reply.content_type().as_str(), text("content_type").unwrap(), "{at}");
    assert_eq!(reply.content_length() as u64, row["length"], "{at}");
    assert_eq!(reply.allowed(), text("allow"), "{at}");
    match text("body") {
        Some("<token-redacted>") => {
            let body = std::str::from_utf8(reply.body()).unwrap();
            assert!(body.len() == 56 && body.starts_with("AQAEA"), "{at}: {body}");
        }
        Some("@404") => assert_eq!(reply.body(), NOT_FOUND_PAGE, "{at}"),
        Some(body) => assert_eq!(reply.body(), body, "{at}"),
        None => assert!(row.get("body_sha256").is_some(), "{at}"),
    }
    // What every reply had, and who is told the rest of a token's life (reference 1.3).
    let headers: Vec<(&str, String)> =
        reply.headers(now(), true).map(|(name, value)| (name.as_str(), value.to_string())).collect();
    assert!(headers.contains(&("Server", "EC2ws".to_owned())), "{at}");
    assert!(headers.contains(&("Date", NOW.to_owned())), "{at}");
    let granted = reply.is_token() || row["token"] == true;
    assert_eq!(headers[0].0 == "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", granted, "{at}");
}
