//! Wrong values end the program with a code that is not 0 and a line that says what is allowed.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use crate::support::{program, run};

fn refused(arguments: &[&str], variables: &[(&str, &str)], code: i32, message: &str) {
    let output = run(arguments, variables);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?} {variables:?}: {errors}");
    assert!(errors.contains(message), "{arguments:?} {variables:?}: {errors}");
}

#[test]
fn wrong_values() {
    let time = "Allowed value(s): time in RFC3339 format, e.g. 2020-01-07T01:03:47Z.";
    for (arguments, message) in [
        (
            &["spot", "--action", "explode"][..],
            "Invalid CLI input \"explode\" for flag action. Allowed value(s): terminate,hibernate,stop.",
        ),
        (&["spot", "--time", "soon"], time),
        (&["spot", "-r", "2020-01-07"], time),
        (
            &["events", "--code", "FOO"],
            "Invalid CLI input \"FOO\" for flag code. Allowed value(s): instance-reboot,system-reboot,\
             system-maintenance,instance-retirement,instance-stop.",
        ),
        (
            &["events", "--state", "FOO"],
            "Invalid CLI input \"FOO\" for flag state. Allowed value(s): active,completed,canceled.",
        ),
        (&["events", "-b", ""], time),
        (&["events", "-a", "x"], time),
        (&["events", "-l", "x"], time),
        (&["--mock-trigger-time", "x"], "for flag mock-trigger-time"),
        (&["spot", "--rebalance-trigger-time", "x"], "for flag rebalance-trigger-time"),
        (&["asglifecycle", "--asg-termination-trigger-time", "x"], "for flag asg-termination-trigger-time"),
    ] {
        refused(arguments, &[], 2, message);
        refused(arguments, &[], 2, "panic: Fatal error while executing the root command: ");
    }
    refused(&[], &[("AEMM_SPOT_ACTION", "explode")], 2, "for flag action");
    refused(&[], &[("AEMM_EVENTS_CODE", "FOO")], 2, "for flag code");
    refused(&[], &[("AEMM_MOCK_DELAY_SEC", "soon")], 2, "for flag mock-delay-sec");
    refused(&["--port", "http"], &[], 2, "unknown port");
    refused(&["--nope"], &[], 2, "--nope");
    refused(&["womp"], &[], 2, "womp");
    refused(&["--mock-ip-count", "some"], &[], 2, "some");
}

#[test]
fn wrong_files() {
    refused(&["-c", "absent.json"], &[], 1, "absent.json");
    refused(&[], &[("AEMM_CONFIG_FILE", "absent.json")], 1, "absent.json");
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), "[]").unwrap();
    refused(&["-c", file.path().to_str().unwrap()], &[], 1, "not an object");
}

#[test]
fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&["-n", "127.0.0.1", "-p", &port], &[], 2, &format!("listen tcp 127.0.0.1:{port}: "));
}

#[test]
fn the_port_of_a_program_that_is_just_ending_is_waited_for() {
    let ending = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = ending.local_addr().unwrap().port().to_string();
    let home = tempfile::tempdir().unwrap();
    let mut child = program(home.path())
        .args(["-n", "127.0.0.1", "-p", &port])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It logs this line before it opens the port.
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(errors.any(|line| line.unwrap().contains("Initiating ec2-metadata-mock")));
    drop(ending);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begins = format!("listening on http://127.0.0.1:{port}");
    let serves = lines.any(|line| line.unwrap() == begins);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(serves);
}

#[test]
fn version_and_help() {
    for flag in ["--version", "-v"] {
        let output = run(&[flag], &[]);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "v1.13.0\n");
    }
    for arguments in [&["--help"][..], &["spot", "-h"], &["events", "--help"], &["help", "asglifecycle"]] {
        let output = run(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("--mock-ip-count"), "{arguments:?}");
    }
}
