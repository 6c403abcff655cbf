//! The same over TLS.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs},
};

use super::common::{Place, Server, User, exchange, write};

/// An authority, a server's certificate and a client's, as files.
struct Certificates {
    ca: String,
    cert: String,
    key: String,
    client_cert: String,
    client_key: String,
}

fn certificates(place: &Place) -> Certificates {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_text = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let signed = |usage| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let text = params.signed_by(&key, &issuer).unwrap().pem();
        (text, key.serialize_pem())
    };
    let (cert, key) = signed(ExtendedKeyUsagePurpose::ServerAuth);
    let (client_cert, client_key) = signed(ExtendedKeyUsagePurpose::ClientAuth);
    Certificates {
        ca: write(&place.path("ca.pem"), &ca_text),
        cert: write(&place.path("cert.pem"), &cert),
        key: write(&place.path("key.pem"), &key),
        client_cert: write(&place.path("client.pem"), &client_cert),
        client_key: write(&place.path("client-key.pem"), &client_key),
    }
}

impl Certificates {
    fn serve(&self, place: &Place, more: &[&str]) -> Server {
        let own = [
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &self.cert,
            "--tls-key",
            &self.key,
        ];
        let server = place.serve(&[&own[..], more].concat());
        assert!(server.addresses[0].starts_with("https://"));
        server
    }

    fn client(&self, with_certificate: bool, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if with_certificate {
            let certificate = CertificateDer::from_pem_file(&self.client_cert).unwrap();
            let key = PrivateKeyDer::from_pem_file(&self.client_key).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

const LIST: (&str, &str) = ("x-amz-target", "TrentService.ListKeys");

fn ask(server: &Server, user: &User, config: Arc<ClientConfig>) -> (u16, Value) {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let stream = StreamOwned::new(connection, server.connect());
    let now = std::time::SystemTime::now();
    let headers = user.sign(server.host(), now, &[LIST], b"{}");
    exchange(stream, "POST / HTTP/1.1", &headers, b"{}")
}

#[test]
fn it_speaks_http_1_over_tls() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let certificates = certificates(&place);
    let server = certificates.serve(&place, &[]);
    let (status, listed) = ask(&server, &admin, certificates.client(false, b"http/1.1"));
    assert_eq!((status, &listed["Keys"]), (200, &json!([])));
}

#[test]
fn it_speaks_http_2_over_tls_many_requests_at_once() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let certificates = certificates(&place);
    let server = certificates.serve(&place, &[]);
    let config = certificates.client(false, b"h2");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.host()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, driver) = handshake.await.unwrap();
        tokio::spawn(driver);
        let mut asked = Vec::new();
        for _ in 0..50 {
            let now = std::time::SystemTime::now();
            let headers = admin.sign(server.host(), now, &[LIST], b"{}");
            let uri = format!("https://{}/", server.host());
            let mut request = hyper::Request::builder().method("POST").uri(uri);
            // The authority stands for the host.
            for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(Bytes::from_static(b"{}"))).unwrap();
            asked.push(tokio::spawn(sender.clone().send_request(request)));
        }
        for answer in asked {
            let answer = answer.await.unwrap().unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let listed: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(listed["Keys"], json!([]));
        }
    });
}

#[test]
fn with_a_client_authority_only_its_clients_are_let_in() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let certificates = certificates(&place);
    let server = certificates.serve(&place, &["--tls-client-ca", &certificates.ca]);
    let (status, _) = ask(&server, &admin, certificates.client(true, b"http/1.1"));
    assert_eq!(status, 200);
    let refused =
        std::panic::catch_unwind(|| ask(&server, &admin, certificates.client(false, b"http/1.1")));
    assert!(refused.is_err() || refused.unwrap().0 == 0);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let place = Place::new();
    let certificates = certificates(&place);
    let listen = ["kms", "serve", "--listen", "127.0.0.1:0"];
    let swapped = [
        "--tls-cert",
        &*certificates.key,
        "--tls-key",
        &*certificates.cert,
    ];
    let refused = place.refused(&[&listen[..], &swapped[..]].concat());
    assert!(refused.contains("key.pem"), "{refused}");
    let foreign = [
        "--tls-cert",
        &*certificates.cert,
        "--tls-key",
        &*certificates.client_key,
    ];
    let refused = place.refused(&[&listen[..], &foreign[..]].concat());
    assert!(refused.contains("cert.pem"), "{refused}");
}
