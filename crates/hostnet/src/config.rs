//! What this program reads of `config.toml`: `listen` and the table `[network]`.
//!
//! The daemon owns every other key and answers for it, so a key that is unknown here is refused only inside
//! `[network]`. Variables of the environment go before the file, by the daemon's rules: `FAKE_METADATA_LISTEN` is
//! `listen`, `FAKE_METADATA_NETWORK__TARGET` is `network.target`; lists may be written with commas.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::target::Target;

/// Where the installed configuration is.
pub const DEFAULT_PATH: &str = "/etc/fake-metadata/config.toml";
/// Where the daemon listens when nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

const KEYS: [&str; 6] = ["bridges", "guard", "ifupdown", "ipv6", "local", "target"];

/// `listen` and `[network]`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The daemon's addresses, in the file's order. Never empty; no port is 0.
    pub listen: Vec<SocketAddr>,
    /// The table `[network]`.
    pub network: Network,
}

/// The table `[network]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Lead this host's own requests (default). False: only those of `bridges`.
    pub local: bool,
    /// Lead `fd00:ec2::254` too.
    pub ipv6: Ipv6,
    /// Interfaces whose 169.254.169.254 is led to the daemon.
    pub bridges: Vec<Bridge>,
    /// Another host in place of the local daemon.
    pub target: Option<Target>,
    /// Write the block into `/etc/network/interfaces` (default).
    pub ifupdown: bool,
    /// Keep neighbours on the network out (default).
    pub guard: bool,
}

/// `ipv6 = "auto" | true | false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// Where IPv6 is on and ip6tables can do it.
    Auto,
    /// Always; an error where it cannot be.
    On,
    /// Never.
    Off,
}

/// An interface name, or the start of one followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bridge(String);

impl Default for Config {
    fn default() -> Self {
        Self { listen: vec![DEFAULT_LISTEN], network: Network::default() }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { local: true, ipv6: Ipv6::Auto, bridges: Vec::new(), target: None, ifupdown: true, guard: true }
    }
}

