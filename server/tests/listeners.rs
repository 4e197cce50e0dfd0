//! TLS, HTTP/2, the Unix socket, UDP, and the limits on connections and clients.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::{Server, directory, eventually};

fn serve(data: &Path, settings: &[(&str, &str)]) -> Server {
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data);
    for (key, value) in settings {
        command.env(format!("PLIMSOLL_{}", key.to_uppercase()), value);
    }
    Server::spawn(&mut command)
}

fn certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
}

/// An answer over TLS, the protocol that was agreed on, and the certificate that was shown.
fn over_tls(
    address: &str,
    trusted: &Path,
    protocols: &[&[u8]],
) -> std::io::Result<(String, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // The server may close without TLS's farewell.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    let agreed = stream.conn.alpn_protocol().unwrap_or_default().to_vec();
    Ok((String::from_utf8_lossy(&answer).into_owned(), agreed))
}

#[test]
fn tls_is_spoken_and_its_certificate_is_read_again() {
    let directory = directory();
    certificate(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let server = serve(
        &directory.path().join("data"),
        &[
            ("tls_certificate_file", &file("tls.crt")),
            ("tls_key_file", &file("tls.key")),
        ],
    );
    let address = server.client.address.clone();
    let first = directory.path().join("first.crt");
    std::fs::copy(directory.path().join("tls.crt"), &first).unwrap();
    let (answer, agreed) = over_tls(&address, &first, &[b"http/1.1"]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(agreed, b"http/1.1");

    let mut ping = support::plimsoll();
    let url = format!("https://localhost:{}", address.rsplit_once(':').unwrap().1);
    ping.args(["ping", "--url", &url, "--ca-file"]).arg(&first);
    assert_eq!(support::ends(&mut ping), (Some(0), String::new()));

    certificate(directory.path());
    server.signal("HUP");
    let second = directory.path().join("tls.crt");
    eventually("the new certificate", || {
        over_tls(&address, &second, &[]).ok()
    });
    assert!(over_tls(&address, &first, &[]).is_err());

    // A certificate that does not fit its key is refused, and the old one stays.
    std::fs::copy(&first, directory.path().join("tls.crt")).unwrap();
    server.signal("HUP");
    eventually("the refusal", || {
        server
            .log()
            .contains("the old certificate stays")
            .then_some(())
    });
}

#[test]
fn http_2_is_spoken_with_and_without_tls() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("SKIPPED http_2_is_spoken_with_and_without_tls curl is not installed");
        return;
    }
    let directory = directory();
    certificate(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code}",
        ]);
        let output = command.args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let plain = serve(&directory.path().join("plain"), &[]);
    let ping = format!("{}/ping", plain.url());
    assert_eq!(ask(&["--http2-prior-knowledge", &ping]), "2 204");
    assert_eq!(ask(&["--http1.1", &ping]), "1.1 204");
    let tls = serve(
        &directory.path().join("tls"),
        &[
            ("tls_certificate_file", &file("tls.crt")),
            ("tls_key_file", &file("tls.key")),
        ],
    );
    let ping = format!("https://{}/ping", tls.client.address);
    assert_eq!(ask(&["-k", "--http2", &ping]), "2 204");
}

#[test]
fn half_of_a_certificate_is_refused() {
    let directory = directory();
    let mut command = support::plimsoll();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .env("PLIMSOLL_TLS_KEY_FILE", "key.pem");
    let (code, text) = support::ends(&mut command);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("tls_certificate_file and tls_key_file belong together"),
        "{text}"
    );
}

#[test]
fn a_unix_socket_answers_and_goes_with_the_server() {
    let directory = directory();
    let path = directory.path().join("http.sock");
    let settings = [("unix_socket", path.to_str().unwrap())];
    let data = directory.path().join("data");
    let ask = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream
            .write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let server = serve(&data, &settings);
    assert!(ask().starts_with("HTTP/1.1 204"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);
    // What a killed server leaves is taken over.
    server.kill();
    assert!(path.exists());
    let server = serve(&data, &settings);
    assert!(ask().starts_with("HTTP/1.1 204"));
    server.stop();
    assert!(!path.exists());
}

#[test]
fn udp_packets_are_stored() {
    let directory = directory();
    let free = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = serve(
        directory.path(),
        &[
            ("udp_listen", &free.to_string()),
            ("udp_database", "u"),
            ("udp_precision", "s"),
        ],
    );
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"m,h=a x=1 1\nm,h=b x=2 2", free).unwrap();
    sender.send_to(b"no line", free).unwrap();
    sender.send_to(b"m,h=c x=3 3\n", free).unwrap();
    let found = eventually("the points", || {
        let found = server.query("u", "SELECT h, x FROM m", "&epoch=s");
        let values = &found["results"][0]["series"][0]["values"];
        (values.as_array().is_some_and(|rows| rows.len() == 3)).then(|| values.clone())
    });
    assert_eq!(
        found,
        serde_json::json!([[1, "a", 1], [2, "b", 2], [3, "c", 3]])
    );
    eventually("the bad line in the log", || {
        server
            .log()
            .contains("unable to parse 'no line'")
            .then_some(())
    });
    let metrics = server.client.get("/metrics").text();
    assert!(
        metrics.contains("plimsoll_udp_packets_total 3"),
        "{metrics}"
    );
}

