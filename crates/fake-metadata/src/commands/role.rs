//! `role`: the roles of the running daemon.

mod feed;
mod login;
mod person;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Outcome, Usage, output, plain};
use crate::cli::{DaemonSocket, RoleCommand, UseRole};
use crate::control::client::{ControlError, Daemon};

/// How long `refresh` waits for a source, which itself gives up after a minute.
const PATIENCE: Duration = Duration::from_secs(75);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn role(command: RoleCommand) -> Outcome {
    match command {
        RoleCommand::List { daemon, json } => list(&daemon, json),
        RoleCommand::Show { name, daemon, json } => show(&name, &daemon, json),
        RoleCommand::Use(args) => choose(&args),
        RoleCommand::Refresh { name, daemon } => refresh(name.as_deref(), &Daemon::at(daemon.path())),
        RoleCommand::Expire { name, daemon } => {
            let request = json!({ "roles": [name] });
            Daemon::at(daemon.path()).ask(Method::POST, "/v1/roles/expire", Some(&request))?;
            output::line(format_args!("{name}: dropped"))?;
            Ok(ExitCode::SUCCESS)
        }
        RoleCommand::Login { name, daemon } => login::login(&name, &daemon),
        RoleCommand::Feed(args) => feed::feed(&args),
    }
}

fn ask_list(daemon: &Daemon) -> Result<Value, ControlError> {
    daemon.ask(Method::GET, "/v1/roles", None)
}

fn is_named(role: &Value, name: &str) -> bool {
    role["role"].as_str() == Some(name)
}

/// The role of this name in the daemon's answer.
fn find<'a>(answer: &'a Value, name: &str) -> Result<&'a Value, Usage> {
    let mut roles = answer["roles"].as_array().into_iter().flatten();
    roles
        .find(|role| is_named(role, name))
        .ok_or_else(|| Usage(format!("there is no role {name:?} (fake-metadata role list names all)")))
}

