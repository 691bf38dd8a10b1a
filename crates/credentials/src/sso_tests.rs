//! SSO against a stand-in: no server that follows AWS's own SSO API can be had here (moto has none). It
//! answers the four calls as AWS's API reference writes them, and notes what it was asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::source::chain::Sso;
use crate::source::sso_cache::{self, Login, Renewal};
use crate::stand_in::{Asked, StandIn};
use crate::{Environment, Outgoing, RoleSpec, Secret, Seed, Settings, Store, SystemClock};

/// A stand-in for the SSO portal and its OIDC service: a person says yes after the second question.
struct SsoStandIn(StandIn);

impl SsoStandIn {
    fn start() -> SsoStandIn {
        SsoStandIn(StandIn::start(|asked, before| {
            let (status, error, body) = answer(&asked.what, &content(asked), before);
            let error = error.map_or(String::new(), |error| format!("x-amzn-ErrorType: {error}\r\n"));
            (status, format!("content-type: application/json\r\n{error}"), body.to_string())
        }))
    }

    fn asked(&self, path: &str) -> Vec<Value> {
        self.0.asked(path).iter().map(content).collect()
    }
}

/// The body, or the bearer token of a request without one.
fn content(asked: &Asked) -> Value {
    let bearer = asked.header("x-amz-sso_bearer_token");
    serde_json::from_str(&asked.body).unwrap_or_else(|_| json!(bearer))
}

/// Status, error type and body. `before`: how often the same was asked already.
fn answer(what: &str, body: &Value, before: usize) -> (u16, Option<&'static str>, Value) {
    match what {
        "POST /client/register" => {
            let expires = Timestamp::now().as_second() + 90 * 86400;
            (
                200,
                None,
                json!({"clientId": "id", "clientSecret": "client-secret", "clientSecretExpiresAt": expires}),
            )
        }
        "POST /device_authorization" => (
            200,
            None,
            json!({
                "deviceCode": "device", "userCode": "ABCD-EFGH", "verificationUri": "https://example.com/go",
                "verificationUriComplete": "https://example.com/go?c=ABCD-EFGH", "expiresIn": 600, "interval": 1,
            }),
        ),
        "POST /token" if body["grantType"] == "refresh_token" && body["refreshToken"] != "refresh-1" => {
            (400, Some("InvalidGrantException"), json!({"error": "invalid_grant"}))
        }
        "POST /token" if body["grantType"] != "refresh_token" && before < 1 => {
            (400, Some("AuthorizationPendingException"), json!({"error": "authorization_pending"}))
        }
        "POST /token" => (
            200,
            None,
            json!({"accessToken": "access-1", "tokenType": "Bearer", "expiresIn": 28800, "refreshToken": "refresh-2"}),
        ),
        _ if what.starts_with("GET /federation/credentials?") => {
            if body != "access-1" {
                return (
                    401,
                    Some("UnauthorizedException"),
                    json!({"message": "Session token not found or invalid"}),
                );
            }
            let expires = (Timestamp::now().as_second() + 3600) * 1000;
            let keys = json!({
                "accessKeyId": "ASIASSOEXAMPLE123456", "secretAccessKey": "sso-secret",
                "sessionToken": "sso-token", "expiration": expires,
            });
            (200, None, json!({"roleCredentials": keys}))
        }
        _ => (404, Some("ResourceNotFoundException"), json!({"message": "no such thing"})),
    }
}

struct Case {
    folder: TempDir,
    sso: SsoStandIn,
    store: Store,
}

impl Case {
    /// A store with one role, `app`, of an SSO profile.
    fn start(kept: Option<&Login>) -> Case {
        let (folder, sso) = (tempfile::tempdir().unwrap(), SsoStandIn::start());
        let config = folder.path().join("config");
        fs::write(
            &config,
            format!(
                "[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n\
                 endpoint_url = {}\n[sso-session corp]\nsso_start_url = https://corp.example/start\n\
                 sso_region = eu-west-1\n",
                sso.0.url
            ),
        )
        .unwrap();
        if let Some(login) = kept {
            sso_cache::write(&cache(folder.path()), &session(), login).unwrap();
        }
        let settings = Settings {
            config_file: Some(config),
            home: Some(folder.path().to_owned()),
            ..Settings::default()
        };
        let spec: RoleSpec = serde_json::from_value(json!({"source": "profile", "profile": "dev"})).unwrap();
        let environment = Environment {
            clock: Arc::new(SystemClock),
            outgoing: Outgoing::own_thread(),
            seed: Seed::new([1; 32], Timestamp::now()),
        };
        let store = Store::new(&BTreeMap::from([("app".to_owned(), spec)]), &settings, environment).unwrap();
        Case { folder, sso, store }
    }

    fn answer(&self) -> crate::Answer {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(self.store.get("app"))
    }

    fn kept(&self) -> Login {
        sso_cache::read(&cache(self.folder.path())).unwrap().unwrap()
    }
}

