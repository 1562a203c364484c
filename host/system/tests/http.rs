//! Requests to a server on this machine that does everything but what it should.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use vaultup_system::Error;
use vaultup_system::http::{
    Header, HostPort, Http, NamedBy, Policy, REDIRECTS_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
    Request, Response,
};

const CERTIFICATE: &[u8] = include_bytes!("certificates/localhost.certificate.der");
const KEY: &[u8] = include_bytes!("certificates/localhost.key.der");

/// A server that answers each connection by a function, and remembers what it was sent.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (remembered, answer) = (Arc::clone(&heads), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (heads, answer) = (Arc::clone(&remembered), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let head = read_request(&mut stream);
                    heads.lock().unwrap().push(head.clone());
                    answer(&head, &mut stream);
                });
            }
        });
        Self { address, heads }
    }

    /// One that answers with these bytes.
    fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        // A client that has heard enough hangs up.
        Self::new(move |_, stream| drop(stream.write_all(&answer)))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn policy(&self) -> Policy {
        policy(&[&self.address.to_string()], NamedBy::Operator)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The head of a request and its body, as text.
fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return head;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-kind: plain\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn policy(hosts: &[&str], by: NamedBy) -> Policy {
    let hosts = hosts.iter().map(|host| (HostPort::parse(host).unwrap(), by));
    Policy { allowed: hosts.collect() }
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        deadline: Duration::from_secs(20),
    }
}

async fn send(request: &Request, policy: &Policy) -> Result<Response, Error> {
    Http::new().send(request, policy).await
}

#[tokio::test]
async fn an_answer_is_given_whatever_its_status() {
    let server = Server::new(|head, stream| {
        let path = head.split(' ').nth(1).unwrap();
        let status = path.trim_start_matches('/');
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nhi");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    for status in [200, 201, 404, 500, 503] {
        let url = server.url(&format!("/{status}"));
        let response = send(&get(&url), &server.policy()).await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (status, &b"hi"[..]));
        assert!(response.headers.contains(&("x-a".to_owned(), "1".to_owned())));
    }
}

#[tokio::test]
async fn a_request_is_sent_as_it_was_given_on_a_connection_of_its_own() {
    let server = Server::saying(ok("done"));
    let mut request = get(&server.url("/orders?x=1"));
    request.method = "POST".to_owned();
    request.body = Some(b"{\"a\":1}".to_vec());
    for (name, value) in [("content-type", "application/json"), ("X-Many", "1"), ("x-many", "2")] {
        let (name, value) = (name.to_owned(), value.to_owned());
        request.headers.push(Header { name, value, secret: false });
    }
    let http = Http::new();
    for _ in 0..2 {
        http.send(&request, &server.policy()).await.unwrap();
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 2, "a connection was used twice");
    let head = heads[0].to_ascii_lowercase();
    assert!(head.starts_with("post /orders?x=1 http/1.1\r\n"), "{head}");
    for line in ["content-type: application/json", "x-many: 1", "x-many: 2", "user-agent: vaultup/"]
    {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
    assert!(head.ends_with("{\"a\":1}"));
}

#[tokio::test]
async fn only_granted_hosts_are_asked() {
    let server = Server::saying(ok(""));
    let other = Server::saying(ok(""));
    let error = send(&get(&other.url("/")), &server.policy()).await.unwrap_err();
    assert!(matches!(error, Error::HttpNotGranted { .. }), "{error}");
    send(&get(&other.url("/")), &Policy::default()).await.unwrap_err();
    assert!(other.heads().is_empty() && server.heads().is_empty());
}

#[tokio::test]
async fn a_host_that_only_a_manifest_names_must_be_public() {
    let server = Server::saying(ok(""));
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}/");
        let hosts = [&*format!("{host}:{port}")];
        let error = send(&get(&url), &policy(&hosts, NamedBy::Manifest)).await.unwrap_err();
        assert!(matches!(error, Error::HttpAddressRefused { .. }), "{error}");
        assert!(server.heads().is_empty());
    }
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}/");
        let hosts = [&*format!("{host}:{port}")];
        send(&get(&url), &policy(&hosts, NamedBy::Operator)).await.unwrap();
    }
}

#[tokio::test]
async fn a_redirect_is_followed_within_the_grant_only() {
    let target = Server::saying(ok("there"));
    let server = Server::saying(redirect(302, &target.url("/x")));
    let both =
        policy(&[&server.address.to_string(), &target.address.to_string()], NamedBy::Operator);
    let response = send(&get(&server.url("/")), &both).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, &b"there"[..]));
    let error = send(&get(&server.url("/")), &server.policy()).await.unwrap_err();
    assert!(matches!(error, Error::HttpNotGranted { .. }), "{error}");
    assert_eq!(target.heads().len(), 1);
}

