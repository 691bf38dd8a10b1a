//! AEMM's answers, with the clock given.

use std::net::Ipv4Addr;

use super::*;
use crate::settings::Settings;

const SPOT: &str = "/latest/meta-data/spot/instance-action";
const EVENTS: &str = "/latest/meta-data/events/maintenance/scheduled";
const STATE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

fn start() -> Timestamp {
    "2026-01-01T00:00:00.9Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn mock(command: Command, said: Value) -> Mock {
    let mut settings = Settings::defaults(start());
    settings.set("", said);
    Mock::new(command, Arc::new(Config::new(settings).unwrap()), start())
}

fn client(last: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, last), 50_000).into()
}

fn request<'a>(method: &'a str, target: &'a str) -> Request<'a> {
    Request { method, target, token: None, token_ttl: None, client: client(1) }
}

fn get(mock: &mut Mock, target: &str, now: Timestamp) -> (u16, String) {
    let reply = mock.answer(&request("GET", target), [7; 32], now);
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
}

#[test]
fn fixed_pages_and_types() {
    let mut mock = mock(Command::All, json!({}));
    let mut answer = |target: &str| mock.answer(&request("GET", target), [0; 32], start());
    assert_eq!(answer("/"), Reply::text("latest\n"));
    assert_eq!(answer("/latest"), Reply::text("dynamic\nmeta-data\nuser-data\n"));
    assert_eq!(answer("/latest/dynamic/"), Reply::text("fws/\ninstance-identity/\n"));
    assert_eq!(answer("/latest/meta-data/mac/"), Reply::text("0e:49:61:0f:c3:11"));
    assert_eq!(answer("/latest/user-data"), Reply::octets(b"1234,john,reboot,true\n".to_vec()));
    assert_eq!(answer("/womp"), Reply::error(404));
    assert_eq!(answer("/2021-03-23/meta-data"), Reply::error(404));
    assert_eq!(answer("/latest/%zz"), Reply::error(400));
    let json = answer("/latest/meta-data/iam/info");
    assert_eq!(json.headers, [("content-type", "application/json".to_owned())]);
    let lost = answer("/womp");
    assert_eq!(lost.headers[0].1, "text/plain; charset=utf-8");
    assert_eq!(lost.headers[1], ("x-content-type-options", "nosniff".to_owned()));
    assert!(lost.body.ends_with(b"</html>\n"));
}

#[test]
fn paths_that_are_not_clean_are_moved() {
    let mut mock = mock(Command::All, json!({}));
    let mut location = |target: &str| {
        let reply = mock.answer(&request("GET", target), [0; 32], start());
        (reply.status == 301).then(|| reply.headers[0].1.clone())
    };
    assert_eq!(location("//latest/meta-data").as_deref(), Some("/latest/meta-data"));
    assert_eq!(location("/latest/./x/../meta-data?a=1").as_deref(), Some("/latest/meta-data?a=1"));
    assert_eq!(location("/a%20b//c").as_deref(), Some("/a%20b/c"));
    assert_eq!(location("/latest/meta-data/"), None);
    assert_eq!(location("/latest/%6deta-data"), None);
}

#[test]
fn tokens() {
    let mut mock = mock(Command::All, json!({"imdsv2": true}));
    let put = |ttl| Request { token_ttl: ttl, ..request("PUT", "/latest/api/token") };
    let reply = mock.answer(&put(Some("2")), [7; 32], start());
    assert_eq!((reply.status, reply.body.len()), (200, 44));
    assert_eq!(reply.headers[1], ("x-aws-ec2-metadata-token-ttl-seconds", "2".to_owned()));
    let token = String::from_utf8(reply.body.to_vec()).unwrap();
    for wrong in [None, Some("0"), Some("21601"), Some("x")] {
        assert_eq!(mock.answer(&put(wrong), [0; 32], start()), Reply::error(400), "{wrong:?}");
    }
    assert_eq!(mock.answer(&request("GET", "/latest/api/token"), [0; 32], start()), Reply::empty());

    let mut status = |target: &str, token: Option<&str>, now| {
        mock.answer(&Request { token, ..request("GET", target) }, [0; 32], now).status
    };
    for target in ["/", "/latest", "/latest/meta-data", "/latest/meta-data/mac", SPOT, EVENTS, STATE] {
        assert_eq!(status(target, None, start()), 401, "{target}");
        assert_eq!(status(target, Some("wrong"), start()), 401, "{target}");
        assert_eq!(status(target, Some(&token), after(1)), 200, "{target}");
        assert_eq!(status(target, Some(&token), after(2)), 401, "{target}");
    }
    // What is no path of its own is open.
    assert_eq!(status("/latest/meta-data/spot", None, start()), 200);
    assert_eq!(status("/womp", None, start()), 404);
}