#[test]
fn connections_over_the_limit_are_told_so() {
    let directory = directory();
    let server = serve(directory.path(), &[("max_connection_limit", "2")]);
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.client.address).unwrap();
            stream
                .write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 204");
            stream
        })
        .collect();
    let refused = server.client.get("/ping");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.error(), "max_connection_limit (2) is reached");
    drop(held);
    eventually("room again", || {
        let answer = server.client.try_send("GET", "/ping", &[], b"").ok()?;
        (answer.status == 204).then_some(())
    });
}

#[test]
fn slow_clients_are_let_go() {
    let directory = directory();
    let server = serve(
        directory.path(),
        &[
            ("read_header_timeout", "300ms"),
            ("read_body_timeout", "300ms"),
        ],
    );
    let closed = |sent: &[u8]| {
        let mut stream = TcpStream::connect(&server.client.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(sent).unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too; only waiting on is not.
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    closed(b"");
    closed(b"PRI * HTT");
    closed(b"GET /ping HTTP/1.1\r\nHos");
    let answer =
        closed(b"POST /write?db=k8s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nm x=");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("read_body_timeout (300ms)"), "{answer}");
}

#[test]
fn bodies_have_a_budget_together() {
    let directory = directory();
    let server = serve(
        directory.path(),
        &[("max_body_size", "1MiB"), ("request_memory_max", "1MiB")],
    );
    // The first takes most of the budget and does not end.
    let mut first = TcpStream::connect(&server.client.address).unwrap();
    first
        .write_all(b"POST /write?db=k8s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        .unwrap();
    first.write_all(&vec![b'#'; 900_000]).unwrap();
    eventually("the first body", || {
        let metrics = server.client.get("/metrics").text();
        metrics
            .contains("plimsoll_request_memory_bytes 900000")
            .then_some(())
    });
    let refused = server.client.post("/write?db=k8s", &vec![b'#'; 300_000]);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused
            .error()
            .contains("request_memory_max (1048576 bytes)"),
        "{}",
        refused.error()
    );
    drop(first);
    eventually("room again", || {
        let answer = server.client.post("/write?db=k8s", &vec![b'#'; 300_000]);
        (answer.status == 204).then_some(())
    });
}

#[test]
fn request_smuggling_is_refused() {
    let directory = directory();
    let server = serve(directory.path(), &[]);
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length : 5",
    ] {
        let mut stream = TcpStream::connect(&server.client.address).unwrap();
        let request = format!(
            "POST /write?db=k8s HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers}: {answer}");
        assert!(!answer.contains("204 No Content"), "{headers}: {answer}");
    }
}

#[test]
fn the_servers_own_figures_are_stored() {
    let directory = directory();
    let server = serve(directory.path(), &[("monitor_store_interval", "1s")]);
    server.write("k8s", "m x=1");
    let found = eventually("figures", || {
        let text = "SELECT last(req), last(pointsWrittenOK) FROM httpd GROUP BY hostname";
        let found = server.query("_internal", text, "");
        let series = found["results"][0]["series"][0].clone();
        (series["values"][0][2].as_u64()? >= 1).then_some(series)
    });
    assert!(found["tags"]["hostname"].is_string(), "{found}");
    let policies = server.query("_internal", "SHOW RETENTION POLICIES", "");
    let policy = &policies["results"][0]["series"][0]["values"][0];
    assert_eq!(
        (&policy[0], &policy[1]),
        (&"monitor".into(), &"168h0m0s".into())
    );
}

#[test]
fn a_slow_statement_is_logged_without_its_password() {
    let directory = directory();
    let server = serve(
        directory.path(),
        &[("log_queries_after", "1ns"), ("log_format", "json")],
    );
    let headers = [("X-Request-Id", "my-id")];
    let text = support::http::encode("CREATE USER a WITH PASSWORD 'tiger'");
    let answer = server
        .client
        .send("POST", &format!("/query?q={text}"), &headers, b"");
    assert_eq!(answer.status, 200);
    let line = eventually("the line", || {
        let log = server.log();
        log.lines()
            .find(|line| line.contains("slow query"))
            .map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let shown = line.to_string();
    assert!(
        shown.contains("my-id") && shown.contains("[REDACTED]"),
        "{shown}"
    );
    assert!(!shown.contains("tiger"), "{shown}");
}

#[test]
fn a_name_is_never_a_path() {
    let directory = directory();
    let data = directory.path().join("a/b/data");
    let server = serve(&data, &[]);
    for name in ["../../escape", "/tmp/x", "..", "a/../../b", "x\u{0}y"] {
        let quoted = name.replace('"', "\\\"");
        server
            .client
            .query("", &format!("CREATE DATABASE \"{quoted}\""), "");
        server.client.post(
            &format!("/write?db={}", support::http::encode(name)),
            b"m x=1",
        );
    }
    server.stop();
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names(directory.path()), ["a"]);
    assert_eq!(names(&directory.path().join("a")), ["b"]);
    assert_eq!(names(&directory.path().join("a/b")), ["data"]);
}

#[test]
fn a_stop_lets_a_running_request_finish() {
    let directory = directory();
    let server = serve(directory.path(), &[]);
    let mut stream = TcpStream::connect(&server.client.address).unwrap();
    stream
        .write_all(b"POST /write?db=k8s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nm ")
        .unwrap();
    eventually("the start of the body", || {
        let metrics = server.client.get("/metrics").text();
        metrics
            .contains("plimsoll_request_memory_bytes 2\n")
            .then_some(())
    });
    server.signal("TERM");
    eventually("the end of listening", || {
        let again = TcpStream::connect(&server.client.address);
        again.is_err().then_some(())
    });
    stream.write_all(b"x=1").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let (status, _) = server.stop();
    assert!(status.success());
}