#[tokio::test]
async fn a_redirect_to_a_metadata_service_is_refused_even_if_it_was_granted() {
    let server = Server::saying(redirect(302, "http://169.254.169.254/latest/meta-data/"));
    let hosts = [&*server.address.to_string(), "169.254.169.254:80"];
    let error = send(&get(&server.url("/")), &policy(&hosts, NamedBy::Operator)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::HttpAddressRefused { .. }), "{error}");
}

#[tokio::test]
async fn a_manifests_host_that_redirects_to_this_machine_is_refused() {
    // The first hop is the operator's, the second only the manifest's.
    let target = Server::saying(ok("private"));
    let to = format!("http://localhost:{}/", target.address.port());
    let server = Server::saying(redirect(307, &to));
    let mut mixed = server.policy();
    let port = target.address.port();
    mixed.allowed.push((HostPort::parse(&format!("localhost:{port}")).unwrap(), NamedBy::Manifest));
    let error = send(&get(&server.url("/")), &mixed).await.unwrap_err();
    assert!(matches!(error, Error::HttpAddressRefused { .. }), "{error}");
    assert!(target.heads().is_empty());
}

#[tokio::test]
async fn redirects_at_the_limit_are_followed_and_one_more_is_not() {
    for (redirects, fits) in [(REDIRECTS_MAX, true), (REDIRECTS_MAX + 1, false)] {
        let server = Server::new(move |head, stream| {
            let path = head.split(' ').nth(1).unwrap();
            let count: usize = path.trim_start_matches('/').parse().unwrap();
            let answer = if count == redirects {
                ok("end")
            } else {
                redirect(301, &format!("/{}", count + 1))
            };
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let result = send(&get(&server.url("/0")), &server.policy()).await;
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let target = Server::saying(ok(""));
    let to = target.url("/");
    let server = Server::new(move |head, stream| {
        let to = if head.starts_with("GET /here") { "/again" } else { &to };
        stream.write_all(redirect(302, to).as_bytes()).unwrap();
    });
    let hosts = [&*server.address.to_string(), &*target.address.to_string()];
    let mut request = get(&server.url("/here"));
    for (name, secret) in [("authorization", false), ("x-token", true), ("x-plain", false)] {
        let (name, value) = (name.to_owned(), "hunter22".to_owned());
        request.headers.push(Header { name, value, secret });
    }
    assert!(!format!("{:?}", request.headers[1]).contains("hunter22"));
    send(&request, &policy(&hosts, NamedBy::Operator)).await.unwrap();
    let own = &server.heads()[1];
    assert!(own.starts_with("GET /again") && own.contains("x-token") && own.contains("x-plain"));
    let foreign = &target.heads()[0];
    assert!(foreign.contains("x-plain: hunter22"), "{foreign}");
    assert_eq!(foreign.matches("hunter22").count(), 1, "{foreign}");
}

#[tokio::test]
async fn a_redirect_repeats_or_turns_a_request_as_its_status_says() {
    for (status, method, expected) in [
        (302, "POST", Some("GET /to")),
        (303, "POST", Some("GET /to")),
        (307, "POST", Some("POST /to")),
        (308, "DELETE", Some("DELETE /to")),
        (302, "HEAD", Some("HEAD /to")),
        (302, "DELETE", None),
        (303, "PUT", None),
        (304, "GET", None),
    ] {
        let server = Server::new(move |head, stream| {
            let at_end = head.contains(" /to ");
            let answer = if at_end { ok("") } else { redirect(status, "/to") };
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut request = get(&server.url("/from"));
        request.method = method.to_owned();
        request.body = (method == "POST").then(|| b"body".to_vec());
        let response = send(&request, &server.policy()).await.unwrap();
        let second = server.heads().get(1).cloned();
        match (expected, second) {
            (None, None) => assert_eq!(response.status, status),
            (Some(expected), Some(second)) => {
                assert!(second.starts_with(expected), "{status} {method}: {second}");
                assert_eq!(second.ends_with("body"), expected.starts_with("POST"), "{second}");
            }
            (expected, second) => panic!("{status} {method}: {expected:?}, {second:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_not() {
    for (bytes, fits) in [(RESPONSE_BYTES_MAX, true), (RESPONSE_BYTES_MAX + 1, false)] {
        for announced in [true, false] {
            let length = format!("content-length: {bytes}\r\n");
            let length = if announced { &length } else { "connection: close\r\n" };
            let mut answer = format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes();
            answer.resize(answer.len() + bytes, b'x');
            let server = Server::saying(answer);
            match send(&get(&server.url("/")), &server.policy()).await {
                Ok(response) => assert!(fits && response.body.len() == bytes),
                Err(Error::HttpTooLarge { .. }) => assert!(!fits),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_given_up() {
    let server = Server::new(|_, stream| {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        while stream.write_all(&answer).is_ok() {
            answer = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        }
    });
    let error = send(&get(&server.url("/")), &server.policy()).await.unwrap_err();
    assert!(matches!(error, Error::HttpTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn whatever_is_slow_ends_at_the_deadline() {
    let silent = Server::new(|_, _| std::thread::sleep(Duration::from_secs(5)));
    let drip = Server::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let head = Server::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x-a: b\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let chain = Server::new(|_, stream| {
        std::thread::sleep(Duration::from_millis(200));
        let _ = stream.write_all(redirect(302, "/").as_bytes());
    });
    for server in [silent, drip, head, chain] {
        let mut request = get(&server.url("/?token=hunter22"));
        request.deadline = Duration::from_millis(400);
        let began = Instant::now();
        let error = send(&request, &server.policy()).await.unwrap_err();
        assert!(matches!(error, Error::HttpDeadline { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(!format!("{error} {error:?}").contains("hunter22"));
    }
}

#[tokio::test]
async fn an_answer_that_is_none_or_breaks_off_is_an_error_that_shows_no_query() {
    for answer in [
        "",
        "\0\u{1}garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    ] {
        let server = Server::saying(answer);
        let error = send(&get(&server.url("/?token=hunter22")), &server.policy()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::HttpUnreachable { .. }), "{answer:?}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_there_or_an_unknown_name_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for host in [free.to_string(), "no-such-host.invalid:80".to_owned()] {
        let request = get(&format!("http://{host}/"));
        let error = send(&request, &policy(&[&host], NamedBy::Operator)).await.unwrap_err();
        assert!(matches!(error, Error::HttpUnreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_before_anything_is_sent() {
    let server = Server::saying(ok(""));
    let good = get(&server.url("/"));
    let header = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        Request { headers: vec![Header { name, value, secret: true }], ..good.clone() }
    };
    let host = server.address;
    let bad = [
        Request { method: "TRACE".to_owned(), ..good.clone() },
        Request { method: "get".to_owned(), ..good.clone() },
        Request { url: "/relative".to_owned(), ..good.clone() },
        Request { url: "file:///etc/passwd".to_owned(), ..good.clone() },
        Request { url: format!("ftp://{host}/"), ..good.clone() },
        Request { url: format!("http://user:hunter22@{host}/"), ..good.clone() },
        Request { body: Some(vec![0; REQUEST_BYTES_MAX + 1]), ..good.clone() },
        header("host", "elsewhere"),
        header("transfer-encoding", "chunked"),
        header("bad name", "x"),
        header("x-secret", "hunter22\r\nx-forged: 1"),
    ];
    for request in bad {
        let error = send(&request, &server.policy()).await.unwrap_err();
        assert!(matches!(error, Error::HttpMalformed { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
    }
    assert!(server.heads().is_empty());
    let largest = Request { body: Some(vec![b'x'; REQUEST_BYTES_MAX]), ..good };
    send(&Request { method: "POST".to_owned(), ..largest }, &server.policy()).await.unwrap();
}

/// A server that speaks TLS with a certificate that nobody trusts.
fn secure_server(answer: String) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from(CERTIFICATE);
    let configuration = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(KEY).into())
        .unwrap();
    let configuration = Arc::new(configuration);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = rustls::ServerConnection::new(Arc::clone(&configuration)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok() {
                let _ = tls.write_all(answer.as_bytes());
                connection.send_close_notify();
                let _ = connection.complete_io(&mut stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn https_trusts_known_authorities_only_and_checks_the_name() {
    let port = secure_server(ok("secure")).port();
    let url = |host: &str| format!("https://{host}:{port}/");
    let granted = |host: &str| policy(&[&format!("{host}:{port}")], NamedBy::Operator);
    let trusting = Http::trusting(vec![CERTIFICATE.to_vec()]);
    for host in ["localhost", "127.0.0.1"] {
        let response = trusting.send(&get(&url(host)), &granted(host)).await.unwrap();
        assert_eq!(response.body, b"secure");
        let error = Http::new().send(&get(&url(host)), &granted(host)).await.unwrap_err();
        // A machine without any authorities says so.
        assert!(
            matches!(error, Error::HttpUnreachable { .. } | Error::HttpAuthorities { .. }),
            "{error}"
        );
    }
    let other_name = "127.0.0.2";
    let error = trusting.send(&get(&url(other_name)), &granted(other_name)).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let plain = Server::saying(ok(""));
    let error = trusting.send(&get(&format!("https://{}/", plain.address)), &plain.policy()).await;
    assert!(matches!(error, Err(Error::HttpUnreachable { .. })), "{error:?}");
    let error = Http::trusting(vec![b"no certificate".to_vec()])
        .send(&get(&url("localhost")), &granted("localhost"))
        .await;
    assert!(matches!(error, Err(Error::HttpAuthorities { .. })), "{error:?}");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let plain = Server::saying(ok(""));
    let port = secure_server(redirect(302, &plain.url("/"))).port();
    let hosts = [&*format!("localhost:{port}"), &*plain.address.to_string()];
    let request = get(&format!("https://localhost:{port}/"));
    let error = Http::trusting(vec![CERTIFICATE.to_vec()])
        .send(&request, &policy(&hosts, NamedBy::Operator))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HttpRedirect { .. }), "{error}");
    assert!(plain.heads().is_empty());
}