#[test]
fn without_imdsv2_a_wrong_token_does_not_matter() {
    let mut mock = mock(Command::All, json!({}));
    let request = Request { token: Some("wrong"), ..request("GET", "/latest/meta-data/mac") };
    assert_eq!(mock.answer(&request, [0; 32], start()).status, 200);
}

#[test]
fn spot_notices() {
    let mut mock = mock(Command::Spot, json!({}));
    assert_eq!(
        get(&mut mock, SPOT, after(10)).1,
        "{\n\t\"action\": \"terminate\",\n\t\"time\": \"2026-01-01T00:02:10Z\"\n}"
    );
    assert_eq!(
        get(&mut mock, "/latest/meta-data/spot/termination-time", after(10)).1,
        "2026-01-01T00:02:10Z"
    );
    assert_eq!(
        get(&mut mock, "/latest/meta-data/events/recommendations/rebalance", after(10)).1,
        "{\n\t\"noticeTime\": \"2026-01-01T00:00:10Z\"\n}"
    );
    assert_eq!(get(&mut mock, EVENTS, after(10)).0, 404);
    assert_eq!(get(&mut mock, STATE, after(10)).0, 404);
}

#[test]
fn spot_and_rebalance_wait_for_delays_of_their_own() {
    let mut mock = mock(
        Command::Spot,
        json!({"mock-delay-sec": 4, "rebalance-delay-sec": 2, "spot": {
            "action": "hibernate", "time": "2025-05-05T05:05:55Z", "rebalance-rec-time": "2010-10-26T11:11:11Z"}}),
    );
    let rebalance = "/latest/meta-data/events/recommendations/rebalance";
    for (second, spot, notice) in [(0, 404, 404), (2, 404, 200), (3, 404, 200), (4, 200, 200)] {
        assert_eq!(get(&mut mock, SPOT, after(second)).0, spot, "{second}");
        assert_eq!(get(&mut mock, rebalance, after(second)).0, notice, "{second}");
    }
    assert!(
        get(&mut mock, SPOT, after(4)).1.contains("\"hibernate\",\n\t\"time\": \"2025-05-05T05:05:55Z\"")
    );
    assert!(get(&mut mock, rebalance, after(4)).1.contains("2010-10-26T11:11:11Z"));
}

#[test]
fn a_trigger_time_goes_before_a_delay() {
    let mut mock =
        mock(Command::All, json!({"mock-delay-sec": 99, "mock-trigger-time": "2026-01-01T01:00:05+01:00"}));
    for path in [SPOT, EVENTS] {
        assert_eq!(get(&mut mock, path, after(4)).0, 404);
        assert_eq!(get(&mut mock, path, after(5)).0, 200);
    }
}

#[test]
fn maintenance_events() {
    let mut mock = mock(
        Command::Events,
        json!({"events": {"code": "instance-stop", "state": "canceled", "not-before": "2020-01-01T01:03:47Z",
            "not-after": "2020-01-07T01:03:47Z", "not-before-deadline": "2020-01-10T01:03:47Z"}}),
    );
    assert_eq!(
        get(&mut mock, EVENTS, start()).1,
        "[\n\t{\n\t\t\"Code\": \"instance-stop\",\n\t\t\"Description\": \"The instance is scheduled for instance-stop\",\n\t\t\
         \"State\": \"canceled\",\n\t\t\"EventId\": \"instance-event-1234567890abcdef0\",\n\t\t\
         \"NotBefore\": \"1 Jan 2020 01:03:47 GMT\",\n\t\t\"NotAfter\": \"7 Jan 2020 01:03:47 GMT\",\n\t\t\
         \"NotBeforeDeadline\": \"10 Jan 2020 01:03:47 GMT\"\n\t}\n]"
    );
    assert_eq!(get(&mut mock, SPOT, start()).0, 404);
}

