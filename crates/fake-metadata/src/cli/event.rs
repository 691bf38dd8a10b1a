//! `event ...`, and the same words after `--event` of `serve` and `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use imds::{LifecycleState, MaintenanceCode, SpotAction};

use super::{DaemonSocket, refusal};
use crate::events::{CallerName, Clock, EventSpec, Kind, Names, Script, When};

/// `fake-metadata event`
#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    #[command(flatten)]
    Add(AddEvent),
    /// Play a timeline of events from a file, in place of all events there are
    ///
    /// The file holds `[[events]]` tables as the configuration does. Times such as "90s" count from now, so
    /// the same script plays the same way every time.
    #[command(
        after_long_help = "Example of a script:\n  [[events]]\n  kind = \"rebalance\"\n  in = \"10s\"\n\n  \
                                 [[events]]\n  kind = \"spot\"       # the notice comes after 30 s\n  in = \"150s\""
    )]
    Script {
        /// The file, or - for standard input
        file: PathBuf,
        /// Keep the events there are
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// Show every event, due, in force or over
    List {
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take events back
    ///
    /// A spot interruption, rebalance notice or life cycle state is gone; a maintenance event that was
    /// announced goes into history as canceled.
    Clear {
        /// Ids as `event list` shows them; all events when none is given
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Put maintenance events into history as completed
        #[arg(long)]
        completed: bool,
        /// Empty the history of maintenance too
        #[arg(long)]
        history: bool,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
}

/// What can happen.
#[derive(Debug, Subcommand)]
pub(crate) enum AddEvent {
    /// A spot interruption: spot/instance-action, and spot/termination-time when it terminates
    ///
    /// The notice appears two minutes before (a hibernation begins with its notice); the instance is a spot
    /// instance from now on.
    #[command(after_long_help = "Example: fake-metadata event spot --action terminate --in 10m")]
    Spot {
        /// What becomes of the instance
        #[arg(long, value_parser = names(SpotAction::ALL, SpotAction::name), default_value = "terminate")]
        action: String,
        #[command(flatten)]
        time: Time,
        /// Give the notice at once
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        audience: AudienceArgs,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// A rebalance recommendation: events/recommendations/rebalance
    Rebalance {
        #[command(flatten)]
        time: Time,
        #[command(flatten)]
        audience: AudienceArgs,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// A maintenance event: events/maintenance/scheduled, and history once it is over
    #[command(
        after_long_help = "Example: fake-metadata event maintenance --code system-reboot --not-before 1h --not-after 2h"
    )]
    Maintenance(Box<MaintenanceArgs>),
    /// A transition of the Auto Scaling life cycle: autoscaling/target-lifecycle-state
    Lifecycle {
        /// The state the instance goes to
        #[arg(value_parser = names(LifecycleState::ALL, LifecycleState::name))]
        state: String,
        #[command(flatten)]
        time: Time,
        #[command(flatten)]
        audience: AudienceArgs,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
}

/// `event maintenance`
#[derive(Debug, Args)]
pub(crate) struct MaintenanceArgs {
    /// What is done
    #[arg(long, value_parser = names(MaintenanceCode::ALL, MaintenanceCode::name), default_value = "system-reboot")]
    code: String,
    /// Earliest start [default: a day after the announcement]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    not_before: Option<When>,
    /// Latest end; then the event is completed
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    not_after: Option<When>,
    /// Until when the start may be moved (NotBeforeDeadline)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    deadline: Option<When>,
    /// When it is completed, if before the latest end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "canceled")]
    completed: Option<When>,
    /// When it is canceled
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    canceled: Option<When>,
    /// Its id [default: made up]
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Its description [default: by its code]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    time: Time,
    #[command(flatten)]
    audience: AudienceArgs,
    #[command(flatten)]
    daemon: DaemonSocket,
}

/// When.
#[derive(Debug, Args)]
pub(crate) struct Time {
    /// How long from now, such as 90s or 2m
    #[arg(long = "in", value_name = "DURATION", allow_hyphen_values = true, conflicts_with = "at")]
    after: Option<When>,
    /// At which time: 2026-11-21T18:30:00Z, or 18:30
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<When>,
}

/// Who sees it.
#[derive(Debug, Args)]
pub(crate) struct AudienceArgs {
    /// Only this caller, an address or a role; may be given several times
    #[arg(long, value_name = "ADDRESS|ROLE")]
    only: Vec<CallerName>,
    /// Only the first so many addresses that ask
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = count)]
    first: Option<u32>,
}

/// How many of something: one at least.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("write a whole number from 1 to {}", u32::MAX))
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> PossibleValuesParser {
    PossibleValuesParser::new(all.iter().copied().map(name).collect::<Vec<_>>())
}

impl AddEvent {
    /// The event as a table would have it, and the daemon it is for.
    pub(crate) fn into_spec(self) -> (EventSpec, DaemonSocket) {
        match self {
            AddEvent::Spot { action, time, now, audience, daemon } => {
                let spec = EventSpec { action: Some(action), now, ..EventSpec::new(Kind::Spot) };
                (limited(spec, time, audience), daemon)
            }
            AddEvent::Rebalance { time, audience, daemon } => {
                (limited(EventSpec::new(Kind::Rebalance), time, audience), daemon)
            }
            AddEvent::Lifecycle { state, time, audience, daemon } => {
                let spec = EventSpec { state: Some(state), ..EventSpec::new(Kind::Lifecycle) };
                (limited(spec, time, audience), daemon)
            }
            AddEvent::Maintenance(args) => {
                let args = *args;
                let spec = EventSpec {
                    code: Some(args.code),
                    not_before: args.not_before,
                    not_after: args.not_after,
                    deadline: args.deadline,
                    completed: args.completed,
                    canceled: args.canceled,
                    event_id: args.event_id,
                    description: args.description,
                    ..EventSpec::new(Kind::Maintenance)
                };
                (limited(spec, args.time, args.audience), args.daemon)
            }
        }
    }
}

fn limited(spec: EventSpec, time: Time, audience: AudienceArgs) -> EventSpec {
    EventSpec {
        r#in: time.after,
        at: time.at,
        only: Some(Names(audience.only)).filter(|names| !names.0.is_empty()),
        first: audience.first,
        ..spec
    }
}

/// Events of `serve` and `run`.
#[derive(Debug, Args)]
pub(crate) struct EventFlags {
    /// An event, as after `fake-metadata event`: "spot --in 10m"; may be given several times
    #[arg(long = "event", value_name = "EVENT", value_parser = line)]
    events: Vec<EventSpec>,
    /// A file of events, as for `fake-metadata event script`
    #[arg(long, value_name = "FILE", value_parser = script)]
    event_script: Vec<Script>,
}

impl EventFlags {
    /// All events, those of scripts first.
    pub(crate) fn specs(&self) -> Vec<EventSpec> {
        let scripts = self.event_script.iter().flat_map(|script| script.events.iter());
        scripts.chain(&self.events).cloned().collect()
    }
}

/// An event on one line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, name = "event", disable_help_flag = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    event: AddEvent,
}