/// A configuration that is not accepted: exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's text is not accepted. The line starts at 1.
    #[error("read {}: line {line}: {message}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A variable of the environment is not accepted.
    #[error("read {name} of the environment: {message}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl Config {
    /// Reads a file, then the variables. A missing file at the default place is the default configuration.
    ///
    /// # Errors
    /// [`ConfigError`], also for a missing `path` that was asked for.
    pub fn load<I>(path: Option<&Path>, variables: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(file) {
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|source| ConfigError::Read { path: file.to_owned(), source })?,
        };
        Self::parse(&text, file, variables)
    }

    /// Reads a text, then the variables; `path` is named in errors.
    ///
    /// # Errors
    /// [`ConfigError::Text`], [`ConfigError::Variable`].
    pub fn parse<I>(text: &str, path: &Path, variables: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        let in_file = |(offset, message): Problem| ConfigError::Text {
            path: path.to_owned(),
            line: text[..offset.min(text.len())].matches('\n').count() + 1,
            message,
        };
        let mut config = Self::default();
        config.merge(text).map_err(in_file)?;
        for (name, value) in variables {
            let Some(line) = as_toml(&name, &value) else { continue };
            config.merge(&line).map_err(|(_, message)| ConfigError::Variable { name, message })?;
        }
        if !config.network.local && config.network.bridges.is_empty() {
            let message =
                "local = false leads nobody without bridges (add bridges = [\"docker0\", \"br-*\"])";
            return Err(in_file((text.find("local").unwrap_or(0), message.to_owned())));
        }
        Ok(config)
    }

    fn merge(&mut self, text: &str) -> Result<(), Problem> {
        let document = DeTable::parse(text).map_err(|error| {
            (error.span().map_or(0, |span| span.start), error.message().replace('\n', ", "))
        })?;
        for (key, value) in document.get_ref() {
            let at = value.span().start;
            match key.get_ref().as_ref() {
                "listen" => self.listen = listen(value.get_ref()).map_err(|message| (at, message))?,
                "network" => match value.get_ref() {
                    DeValue::Table(table) => self.network.merge(table)?,
                    _ => return Err((at, "network is a table: write [network]".to_owned())),
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// The port that local requests are led to: the first listener that 127.0.0.1 reaches.
    pub(crate) fn local_port(&self) -> Option<u16> {
        let reached = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST || ip == Ipv4Addr::UNSPECIFIED;
        self.listen.iter().find(|listener| reached(listener.ip())).map(SocketAddr::port)
    }

    /// The port that local IPv6 requests are led to: the first listener that `::1` reaches, else the same as
    /// [`Config::local_port`]: the daemon listens there on `::1` by itself.
    pub(crate) fn local_port_v6(&self) -> Option<u16> {
        let reached = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified());
        let own = self.listen.iter().find(|listener| reached(listener.ip())).map(SocketAddr::port);
        own.or_else(|| self.local_port())
    }

    /// The ports of all listeners, and 80.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.listen.iter().map(SocketAddr::port).chain([80]).collect()
    }

    /// The port that bridges are led to: that of a listener on `landing` if there is one, else the local one.
    pub(crate) fn bridge_port(&self, landing: Option<Ipv4Addr>) -> Option<u16> {
        let own = landing.and_then(|landing| self.listen.iter().find(|listener| listener.ip() == landing));
        let other = || self.listen.iter().find(|listener| listener.is_ipv4());
        own.map(SocketAddr::port).or_else(|| self.local_port()).or_else(|| other().map(SocketAddr::port))
    }
}

/// Offset in the text, and what is wrong there.
type Problem = (usize, String);

/// A variable as the line of TOML that it stands for. None: it is not ours.
fn as_toml(name: &str, value: &str) -> Option<String> {
    let name = name.strip_prefix("FAKE_METADATA_")?;
    let key = match name.strip_prefix("NETWORK__") {
        Some(key) => format!("network.{}", key.to_lowercase().replace('_', "-")),
        None if name == "LISTEN" => "listen".to_owned(),
        None => return None,
    };
    let quoted = |text: &str| toml::Value::String(text.trim().to_owned()).to_string();
    let is_list = ["listen", "network.bridges"].contains(&key.as_str()) && !value.starts_with('[');
    Some(match value {
        _ if is_list => {
            let items: Vec<String> =
                value.split(',').filter(|item| !item.trim().is_empty()).map(quoted).collect();
            format!("{key} = [{}]", items.join(", "))
        }
        "true" | "false" => format!("{key} = {value}"),
        _ if value.starts_with('[') => format!("{key} = {value}"),
        _ => format!("{key} = {}", quoted(value)),
    })
}

impl Network {
    fn merge(&mut self, table: &DeTable<'_>) -> Result<(), Problem> {
        for (key, value) in table {
            let at = |message: String| (value.span().start, message);
            match key.get_ref().as_ref() {
                "local" => self.local = boolean("local", value.get_ref()).map_err(at)?,
                "guard" => self.guard = boolean("guard", value.get_ref()).map_err(at)?,
                "ifupdown" => self.ifupdown = boolean("ifupdown", value.get_ref()).map_err(at)?,
                "ipv6" => self.ipv6 = ipv6(value.get_ref()).map_err(at)?,
                "bridges" => self.bridges = bridges(value.get_ref()).map_err(at)?,
                "target" => {
                    let text = value
                        .get_ref()
                        .as_str()
                        .ok_or_else(|| at("target is a string: \"HOST[:PORT]\"".into()))?;
                    self.target = Some(text.parse().map_err(at)?);
                }
                other => return Err((key.span().start, unknown_key(other))),
            }
        }
        Ok(())
    }
}

fn unknown_key(key: &str) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(key, known);
    let nearest = KEYS.iter().min_by_key(distance).filter(|known| distance(known) <= 3);
    match nearest {
        Some(nearest) => format!("unknown key {key} in [network] (did you mean {nearest}?)"),
        None => format!("unknown key {key} in [network] (known: {})", KEYS.join(", ")),
    }
}

