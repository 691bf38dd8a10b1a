//! Stand-ins for the network tests: a daemon that answers with who asked, and a client that asks or pings.
//!
//! `peer serve ADDRESS...` prints `listening ADDRESS` a line and answers `NAME from PEER`, NAME being the value of
//! the environment variable `PEER_NAME`. It ends when its standard input does, so it never outlives a test.
//! `peer get ADDRESS` prints the answer, `peer ping IP` the word reply; both exit 1 when a second brings nothing.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", addresses @ ..] => serve(addresses),
        ["get", address] => get(address),
        ["ping", ip] => ping(ip),
        _ => Err(io::Error::other("usage: peer serve ADDRESS... | get ADDRESS | ping IP")),
    };
    if let Err(error) = outcome {
        eprintln!("peer: {error}");
        std::process::exit(1);
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("not an address: {text}")))
}

fn serve(addresses: &[&str]) -> io::Result<()> {
    for address in addresses {
        let listener = bind(parse(address)?)?;
        println!("listening {}", listener.local_addr()?);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
    }
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// Free bind: an address that is not on the host yet is taken all the same.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let name = std::env::var("PEER_NAME").unwrap_or_else(|_| "daemon".to_owned());
    let mut request = [0; 512];
    let _ = stream.read(&mut request)?;
    let text = format!("{name} from {}\n", stream.peer_addr()?.ip());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    stream.write_all(format!("{head}{text}").as_bytes())
}

fn get(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&parse(address)?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // In one write: the other end reads once.
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
    print!("{body}");
    Ok(())
}

/// One ICMP echo request (RFC 792), and its reply.
fn ping(ip: &str) -> io::Result<()> {
    let ip: Ipv4Addr = parse(ip)?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Type 8, code 0, checksum, identifier 0x1234, sequence 1.
    let checksum = !(0x0800_u16 + 0x1234 + 1);
    let [high, low] = checksum.to_be_bytes();
    socket.send_to(&[8, 0, high, low, 0x12, 0x34, 0, 1], &SocketAddr::from((ip, 0)).into())?;
    loop {
        let mut buffer = [MaybeUninit::uninit(); 256];
        let (_, from) = socket.recv_from(&mut buffer)?;
        if from.as_socket_ipv4().is_some_and(|from| *from.ip() == ip) {
            println!("reply");
            return Ok(());
        }
    }
}