#[test]
fn maintenance_events_are_dated_from_the_start() {
    let events = get(&mut mock(Command::Events, json!({})), EVENTS, after(100)).1;
    for (key, date) in [
        ("Code", "system-reboot"),
        ("State", "active"),
        ("NotBefore", "1 Jan 2026 00:00:00 GMT"),
        ("NotAfter", "8 Jan 2026 00:00:00 GMT"),
        ("NotBeforeDeadline", "10 Jan 2026 00:00:00 GMT"),
    ] {
        assert!(events.contains(&format!("\"{key}\": \"{date}\"")), "{events}");
    }
}

#[test]
fn the_target_lifecycle_state_turns_to_terminated_for_good() {
    let mut mock = mock(Command::AsgLifecycle, json!({"asg-termination-delay-sec": 10}));
    assert_eq!(get(&mut mock, STATE, after(9)), (200, "InService".into()));
    assert_eq!(mock.answer(&request("POST", STATE), [0; 32], after(9)), Reply::empty());
    assert_eq!(get(&mut mock, STATE, after(10)), (200, "Terminated".into()));
    assert_eq!(get(&mut mock, STATE, after(9)), (200, "Terminated".into()));
}

#[test]
fn events_are_shown_to_the_first_clients_alone() {
    let mut mock = mock(Command::All, json!({}));
    let mut status = |target: &str, client| {
        mock.answer(&Request { client, ..request("GET", target) }, [0; 32], start()).status
    };
    assert_eq!(status(SPOT, client(1)), 200);
    assert_eq!(status(SPOT, client(2)), 200);
    assert_eq!(status(SPOT, client(3)), 404, "the default is two");
    assert_eq!(status(SPOT, client(1)), 200);
    // Each kind of event counts for itself, and values are for everybody.
    assert_eq!(status(EVENTS, client(3)), 200);
    assert_eq!(status("/latest/meta-data/mac", client(9)), 200);
    // All of IPv6 is one client.
    assert_eq!(status(STATE, "[2001:db8::1]:9".parse().unwrap()), 200);
    assert_eq!(status(STATE, "[2001:db8::2]:9".parse().unwrap()), 200);
    assert_eq!(status(STATE, "[::ffff:10.0.0.1]:9".parse().unwrap()), 200);
    assert_eq!(status(STATE, client(1)), 200, "the same as the mapped one");
    assert_eq!(status(STATE, client(2)), 404);
}

#[test]
fn the_count_of_clients_may_be_none_or_all() {
    let mut none = mock(Command::Spot, json!({"mock-ip-count": 0}));
    assert_eq!(get(&mut none, SPOT, start()).0, 404);
    let mut all = mock(Command::Spot, json!({"mock-ip-count": -1}));
    for last in 1..50 {
        let request = Request { client: client(last), ..request("GET", SPOT) };
        assert_eq!(all.answer(&request, [0; 32], start()).status, 200);
    }
}

#[test]
fn another_configuration_takes_the_place_of_the_first() {
    let mut mock = mock(Command::All, json!({}));
    let mut settings = Settings::defaults(start());
    settings.set("metadata.values.mac", json!("x"));
    mock.replace(Arc::new(Config::new(settings).unwrap()));
    assert_eq!(get(&mut mock, "/latest/meta-data/mac", start()).1, "x");
}

