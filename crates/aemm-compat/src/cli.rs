//! AEMM's command line.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::Value;

use crate::config::{Command, parse_bool};
use crate::settings::Settings;

/// The version that is stood in for, as AEMM prints it: alone.
pub(crate) const VERSION: &str = "v1.13.0";

/// ec2-metadata-mock is a tool to mock Amazon EC2 instance metadata.
#[derive(Debug, Parser)]
#[command(
    name = "ec2-metadata-mock",
    disable_version_flag = true,
    args_override_self = true,
    about = "Tool to mock Amazon EC2 instance metadata",
    after_help = "This is fake-metadata's stand-in for AEMM 1.13. New scripts may prefer `fake-metadata serve`, and \
                  `fake-metadata import aemm FILE` turns a configuration of AEMM into one of fake-metadata.",
    args_conflicts_with_subcommands = false
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    global: Global,
    /// version for ec2-metadata-mock
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
}

#[derive(Debug, Args)]
struct Global {
    /// the HTTP hostname for the mock url (default: 0.0.0.0)
    #[arg(short = 'n', long, global = true, value_name = "string")]
    hostname: Option<String>,
    /// the HTTP port where the mock runs (default: 1338)
    #[arg(short = 'p', long, global = true, value_name = "string")]
    port: Option<String>,
    /// config file for cli input parameters in json format (default: $HOME/aemm-config.json)
    #[arg(short = 'c', long, global = true, value_name = "string")]
    config_file: Option<String>,
    /// whether to save processed config from all input sources in .ec2-metadata-mock/.aemm-config-used.json in $HOME
    /// or working dir, if homedir is not found (default: false)
    #[arg(short = 's', long, global = true, value_parser = switch, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    save_config_to_file: Option<bool>,
    /// whether to watch the config file for changes and to take them over (default: false)
    #[arg(short = 'W', long, global = true, value_parser = switch, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    watch_config_file: Option<bool>,
    /// spot itn and maintenance event delay in seconds, relative to the application start time (default: 0 seconds)
    #[arg(short = 'd', long, global = true, allow_negative_numbers = true, value_name = "int")]
    mock_delay_sec: Option<i64>,
    /// spot itn and maintenance event trigger time in RFC3339 format; takes priority over mock-delay-sec (default: none)
    #[arg(long, global = true, value_name = "string")]
    mock_trigger_time: Option<String>,
    /// number of IPs that can receive a notice or event; negative: all (default: 2)
    #[arg(short = 'x', long, global = true, allow_negative_numbers = true, value_name = "int")]
    mock_ip_count: Option<i64>,
    /// whether to require a session token (default: false, meaning both IMDSv1 and v2 are enabled)
    #[arg(short = 'I', long, global = true, value_parser = switch, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    imdsv2: Option<bool>,
    /// rebalance rec delay in seconds, relative to the application start time (default: 0 seconds)
    #[arg(long, global = true, allow_negative_numbers = true, value_name = "int")]
    rebalance_delay_sec: Option<i64>,
    /// rebalance rec trigger time in RFC3339 format; takes priority over rebalance-delay-sec (default: none)
    #[arg(long, global = true, value_name = "string")]
    rebalance_trigger_time: Option<String>,
    /// asg termination delay in seconds, relative to the application start time (default: 0 seconds)
    #[arg(long, global = true, allow_negative_numbers = true, value_name = "int")]
    asg_termination_delay_sec: Option<i64>,
    /// asg termination trigger time in RFC3339 format; takes priority over asg-termination-delay-sec (default: none)
    #[arg(long, global = true, value_name = "string")]
    asg_termination_trigger_time: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Mock EC2 Spot interruption notice
    #[command(alias = "spotitn", disable_version_flag = true, args_override_self = true)]
    Spot {
        /// action in the spot interruption notice: terminate, hibernate or stop (default: terminate)
        #[arg(short, long, value_name = "string")]
        action: Option<String>,
        /// time in the spot interruption notice, in RFC3339 format (default: request time + 2 minutes in UTC)
        #[arg(short, long, value_name = "string")]
        time: Option<String>,
        /// time in the rebalance recommendation, in RFC3339 format (default: request time in UTC)
        #[arg(short, long, value_name = "string")]
        rebalance_rec_time: Option<String>,
        #[command(flatten)]
        ignored: Ignored,
    },
    /// Mock EC2 maintenance events
    #[command(aliases = ["se", "scheduledevents"], disable_version_flag = true, args_override_self = true)]
    Events {
        /// event code: instance-reboot, system-reboot, system-maintenance, instance-retirement or instance-stop
        /// (default: system-reboot)
        #[arg(short = 'o', long, value_name = "string")]
        code: Option<String>,
        /// state of the event: active, completed or canceled (default: active)
        #[arg(short = 't', long, value_name = "string")]
        state: Option<String>,
        /// earliest start in RFC3339 format (default: application start time in UTC)
        #[arg(short = 'b', long, value_name = "string")]
        not_before: Option<String>,
        /// latest end in RFC3339 format (default: application start time + 7 days in UTC)
        #[arg(short = 'a', long, value_name = "string")]
        not_after: Option<String>,
        /// deadline for the start in RFC3339 format (default: application start time + 9 days in UTC)
        #[arg(short = 'l', long, value_name = "string")]
        not_before_deadline: Option<String>,
        #[command(flatten)]
        ignored: Ignored,
    },
    /// Mock EC2 ASG Lifecycle target-lifecycle-state
    #[command(aliases = ["autoscaling", "asg"], disable_version_flag = true, args_override_self = true)]
    Asglifecycle {
        #[command(flatten)]
        ignored: Ignored,
    },
}

