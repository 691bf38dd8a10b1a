//! Load on a metadata service that looks at every answer: `load ADDRESS:PORT CONNECTIONS REQUESTS PATH...`.
//!
//! Each connection is kept and asks, in turn, for a new session token or for one of the paths with the newest token it
//! has. What belongs to a path is read once at the start. The first answer that is not what it must be ends the run
//! with exit code 1 and says what was wrong; otherwise one line of JSON says how much was done and how long it took.
//! wrk measures speed; this proves that nobody gets somebody else's answer.

mod connection;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use connection::{Answer, Connection};

/// One request in so many is for a token.
const TOKEN_EVERY: u64 = 8;
const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN_LENGTH: usize = 56;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Plan {
    address: SocketAddr,
    connections: u64,
    requests: u64,
    /// Each path and the body that belongs to it.
    paths: Vec<(String, Vec<u8>)>,
}

fn main() -> ExitCode {
    match plan().and_then(|plan| run(&plan)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Outcome<Plan> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: load ADDRESS:PORT CONNECTIONS REQUESTS PATH...");
    let address = next()?.parse()?;
    let (connections, requests) = (next()?.parse()?, next()?.parse()?);
    let mut connection = Connection::open(address)?;
    let token = new_token(&mut connection)?;
    let mut paths = Vec::new();
    for path in args {
        let answer = connection.get(&path, &token)?;
        if answer.status != 200 {
            return Err(format!("GET {path}: status {}", answer.status).into());
        }
        paths.push((path, answer.body.to_vec()));
    }
    if paths.is_empty() {
        return Err("no path given".into());
    }
    Ok(Plan { address, connections, requests, paths })
}

fn run(plan: &Plan) -> Outcome<String> {
    let (tokens, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| -> Outcome<()> {
        let clients: Vec<_> = (0..plan.connections)
            .map(|number| {
                let (tokens, reads) = (&tokens, &reads);
                scope.spawn(move || client(plan, number, tokens, reads))
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client thread panicked")??;
        }
        Ok(())
    })?;
    Ok(format!(
        r#"{{"connections": {}, "tokens": {}, "reads": {}, "seconds": {:.3}}}"#,
        plan.connections,
        tokens.load(Ordering::Relaxed),
        reads.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64()
    ))
}

/// One connection's share of the requests; each begins at another path, so that neighbours differ.
fn client(plan: &Plan, number: u64, tokens: &AtomicU64, reads: &AtomicU64) -> Outcome<()> {
    let share = plan.requests / plan.connections + u64::from(number < plan.requests % plan.connections);
    let mut connection = Connection::open(plan.address)?;
    let mut token = String::new();
    for turn in 0..share {
        if turn % TOKEN_EVERY == 0 {
            token = new_token(&mut connection)?;
            tokens.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let choice = usize::try_from(turn + number)? % plan.paths.len();
        let (path, body) = &plan.paths[choice];
        let answer = connection.get(path, &token)?;
        if answer.status != 200 || answer.body != body.as_slice() {
            return Err(wrong(path, &answer).into());
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn new_token(connection: &mut Connection) -> Outcome<String> {
    let answer = connection.put(TOKEN_PATH)?;
    if answer.status != 200 || answer.body.len() != TOKEN_LENGTH || !answer.body.starts_with(b"AQAEA") {
        return Err(wrong(TOKEN_PATH, &answer).into());
    }
    Ok(String::from_utf8(answer.body.to_vec())?)
}

fn wrong(path: &str, answer: &Answer<'_>) -> String {
    let shown = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]);
    format!("{path}: status {}, a body of {} bytes: {shown:?}", answer.status, answer.body.len())
}