#[test]
fn requests_are_logged_in_aemms_words() {
    let mut mock = mock(
        Command::All,
        json!({"mock-delay-sec": 10, "mock-ip-count": 1, "rebalance-trigger-time":
        "2026-01-01T00:00:20Z"}),
    );
    let mut log = |request: Request<'_>, now| {
        mock.answer(&request, [7; 32], now);
        mock.logged().to_vec()
    };
    let mut get = |target: &str, now| log(request("GET", target), now);
    let text = "Returned text mock response successfully.";
    let asked =
        |path: &str| format!("RemoteAddr: {path} sent request to mock spot interruption: 10.0.0.1:50000");
    let available = |seconds| {
        format!("The mock response will be available in {seconds}s. Returning `notFoundResponse` for now")
    };
    assert_eq!(
        get(SPOT, after(4)),
        [asked(SPOT), format!("Delaying the response by 10s as requested. {}", available(6))]
    );
    assert_eq!(get(SPOT, after(10)), [asked(SPOT).as_str(), "Returned JSON mock response successfully."]);
    let termination = "/latest/meta-data/spot/termination-time";
    assert_eq!(get(termination, after(10)), [asked(termination).as_str(), text]);
    let rebalance = "/latest/meta-data/events/recommendations/rebalance";
    let line = "RebalanceTriggerTime 2026-01-01 00:00:20 +0000 UTC was not reached yet.";
    assert_eq!(get(rebalance, after(5)), [asked(rebalance), format!("{line} {}", available(15))]);
    assert_eq!(
        get(EVENTS, after(10)),
        [
            format!("RemoteAddr: {EVENTS} sent request to mock scheduled event: 10.0.0.1:50000").as_str(),
            "Returned JSON mock response successfully."
        ]
    );
    assert_eq!(get(STATE, after(10)), [text]);
    for (path, received, returned) in [
        ("/latest", "to display paths: ", "text mock"),
        ("/latest/meta-data/", "to display paths: ", "text mock"),
        ("/latest/meta-data/mac", "to mock static metadata:", "text mock"),
        ("/latest/meta-data/iam/info", "to mock static metadata:", "JSON mock"),
        (
            "/latest/meta-data/elastic-inference/associations/eia-bfa21c7904f64a82a21b9f4540169ce1",
            "to mock static metadata:",
            "JSON text/plain mock",
        ),
        ("/latest/dynamic/instance-identity/document", "to mock dynamic metadata:", "JSON mock"),
        ("/latest/user-data", "to mock userdata:", "octet stream"),
        ("/latest/meta-data/spot", "to CatchAllHandler: ", "text mock"),
    ] {
        let path_alone = path.strip_suffix('/').unwrap_or(path);
        let lines = [
            format!("Received request {received} {path_alone}"),
            format!("Returned {returned} response successfully."),
        ];
        assert_eq!(get(path, start()), lines);
    }
    assert_eq!(get("/womp", start()), ["Received request to CatchAllHandler:  /womp"]);
    let late = |path: &str, what: &str| {
        format!(
            "Requesting IP 10.0.0.2 is not eligible for {what} because the max number of IPs configured (1) has \
             been reached. ({path})"
        )
    };
    for (path, what) in [
        (SPOT, "Spot ITN or Rebalance Recommendation"),
        (EVENTS, "Scheduled Event"),
        (STATE, "ASG Lifecycle State"),
    ] {
        let lines = log(Request { client: client(2), ..request("GET", path) }, after(10));
        assert_eq!(format!("{} ({path})", lines.last().unwrap()), late(path, what));
    }
}

#[test]
fn tokens_are_asked_for_given_and_checked_in_the_log_without_their_text() {
    let mut mock = mock(Command::All, json!({"imdsv2": true}));
    let mut log = |request: Request<'_>, now| {
        let reply = mock.answer(&request, [7; 32], now);
        (String::from_utf8(reply.body.to_vec()).unwrap(), mock.logged().to_vec())
    };
    let put = |ttl| Request { token_ttl: ttl, ..request("PUT", "/latest/api/token") };
    let asked = "GenerateToken Received request: PUT /latest/api/token";
    let (token, lines) = log(put(Some("2")), start());
    assert_eq!(lines, [asked, "Returned text mock response successfully."]);
    assert_eq!(
        log(put(None), start()).1,
        [asked, "Something went wrong with ttl validation: TTL is nil with requested TTL: "]
    );
    for (given, now, line) in [
        (None, start(), "Token required; No token provided."),
        (Some("wrong"), start(), "Invalid token provided"),
        (Some(token.as_str()), after(2), "Token has expired"),
        (Some(token.as_str()), start(), "Token validated!"),
    ] {
        let lines = log(Request { token: given, ..request("GET", "/latest/meta-data/mac") }, now).1;
        assert_eq!(lines[0], line);
        assert_eq!(lines.len() > 1, line == "Token validated!", "{lines:?}");
    }
}