/// Arguments after a command; AEMM takes no notice of them.
#[derive(Debug, Args)]
struct Ignored {
    #[arg(hide = true)]
    _arguments: Vec<String>,
}

fn switch(text: &str) -> Result<bool, String> {
    parse_bool(text).ok_or_else(|| "write true or false".to_owned())
}

/// The command's name moved before its flags, which cobra takes from before it too: `-a stop spot`.
///
/// The name is the first argument that is no flag and no flag's value. As in cobra, a flag of one letter or a whole
/// name that the program itself does not know is held to have a value, for the commands' own all have one.
pub(crate) fn command_first(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut program = Cli::command();
    program.build();
    let alone = |flag: &str| {
        program.get_arguments().any(|known| {
            let named = match flag.strip_prefix("--") {
                Some(long) => known.get_long() == Some(long),
                None => known.get_short().is_some_and(|short| flag[1..].chars().eq([short])),
            };
            named && known.get_num_args().is_some_and(|values| values.min_values() == 0)
        })
    };
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        let text = argument.to_string_lossy();
        if text == "--" {
            break;
        }
        if !text.starts_with('-') {
            if program.find_subcommand(argument).is_some() {
                let name = arguments.remove(at);
                arguments.insert(1, name);
            }
            break;
        }
        let names_a_flag = text.starts_with("--") || text.chars().count() == 2;
        let has_its_value = !names_a_flag || text.contains('=') || alone(&text);
        at += if has_its_value { 1 } else { 2 };
    }
    arguments
}

impl Cli {
    pub(crate) fn mocked(&self) -> Command {
        match self.command {
            None => Command::All,
            Some(Sub::Spot { .. }) => Command::Spot,
            Some(Sub::Events { .. }) => Command::Events,
            Some(Sub::Asglifecycle { .. }) => Command::AsgLifecycle,
        }
    }

    /// The configuration file that was named.
    pub(crate) fn config_file(&self) -> Option<&str> {
        self.global.config_file.as_deref()
    }

    /// What the flags say.
    pub(crate) fn flags(&self) -> Settings {
        let global = &self.global;
        let mut settings = Settings::default();
        for (key, text) in [
            ("server.hostname", &global.hostname),
            ("server.port", &global.port),
            ("config-file", &global.config_file),
            ("mock-trigger-time", &global.mock_trigger_time),
            ("rebalance-trigger-time", &global.rebalance_trigger_time),
            ("asg-termination-trigger-time", &global.asg_termination_trigger_time),
        ]
        .into_iter()
        .chain(self.own_flags())
        {
            if let Some(text) = text {
                settings.set(key, Value::from(text.as_str()));
            }
        }
        for (key, number) in [
            ("mock-delay-sec", global.mock_delay_sec),
            ("mock-ip-count", global.mock_ip_count),
            ("rebalance-delay-sec", global.rebalance_delay_sec),
            ("asg-termination-delay-sec", global.asg_termination_delay_sec),
        ] {
            if let Some(number) = number {
                settings.set(key, Value::from(number));
            }
        }
        for (key, switch) in [
            ("save-config-to-file", global.save_config_to_file),
            ("watch-config-file", global.watch_config_file),
            ("imdsv2", global.imdsv2),
        ] {
            if let Some(switch) = switch {
                settings.set(key, Value::from(switch));
            }
        }
        settings
    }

