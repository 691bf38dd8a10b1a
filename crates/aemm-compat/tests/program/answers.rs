//! What is served: listings, values, pages, tokens, events.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::support::{Mock, Reply, member, wait_until};

const SPOT: &str = "/latest/meta-data/spot/instance-action";
const TERMINATION: &str = "/latest/meta-data/spot/termination-time";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
const EVENTS: &str = "/latest/meta-data/events/maintenance/scheduled";
const STATE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

const ALWAYS: [&str; 26] = [
    "ami-id",
    "ami-launch-index",
    "ami-manifest-path",
    "block-device-mapping/",
    "elastic-inference/",
    "hostname",
    "iam/",
    "instance-action",
    "instance-id",
    "instance-life-cycle",
    "instance-type",
    "kernel-id",
    "local-hostname",
    "local-ipv4",
    "mac",
    "network/",
    "placement/",
    "product-codes",
    "public-hostname",
    "public-ipv4",
    "public-keys/",
    "ramdisk-id",
    "reservation-id",
    "security-groups",
    "services/",
    "tags/",
];

/// The menu with these in it, a line end after each.
fn menu(more: &[&str]) -> String {
    let mut names: Vec<&str> = ALWAYS.iter().chain(more).copied().collect();
    names.sort_unstable();
    names.into_iter().map(|name| format!("{name}\n")).collect()
}

/// Headers but for the date.
fn headers(reply: &Reply) -> Vec<&str> {
    reply.head.split("\r\n").skip(1).filter(|line| !line.starts_with("Date: ")).collect()
}

#[test]
fn the_menu_of_each_command() {
    for (arguments, more) in [
        (&[][..], &["autoscaling/", "events/", "spot/"][..]),
        (&["--mock-delay-sec", "3"], &["autoscaling/", "events/", "spot/"]),
        (&["spot"], &["events/", "spot/"]),
        (&["events"], &["events/"]),
        (&["asglifecycle"], &["autoscaling/"]),
    ] {
        assert_eq!(Mock::start(arguments).body("/latest/meta-data"), menu(more), "{arguments:?}");
    }
}

#[test]
fn a_command_hides_the_paths_of_the_others() {
    for (command, there, hidden) in [
        ("spot", &[SPOT, TERMINATION, REBALANCE][..], &[EVENTS, STATE][..]),
        ("events", &[EVENTS], &[SPOT, TERMINATION, REBALANCE, STATE]),
        ("asglifecycle", &[STATE], &[SPOT, TERMINATION, REBALANCE, EVENTS]),
    ] {
        let mock = Mock::start(&[command]);
        for path in there {
            assert_eq!(mock.get(path).status, 200, "{command} {path}");
        }
        for path in hidden {
            assert_eq!(mock.get(path).status, 404, "{command} {path}");
        }
        assert_eq!(mock.body("/latest/meta-data/mac"), "0e:49:61:0f:c3:11");
        let interface = "/latest/meta-data/network/interfaces/macs/0e:49:61:0f:c3:11";
        assert_eq!(mock.body(&format!("{interface}/interface-id")), "eni-0f95d3625f5c521cc");
        assert_eq!(mock.body(&format!("{interface}/ipv4-associations/192.0.2.54")), "192.0.2.54");
    }
}

#[test]
fn listings_below_the_menu() {
    let mock = Mock::start(&[]);
    assert_eq!(mock.body("/"), "latest\n");
    assert_eq!(mock.body("/latest/dynamic"), "fws/\ninstance-identity/\n");
    assert_eq!(mock.body("/latest/dynamic/fws"), "instance-monitoring");
    assert_eq!(mock.body("/latest/dynamic/instance-identity"), "document\npkcs7\nsignature");
    assert_eq!(mock.body("/latest/meta-data/spot"), "instance-action\ntermination-time");
    assert_eq!(mock.body("/latest/meta-data/spot/"), "instance-action\ntermination-time");
    assert_eq!(
        mock.body("/latest/meta-data/network/interfaces/macs/0e:49:61:0f:c3:11"),
        "device-number\ninterface-id\nipv4-associations/\nipv6s\nlocal-hostname\nlocal-ipv4s\nmac\n\
         network-card-index\nowner-id\npublic-hostname\npublic-ipv4s\nsecurity-group-ids\nsecurity-groups\n\
         subnet-id\nsubnet-ipv4-cidr-block\nsubnet-ipv6-cidr-blocks\nvpc-id\nvpc-ipv4-cidr-block\n\
         vpc-ipv4-cidr-blocks\nvpc-ipv6-cidr-blocks"
    );
}

