//! Which paths exist under which command, and the listings made of them.
//!
//! A listing of AEMM holds the first name of whatever follows in any path that *contains* what was asked for, so
//! unrelated names can appear in it; that is kept.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::config::{Command, Config};
use crate::defaults::{DYNAMIC, DYNAMIC_DATA, Entry, META_DATA, STATIC, USER_DATA};
use crate::document::{Members, compact, object};
use crate::settings::{Settings, TAGS};

/// A value or document that does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fixed {
    Text(String),
    Json(String),
    /// JSON that is called plain text.
    JsonText(String),
    Octets(Bytes),
}

/// Where a value that does not change is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    MetaData,
    Dynamic,
    UserData,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Index,
    Categories,
    MetaData,
    Dynamic,
    Token,
    Spot,
    Events,
    AsgLifecycle,
    Fixed(Service, Fixed),
}

/// Every path that is served as such.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    routes: BTreeMap<String, Route>,
}

impl Routes {
    pub(crate) fn new(command: Command, config: &Config) -> Routes {
        let mut routes = Routes { routes: BTreeMap::new() };
        routes.add("/", Route::Index);
        routes.add("/latest", Route::Categories);
        routes.add(META_DATA, Route::MetaData);
        routes.add(DYNAMIC, Route::Dynamic);
        let settings = &config.settings;
        let mut conditional = |key: &str, route: Route| {
            if let Some(path) = settings.text(&format!("metadata.paths.{key}")) {
                routes.add(&path, route);
            }
        };
        if matches!(command, Command::All | Command::Spot) {
            conditional("spot", Route::Spot);
            conditional("spot-termination-time", Route::Spot);
            conditional("rebalance-rec-time", Route::Spot);
        }
        if matches!(command, Command::All | Command::Events) {
            conditional("events", Route::Events);
        }
        if matches!(command, Command::All | Command::AsgLifecycle) {
            conditional("target-lifecycle-state", Route::AsgLifecycle);
        }
        routes.add("/latest/api/token", Route::Token);
        routes.tags(settings);
        for (service, entries) in [(Service::MetaData, STATIC), (Service::Dynamic, DYNAMIC_DATA)] {
            for entry in entries {
                routes.entry(settings, service, entry);
            }
        }
        if let (Some(path), Some(data)) =
            (settings.text("userdata.paths.userdata"), settings.text("userdata.values.userdata"))
        {
            // What is not base64 is served as nothing.
            let bytes = STANDARD.decode(data).unwrap_or_default();
            routes.add(&path, Route::Fixed(Service::UserData, Fixed::Octets(bytes.into())));
        }
        routes
    }

    /// Of two things at one path the first counts, as in Go's router.
    fn add(&mut self, path: &str, route: Route) {
        if !path.is_empty() {
            self.routes.entry(path.to_owned()).or_insert(route);
        }
    }

    fn entry(&mut self, settings: &Settings, service: Service, entry: &Entry) {
        let name = if service == Service::Dynamic { "dynamic" } else { "metadata" };
        let Some(path) = settings.text(&format!("{name}.paths.{}", entry.key)) else { return };
        let key = format!("{name}.values.{}", entry.key);
        let fixed = match shape(entry.key) {
            Some(shape) => Fixed::Json(object(&filled(settings, &key, shape))),
            // At its own path the accelerator is plain text on one line.
            None if entry.key == "elastic-inference-accelerator" && path == entry.default_path() => {
                Fixed::JsonText(compact(&accelerator(settings, &key)))
            }
            None if entry.key == "elastic-inference-accelerator" => {
                Fixed::Json(compact(&accelerator(settings, &key)))
            }
            None => Fixed::Text(settings.text(&key).unwrap_or_default()),
        };
        self.add(&path, Route::Fixed(service, fixed));
    }