    /// The flags that were given, by name, with the values as pflag writes them.
    pub(crate) fn given(&self) -> BTreeMap<String, String> {
        let flags = self.flags();
        let given = flags.keys().filter_map(|key| {
            let name = key.rsplit('.').next()?;
            let value = flags.get(key)?;
            Some((name.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        });
        given.collect()
    }

    fn own_flags(&self) -> Vec<(&'static str, &Option<String>)> {
        match &self.command {
            Some(Sub::Spot { action, time, rebalance_rec_time, .. }) => vec![
                ("spot.action", action),
                ("spot.time", time),
                ("spot.rebalance-rec-time", rebalance_rec_time),
            ],
            Some(Sub::Events { code, state, not_before, not_after, not_before_deadline, .. }) => vec![
                ("events.code", code),
                ("events.state", state),
                ("events.not-before", not_before),
                ("events.not-after", not_after),
                ("events.not-before-deadline", not_before_deadline),
            ],
            Some(Sub::Asglifecycle { .. }) | None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(line: &str) -> (Command, Value) {
        let cli = Cli::try_parse_from(command_first(line.split_whitespace().map(OsString::from))).unwrap();
        (cli.mocked(), cli.flags().nested())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_anywhere_and_in_every_spelling() {
        let flags = json!({"server": {"port": "1"}, "mock-ip-count": -1, "imdsv2": true});
        for line in [
            "aemm -p 1 --mock-ip-count=-1 --imdsv2",
            "aemm --port=1 -x -1 -I",
            "aemm --port 1 -x=-1 --imdsv2=true",
            "aemm -p1 --mock-ip-count -1 --imdsv2=T",
        ] {
            assert_eq!(parsed(line), (Command::All, flags.clone()), "{line}");
        }
        assert_eq!(
            parsed("aemm --port 1 spot -x=1 -a stop -t T -r R --imdsv2=false extra").1,
            json!({"server": {"port": "1"}, "mock-ip-count": 1, "imdsv2": false,
                   "spot": {"action": "stop", "time": "T", "rebalance-rec-time": "R"}})
        );
        assert_eq!(
            parsed("aemm se -o C -t S -b B -a A -l L -d 5").1,
            json!({"mock-delay-sec": 5, "events": {"code": "C", "state": "S", "not-before": "B", "not-after": "A",
                   "not-before-deadline": "L"}})
        );
    }

    #[test]
    fn a_commands_own_flags_may_stand_before_it() {
        for line in [
            "aemm -a stop spot",
            "aemm --action stop spot",
            "aemm --action=stop spot",
            "aemm -a=stop spot -d 5 -d 0 spot",
            "aemm -I=false -I -a stop --imdsv2 spot",
            "aemm -x -1 spot -a stop",
            "aemm -p spot spot -a stop",
        ] {
            let (command, flags) = parsed(line);
            assert_eq!(command, Command::Spot, "{line}");
            assert_eq!(flags["spot"], json!({"action": "stop"}), "{line}");
        }
        assert_eq!(parsed("aemm -p spot").0, Command::All, "a flag's value is no command");
        assert_eq!(parsed("aemm -t canceled se").1, json!({"events": {"state": "canceled"}}));
        for line in ["aemm -a stop", "aemm -a stop events womp -r x", "aemm -- spot", "aemm x spot"] {
            let arguments = command_first(line.split_whitespace().map(OsString::from));
            assert!(Cli::try_parse_from(arguments).is_err(), "{line}");
        }
    }

    #[test]
    fn of_a_flag_given_twice_the_last_counts() {
        for (line, flags) in [
            ("aemm --imdsv2 --imdsv2=false", json!({"imdsv2": false})),
            ("aemm --imdsv2 -I", json!({"imdsv2": true})),
            ("aemm --port 1 -p 2", json!({"server": {"port": "2"}})),
            ("aemm --port 1 spot -p 2", json!({"server": {"port": "2"}})),
            ("aemm spot -p 1 -p 2", json!({"server": {"port": "2"}})),
            ("aemm spot -a stop x --action hibernate y", json!({"spot": {"action": "hibernate"}})),
            ("aemm events -o a -o b", json!({"events": {"code": "b"}})),
            ("aemm asg -d 1 -d 2", json!({"mock-delay-sec": 2})),
        ] {
            assert_eq!(parsed(line).1, flags, "{line}");
        }
    }

    #[test]
    fn commands_have_their_aliases() {
        for (name, command) in [
            ("spot", Command::Spot),
            ("events", Command::Events),
            ("se", Command::Events),
            ("scheduledevents", Command::Events),
            ("asglifecycle", Command::AsgLifecycle),
            ("autoscaling", Command::AsgLifecycle),
            ("asg", Command::AsgLifecycle),
        ] {
            assert_eq!(parsed(&format!("aemm {name} --asg-termination-delay-sec 3")).0, command);
        }
    }

    #[test]
    fn what_is_no_flag_number_or_command_is_refused() {
        for line in ["aemm --nope", "aemm -d soon", "aemm --imdsv2=maybe", "aemm womp", "aemm events -r x"] {
            let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
