//! `cargo bench --bench kms_server`: what a server answers in a second, to eight clients that wait for
//! each answer: `Decrypt` and `GenerateDataKey` over its Unix socket, and over TLS with signatures.
//!
//! The clients share the processors with the server. They sign each request once and send it again and
//! again, so that the server's verification is measured and not the client's signing.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use rcgen::generate_simple_self_signed;
use rustix::process::{Pid, Signal, kill_process};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs,
};

const CLIENTS: usize = 8;
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::write(place.join("pass"), "correct horse").unwrap();
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(place.join("cert.pem"), certificate.cert.pem()).unwrap();
    fs::write(
        place.join("key.pem"),
        certificate.signing_key.serialize_pem(),
    )
    .unwrap();
    let user = kmsfs(place, &["kms", "user", "create", "bench", "--admin"]).output();
    let user: Value = serde_json::from_slice(&user.unwrap().stdout).unwrap();
    let (server, host) = serve(place);

    let socket = place.join("home/kms.sock");
    let local = || UnixStream::connect(&socket).unwrap();
    let config = tls(place);
    let remote = || {
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        StreamOwned::new(connection, stream)
    };
    let plain = |operation: &str, request: &Value| request_bytes(&host, operation, request, &[]);
    let signed = |operation: &str, request: &Value| {
        let headers = signature(&user, &host, operation, request);
        request_bytes(&host, operation, request, &headers)
    };

    let made = ask(&mut local(), &plain("CreateKey", &json!({})));
    let key = made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let context = json!({"kmsfs:volume": "0123456789abcdef", "kmsfs:file": "fedcba9876543210"});
    let generate = json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context});
    let data_key = ask(&mut local(), &plain("GenerateDataKey", &generate));
    let blob = &data_key["CiphertextBlob"];
    let decrypt = json!({"CiphertextBlob": blob, "EncryptionContext": context});

    for (operation, request) in [("Decrypt", &decrypt), ("GenerateDataKey", &generate)] {
        measure(
            &format!("Unix socket, {operation}"),
            local,
            &plain(operation, request),
        );
    }
    for (operation, request) in [("Decrypt", &decrypt), ("GenerateDataKey", &generate)] {
        measure(
            &format!("TLS and SigV4, {operation}"),
            remote,
            &signed(operation, request),
        );
    }
    end(server);
}

fn kmsfs(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmsfs"));
    let (home, pass) = (place.join("home"), place.join("pass"));
    command.arg("--home").arg(home).arg("--passfile").arg(pass);
    command.args(arguments);
    command
}

fn serve(place: &Path) -> (Child, String) {
    let (certificate, key) = (place.join("cert.pem"), place.join("key.pem"));
    let mut child = kmsfs(place, &["kms", "serve", "--listen", "127.0.0.1:0"])
        .arg("--tls-cert")
        .arg(certificate)
        .arg("--tls-key")
        .arg(key)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let host = line.trim().strip_prefix("listening on https://").unwrap();
    (child, host.to_owned())
}

fn end(mut server: Child) {
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    server.wait().unwrap();
}

fn tls(place: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(place.join("cert.pem")).unwrap();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn target(operation: &str) -> String {
    format!("TrentService.{operation}")
}

fn signature(user: &Value, host: &str, operation: &str, request: &Value) -> Vec<(String, String)> {
    let text = |name: &str| user[name].as_str().unwrap();
    let credentials = Credentials::new(
        text("AccessKeyId"),
        text("SecretAccessKey"),
        None,
        None,
        "bench",
    );
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("kms")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let (target, body) = (target(operation), request.to_string());
    let headers = [("host", host), ("x-amz-target", &target)];
    let uri = format!("https://{host}/");
    let body = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new("POST", uri, headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    let (headers, _) = instructions.into_parts();
    headers
        .iter()
        .map(|header| (header.name().to_owned(), header.value().to_owned()))
        .collect()
}

fn request_bytes(
    host: &str,
    operation: &str,
    request: &Value,
    headers: &[(String, String)],
) -> Vec<u8> {
    let (target, body) = (target(operation), request.to_string());
    let mut text = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: {target}\r\ncontent-type: \
         application/x-amz-json-1.1\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    format!("{text}\r\n{body}").into_bytes()
}

fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> Value {
    let mut buffer = Vec::new();
    let body = exchange(stream, request, &mut buffer);
    serde_json::from_slice(&buffer[body..]).unwrap()
}

/// Sends the request and reads its whole answer, which has to be a success; where its body begins.
fn exchange(stream: &mut (impl Read + Write), request: &[u8], buffer: &mut Vec<u8>) -> usize {
    stream.write_all(request).unwrap();
    buffer.clear();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the server closed the connection");
        buffer.extend_from_slice(&piece[..read]);
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(buffer)
        );
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if buffer.len() == head + 4 + length.parse::<usize>().unwrap() {
            return head + 4;
        }
    }
}

fn measure<S: Read + Write>(what: &str, connect: impl Fn() -> S + Sync, request: &[u8]) {
    let begin = Barrier::new(CLIENTS);
    let client = || {
        let (mut stream, mut buffer) = (connect(), Vec::new());
        for _ in 0..100 {
            exchange(&mut stream, request, &mut buffer);
        }
        begin.wait();
        let began = Instant::now();
        let mut took = Vec::new();
        while began.elapsed() < TIME {
            let sent = Instant::now();
            exchange(&mut stream, request, &mut buffer);
            took.push(sent.elapsed());
        }
        took
    };
    let mut all: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() - 1) * percent / 100];
    println!(
        "{what}: {}/s, median {:?}, 99 % within {:?}",
        all.len() as u64 / TIME.as_secs(),
        at(50),
        at(99)
    );
}