fn line(text: &str) -> Result<EventSpec, String> {
    let words = shlex::split(text).ok_or_else(|| "a quotation mark is not closed".to_owned())?;
    let describe = |error: clap::Error| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        refusal::describe(&error, Line::command(), &words)
    };
    let matches = Line::command().try_get_matches_from(&words).map_err(describe)?;
    let (_, given) = matches.subcommand().ok_or("an event is missing")?;
    if given.value_source("control") == Some(ValueSource::CommandLine) {
        return Err(
            "--control is for `fake-metadata event`: this daemon is the one that is started".to_owned()
        );
    }
    let (spec, _) = Line::from_arg_matches(&matches).map_err(describe)?.event.into_spec();
    spec.resolve(&Clock::system(), 0).map_err(|e| e.to_string())?;
    Ok(spec)
}

/// The events of a file; of standard input for `-`.
pub(crate) fn script(file: &str) -> Result<Script, String> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let text = text.map_err(|e| format!("read {file}: {e}"))?;
    let script: Script = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let message: Vec<&str> = error.message().lines().map(str::trim).collect();
        format!("{file}:{line}: {}", message.join(", "))
    })?;
    let clock = Clock::system();
    for (i, spec) in script.events.iter().enumerate() {
        spec.resolve(&clock, 0).map_err(|e| format!("{file}: events[{i}].{e}"))?;
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_on_one_line_is_the_same_as_a_table() {
        let spec =
            line("maintenance --code instance-stop --description 'a b' --not-before 1h --only app").unwrap();
        let table = "kind = \"maintenance\"\ncode = \"instance-stop\"\ndescription = \"a b\"\n\
                     not-before = \"1h\"\nonly = \"app\"\n";
        assert_eq!(spec, toml::from_str(table).unwrap());
        for (text, reason) in [
            ("spot --action explode", "[possible values: terminate, stop, hibernate]"),
            ("spot --in 5", "write a duration"),
            ("spot --at 2020-01-01T00:00:00Z", "is in the past"),
            ("explode", "unrecognized subcommand 'explode'"),
            ("spot '", "not closed"),
        ] {
            let refused = line(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn a_script_names_the_place_of_its_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        let refused = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            script(name).unwrap_err().replace(name, "FILE")
        };
        assert!(
            refused("[[events]]\nkind = \"spot\"\n\nsoon = 1\n").starts_with("FILE:4: unknown field `soon`")
        );
        let second = "[[events]]\nkind = \"rebalance\"\n[[events]]\nkind = \"spot\"\naction = \"x\"\n";
        assert!(refused(second).starts_with("FILE: events[1].action: \"x\" is not known"));
        assert!(script("/nonexistent/x").unwrap_err().starts_with("read /nonexistent/x: "));
    }
}
