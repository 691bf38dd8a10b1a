//! Precedence, messages and the derived settings.

use super::*;

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, String> {
    let file = written(text);
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        flags: flags
            .iter()
            .map(|(k, v)| (format!("--set {k}={v}"), KeyPath::root().below(k), (*v).to_owned()))
            .collect(),
        ..Sources::default()
    };
    let name = file.path().display().to_string();
    sources.load().map_err(|e| e.to_string().replace(&name, "config.toml"))
}

#[test]
fn nothing_at_all_is_a_whole_configuration() {
    let config = Sources::default().load().unwrap().config;
    assert_eq!(config.listen(), [DEFAULT_LISTEN.parse().unwrap()]);
    assert_eq!(config.tokens, imds::TokenMode::Optional);
    assert_eq!(config.default_role().as_deref(), Some(DEFAULT_ROLE));
    assert_eq!(config.hop_limit, None);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file() {
    let file = "tokens = \"required\"\nlisten = \"127.0.0.1:1\"\nhop-limit = 3\n";
    let config = load(
        file,
        &[("FAKE_METADATA_TOKENS", "optional"), ("FAKE_METADATA_HOP_LIMIT", "2")],
        &[("hop-limit", "1")],
    )
    .unwrap()
    .config;
    assert_eq!(config.tokens, imds::TokenMode::Optional);
    assert_eq!(config.hop_limit.map(HopLimit::get), Some(1));
    assert_eq!(config.listen(), ["127.0.0.1:1".parse().unwrap()]);
}

#[test]
fn the_environment_reaches_into_tables_and_lists() {
    let environment = [
        ("FAKE_METADATA_INSTANCE__REGION", "eu-west-1"),
        ("FAKE_METADATA_INSTANCE__ACCOUNT_ID", "000000000012"),
        ("FAKE_METADATA_LISTEN", "127.0.0.1:1, [::1]:2"),
        ("FAKE_METADATA_CONFIG", "elsewhere"),
        ("EC2_LOCAL_IPV4", "192.0.2.7"),
        ("OTHER", "x"),
    ];
    let config = load("", &environment, &[]).unwrap().config;
    assert_eq!(config.instance.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.listen().len(), 2);
}

/// A pod beside a service called fake-metadata, or a container linked to one, is given variables with our prefix.
#[test]
fn variables_of_kubernetes_and_docker_are_no_keys() {
    let linked = [
        ("FAKE_METADATA_SERVICE_HOST", "10.96.0.7"),
        ("FAKE_METADATA_SERVICE_PORT", "80"),
        ("FAKE_METADATA_SERVICE_PORT_HTTP", "80"),
        ("FAKE_METADATA_PORT", "tcp://10.96.0.7:80"),
        ("FAKE_METADATA_PORT_80_TCP", "tcp://10.96.0.7:80"),
        ("FAKE_METADATA_PORT_80_TCP_PROTO", "tcp"),
        ("FAKE_METADATA_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("FAKE_METADATA_PORT_53_UDP_PORT", "53"),
        ("FAKE_METADATA_NAME", "/web/fake-metadata"),
        ("FAKE_METADATA_ENV_TZ", "UTC"),
    ];
    load("", &linked, &[]).unwrap();
    for typed in
        [("FAKE_METADATA_PORT", "8000"), ("FAKE_METADATA_PORTS", "1"), ("FAKE_METADATA_PORT_X_TCP", "1")]
    {
        let refused = load("", &[typed], &[]).unwrap_err();
        assert!(refused.contains("unknown key port"), "{refused}");
    }
}

#[test]
fn names_in_the_environment_stay_as_they_are_written() {
    let environment = [
        ("FAKE_METADATA_ROLES__APP_ONE__INSTANCE_PROFILE_NAME", "Prof"),
        ("FAKE_METADATA_ROLES__app__SOURCE", "generated"),
        ("FAKE_METADATA_ROLES__New_Role__EXTENDED", "true"),
        ("FAKE_METADATA_INSTANCE__TAGS__Name", "web"),
        ("FAKE_METADATA_INSTANCE__TAGS__COST_CENTER", "12"),
    ];
    let config = load("[roles.App-One]\n[roles.App]\n[roles.app]\n", &environment, &[]).unwrap().config;
    assert_eq!(config.roles().keys().collect::<Vec<_>>(), ["App", "App-One", "New_Role", "app"]);
    let profile = config.roles()["App-One"].entry("App-One").instance_profile_name;
    assert_eq!(profile.as_deref(), Some("Prof"));
    let tags = config.instance.tags.unwrap();
    assert_eq!(tags.into_keys().collect::<Vec<_>>(), ["COST_CENTER", "Name"]);
    let default = load("", &[("FAKE_METADATA_ROLES__BASEIAMROLE__EXTENDED", "true")], &[]).unwrap().config;
    assert_eq!(default.roles().keys().collect::<Vec<_>>(), [DEFAULT_ROLE]);
}

#[test]
fn text_is_taken_as_it_was_typed() {
    let texts =
        ["1.10", "1e3", "0x10", "42 # note", "007", "1_000", "true", "2026-01-02", "{}", "[1]", "{a=1}"];
    for typed in texts.into_iter().chain(["2026-01-02 03:04:05Z", "", "+1", " 1", "[\"a\"] # b"]) {
        let config = |flags: &[(&str, &str)]| load("", &[], flags).map(|loaded| loaded.config).unwrap();
        let tag = config(&[("instance.tags.V", typed)]).instance.tags.unwrap();
        assert_eq!(tag["V"], typed);
        assert_eq!(config(&[("instance.user-data", typed)]).instance.user_data.as_deref(), Some(typed));
        if typed != "true" && !typed.starts_with(['{', '[']) {
            assert_eq!(config(&[("instance.group-name", typed)]).instance.group_name.as_deref(), Some(typed));
        }
        let environment = [("FAKE_METADATA_INSTANCE__TAGS__V", typed)];
        let config = load("[instance.tags]\nV = \"file\"\n", &environment, &[]).unwrap().config;
        assert_eq!(config.instance.tags.unwrap()["V"], typed);
    }
    let config = load("", &[], &[("instance.tags", "{ V = 1.10, W = 0x1 }")]).unwrap().config;
    assert_eq!(config.instance.tags.unwrap().into_values().collect::<Vec<_>>(), ["1.10", "0x1"]);
}

#[test]
fn what_is_typed_is_a_number_or_a_list_where_that_is_wanted() {
    let environment =
        [("FAKE_METADATA_HOP_LIMIT", "0x10"), ("FAKE_METADATA_INSTANCE__VERSIONS", "['a', 'b']")];
    let flags = [("roles.app.duration", "1_000"), ("callers.default", "false")];
    let config = load("", &environment, &flags).unwrap().config;
    assert_eq!(config.hop_limit.map(HopLimit::get), Some(16));
    assert_eq!(config.instance.versions.as_deref().unwrap(), ["a", "b"]);
    assert_eq!(config.roles()["app"].source.duration.map(|d| d.0.as_secs()), Some(1000));
    assert_eq!(config.callers.default, Some(DefaultRole::Switch(false)));
    let refused = load("", &[], &[("hop-limit", "0x50")]).unwrap_err();
    assert_eq!(refused, "option --set hop-limit=0x50: hop-limit: 80 is not between 1 and 64");
    let refused = load("", &[], &[("instance.tags", "{ V = [1] }")]).unwrap_err();
    assert!(refused.contains("instance.tags.V: invalid type: sequence, expected a string"), "{refused}");
}

#[test]
fn addresses_and_hosts_are_one_or_many() {
    let config =
        load("listen = [\"[::1]:1\", \"127.0.0.1:2\"]\nhosts = \"a.test\"", &[], &[]).unwrap().config;
    assert_eq!((config.listen().len(), config.hosts), (2, vec!["a.test".to_owned()]));
    for many in ["[::1]:1, 127.0.0.1:2", "[\"[::1]:1\", \"127.0.0.1:2\"]", "[::1]:1,127.0.0.1:2,"] {
        let environment = [("FAKE_METADATA_LISTEN", many), ("FAKE_METADATA_HOSTS", "a.test,b.test")];
        let config = load("", &environment, &[]).unwrap().config;
        assert_eq!(config.listen(), ["[::1]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        assert_eq!(config.hosts, ["a.test", "b.test"]);
    }
    let write = "write ADDRESS:PORT, as in 127.0.0.1:8000 or [::1]:8000 (port 0 is a free one)";
    for (text, place) in [
        ("listen = \"localhost:1\"", "config.toml:1: listen: \"localhost:1\": "),
        ("listen = [\n  \"127.0.0.1:1\",\n  \"::1\",\n]", "config.toml:3: listen[1]: \"::1\": "),
        ("listen = [8000]", "config.toml:1: listen[0]: 8000: "),
        (
            "listen = 8000",
            "config.toml:1: listen: invalid type: integer `8000`, expected a text or a list of texts: ",
        ),
    ] {
        assert_eq!(load(text, &[], &[]).unwrap_err(), format!("{place}{write}"));
    }
    let refused = load("", &[("FAKE_METADATA_LISTEN", "127.0.0.1:1,8000")], &[]).unwrap_err();
    assert_eq!(refused, format!("environment variable FAKE_METADATA_LISTEN: listen[1]: \"8000\": {write}"));
    let refused = load("hosts = 5", &[], &[]).unwrap_err();
    assert!(
        refused.ends_with("write a host name, as in \"metadata.example.internal\", or a list of them"),
        "{refused}"
    );
}

#[test]
fn an_empty_variable_counts_as_unset_where_no_text_is_wanted() {
    let names =
        ["TOKENS", "HOP_LIMIT", "LISTEN", "HOSTS", "LOG__LEVEL", "UPSTREAM", "INSTANCE__HOSTNAME_TYPE"];
    let empty: Vec<String> = names.iter().map(|name| format!("FAKE_METADATA_{name}")).collect();
    let empty: Vec<(&str, &str)> = empty.iter().map(|name| (name.as_str(), "")).collect();
    let file = "tokens = \"required\"\nhop-limit = 3\nlisten = \"127.0.0.1:1\"\nhosts = \"a.test\"\n";
    let config = load(file, &empty, &[]).unwrap().config;
    assert_eq!(config.tokens, imds::TokenMode::Required);
    assert_eq!(config.hop_limit.map(HopLimit::get), Some(3));
    assert_eq!(
        (config.listen(), config.hosts),
        (vec!["127.0.0.1:1".parse().unwrap()], vec!["a.test".into()])
    );
    let text = [("FAKE_METADATA_INSTANCE__PROFILE", "")];
    assert_eq!(load("", &text, &[]).unwrap().config.instance.profile.as_deref(), Some(""));
    assert!(load("", &[("FAKE_METADATA_TOKENS", " ")], &[]).is_err());
    assert!(load("", &[], &[("tokens", "")]).is_err(), "an option is typed on purpose");
}

#[test]
fn the_upper_layer_wins_by_whichever_name() {
    let (local, private) =
        ("[instance]\nlocal-ipv4 = \"10.0.0.1\"\n", "[instance]\nprivate-ipv4 = \"10.0.0.1\"\n");
    for file in [local, private] {
        for key in ["local-ipv4", "private-ipv4"] {
            let loaded = load(file, &[], &[(&format!("instance.{key}"), "10.0.0.2")]).unwrap();
            assert_eq!(loaded.config.instance.local_ipv4.as_deref(), Some("10.0.0.2"));
            let wrong = loaded.refuse(&KeyPath::root().key("instance").key("local-ipv4"), "x").to_string();
            assert_eq!(wrong, format!("option --set instance.{key}=10.0.0.2: instance.{key}: x"));
        }
    }
    let user_data = |file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        let instance = load(&format!("[instance]\n{file}\n"), environment, flags).unwrap().config.instance;
        (instance.user_data, instance.user_data_base64, instance.user_data_file)
    };
    let base64 = [("FAKE_METADATA_INSTANCE__USER_DATA_BASE64", "eA==")];
    assert_eq!(user_data("user-data = \"x\"", &base64, &[]), (None, Some("eA==".into()), None));
    let file = [("instance.user-data-file", "/f")];
    assert_eq!(user_data("user-data = \"x\"", &base64, &file), (None, None, Some("/f".into())));
    assert_eq!(user_data("user-data-file = \"/f\"", &[], &[]), (None, None, Some("/f".into())));
    let both = load(&format!("{local}private-ipv4 = \"10.0.0.2\"\n"), &[], &[]).unwrap_err();
    assert!(both.contains("duplicate field"), "{both}");
}

#[test]
fn errors_name_the_place_the_key_and_the_remedy() {
    let refused = |text: &str| load(text, &[], &[]).unwrap_err();
    assert_eq!(
        refused("\n[instance]\nregoin = \"x\"\n"),
        "config.toml:3: unknown key instance.regoin: the nearest known one is region"
    );
    assert_eq!(refused("hop-limit = 65"), "config.toml:1: hop-limit: 65 is not between 1 and 64");
    assert!(refused("tokens = \"maybe\"").starts_with("config.toml:1: tokens: unknown variant `maybe`"));
    assert!(
        refused("[callers]\ndefault = \"x\"")
            .starts_with("config.toml:2: callers.default: there is no role \"x\"")
    );
    assert_eq!(
        load("", &[("FAKE_METADATA_TOKEN", "x")], &[]).unwrap_err(),
        "environment variable FAKE_METADATA_TOKEN: unknown key token: the nearest known one is tokens"
    );
    assert!(
        load("", &[], &[("tokens", "x")])
            .unwrap_err()
            .starts_with("option --set tokens=x: tokens: unknown variant")
    );
}

#[test]
fn a_role_that_no_path_could_name_is_refused_by_its_table() {
    for name in ["aws:ec2-instance", "a b", "../a", ""] {
        for table in ["", "source = \"generated\"\n"] {
            let text = format!("[roles.{name:?}]\n{table}");
            let said = load(&text, &[], &[]).unwrap_err();
            assert!(said.contains("roles") && said.contains(name), "{said}");
            assert!(said.contains("is no role's name"), "{said}");
        }
    }
}

#[test]
fn the_default_role_is_the_only_one_or_the_named_one() {
    let role = |text: &str| load(text, &[], &[]).unwrap().config.default_role();
    assert_eq!(role("[roles.a]\nsource = \"generated\""), Some("a".into()));
    assert_eq!(role("[roles.a]\n[roles.b]"), None);
    assert_eq!(role("[roles.a]\n[roles.BaseIAMRole]"), Some("BaseIAMRole".into()));
    assert_eq!(role("[callers]\ndefault = \"b\"\n[roles.a]\n[roles.b]"), Some("b".into()));
    assert_eq!(role("[callers]\ndefault = false"), None);
}

const RECORDING: &str = r#"{"format": "fake-metadata recording 1", "versions": {"latest": {"paths": {
    "": ["meta-data"],
    "meta-data": ["autoscaling/", "iam/"],
    "meta-data/autoscaling/target-lifecycle-state": "InService",
    "meta-data/iam/security-credentials/app": {"secret": true},
    "meta-data/tags/instance/Name": "web"
}}}}"#;