fn boolean(key: &str, value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{key} is true or false"))
}

fn ipv6(value: &DeValue<'_>) -> Result<Ipv6, String> {
    match (value.as_bool(), value.as_str()) {
        (Some(true), _) => Ok(Ipv6::On),
        (Some(false), _) => Ok(Ipv6::Off),
        (_, Some("auto")) => Ok(Ipv6::Auto),
        _ => Err("ipv6 is true, false or \"auto\"".to_owned()),
    }
}

fn strings<'a>(key: &str, value: &'a DeValue<'_>) -> Result<Vec<&'a str>, String> {
    let wrong = || format!("{key} is a list of strings");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|item| item.get_ref().as_str().ok_or_else(wrong)).collect()
}

fn listen(value: &DeValue<'_>) -> Result<Vec<SocketAddr>, String> {
    let texts = match value.as_str() {
        Some(one) => vec![one],
        None => strings("listen", value)?,
    };
    let addresses = texts.into_iter().map(|text| match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            Err(format!("listen {text}: no rule can lead to port 0 (name a port)"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!("listen {text}: not ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000")),
    });
    let addresses: Vec<SocketAddr> = addresses.collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        Err("listen is empty (remove it to have 127.0.0.1:8000)".to_owned())
    } else {
        Ok(addresses)
    }
}

fn bridges(value: &DeValue<'_>) -> Result<Vec<Bridge>, String> {
    let mut bridges =
        strings("bridges", value)?.into_iter().map(str::parse).collect::<Result<Vec<Bridge>, _>>()?;
    bridges.sort();
    bridges.dedup();
    Ok(bridges)
}

impl std::str::FromStr for Bridge {
    type Err = String;