    /// Tags of any name, which AEMM's configuration has had since after 1.13.
    fn tags(&mut self, settings: &Settings) {
        let Some(Value::Object(tags)) = settings.get(TAGS) else { return };
        for (name, value) in tags {
            let text = value.as_str().unwrap_or_default().to_owned();
            let fixed = Route::Fixed(Service::MetaData, Fixed::Text(text));
            self.add(&format!("{META_DATA}/tags/instance/{name}"), fixed);
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Route> {
        self.routes.get(path)
    }

    /// What lies at the top of a service: each name once, folders with a slash, a line end after the last.
    pub(crate) fn top(&self, service: &str) -> String {
        let names: BTreeSet<String> = self.below(service).map(first_name).collect();
        names.into_iter().map(|name| name + "\n").collect()
    }

    /// What lies below a path that is no route itself; nothing when no path contains it.
    pub(crate) fn sub_listing(&self, path: &str) -> Option<String> {
        let service =
            [META_DATA, DYNAMIC, USER_DATA].into_iter().find(|service| path.starts_with(service))?;
        let asked = path.strip_prefix(&format!("{service}/")).unwrap_or(path);
        let names: BTreeSet<String> = self
            .below(service)
            .filter(|route| route.contains(asked))
            .map(|route| first_name(route.strip_prefix(&format!("{asked}/")).unwrap_or(route)))
            .collect();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// The paths below a service, without it.
    fn below(&self, service: &str) -> impl Iterator<Item = &str> {
        // AEMM leaves out what is shorter than a slash and three letters.
        self.routes.keys().filter_map(move |path| {
            let rest = path.strip_prefix(service).filter(|rest| rest.len() >= 4)?;
            Some(rest.strip_prefix('/').unwrap_or(rest))
        })
    }
}

fn first_name(path: &str) -> String {
    path.split_once('/').map_or_else(|| path.to_owned(), |(name, _)| format!("{name}/"))
}

/// What a member holds when nothing is configured.
#[derive(Clone, Copy)]
enum Member {
    Text(&'static str),
    TextOrNull(&'static str),
    ListOrNull(&'static str),
}

use Member::{ListOrNull, Text, TextOrNull};

/// The members of a document in order.
fn shape(key: &str) -> Option<&'static [Member]> {
    Some(match key {
        "iam-info" => {
            &[Text("Code"), Text("LastUpdated"), Text("InstanceProfileArn"), Text("InstanceProfileId")]
        }
        "iam-security-credentials" => &[
            Text("Code"),
            Text("LastUpdated"),
            Text("Type"),
            Text("AccessKeyId"),
            Text("SecretAccessKey"),
            Text("Token"),
            Text("Expiration"),
        ],
        "instance-identity-document" => &[
            Text("accountId"),
            Text("imageId"),
            Text("availabilityZone"),
            TextOrNull("ramdiskId"),
            TextOrNull("kernelId"),
            TextOrNull("devpayProductCodes"),
            ListOrNull("marketplaceProductCodes"),
            Text("version"),
            Text("privateIp"),
            TextOrNull("billingProducts"),
            Text("instanceId"),
            Text("pendingTime"),
            Text("architecture"),
            Text("instanceType"),
            Text("region"),
        ],
        _ => return None,
    })
}

fn filled(settings: &Settings, key: &str, shape: &[Member]) -> Members {
    let at = |name: &str| format!("{key}.{}", name.to_lowercase());
    let member = |member: &Member| match *member {
        Text(name) => (name, Value::from(settings.text(&at(name)).unwrap_or_default())),
        TextOrNull(name) => (name, settings.text(&at(name)).map_or(Value::Null, Value::from)),
        ListOrNull(name) => {
            let list = match settings.get(&at(name)) {
                Some(Value::String(text)) => text.split(',').map(Value::from).collect(),
                Some(list @ Value::Array(_)) => list.clone(),
                _ => Value::Null,
            };
            (name, list)
        }
    };
    shape.iter().map(member).collect()
}

fn accelerator(settings: &Settings, key: &str) -> Value {
    let at = |name: &str| settings.text(&format!("{key}.version_2018_04_12.{name}")).unwrap_or_default();
    json!({"version_2018_04_12": {
        "elastic-inference-accelerator-id": at("elastic-inference-accelerator-id"),
        "elastic-inference-accelerator-type": at("elastic-inference-accelerator-type"),
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(command: Command, said: Value) -> Routes {
        let mut settings = Settings::defaults("2026-01-01T00:00:00Z".parse().unwrap());
        settings.set("", said);
        Routes::new(command, &Config::new(settings).unwrap())
    }

    fn text(routes: &Routes, path: &str) -> String {
        match routes.get(path) {
            Some(Route::Fixed(_, Fixed::Text(text) | Fixed::Json(text) | Fixed::JsonText(text))) => {
                text.clone()
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn each_command_has_its_own_folders() {
        let listed =
            |command, name: &str| routes(command, json!({})).top(META_DATA).lines().any(|line| line == name);
        for (command, spot, events, autoscaling) in [
            (Command::All, true, true, true),
            (Command::Spot, true, true, false),
            (Command::Events, false, true, false),
            (Command::AsgLifecycle, false, false, true),
        ] {
            assert_eq!(listed(command, "spot/"), spot, "{command:?}");
            assert_eq!(listed(command, "events/"), events, "{command:?}");
            assert_eq!(listed(command, "autoscaling/"), autoscaling, "{command:?}");
            assert!(listed(command, "ami-id") && listed(command, "tags/"));
        }
        // The rebalance notice comes with spot, maintenance with events.
        let below = |command| routes(command, json!({})).sub_listing("/latest/meta-data/events").unwrap();
        assert_eq!(below(Command::Spot), "recommendations/");
        assert_eq!(below(Command::Events), "maintenance/");
        assert_eq!(below(Command::All), "maintenance/\nrecommendations/");
    }

    #[test]
    fn listings() {
        let routes = routes(Command::All, json!({}));
        let sub = |path: &str| routes.sub_listing(&format!("/latest/{path}"));
        assert_eq!(routes.top(DYNAMIC), "fws/\ninstance-identity/\n");
        assert_eq!(sub("dynamic/instance-identity").as_deref(), Some("document\npkcs7\nsignature"));
        assert_eq!(sub("meta-data/spot").as_deref(), Some("instance-action\ntermination-time"));
        assert_eq!(
            sub("meta-data/iam").as_deref(),
            Some("info\nsecurity-credentials\nsecurity-credentials/")
        );
        assert_eq!(sub("meta-data/public-keys").as_deref(), Some("0/"));
        assert_eq!(sub("meta-data/network/interfaces/macs").as_deref(), Some("0e:49:61:0f:c3:11/"));
        // Whatever contains what was asked for.
        assert_eq!(
            sub("meta-data/ami").as_deref(),
            Some("ami-id\nami-launch-index\nami-manifest-path\nblock-device-mapping/")
        );
        assert_eq!(sub("meta-data/nothing"), None);
        assert_eq!(sub("womp"), None);
    }

    #[test]
    fn documents() {
        let routes = routes(
            Command::Spot,
            json!({"dynamic": {"values": {"instance-identity-document": {
                "accountId": "9876543210", "marketplaceProductCodes": ["4i20"]}}}}),
        );
        assert_eq!(
            text(&routes, "/latest/dynamic/instance-identity/document"),
            "{\n\t\"accountId\": \"9876543210\",\n\t\"imageId\": \"ami-0b69ea66ff7391e80\",\n\t\
             \"availabilityZone\": \"us-east-1f\",\n\t\"ramdiskId\": null,\n\t\"kernelId\": null,\n\t\
             \"devpayProductCodes\": null,\n\t\"marketplaceProductCodes\": [\"4i20\"],\n\t\
             \"version\": \"2017-09-30\",\n\t\"privateIp\": \"10.0.7.10\",\n\t\"billingProducts\": null,\n\t\
             \"instanceId\": \"i-1234567890abcdef0\",\n\t\"pendingTime\": \"2019-10-31T07:02:24Z\",\n\t\
             \"architecture\": \"x86_64\",\n\t\"instanceType\": \"m4.xlarge\",\n\t\"region\": \"us-east-1\"\n}"
        );
        assert!(
            text(&routes, "/latest/meta-data/iam/security-credentials/baskinc-role").starts_with(
                "{\n\t\"Code\": \"Success\",\n\t\"LastUpdated\": \"2020-04-02T18:50:40Z\",\n\t\"Type\": \"AWS-HMAC\",\n\t\
                 \"AccessKeyId\": \"12345678901\",\n"
            )
        );
        assert_eq!(
            text(
                &routes,
                "/latest/meta-data/elastic-inference/associations/eia-bfa21c7904f64a82a21b9f4540169ce1"
            ),
            "{\"version_2018_04_12\":{\"elastic-inference-accelerator-id\":\
             \"eia-bfa21c7904f64a82a21b9f4540169ce1\",\"elastic-inference-accelerator-type\":\"eia1.medium\"}}"
        );
    }

    #[test]
    fn paths_and_values_are_configured() {
        let routes = routes(
            Command::All,
            json!({"metadata": {"paths": {"mac": "/latest/meta-data/macs/mine"}, "values": {"mac": "x", "ami-launch-index": 7,
                    "tags-instance": {"Team": "blue"}}},
                   "userdata": {"values": {"userdata": "no base64!"}}}),
        );
        assert_eq!(text(&routes, "/latest/meta-data/macs/mine"), "x");
        assert_eq!(routes.get("/latest/meta-data/mac"), None);
        assert_eq!(text(&routes, "/latest/meta-data/ami-launch-index"), "7");
        assert_eq!(text(&routes, "/latest/meta-data/tags/instance/Team"), "blue");
        let nothing = Route::Fixed(Service::UserData, Fixed::Octets(Bytes::new()));
        assert_eq!(routes.get("/latest/user-data"), Some(&nothing));
    }
}