#[test]
fn a_recording_takes_the_place_of_the_instance() {
    let file = written(RECORDING);
    let snapshot = format!("snapshot = {:?}\n", file.path());
    let loaded = load(&snapshot, &[], &[]).unwrap();
    assert_eq!(loaded.config.default_role().as_deref(), Some("app"));
    assert_eq!(loaded.tags(), [("Name".to_owned(), "web".to_owned())].into());
    assert_eq!(loaded.target_lifecycle_state(), imds::LifecycleState::named("InService"));
    let role = |more: &str| load(&format!("{snapshot}{more}"), &[], &[]).unwrap().config.default_role();
    assert_eq!(role("[roles.BaseIAMRole]\n[roles.app]\n").as_deref(), Some("app"));
    assert_eq!(role("[roles.BaseIAMRole]\n").as_deref(), Some("BaseIAMRole"));
    assert_eq!(role("[callers]\ndefault = false\n"), None);
    let both = load(&format!("{snapshot}[instance]\nregion = \"eu-west-1\"\n"), &[], &[]).unwrap_err();
    assert!(both.starts_with("config.toml:3: instance.region: a snapshot is served"), "{both}");
    let without_role = written(
        &RECORDING.replace("iam/security-credentials/app", "x").replace("{\"secret\": true}", "\"\""),
    );
    let loaded = load(&format!("snapshot = {:?}\n", without_role.path()), &[], &[]).unwrap();
    assert_eq!((loaded.config.default_role(), loaded.config.roles().len()), (None, 0));
}