    /// Linux allows 15 bytes without space or slash; `+` would be iptables' own wildcard and `%`, `"` and `'` need
    /// quoting there, so they are refused.
    fn from_str(text: &str) -> Result<Self, String> {
        let start = text.strip_suffix('*').unwrap_or(text);
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        if start.is_empty() || start.len() > 15 || !start.bytes().all(known) || start == "lo" {
            return Err(format!("bridges {text:?}: not the name of an interface, such as docker0 or br-*"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Bridge {
    /// The name as iptables' `-i` takes it: `br-*` is `br-+` there.
    pub(crate) fn for_iptables(&self) -> String {
        self.0.replace('*', "+")
    }

    /// Whether an interface of this name is meant.
    pub(crate) fn matches(&self, interface: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => interface.starts_with(start),
            None => interface == self.0,
        }
    }
}

impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        parse_with(text, &[])
    }

    fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(text, Path::new("c.toml"), variables).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let file = "listen = \"127.0.0.1:1\"\n[network]\nguard = false\ntarget = \"a:1\"\n";
        let variables = [
            ("FAKE_METADATA_LISTEN", "127.0.0.1:2, [::1]:3"),
            ("FAKE_METADATA_NETWORK__BRIDGES", "docker0,br-*"),
            ("FAKE_METADATA_NETWORK__GUARD", "true"),
            ("FAKE_METADATA_NETWORK__IPV6", "auto"),
            ("FAKE_METADATA_NETWORK__TARGET", "b:2"),
            ("FAKE_METADATA_INSTANCE__REGION", "eu-west-1"),
            ("PATH", "/bin"),
        ];
        let config = parse_with(file, &variables).unwrap();
        assert_eq!((config.local_port(), config.local_port_v6()), (Some(2), Some(3)));
        assert_eq!(config.network.bridges.len(), 2);
        assert!(config.network.guard);
        assert_eq!(config.network.target.unwrap().to_string(), "b:2");
        let listed = [("FAKE_METADATA_LISTEN", "[\"127.0.0.1:4\"]"), ("FAKE_METADATA_NETWORK__BRIDGES", "")];
        let config = parse_with("", &listed).unwrap();
        assert_eq!((config.local_port(), config.network.bridges.len()), (Some(4), 0));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let refused = parse_with("", &[("FAKE_METADATA_NETWORK__LOCLA", "true")]).unwrap_err();
        let expected = "read FAKE_METADATA_NETWORK__LOCLA of the environment: \
                        unknown key locla in [network] (did you mean local?)";
        assert_eq!(refused, expected);
        let refused = parse_with("", &[("FAKE_METADATA_LISTEN", "here")]).unwrap_err();
        assert!(
            refused.starts_with("read FAKE_METADATA_LISTEN of the environment: listen here: "),
            "{refused}"
        );
    }

    #[test]
    fn nothing_is_the_default() {
        assert_eq!(parse("").unwrap(), Config::default());
        assert_eq!(Config::default().local_port(), Some(8000));
    }

    #[test]
    fn everything_is_read() {
        let text = r#"
            listen = ["127.0.0.1:8080", "[::1]:8081", "169.254.169.254:8082"]
            hop-limit = 2
            [instance]
            region = "eu-west-1"
            [network]
            local = false
            ipv6 = true
            bridges = ["docker0", "br-*", "docker0"]
            target = "mock:1338"
            ifupdown = false
            guard = false
        "#;
        let config = parse(text).unwrap();
        let bridges: Vec<String> = config.network.bridges.iter().map(ToString::to_string).collect();
        assert_eq!(
            bridges,
            ["br-*", "docker0"],
            "sorted, once each: the same rules however they are written"
        );
        assert_eq!(config.network.target.as_ref().map(ToString::to_string).as_deref(), Some("mock:1338"));
        assert_eq!(config.network.ipv6, Ipv6::On);
        assert!(!config.network.local && !config.network.ifupdown && !config.network.guard);
        let (v4, v6) = (config.local_port(), config.local_port_v6());
        assert_eq!((v4, v6, config.bridge_port(Some(crate::IPV4))), (Some(8080), Some(8081), Some(8082)));
    }

    #[test]
    fn one_address_may_stand_alone() {
        assert_eq!(parse("listen = \"127.0.0.1:81\"").unwrap().local_port(), Some(81));
        assert_eq!(parse("listen = [\"0.0.0.0:82\"]").unwrap().local_port(), Some(82));
        assert_eq!(parse("listen = [\"10.0.0.1:82\"]").unwrap().local_port(), None);
        assert_eq!(parse("listen = [\"10.0.0.1:82\"]").unwrap().bridge_port(None), Some(82));
    }

    #[test]
    fn unknown_keys_are_refused_in_network_only() {
        let refused = parse("a = 1\n[b]\nc = 2\n[network]\nlocla = true\n").unwrap_err();
        assert_eq!(refused, "read c.toml: line 5: unknown key locla in [network] (did you mean local?)");
        let refused = parse("[network]\ncompletely-else = 1\n").unwrap_err();
        assert!(refused.ends_with("(known: bridges, guard, ifupdown, ipv6, local, target)"), "{refused}");
    }

    #[test]
    fn bridge_names_are_those_that_a_rule_can_name() {
        for name in ["docker0", "br-*", "virbr0", "eth0.5", "a23456789012345"] {
            assert!(name.parse::<Bridge>().is_ok(), "{name}");
        }
        for name in ["", "*", "lo", "a b", "br-+", "a*b", "a/b", "\"x", "a234567890123456"] {
            assert!(name.parse::<Bridge>().is_err(), "{name}");
        }
        let pattern: Bridge = "br-*".parse().unwrap();
        assert_eq!(pattern.for_iptables(), "br-+");
        assert!(pattern.matches("br-1") && !pattern.matches("docker0"));
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        let shown = |text: &str| text.parse::<Target>().map(|target| target.to_string());
        assert_eq!(shown("mock"), Ok("mock:80".to_owned()));
        assert_eq!(shown("10.0.0.5:1338"), Ok("10.0.0.5:1338".to_owned()));
        for text in ["", ":80", "mock:", "mock:0", "mock:70000", "a b", "[fd00::1]:80", "169.254.169.254"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
