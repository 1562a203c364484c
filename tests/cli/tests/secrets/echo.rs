//! A server on this machine that answers every request with its own headers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server; its thread ends with the process.
pub(crate) struct EchoServer {
    port: u16,
    got: Arc<Mutex<String>>,
}

impl EchoServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(String::new()));
        let keeps = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up early got what he wanted.
                let _ = answer(stream, &keeps);
            }
        });
        Self { port, got }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// All that was ever sent.
    pub(crate) fn got(&self) -> String {
        self.got.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, got: &Mutex<String>) -> std::io::Result<()> {
    let mut head = String::new();
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        head += &format!("{line}\n");
    }
    got.lock().unwrap().push_str(&head);
    let header = head.lines().find(|line| line.starts_with("authorization")).unwrap_or("x: y");
    let length = head.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-echo: {header}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{head}"
    );
    (&stream).write_all(answer.as_bytes())
}