#[test]
fn a_recording_that_cannot_be_used_is_told_where_it_is_named() {
    let error = load("\nsnapshot = \"/nowhere/r.json\"\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("config.toml:2: snapshot: read /nowhere/r.json: "), "{error}");
    let file = written("{\n  \"format\": 5\n}");
    let error = load("", &[], &[("snapshot", file.path().to_str().unwrap())]).unwrap_err();
    let start = format!("option --set snapshot={0}: snapshot: {0}:2: ", file.path().display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn the_network_table_is_not_looked_into() {
    assert!(load("[network]\nlocal = 7\nanything = [1]\n", &[], &[]).is_ok());
}

/// The shipped configuration, and its examples as `(table header, line)`.
fn shipped() -> (String, Vec<(String, String)>) {
    let text = include_str!("../../../../etc/config.toml");
    let mut table = String::new();
    let mut examples = Vec::new();
    for line in text.lines() {
        let bare = line.strip_prefix('#').filter(|l| !l.starts_with(' ') && !l.is_empty()).unwrap_or(line);
        if bare.starts_with('[') {
            table = bare.to_owned();
        } else if bare != line {
            examples.push((table.clone(), bare.to_owned()));
        }
    }
    (text.to_owned(), examples)
}

#[test]
fn the_shipped_configuration_is_the_default_one() {
    let (text, _) = shipped();
    let shipped = load(&text, &[], &[]).unwrap().config;
    assert_eq!(format!("{:?}", Config { network: None, ..shipped }), format!("{:?}", Config::default()));
}

#[test]
fn every_example_of_the_shipped_configuration_is_accepted() {
    for (table, line) in shipped().1 {
        // A volume without a name is none, and callers name roles that exist.
        let more = match table.as_str() {
            "[[instance.volumes]]" if !line.starts_with("device-name") => "device-name = \"sdg\"\n",
            _ => "",
        };
        let text = format!("{table}\n{more}{line}\n");
        let loaded = load(&text, &[], &[]);
        assert!(
            loaded.is_ok() || line.starts_with("mapping-file") || line.starts_with("snapshot"),
            "{text}: {}",
            loaded.unwrap_err()
        );
    }
}

#[test]
fn the_shipped_configuration_shows_every_key() {
    let (_, examples) = shipped();
    let root = KeyPath::root();
    let instance = root.key("instance");
    let elsewhere = ["aws", "callers", "events", "instance", "log", "network", "roles", "tree"];
    let tables = [
        (root.clone(), ""),
        (instance.clone(), "[instance]"),
        (instance.key("interfaces").index(0), "[[instance.interfaces]]"),
        (instance.key("volumes").index(0), "[[instance.volumes]]"),
        (root.key("roles").key("BaseIAMRole"), "[roles.BaseIAMRole]"),
        (root.key("aws"), "[aws]"),
        (root.key("callers"), "[callers]"),
        (root.key("log"), "[log]"),
    ];
    for (path, header) in tables {
        let tabled: Vec<String> = examples.iter().map(|(table, _)| table.replace(['[', ']'], "")).collect();
        for key in keys::known(&path).unwrap() {
            let shown = examples.iter().any(|(table, line)| {
                table == header && line.split('=').next().is_some_and(|name| name.trim() == key)
            });
            let a_table = tabled.contains(&path.key(key).to_string().replace("[0]", ""));
            let alias = key == "private-ipv4";
            assert!(shown || a_table || alias || path == root && elsewhere.contains(&key), "{header} {key}");
        }
    }
}