fn list(daemon: &DaemonSocket, json: bool) -> Outcome {
    let answer = ask_list(&Daemon::at(daemon.path()))?;
    if json {
        output::line(serde_json::to_string_pretty(&answer)?)?;
    } else {
        output::print(table(&answer, Timestamp::now()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, daemon: &DaemonSocket, json: bool) -> Outcome {
    let answer = ask_list(&Daemon::at(daemon.path()))?;
    let mut role = find(&answer, name)?.clone();
    role["default"] = json!(answer["default-role"].as_str() == Some(name));
    if json {
        output::line(serde_json::to_string_pretty(&role)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (key, value) in role.as_object().into_iter().flatten() {
        if !value.is_null() && value != "" {
            output::line(format_args!("{key}: {}", plain(value)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn choose(args: &UseRole) -> Outcome {
    let request = match (args.undo, args.none) {
        (true, _) => json!({ "undo": true }),
        (_, true) => json!({ "none": true, "persist": args.live.persist }),
        _ => json!({ "role": args.name, "profile": args.profile, "persist": args.live.persist }),
    };
    let daemon = Daemon::at(args.live.daemon.path());
    let answer = daemon.ask(Method::POST, "/v1/roles/use", Some(&request))?;
    for line in answer["done"].as_array().into_iter().flatten() {
        output::line(plain(line))?;
    }
    // The source is asked now, for the first time if it is another one.
    let Some(role) = answer["asked"].as_str() else { return Ok(ExitCode::SUCCESS) };
    if outcomes(&[json!({ "role": role, "attempt": 1 })], &daemon)? {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("role {role} is of no use this way (fake-metadata role use --undo takes the choice back)")
        .into())
}

/// Asks for a refresh and waits for its outcome. Fails when a source does.
fn refresh(name: Option<&str>, daemon: &Daemon) -> Outcome {
    let request = json!({ "roles": name.into_iter().collect::<Vec<_>>() });
    let answer = daemon.ask(Method::POST, "/v1/roles/refresh", Some(&request))?;
    let asked = answer["asked"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(if outcomes(asked, daemon)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until each role's attempts have reached the number that goes with it, and prints what came of them;
/// whether no source has failed.
fn outcomes(asked: &[Value], daemon: &Daemon) -> Result<bool, Box<dyn std::error::Error>> {
    let mut awaited: Vec<&Value> = asked.iter().collect();
    let mut failed = false;
    let deadline = Instant::now() + PATIENCE;
    while !awaited.is_empty() {
        let roles = ask_list(daemon)?;
        let now = Timestamp::now();
        let mut told = String::new();
        awaited.retain(|asked| {
            // A role that is gone by now has nothing to say.
            let found = find(&roles, asked["role"].as_str().unwrap_or_default()).ok();
            let Some(role) = found else { return false };
            let pending = asked["attempt"].as_u64().is_some_and(|n| role["attempts"].as_u64() < Some(n));
            if !pending {
                failed |= !role["last-error"].is_null();
                told.push_str(&format!("{}: {}\n", plain(&role["role"]), state_of(role, now)));
            }
            pending
        });
        output::print(told)?;
        if !awaited.is_empty() {
            if Instant::now() >= deadline {
                let names: Vec<String> = awaited.iter().map(|asked| plain(&asked["role"])).collect();
                return Err(format!("ask for {}: no answer yet after {PATIENCE:?}", names.join(", ")).into());
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(!failed)
}

/// A line a role, in columns; the default role has a star.
fn table(answer: &Value, now: Timestamp) -> String {
    let roles: Vec<&Value> = answer["roles"].as_array().into_iter().flatten().collect();
    let rows: Vec<[String; 4]> = roles
        .iter()
        .map(|role| {
            let star = if role["role"] == answer["default-role"] { "*" } else { " " };
            let source = match role["fed"] == true {
                true => "fed".to_owned(),
                false => plain(&role["source"]),
            };
            [format!("{star} {}", plain(&role["role"])), source, state_of(role, now), asked(role, now)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, source, state, asked] in &rows {
        let [a, b, c] = widths;
        let line = format!("{name:a$}  {source:b$}  {state:c$}  {asked}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How the role's credentials stand, in words.
fn state_of(role: &Value, now: Timestamp) -> String {
    let expiration = role["expiration"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let held = match (role["serving"] == true, expiration) {
        (true, Some(at)) => format!("good for {}", span(at.as_second() - now.as_second())),
        (true, None) if role["end-unknown"] == true => "its end is not known".into(),
        (true, None) => "does not expire".into(),
        (false, _) => "nothing to serve".into(),
    };
    match role["last-error"].as_str() {
        None => held,
        Some(error) if role["needs-person"] == true => format!("{held}, waits for a person: {error}"),
        Some(error) => format!("{held}, failing: {error}"),
    }
}

fn asked(role: &Value, now: Timestamp) -> String {
    let at = role["asked-at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    match (role["asked-by"].as_str(), at) {
        (Some(who), Some(at)) => {
            format!("asked by {who} {} ago", span(now.as_second() - at.as_second()))
        }
        _ => "not asked yet".into(),
    }
}

/// Seconds as a person says them.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_role_says_what_counts() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let app = json!({ "role": "App", "source": "profile", "serving": true, "fed": true,
            "expiration": "2026-11-21T12:50:30Z", "last-error": null,
            "asked-by": "user 1000 (169.254.169.254:4)", "asked-at": "2026-11-21T11:59:00Z" });
        let broken =
            json!({ "role": "Web", "source": "file", "serving": false, "last-error": "no such file" });
        let answer = json!({ "default-role": "App", "roles": [app, broken] });
        let endless = json!({ "serving": true, "end-unknown": true });
        assert_eq!(state_of(&endless, now), "its end is not known");
        assert_eq!(
            table(&answer, now),
            "* App  fed   good for 50 min                          asked by user 1000 (169.254.169.254:4) 60 s ago\n  \
             Web  file  nothing to serve, failing: no such file  not asked yet\n"
        );
    }

    #[test]
    fn a_span_in_words() {
        assert_eq!([span(-4), span(119), span(120), span(7265)], ["0 s", "119 s", "2 min", "2 h 1 min"]);
    }
}
