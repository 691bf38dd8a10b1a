//! A host to change: a network and mount namespace of its own, gone when the test is, however it ends.
//!
//! The namespaces live as long as a `cat` that waits for its standard input to close: when the test ends, panics or
//! is killed, the pipe closes, `cat` ends and the kernel takes the namespaces away. Needs root; nothing skips.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const SETUP: &str = env!("CARGO_BIN_EXE_fake-metadata-setup");
/// How long a condition may take to come true.
const DEADLINE: Duration = Duration::from_secs(20);

/// Which iptables the host's `iptables` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Nft,
    Legacy,
}

pub(crate) const BACKENDS: [Backend; 2] = [Backend::Nft, Backend::Legacy];

/// A host.
pub(crate) struct Host {
    holder: Child,
    _alive: ChildStdin,
    pub(crate) folder: TempDir,
}

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Host {
    pub(crate) fn new(backend: Backend) -> Self {
        assert!(is_root(), "this test changes network namespaces and needs root: run it with sudo");
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("alternatives")).unwrap();
        for name in ["interfaces", "if-pre-up", "if-up", "if-down", "if-post-down"] {
            fs::create_dir_all(folder.path().join(format!("network/{name}.d"))).unwrap();
        }
        lay_alternatives(&folder.path().join("alternatives"), backend);
        let script = r#"
            set -e
            mount --bind "$1/network" /etc/network
            mount --bind "$1/alternatives" /etc/alternatives
            mount -t tmpfs tmpfs /run
            mkdir /run/network
            mount -t tmpfs tmpfs /var/lib
            # An address that is tentative for a moment, or comes a moment later, would make two pictures differ.
            echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
            echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
            ip link set lo up
            echo ready
            exec cat
        "#;
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux)");
        let alive = holder.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the namespace was not set up");
        Self { holder, _alive: alive, folder }
    }

    /// A host whose interfaces file has the usual lo stanza.
    pub(crate) fn with_lo_stanza(backend: Backend) -> Self {
        let host = Self::new(backend);
        host.write_interfaces("auto lo\niface lo inet loopback\n");
        host
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command inside, ready to run.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.pid().to_string()).args(["--net", "--mount", "--", program]);
        command
    }

    /// Runs a shell line inside that must succeed; its standard output.
    pub(crate) fn sh(&self, line: &str) -> String {
        let said = said(&self.command("sh").args(["-ec", line]).output().unwrap());
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        said.out
    }

    /// The program under test.
    pub(crate) fn setup(&self, arguments: &str) -> Said {
        said(&self.command(SETUP).args(arguments.split_ascii_whitespace()).output().unwrap())
    }

    /// The program under test, which must do it.
    pub(crate) fn must(&self, arguments: &str) -> Said {
        let said = self.setup(arguments);
        assert_eq!(said.code, Some(0), "{arguments}: {said:?}");
        said
    }

    /// The program under test, killed at a point; whether it got that far.
    pub(crate) fn killed_at(&self, arguments: &str, point: u32) -> bool {
        let mut command = self.command(SETUP);
        command
            .args(arguments.split_ascii_whitespace())
            .env("FAKE_METADATA_SETUP_KILL_AT", point.to_string());
        let output = command.output().unwrap();
        // nsenter became the program, so its signal is ours to see.
        use std::os::unix::process::ExitStatusExt;
        assert!(output.status.signal() == Some(9) || output.status.success(), "{:?}", said(&output));
        output.status.signal() == Some(9)
    }

    pub(crate) fn interfaces(&self) -> PathBuf {
        self.folder.path().join("network/interfaces")
    }

    pub(crate) fn write_interfaces(&self, text: &str) {
        fs::write(self.interfaces(), text).unwrap();
    }

    pub(crate) fn read_interfaces(&self) -> String {
        fs::read_to_string(self.interfaces()).unwrap()
    }

    /// A configuration file; returns the argument that names it.
    pub(crate) fn config(&self, text: &str) -> String {
        let path = self.folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        format!("--config {}", path.display())
    }

    /// Starts a responder inside, under the daemon's name; it ends with the returned value.
    pub(crate) fn daemon(&self, addresses: &[&str]) -> Peer {
        self.responder("fake-metadata", addresses)
    }

    /// Starts a responder inside, under any program name.
    pub(crate) fn responder(&self, name: &str, addresses: &[&str]) -> Peer {
        let program = self.folder.path().join(name);
        if !program.exists() {
            symlink(peer_program(), &program).unwrap();
        }
        let mut command = self.command(program.to_str().unwrap());
        command
            .arg("serve")
            .args(addresses)
            .env("PEER_NAME", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        for address in addresses {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            assert_eq!(line, format!("listening {address}\n"));
        }
        Peer(process)
    }

    /// Asks an address from inside; the answer, or the error.
    pub(crate) fn get(&self, address: &str) -> Result<String, String> {
        let said =
            said(&self.command(peer_program().to_str().unwrap()).args(["get", address]).output().unwrap());
        if said.code == Some(0) { Ok(said.out.trim().to_owned()) } else { Err(said.err) }
    }

    /// Whether an address answers a ping from inside.
    pub(crate) fn ping(&self, ip: &str) -> bool {
        let output = self.command(peer_program().to_str().unwrap()).args(["ping", ip]).output().unwrap();
        output.status.success()
    }

    /// Everything of the host that setup may touch, for comparing before and after.
    pub(crate) fn picture(&self) -> String {
        let rules = self.sh(
            "ip -o addr show; ip route show table all; ip rule; nft list ruleset 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//'; \
             for t in $(cat /proc/net/ip_tables_names); do iptables-legacy -t $t -S; done; \
             for t in $(cat /proc/net/ip6_tables_names); do ip6tables-legacy -t $t -S; done; \
             find /etc/network /var/lib -printf '%p %y %m %u %g %l\\n' | sort",
        );
        let interfaces = fs::read(self.interfaces()).unwrap_or_default();
        format!("{rules}{}", String::from_utf8_lossy(&interfaces))
    }

    /// How many rules carry our comment, in all tables of both back ends.
    pub(crate) fn our_rules(&self) -> usize {
        let listing = self.sh(
            "for t in nat raw filter; do iptables-nft -t $t -S; ip6tables-nft -t $t -S; done 2>/dev/null; \
             for t in $(cat /proc/net/ip_tables_names); do iptables-legacy -t $t -S; done; \
             for t in $(cat /proc/net/ip6_tables_names); do ip6tables-legacy -t $t -S; done",
        );
        listing.lines().filter(|line| line.contains("fake-metadata.")).count()
    }

    /// A veth pair: `here` on this host, `there` on the other, both up.
    pub(crate) fn link(&self, here: &str, other: &Host, there: &str) {
        self.sh(&format!("ip link add {here} type veth peer name {there} netns {}", other.pid()));
        self.sh(&format!("ip link set {here} up"));
        other.sh(&format!("ip link set {there} up"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A responder that ends with its value.
pub(crate) struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Waits for a condition to come true.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// The example `peer`, which cargo builds with the tests.
fn peer_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/peer");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/peer.rs");
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    // A whole `cargo test` builds the examples; one with `--test NAME` does not.
    assert!(
        changed(&program) >= changed(&source),
        "{} is not up to date: cargo build --examples",
        program.display()
    );
    program
}

/// A copy of /etc/alternatives in which iptables and ip6tables stand for the wanted back end.
fn lay_alternatives(folder: &Path, backend: Backend) {
    for entry in fs::read_dir("/etc/alternatives").unwrap().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            symlink(target, folder.join(entry.file_name())).unwrap();
        }
    }
    let suffix = if backend == Backend::Nft { "nft" } else { "legacy" };
    for name in ["iptables", "ip6tables"] {
        let _ = fs::remove_file(folder.join(name));
        symlink(format!("/usr/sbin/{name}-{suffix}"), folder.join(name)).unwrap();
    }
}