#[test]
fn heads_as_go_writes_them() {
    let mock = Mock::start(&[]);
    assert_eq!(
        headers(&mock.get("/latest/meta-data/mac")),
        ["Content-Type: text/plain", "Content-Length: 17", "Connection: close"]
    );
    assert_eq!(
        headers(&mock.get("/womp")),
        [
            "Content-Type: text/plain; charset=utf-8",
            "X-Content-Type-Options: nosniff",
            "Content-Length: 337",
            "Connection: close"
        ]
    );
    let token = mock.token("21600");
    assert_eq!(
        headers(&token),
        [
            "Content-Type: text/plain",
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600",
            "Content-Length: 44",
            "Connection: close"
        ]
    );
    assert_eq!(token.body.len(), 44);
    assert!(headers(&mock.get(SPOT)).contains(&"Content-Type: application/json"));
    assert!(headers(&mock.get("/latest/user-data")).contains(&"Content-Type: application/octet-stream"));
    let head = mock.ask("HEAD", "/latest/meta-data/mac", &[]);
    assert!(headers(&head).contains(&"Content-Length: 17") && head.body.is_empty());
}

#[test]
fn requests_are_logged_before_they_are_answered() {
    let mock = Mock::start(&["-d", "3600"]);
    mock.get("/latest/meta-data/mac");
    mock.get(SPOT);
    let spot = format!("RemoteAddr: {SPOT} sent request to mock spot interruption: 127.0.0.1:");
    mock.get("/a%0ab");
    let log = mock.log();
    let lines: Vec<&str> = log.iter().map(String::as_str).skip(2).collect();
    assert_eq!(
        lines[..2],
        [
            "Received request to mock static metadata: /latest/meta-data/mac",
            "Returned text mock response successfully."
        ]
    );
    assert!(lines[2].starts_with(&spot), "{log:?}");
    assert!(lines[3].starts_with("Delaying the response by 3600s as requested."), "{log:?}");
    assert_eq!(
        lines[4..],
        ["Received request to CatchAllHandler:  /a\\nb"],
        "what is sent stays on its line"
    );
}

#[test]
fn a_connection_is_kept_unless_the_client_closes_it() {
    let mock = Mock::start(&[]);
    let ask = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{end}\r\n");
    let both = mock.say(
        &(ask("/latest/meta-data/mac", "") + &ask("/latest/meta-data/ami-id", "Connection: close\r\n")),
        Ipv4Addr::LOCALHOST,
    );
    assert!(!both.head.contains("Connection"), "{both:?}");
    assert!(both.body.starts_with("0e:49:61:0f:c3:11HTTP/1.1 200 OK\r\n"), "{both:?}");
    assert!(both.body.ends_with("\r\n\r\nami-0a887e401f7654935"), "{both:?}");
}

#[test]
fn what_is_no_http_is_answered_with_a_line() {
    let mock = Mock::start(&["--imdsv2"]);
    // Such is a token header made of the page that a token request of TTL 0 got.
    let page = mock.token("0").body;
    let request = format!(
        "GET /latest/meta-data HTTP/1.1\r\nHost: localhost\r\nX-aws-ec2-metadata-token: {}\r\n\r\n",
        page.trim_end()
    );
    let reply = mock.say(&request, Ipv4Addr::LOCALHOST);
    assert_eq!((reply.status, reply.body.as_str()), (400, "400 Bad Request"));
    assert_eq!(headers(&reply), ["Content-Type: text/plain; charset=utf-8", "Connection: close"]);
}

#[test]
fn imdsv2_wants_a_token() {
    let mock = Mock::start(&["--imdsv2"]);
    let with = |token: &str| mock.ask("GET", "/latest/meta-data", &[("X-aws-ec2-metadata-token", token)]);
    let unauthorized = mock.get("/latest/meta-data");
    assert_eq!(unauthorized.status, 401);
    assert!(unauthorized.body.contains("<h1>401 - Unauthorized</h1>"));
    assert_eq!(unauthorized.body.len(), 353);
    assert_eq!(with("wrong"), mock.get("/latest/meta-data").undated(with("wrong")));
    let long = mock.token("21600").body;
    assert_eq!(with(&long).body, menu(&["autoscaling/", "events/", "spot/"]));
    assert_eq!(mock.ask("GET", "/womp", &[("X-aws-ec2-metadata-token", &long)]).status, 404);
    let refused = mock.token("0");
    assert_eq!((refused.status, refused.body.len()), (400, 351));
    // A second is the shortest life there is.
    let short = mock.token("1").body;
    wait_until("the token to end", || with(&short).status == 401);
}

