//! A server to ask, and a client that asks it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit_schema::assert_logs_valid;

/// A directory with a passphrase file, in which homes are made.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("pass"), "correct horse\n").unwrap();
        Self { directory }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `kmsfs --home HOME ...` without a secret.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmsfs"));
        command
            .arg("--home")
            .arg(self.home())
            .args(arguments)
            .env_remove("KMSFS_PASSFILE")
            .env_remove("KMSFS_LOG")
            .stdin(Stdio::null());
        command
    }

    /// The same with the passphrase.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(&[]);
        command.arg("--passfile").arg(self.path("pass"));
        command.args(arguments);
        command
    }

    /// Runs a command that has to succeed; what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(stdout).unwrap()
    }

    /// Runs a command that has to fail; what it complains of.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn user(&self, arguments: &[&str]) -> User {
        let arguments = [&["kms", "user", "create"], arguments].concat();
        let made: Value = serde_json::from_str(&self.run(&arguments)).unwrap();
        User::of(&made)
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let arguments = [&["kms", "serve"], arguments].concat();
        Server::start(self.command(&arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_logs_valid(&self.home().join("audit"));
        }
    }
}

/// An access key.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) region: String,
}

impl User {
    pub(crate) fn of(made: &Value) -> Self {
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            arn: text("Arn"),
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            region: "us-east-1".to_owned(),
        }
    }

    pub(crate) fn in_region(&self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// The headers of a signed request, the signature's among them.
    pub(crate) fn sign(
        &self,
        host: &str,
        time: SystemTime,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let credentials = Credentials::new(&self.id, &self.secret, None, None, "test");
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kms")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let mut all = vec![("host", host)];
        all.extend(headers);
        let uri = format!("http://{host}/");
        let signable =
            SignableRequest::new("POST", uri, all.iter().copied(), SignableBody::Bytes(body));
        let (instructions, _) = sign(signable.unwrap(), &parameters).unwrap().into_parts();
        let (signed, _) = instructions.into_parts();
        let own = all
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let signed = signed
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()));
        own.chain(signed).collect()
    }
}

/// A running `kmsfs kms serve`, ended when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// What it said it listens on.
    pub(crate) addresses: Vec<String>,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let mut said = String::new();
            let stderr = child.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            panic!("it does not serve: {said}");
        };
        Self {
            child,
            addresses: vec![address.to_owned()],
        }
    }

    /// `ADDR:PORT`.
    pub(crate) fn host(&self) -> &str {
        let address = &self.addresses[0];
        address.split_once("://").unwrap().1
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.host()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    /// An operation of the API, signed by `user`: status and answer.
    pub(crate) fn ask(&self, user: &User, operation: &str, request: &Value) -> (u16, Value) {
        let target = format!("TrentService.{operation}");
        self.ask_with(
            user,
            SystemTime::now(),
            &[("x-amz-target", &target)],
            request,
        )
    }

    pub(crate) fn ask_with(
        &self,
        user: &User,
        time: SystemTime,
        headers: &[(&str, &str)],
        request: &Value,
    ) -> (u16, Value) {
        let body = request.to_string();
        let signed = user.sign(self.host(), time, headers, body.as_bytes());
        exchange(self.connect(), "POST / HTTP/1.1", &signed, body.as_bytes())
    }

    /// An operation that has to succeed.
    pub(crate) fn done(&self, user: &User, operation: &str, request: &Value) -> Value {
        let (status, answer) = self.ask(user, operation, request);
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    /// An operation that has to be refused; the error's name.
    pub(crate) fn error(&self, user: &User, operation: &str, request: &Value) -> String {
        let (status, answer) = self.ask(user, operation, request);
        assert_ne!(status, 200, "{operation}: {answer}");
        answer["__type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn new_key(&self, user: &User) -> String {
        let made = self.done(user, "CreateKey", &json!({}));
        made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// A request without a signature.
    pub(crate) fn plain(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Value) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut headers: Vec<_> = headers.iter().map(owned).collect();
        headers.push(("host".to_owned(), self.host().to_owned()));
        exchange(self.connect(), request, &headers, body)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, up to 40 seconds; its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It may end in between.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// One HTTP/1.1 request on a connection of its own.
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    request: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> (u16, Value) {
    let mut head = format!(
        "{request}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses early may have stopped reading.
    let _ = stream.write_all(body);
    read_answer(stream)
}

/// Status and body of an answer; the body is null if it is not JSON.
pub(crate) fn read_answer(mut stream: impl Read) -> (u16, Value) {
    let mut answer = Vec::new();
    // A connection that is reset after the answer has still given it.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (status.unwrap_or(0), body)
}

pub(crate) fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