fn session() -> Sso {
    Sso {
        session: Some("corp".into()),
        start_url: "https://corp.example/start".into(),
        region: "eu-west-1".into(),
        scopes: vec![],
        account: "111122223333".into(),
        role: "Dev".into(),
    }
}

fn cache(home: &Path) -> PathBuf {
    sso_cache::path(home, &session())
}

fn login(access_token: &str, minutes: i64, refresh_token: Option<&str>) -> Login {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    Login {
        access_token: Secret::new(access_token),
        expires: now + SignedDuration::from_mins(minutes),
        renewal: refresh_token.map(|token| Renewal {
            client_id: "id".into(),
            client_secret: Secret::new("client-secret"),
            client_expires: now + SignedDuration::from_hours(24),
            refresh_token: Secret::new(token),
        }),
    }
}

#[test]
fn a_kept_login_yields_the_roles_credentials() {
    let case = Case::start(Some(&login("access-1", 60, None)));
    let got = case.answer().unwrap();
    assert_eq!(got.access_key_id, "ASIASSOEXAMPLE123456");
    assert_eq!(got.token.as_ref().unwrap().expose(), "sso-token");
    assert_eq!(got.account_id.as_deref(), Some("111122223333"));
    assert!(got.expiration.unwrap() > Timestamp::now() + SignedDuration::from_mins(50));
    assert_eq!(case.sso.asked("GET /federation/credentials").len(), 1);
    assert!(case.sso.asked("POST").is_empty(), "a fresh login is not renewed");
}

#[test]
fn a_login_that_runs_out_is_renewed_without_a_person_and_kept() {
    for minutes in [-60, 3] {
        let case = Case::start(Some(&login("old", minutes, Some("refresh-1"))));
        assert_eq!(case.answer().unwrap().access_key_id, "ASIASSOEXAMPLE123456");
        let asked = case.sso.asked("POST /token");
        assert_eq!(asked.len(), 1);
        assert_eq!((&asked[0]["refreshToken"], &asked[0]["clientId"]), (&json!("refresh-1"), &json!("id")));
        let kept = case.kept();
        assert_eq!(kept.access_token.expose(), "access-1");
        assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "refresh-2");
    }
}

#[test]
fn where_only_a_person_can_help_it_says_at_once_what_to_type() {
    let remedy = "(run fake-metadata role login app)";
    for (kept, said, asked) in [
        (None, "nobody has logged in to SSO", 0),
        (Some(login("access-1", -60, None)), "the SSO login ran out at", 0),
        (Some(login("access-1", -60, Some("revoked"))), "the SSO login ran out at", 1),
        (Some(login("revoked", 60, None)), "the SSO login is no longer accepted", 1),
    ] {
        let case = Case::start(kept.as_ref());
        let failure = case.answer().unwrap_err();
        assert!(failure.needs_person, "{failure:?}");
        let detail = &failure.detail;
        assert!(
            detail.starts_with("get credentials from profile dev: ") && detail.contains(said),
            "{detail}"
        );
        assert!(detail.ends_with(remedy), "{detail}");
        assert_eq!(case.sso.0.all().len(), asked, "{said}");
        assert!(case.store.status()[0].needs_person);
    }
}

#[test]
fn a_person_logs_in_by_a_code_and_the_role_is_served() {
    let case = Case::start(None);
    assert!(case.answer().is_err());
    let login = case.store.login("app").unwrap();
    assert_eq!(
        (login.prompt.url.as_str(), login.prompt.code.as_str()),
        ("https://example.com/go", "ABCD-EFGH")
    );
    assert_eq!(login.prompt.url_with_code.as_deref(), Some("https://example.com/go?c=ABCD-EFGH"));
    login.wait().unwrap();
    let register = &case.sso.asked("POST /client/register")[0];
    assert_eq!(
        (&register["clientType"], &register["scopes"]),
        (&json!("public"), &json!(["sso:account:access"]))
    );
    assert_eq!(case.sso.asked("POST /device_authorization")[0]["startUrl"], "https://corp.example/start");
    let tokens = case.sso.asked("POST /token");
    assert_eq!(tokens.len(), 2, "the person had not said yes at first");
    assert_eq!(tokens[1]["grantType"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(tokens[1]["deviceCode"], "device");
    let kept = case.kept();
    assert_eq!(kept.access_token.expose(), "access-1");
    assert_eq!(kept.renewal.unwrap().refresh_token.expose(), "refresh-2");
    let deadline = Instant::now() + Duration::from_secs(20);
    while case.answer().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(case.answer().unwrap().access_key_id, "ASIASSOEXAMPLE123456");
}

#[test]
fn a_login_is_refused_where_there_is_none() {
    let case = Case::start(None);
    assert_eq!(case.store.login("gone").err().unwrap().to_string(), "there is no role \"gone\"");
    fs::write(
        case.folder.path().join("config"),
        "[profile dev]\naws_access_key_id = AKIAEXAMPLEEXAMPLE12\naws_secret_access_key = s\n",
    )
    .unwrap();
    assert_eq!(
        case.store.login("app").err().unwrap().to_string(),
        "log in for role app: profile \"dev\" does not use SSO, and needs no login"
    );
}
