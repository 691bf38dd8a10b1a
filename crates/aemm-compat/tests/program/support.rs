//! A running program on a port of its own, and a client that shows every byte.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program with an empty home and none of our environment's `AEMM_*`.
pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-metadata-mock"));
    command.env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    command
}

/// The file in the home that standard error goes to.
const LOG: &str = "stderr.log";

/// A running program, ended with the test.
pub(crate) struct Mock {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it printed up to and with its address.
    pub(crate) printed: Vec<String>,
    pub(crate) home: tempfile::TempDir,
}

/// A reply in full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Mock {
    /// Starts it with these arguments on a free port of loopback.
    pub(crate) fn start(arguments: &[&str]) -> Mock {
        Mock::start_with(arguments, &[], |_| {})
    }

    /// The same with variables, and with a home that `prepare` has filled.
    pub(crate) fn start_with(
        arguments: &[&str],
        variables: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Mock {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path());
        let mut command = program(home.path());
        command.args(arguments).envs(variables.iter().copied());
        if !variables.iter().any(|(name, _)| *name == "AEMM_SERVER_PORT") {
            command.args(["--port", "0"]);
        }
        let mut child = command
            .args(["--hostname", "127.0.0.1"])
            .stdout(Stdio::piped())
            .stderr(File::create(home.path().join(LOG)).unwrap())
            .spawn()
            .unwrap();
        let mut printed = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it ended before it served").unwrap();
            printed.push(line.clone());
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
        };
        Mock { child, address, printed, home }
    }

    /// What it has written to standard error so far, without the times.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.home.path().join(LOG)).unwrap();
        let message = |line: &str| line.get("2026/01/01 00:00:00 ".len()..).unwrap_or(line).to_owned();
        text.lines().map(message).collect()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    pub(crate) fn body(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body
    }

    pub(crate) fn token(&self, ttl: &str) -> Reply {
        self.ask("PUT", "/latest/api/token", &[("X-aws-ec2-metadata-token-ttl-seconds", ttl)])
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        self.say(&request, Ipv4Addr::LOCALHOST)
    }

    /// Sends bytes from an address of loopback, and reads to the end.
    pub(crate) fn say(&self, request: &str, from: Ipv4Addr) -> Reply {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    program(home.path()).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The text of a member of a JSON document.
pub(crate) fn member(document: &str, name: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(document).unwrap();
    let object = value.get(0).unwrap_or(&value);
    object[name].as_str().unwrap_or_else(|| panic!("{name} in {document}")).to_owned()
}
