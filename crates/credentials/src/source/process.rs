//! A command that prints credentials in the `credential_process` form. For the daemon it runs in a process
//! group of its own, which is killed when its time is over. For a person it has their terminal, to ask there:
//! another group may not read from that (it would be stopped by SIGTTIN).

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process;

use super::trouble::{Trouble, quote};
use crate::credentials::Credentials;
use crate::document::{self, LONGEST};
use crate::spec::Command;

/// How much of what it says on its standard error is kept.
const KEPT_ERRORS: usize = 4096;
/// How long its output is waited for once it has ended: something it started may hold it open for ever.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Variables that lead an AWS client to credentials of this process, which the command must not take for
/// its own; all that begin with one of these go.
const NOT_PASSED_ON: [&str; 9] = [
    "AWS_ACCESS_KEY",
    "AWS_SECRET_",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN",
    "AWS_ROLE_",
    "AWS_CONTAINER_",
];

/// Whom the command may ask.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Terminal {
    /// Nobody.
    None,
    /// The person at the terminal of this process: it shares standard input and standard error.
    Person,
}

/// Runs the command and reads what it prints.
pub(crate) async fn credentials(
    command: &Command,
    terminal: Terminal,
    timeout: Duration,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let output = run(command, terminal, timeout).await?;
    if !output.status.success() && terminal == Terminal::Person {
        return Err(Trouble::new(format!("it ended with {}", ending(output.status))));
    }
    if !output.status.success() {
        let said = quote(&String::from_utf8_lossy(&output.stderr));
        let said = if said.is_empty() { "and said nothing".into() } else { format!("and said: {said}") };
        return Err(Trouble::new(format!("it ended with {} {said}", ending(output.status))));
    }
    if output.stdout.iter().all(u8::is_ascii_whitespace) {
        return Err(Trouble::new("it printed nothing"));
    }
    document::parse_process(&output.stdout, now)
        .map_err(|e| Trouble::new(format!("its output is not in the credential_process form: {e}")))
}

struct Output {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Kills the group, if it has one of its own, when it goes, unless its leader has been reaped: then the number may be another's.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn run(command: &Command, terminal: Terminal, limit: Duration) -> Result<Output, Trouble> {
    let mut child =
        prepared(command, terminal).spawn().map_err(|e| Trouble::new(format!("start it: {e}")))?;
    let own = child.id().filter(|_| terminal == Terminal::None);
    let mut group = Group(own.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = {
        let reading = async {
            tokio::try_join!(
                async {
                    keep(out.as_mut(), &mut stdout, LONGEST).await;
                    if stdout.len() > LONGEST { Err(too_much()) } else { Ok(()) }
                },
                async {
                    keep(err.as_mut(), &mut stderr, KEPT_ERRORS).await;
                    drain(err.as_mut()).await;
                    Ok(())
                }
            )
        };
        let running = async {
            tokio::pin!(reading);
            tokio::select! {
                read = &mut reading => {
                    read?;
                    Ok(child.wait().await)
                }
                status = child.wait() => match tokio::time::timeout(AFTERWARDS, &mut reading).await {
                    Ok(Err(trouble)) => Err(trouble),
                    _ => Ok(status),
                },
            }
        };
        tokio::time::timeout(limit, running).await.map_err(|_| {
            Trouble::new(format!("it had not ended after {} s and was killed", limit.as_secs()))
        })??
    };
    group.0 = None;
    let status = status.map_err(|e| Trouble::new(format!("wait for its end: {e}")))?;
    Ok(Output { status, stdout, stderr })
}

fn too_much() -> Trouble {
    Trouble::new(format!("it printed more than {LONGEST} bytes and was killed"))
}

/// Reads until the end or until `kept` has more than `most` bytes.
async fn keep(pipe: Option<&mut (impl AsyncRead + Unpin)>, kept: &mut Vec<u8>, most: usize) {
    if let Some(pipe) = pipe {
        let _ = pipe.take(most as u64 + 1).read_to_end(kept).await;
    }
}

/// Reads to the end, so that whoever writes is not held up.
async fn drain(pipe: Option<&mut (impl AsyncRead + Unpin)>) {
    if let Some(pipe) = pipe {
        let _ = tokio::io::copy(pipe, &mut tokio::io::sink()).await;
    }
}

fn prepared(command: &Command, terminal: Terminal) -> process::Command {
    let mut prepared = match command {
        Command::Program(words) => {
            let (program, arguments) = words.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
            let mut prepared = process::Command::new(program);
            prepared.args(arguments);
            prepared
        }
        Command::Shell(line) => {
            let mut prepared = process::Command::new("/bin/sh");
            prepared.arg("-c").arg(line);
            prepared
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| NOT_PASSED_ON.iter().any(|start| name.starts_with(start))) {
            prepared.env_remove(name);
        }
    }
    // An AWS client that finds no credentials would ask the metadata service, which is us.
    prepared.env("AWS_EC2_METADATA_DISABLED", "true");
    prepared.stdout(Stdio::piped()).kill_on_drop(true);
    match terminal {
        Terminal::None => prepared.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0),
        Terminal::Person => prepared.stdin(Stdio::inherit()).stderr(Stdio::inherit()),
    };
    prepared
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    const NOW: &str = "2026-11-21T10:00:00Z";
    const KEYS: &str = r#"{"Version":1,"AccessKeyId":"ASIAEXAMPLEEXAMPLE12","SecretAccessKey":"s","SessionToken":"t","Expiration":"2026-11-21T16:00:00Z"}"#;

    async fn run_line(line: &str, seconds: u64) -> Result<Credentials, String> {
        let command = Command::Shell(line.into());
        let limit = Duration::from_secs(seconds);
        credentials(&command, Terminal::None, limit, NOW.parse().unwrap()).await.map_err(|e| e.text)
    }