impl Reply {
    /// The other reply when it differs in nothing but its date, else this one.
    fn undated(self, other: Reply) -> Reply {
        let same = headers(&self) == headers(&other) && self.body == other.body;
        if same { other } else { self }
    }
}

#[test]
fn spot_defaults() {
    for count in ["--mock-ip-count=-1", "-x=1", "--mock-ip-count=2"] {
        let mock = Mock::start(&["spot", count]);
        let notice = mock.body(&format!("{SPOT}/"));
        assert_eq!(member(&notice, "action"), "terminate");
        let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        let (notice, bare) = (member(&notice, "time"), mock.body(&format!("{TERMINATION}/")));
        assert!(seconds(&bare).abs_diff(seconds(&notice)) <= 5, "{bare} {notice}");
        let ahead = seconds(&notice) - jiff::Timestamp::now().as_second();
        assert!((100..=120).contains(&ahead), "two minutes after the request, not {ahead} s");
    }
    assert_eq!(Mock::start(&["spot", "--mock-ip-count=0"]).get(SPOT).status, 404);
}

#[test]
fn only_the_first_clients_see_events() {
    let mock = Mock::start(&["--mock-ip-count", "1"]);
    let status = |path: &str, last| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        mock.say(&request, Ipv4Addr::new(127, 0, 0, last)).status
    };
    for path in [SPOT, EVENTS, STATE] {
        assert_eq!((status(path, 5), status(path, 6), status(path, 5)), (200, 404, 200), "{path}");
    }
    assert_eq!(status("/latest/meta-data/mac", 6), 200);
}

#[test]
fn a_forwarded_request_counts_for_whoever_forwards_it() {
    let mock = Mock::start(&["--mock-ip-count", "1"]);
    let status = |path: &str, client: &str| mock.ask("GET", path, &[("X-Forwarded-For", client)]).status;
    for path in [SPOT, EVENTS, STATE] {
        assert_eq!((status(path, "192.0.2.1"), status(path, "192.0.2.2")), (200, 200), "{path}");
    }
    let ttl = ("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let put = mock.ask("PUT", "/latest/api/token", &[ttl, ("X-Forwarded-For", "192.0.2.1")]);
    assert_eq!(put.status, 200, "which EC2 refuses");
}

#[test]
fn a_delay_is_kept_in_real_time() {
    for arguments in [&["--mock-delay-sec", "2"][..], &["spot", "-d", "2", "-r", "2010-10-26T11:11:11Z"]] {
        let begun = Instant::now();
        let mock = Mock::start(arguments);
        let early = mock.get(SPOT);
        assert_eq!(early.status, 404);
        assert_eq!(early.body.len(), 337);
        assert_eq!(mock.get(REBALANCE).status, 200, "which has a delay of its own");
        wait_until("the notice", || mock.get(SPOT).status == 200);
        assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_trigger_time_is_kept_in_real_time() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let soon = soon.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let mock = Mock::start(&["--mock-trigger-time", &soon]);
    assert_eq!(mock.get(SPOT).status, 404);
    assert_eq!(mock.get(EVENTS).status, 404);
    wait_until("the notice", || mock.get(SPOT).status == 200);
    assert_eq!(mock.get(EVENTS).status, 200);
}

#[test]
fn the_lifecycle_state_ends_in_terminated() {
    let mock = Mock::start(&["asglifecycle", "--asg-termination-delay-sec", "2"]);
    assert_eq!(mock.body(STATE), "InService");
    wait_until("termination", || mock.body(STATE) == "Terminated");
}

#[test]
fn maintenance_events() {
    for count in ["--mock-ip-count=-1", "-x=1"] {
        let event = Mock::start(&["events", count]).body(EVENTS);
        assert_eq!(member(&event, "Code"), "system-reboot");
        assert_eq!(member(&event, "State"), "active");
        for name in ["NotBefore", "NotAfter", "NotBeforeDeadline"] {
            let date = member(&event, name);
            let parsed = jiff::fmt::strtime::parse("%d %b %Y %H:%M:%S GMT", &date);
            assert!(parsed.is_ok() && !date.starts_with('0'), "{date}");
        }
    }
    assert_eq!(Mock::start(&["events", "--mock-ip-count=0"]).get(EVENTS).status, 404);
}
