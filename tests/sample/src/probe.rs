//! One HTTP request to the service, as `start` and `status` need it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long connecting, and each read, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks for a path. An error means that nobody answered in time.
pub(crate) fn ask(address: &str, path: &str) -> Result<Answer> {
    let address: SocketAddr = address
        .to_socket_addrs()
        .with_context(|| format!("`{address}` is not an address such as 127.0.0.1:8080"))?
        .next()
        .with_context(|| format!("`{address}` resolves to nothing"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    parse(&text)
}

fn parse(text: &str) -> Result<Answer> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("not a whole answer") };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let Some(status) = status else { bail!("not an HTTP answer") };
    Ok(Answer { status, body: body.to_owned() })
}