    async fn program(words: &[&str]) -> Result<Credentials, String> {
        let command = Command::Program(words.iter().map(|word| (*word).to_owned()).collect());
        let limit = Duration::from_secs(20);
        credentials(&command, Terminal::None, limit, NOW.parse().unwrap()).await.map_err(|e| e.text)
    }

    /// Waits until the process that wrote its number to `file` is gone or a zombie.
    async fn gone(file: &Path) -> bool {
        let number = std::fs::read_to_string(file).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            match std::fs::read_to_string(format!("/proc/{}/stat", number.trim())) {
                Err(_) => return true,
                Ok(stat) if stat.contains(") Z ") => return true,
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        false
    }

    #[tokio::test]
    async fn a_line_goes_through_a_shell_and_a_list_does_not() {
        let made = run_line(&format!("X='{KEYS}'; echo \"$X\""), 20).await.unwrap();
        assert_eq!(made.access_key_id, "ASIAEXAMPLEEXAMPLE12");
        assert_eq!(made.last_updated.to_string(), NOW);
        assert_eq!(program(&["echo", KEYS]).await, Ok(made));
        assert!(program(&["echo $X"]).await.unwrap_err().starts_with("start it: "));
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_without_what_it_printed() {
        for (line, expected) in [
            ("true", "it printed nothing"),
            (
                "echo '{'",
                "its output is not in the credential_process form: incomplete: the JSON ends too early",
            ),
            (
                "echo hunter2",
                "its output is not in the credential_process form: not JSON at line 1, column 1",
            ),
            (
                "echo '{\"AccessKeyId\":\"ASIAEXAMPLEEXAMPLE12\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2026-11-21T16:00:00Z\"}'",
                "its output is not in the credential_process form: Version is missing",
            ),
            ("echo '{\"Version\":2}'", "its output is not in the credential_process form: Version is not 1"),
            ("exit 3", "it ended with exit status 3 and said nothing"),
            ("kill -9 $$", "it ended with signal 9 and said nothing"),
            (
                "echo 'login expired, key wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY' >&2; echo more >&2; exit 1",
                "it ended with exit status 1 and said: login expired, key (hidden)",
            ),
        ] {
            assert_eq!(run_line(line, 20).await.unwrap_err(), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn too_much_output_is_not_waited_for() {
        assert_eq!(run_line("yes", 20).await.unwrap_err(), "it printed more than 65536 bytes and was killed");
        let noisy = format!("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo '{KEYS}'");
        assert!(run_line(&noisy, 20).await.is_ok(), "what it says on its standard error holds nobody up");
    }

    #[tokio::test]
    async fn at_the_end_of_its_time_the_whole_group_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (leader, follower) = (folder.path().join("leader"), folder.path().join("follower"));
        let line = format!(
            "echo $$ > {}; sh -c 'echo $$ > {}; while :; do sleep 60; done' & wait; exit 0",
            leader.display(),
            follower.display()
        );
        assert_eq!(run_line(&line, 1).await.unwrap_err(), "it had not ended after 1 s and was killed");
        assert!(gone(&leader).await && gone(&follower).await);
    }

    #[tokio::test]
    async fn a_persons_command_shares_their_group_and_is_killed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (leader, other) = (folder.path().join("leader"), folder.path().join("other"));
        let line = format!(
            "cut -d' ' -f5 /proc/$$/stat > {}.group; echo $$ > {0}; sleep 60 & echo $! > {}; wait",
            leader.display(),
            other.display()
        );
        let limit = Duration::from_secs(2);
        let made = credentials(&Command::Shell(line), Terminal::Person, limit, NOW.parse().unwrap()).await;
        assert_eq!(made.unwrap_err().text, "it had not ended after 2 s and was killed");
        let group = std::fs::read_to_string(leader.with_extension("group")).unwrap();
        assert_eq!(group.trim(), nix::unistd::getpgrp().to_string());
        assert!(gone(&leader).await);
        let sleeping = std::fs::read_to_string(&other).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(sleeping), Signal::SIGTERM).expect("it was left alone");
    }

    #[tokio::test]
    async fn an_attempt_that_is_given_up_kills_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = format!("echo $$ > {}.new; mv {0}.new {0}; while :; do sleep 60; done", file.display());
        let attempt = tokio::spawn(async move { run_line(&line, 60).await });
        let deadline = Instant::now() + Duration::from_secs(10);
        while !file.exists() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        attempt.abort();
        assert!(gone(&file).await);
    }

    #[tokio::test]
    async fn something_left_running_does_not_hold_up_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = format!("sleep 60 & echo $! > {}; echo '{KEYS}'", file.display());
        assert!(run_line(&line, 60).await.is_ok());
        let agent = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(agent), Signal::SIGTERM)
            .expect("an agent that it leaves behind is neither waited for nor killed");
    }

    #[tokio::test]
    async fn it_never_asks_us_and_never_sees_our_credentials() {
        let print = "env | grep -c '^AWS_' >&2; env | grep '^AWS_' >&2; exit 1";
        let said = run_line(print, 20).await.unwrap_err();
        let expected: Vec<String> = std::env::vars()
            .filter(|(name, _)| name.starts_with("AWS_") && name != "AWS_EC2_METADATA_DISABLED")
            .filter(|(name, _)| !NOT_PASSED_ON.iter().any(|start| name.starts_with(start)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(said, format!("it ended with exit status 1 and said: {}", expected.len() + 1));
        assert!(
            run_line("test \"$AWS_EC2_METADATA_DISABLED\" = true", 20).await.unwrap_err()
                == "it printed nothing"
        );
    }
}
