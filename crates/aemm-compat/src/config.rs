//! Settings as they are used, and what AEMM refuses.

use jiff::Timestamp;
use serde_json::Value;

use crate::instant::Instant;
use crate::settings::Settings;

/// What was asked for: one kind of event, or everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// No command: all mocks.
    All,
    /// `spot`
    Spot,
    /// `events`
    Events,
    /// `asglifecycle`
    AsgLifecycle,
}

const ACTIONS: [&str; 3] = ["terminate", "hibernate", "stop"];
const CODES: [&str; 5] =
    ["instance-reboot", "system-reboot", "system-maintenance", "instance-retirement", "instance-stop"];
const STATES: [&str; 3] = ["active", "completed", "canceled"];
const A_TIME: &str = "time in RFC3339 format, e.g. 2020-01-07T01:03:47Z";

/// When a mock begins to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Seconds after the program's start.
    pub(crate) delay: i64,
    /// A moment, which goes before the delay; empty when none is set.
    pub(crate) trigger_time: String,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) hostname: String,
    pub(crate) port: String,
    pub(crate) imdsv2: bool,
    /// How many client addresses see events; negative: all.
    pub(crate) ip_count: i64,
    pub(crate) save: bool,
    pub(crate) watch: bool,
    /// Of spot interruptions and maintenance events.
    pub(crate) mock: Start,
    pub(crate) rebalance: Start,
    pub(crate) asg_termination: Start,
    pub(crate) settings: Settings,
}

impl Config {
    /// Takes the settings by type.
    ///
    /// # Errors
    /// One sentence on a number or switch that is none.
    pub fn new(mut settings: Settings) -> Result<Config, String> {
        settings.fill_placeholders();
        let start = |name: &str| -> Result<Start, String> {
            Ok(Start {
                delay: number(&settings, &format!("{name}-delay-sec"))?,
                trigger_time: settings.text(&format!("{name}-trigger-time")).unwrap_or_default(),
            })
        };
        Ok(Config {
            hostname: settings.text("server.hostname").unwrap_or_default(),
            port: settings.text("server.port").unwrap_or_default(),
            imdsv2: switch(&settings, "imdsv2")?,
            ip_count: number(&settings, "mock-ip-count")?,
            save: switch(&settings, "save-config-to-file")?,
            watch: switch(&settings, "watch-config-file")?,
            mock: start("mock")?,
            rebalance: start("rebalance")?,
            asg_termination: start("asg-termination")?,
            settings,
        })
    }

    /// What is wrong with the values that `command` uses, a sentence each.
    pub fn refusals(&self, command: Command) -> Vec<String> {
        let mut refusals = Vec::new();
        let text = |key: &str| self.settings.text(key).unwrap_or_default();
        let mut one_of = |flag: &str, value: String, allowed: &[&str]| {
            if !allowed.contains(&value.as_str()) {
                refusals.push(refusal(&value, flag, &allowed.join(",")));
            }
        };
        let (spot, events) = match command {
            Command::All => (true, true),
            Command::Spot => (true, false),
            Command::Events => (false, true),
            Command::AsgLifecycle => (false, false),
        };
        if spot {
            one_of("action", text("spot.action"), &ACTIONS);
        }
        if events {
            one_of("code", text("events.code"), &CODES);
            one_of("state", text("events.state"), &STATES);
        }
        let mut times = vec![
            ("mock-trigger-time", self.mock.trigger_time.clone(), true),
            ("rebalance-trigger-time", self.rebalance.trigger_time.clone(), true),
            ("asg-termination-trigger-time", self.asg_termination.trigger_time.clone(), true),
        ];
        if spot {
            times.push(("time", text("spot.time"), true));
            times.push(("rebalance-rec-time", text("spot.rebalance-rec-time"), true));
        }
        if events {
            for flag in ["not-before", "not-after", "not-before-deadline"] {
                times.push((flag, text(&format!("events.{flag}")), false));
            }
        }
        for (flag, value, may_be_empty) in times {
            if !(may_be_empty && value.is_empty()) && Instant::parse(&value).is_none() {
                refusals.push(refusal(&value, flag, A_TIME));
            }
        }
        refusals
    }
}

/// What is in force with a file that says `said`: over the defaults, paths that hold values filled in.
///
/// # Errors
/// One line on everything that AEMM would refuse.
pub fn complete(said: &Settings, start: Timestamp) -> Result<Settings, String> {
    let mut settings = Settings::defaults(start);
    settings.lay(said.clone());
    let config = Config::new(settings)?;
    match config.refusals(Command::All) {
        refusals if refusals.is_empty() => Ok(config.settings),
        refusals => Err(refusals.join(" ")),
    }
}

