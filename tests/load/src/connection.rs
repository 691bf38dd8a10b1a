//! One kept HTTP/1.1 connection: a request out, exactly one answer in, no allocation for the answer.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer of the service with its head.
const BUFFER_BYTES: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// An answer, in the connection's buffer until the next request.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Connection { stream, request: Vec::with_capacity(512), buffer: vec![0; BUFFER_BYTES] })
    }

    pub fn get(&mut self, path: &str, token: &str) -> Outcome<Answer<'_>> {
        self.exchange("GET", path, "X-aws-ec2-metadata-token", token)
    }

    /// A token request for the longest time there is.
    pub fn put(&mut self, path: &str) -> Outcome<Answer<'_>> {
        self.exchange("PUT", path, "X-aws-ec2-metadata-token-ttl-seconds", "21600")
    }

    fn exchange(&mut self, method: &str, path: &str, name: &str, value: &str) -> Outcome<Answer<'_>> {
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: keep-alive\r\n{name}: {value}\r\n\r\n"
        )?;
        self.stream.write_all(&self.request)?;
        self.answer().map_err(|error| format!("{method} {path}: {error}").into())
    }

    fn answer(&mut self) -> Outcome<Answer<'_>> {
        let mut filled = 0;
        let head_end = loop {
            filled += self.fill(filled)?;
            if let Some(end) = self.buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.get(9..12).ok_or("no status")?.parse()?;
        let length =
            head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: ")).ok_or("no length")?;
        let end = head_end + length.parse::<usize>()?;
        while filled < end {
            filled += self.fill(filled)?;
        }
        if filled > end {
            return Err(format!("{} bytes more than one answer", filled - end).into());
        }
        Ok(Answer { status, body: &self.buffer[head_end..end] })
    }

    fn fill(&mut self, filled: usize) -> Outcome<usize> {
        match self.stream.read(&mut self.buffer[filled..])? {
            0 if filled == self.buffer.len() => Err("an answer longer than the buffer".into()),
            0 => Err("closed before a whole answer".into()),
            read => Ok(read),
        }
    }
}