fn refusal(value: &str, flag: &str, allowed: &str) -> String {
    format!("Invalid CLI input \"{value}\" for flag {flag}. Allowed value(s): {allowed}.")
}

fn number(settings: &Settings, key: &str) -> Result<i64, String> {
    let value = settings.get(key).unwrap_or(&Value::Null);
    let number = match value {
        Value::Null => Some(0),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(truncated)),
        Value::Bool(switch) => Some(i64::from(*switch)),
        _ => None,
    };
    number.ok_or_else(|| refusal(&shown(value), key, "a whole number"))
}

/// A number with a fraction as Go makes an integer of it; nothing for one that no integer holds.
fn truncated(number: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    // In range, so nothing but the fraction is lost.
    (-END..END).contains(&number).then_some(number as i64)
}

fn switch(settings: &Settings, key: &str) -> Result<bool, String> {
    let value = settings.get(key).unwrap_or(&Value::Null);
    let switch = match value {
        Value::Null => Some(false),
        Value::Bool(switch) => Some(*switch),
        Value::String(text) if text.is_empty() => Some(false),
        Value::String(text) => parse_bool(text),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        _ => None,
    };
    switch.ok_or_else(|| refusal(&shown(value), key, "true, false"))
}

/// A switch as Go reads it.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(said: Value) -> Result<Config, String> {
        let mut settings = Settings::defaults("2026-01-01T00:00:00Z".parse().unwrap());
        settings.set("", said);
        Config::new(settings)
    }

    #[test]
    fn the_defaults_are_fine_under_every_command() {
        let config = config(json!({})).unwrap();
        for command in [Command::All, Command::Spot, Command::Events, Command::AsgLifecycle] {
            assert!(config.refusals(command).is_empty());
        }
        assert_eq!((config.port.as_str(), config.ip_count, config.imdsv2), ("1338", 2, false));
    }

    #[test]
    fn texts_of_the_environment_become_numbers_and_switches() {
        let config = config(json!({"mock-delay-sec": "12", "imdsv2": "T", "mock-ip-count": "-1"})).unwrap();
        assert_eq!((config.mock.delay, config.imdsv2, config.ip_count), (12, true, -1));
    }

    #[test]
    fn numbers_may_have_a_fraction() {
        let config = config(json!({
            "mock-delay-sec": 5.0, "rebalance-delay-sec": 5.9, "asg-termination-delay-sec": 1e3,
            "mock-ip-count": -1.5, "imdsv2": 0.5, "server": {"port": 1738.0},
        }))
        .unwrap();
        let delays = [&config.mock, &config.rebalance, &config.asg_termination].map(|start| start.delay);
        assert_eq!((delays, config.ip_count, config.imdsv2), ([5, 5, 1000], -1, true));
        assert_eq!(config.port, "1738");
    }

    #[test]
    fn what_is_no_number_or_switch_is_refused() {
        assert_eq!(
            config(json!({"mock-delay-sec": "soon"})).unwrap_err(),
            "Invalid CLI input \"soon\" for flag mock-delay-sec. Allowed value(s): a whole number."
        );
        assert!(config(json!({"mock-delay-sec": 1e300})).unwrap_err().contains("mock-delay-sec"));
        assert!(config(json!({"imdsv2": "maybe"})).unwrap_err().contains("imdsv2"));
    }

    #[test]
    fn wrong_values_are_refused_where_they_are_used() {
        let config = config(json!({
            "spot": {"action": "explode", "time": "soon"},
            "events": {"code": "FOO", "not-after": ""},
            "mock-trigger-time": "never",
        }));
        let flags = |command| -> Vec<String> {
            let refusals = config.as_ref().unwrap().refusals(command);
            let flag =
                |text: &String| text.split("for flag ").nth(1).unwrap().split('.').next().unwrap().to_owned();
            refusals.iter().map(flag).collect()
        };
        assert_eq!(flags(Command::Spot), ["action", "mock-trigger-time", "time"]);
        assert_eq!(flags(Command::Events), ["code", "mock-trigger-time", "not-after"]);
        assert_eq!(flags(Command::AsgLifecycle), ["mock-trigger-time"]);
        assert_eq!(flags(Command::All).len(), 5);
        assert!(config.unwrap().refusals(Command::Events)[0].starts_with(
            "Invalid CLI input \"FOO\" for flag code. Allowed value(s): instance-reboot,system-reboot,"
        ));
    }
}
