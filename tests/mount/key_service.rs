//! Mounts whose key service is elsewhere: another home's server, through its socket and over HTTP;
//! and what becomes of them when it is silent.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{ANN, Home, Mount, ROOT, TAKES_EFFECT, Volume, kmsfs, pattern, within};
use crate::revocation::Holder;

/// A home with a server: another machine's, as far as the mounts know.
struct Service {
    home: Home,
    running: Option<Child>,
    url: Option<String>,
}

impl Service {
    fn start() -> Self {
        let mut service = Self::new();
        service.run(&["--listen", "127.0.0.1:0"]);
        service
    }

    /// With a certificate that signs itself, in [`Self::certificate`].
    fn start_with_tls() -> Self {
        let mut service = Self::new();
        let made = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let [certificate, key] = [service.certificate(), service.home.path("tls-key.pem")];
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap().to_owned());
        let tls = ["--tls-cert", &certificate, "--tls-key", &key];
        service.run(&[&["--listen", "127.0.0.1:0"], &tls[..]].concat());
        service
    }

    fn new() -> Self {
        Self {
            home: Home::new(),
            running: None,
            url: None,
        }
    }

    fn certificate(&self) -> PathBuf {
        self.home.path("tls-cert.pem")
    }

    fn socket(&self) -> PathBuf {
        self.home.path("service.sock")
    }

    fn run(&mut self, listen: &[&str]) {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kmsfs"))
            .arg("--home")
            .arg(self.home.dir())
            .arg("--passfile")
            .arg(self.home.passfile())
            .args(["kms", "serve", "--socket"])
            .arg(self.socket())
            .args(listen)
            .env_remove("KMSFS_HOME")
            .env_remove("KMSFS_PASSFILE")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The address is the last that it says before it serves.
        let url = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line[line.find("http")?..].trim().to_owned()));
        self.running = Some(child);
        self.url = Some(url.expect("the server says where it listens"));
    }

    fn restart(&mut self) {
        let address = self.url.clone().unwrap();
        let address = address.trim_start_matches("http://");
        self.run(&["--listen", address]);
    }

    fn signal(&self, signal: Signal) {
        let id = self.running.as_ref().unwrap().id();
        let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn kill(&mut self) {
        let mut child = self.running.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A key that any user of the account may use through kmsfs.
    fn key(&self) -> String {
        let made = self.home.json(["key", "create"]);
        let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
        let policy = self.home.path("key-policy.json");
        let via = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow", "Action": "kms:*", "Resource": "*",
                    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                },
                {
                    "Effect": "Allow", "Resource": "*", "Principal": "*",
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                    "Condition": {"StringEquals": {
                        "kms:ViaService": "kmsfs.us-east-1.amazonaws.com",
                        "kms:CallerAccount": "000000000000",
                    }},
                },
            ],
        });
        fs::write(&policy, via.to_string()).unwrap();
        let put = ["policy", "put", "--key", &arn, policy.to_str().unwrap()];
        self.home.run(put);
        arn
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// How a home reaches the service, and as whom.
struct Way {
    target: String,
    environment: Vec<(&'static str, String)>,
}

impl Way {
    fn through_socket(service: &Service) -> Self {
        Self {
            target: format!("unix:{}", service.socket().display()),
            environment: Vec::new(),
        }
    }

    fn over_http(service: &Service, options: &[&str]) -> Self {
        let create = ["kms", "user", "create", "the-mount"];
        let made = service.home.run(create.iter().chain(options));
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            target: service.url.clone().unwrap(),
            environment: vec![
                ("AWS_ACCESS_KEY_ID", text("AccessKeyId")),
                ("AWS_SECRET_ACCESS_KEY", text("SecretAccessKey")),
                // Nothing of this machine's own.
                ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
                ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
            ],
        }
    }

    fn command(&self, home: &Home) -> assert_cmd::Command {
        let mut command = kmsfs();
        command
            .arg("--home")
            .arg(home.dir())
            .arg("--passfile")
            .arg(home.passfile())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What `init` says, which has to be refused because of the key service.
    fn refused(&self, key: &str) -> String {
        let home = Home::new();
        let refused = self
            .command(&home)
            .arg("init")
            .arg(home.path("backing"))
            .args(["--kms", &self.target, "--key", key])
            .assert()
            .code(16);
        String::from_utf8_lossy(&refused.get_output().stderr).into_owned()
    }

    fn volume<'h>(&self, home: &'h Home, key: &str) -> Volume<'h> {
        let backing = home.path("backing");
        let made = self
            .command(home)
            .arg("init")
            .arg(&backing)
            .args(["--policy", "everyone", "--json", "--kms", &self.target])
            .args(["--key", key])
            .assert()
            .success();
        let made: serde_json::Value = serde_json::from_slice(&made.get_output().stdout).unwrap();
        assert_eq!(made["keyArn"], key);
        Volume {
            home,
            backing,
            id: made["volumeId"].as_str().unwrap().to_owned(),
            key: key.to_owned(),
        }
    }

    fn mount<'h>(&self, volume: &Volume<'h>, arguments: &[&str]) -> Mount<'h> {
        let point = volume.backing.with_extension("mnt");
        fs::create_dir_all(&point).unwrap();
        self.command(volume.home)
            .arg("mount")
            .arg(&volume.backing)
            .arg(&point)
            .args(["-o", "allow_other", "--kms", &self.target])
            .args(arguments)
            .assert()
            .success();
        Mount::at(volume.home, point)
    }
}

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    let error = result.err()?;
    Some(Errno::from_io_error(&error).unwrap_or_else(|| panic!("no errno: {error}")))
}

fn open(path: &Path) -> Option<Errno> {
    errno(File::open(path))
}

const SOON: Duration = Duration::from_secs(30);

fn files_come_back_and_a_disabled_key_opens_none(service: &Service, way: &Way) {
    let key = service.key();
    let home = Home::new();
    let volume = way.volume(&home, &key);
    let mount = way.mount(&volume, &[]);
    for number in 0..50 {
        fs::write(mount.path(format!("file {number}")), pattern(number * 997)).unwrap();
    }
    ANN.can(&mount.point, "cat 'file 7' > /dev/null");
    drop(mount);
    let mount = way.mount(&volume, &[]);
    for number in 0..50 {
        let read = fs::read(mount.path(format!("file {number}"))).unwrap();
        assert_eq!(read, pattern(number * 997));
    }
    service.home.run(["key", "disable", &key]);
    within(TAKES_EFFECT, "the next open is refused", || {
        open(&mount.path("file 1")) == Some(Errno::ACCESS)
    });
    assert_eq!(errno(File::create(mount.path("new"))), Some(Errno::ACCESS));
    service.home.run(["key", "enable", &key]);
    within(TAKES_EFFECT, "and then allowed", || {
        open(&mount.path("file 1")).is_none()
    });
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(0);
    way.command(&home)
        .args(["fsck", "--kms", &way.target])
        .arg(&volume.backing)
        .assert()
        .success();
    // The service has the end user's name, not the mount's.
    let records = service.home.audit_records();
    let by_ann = |record: &&serde_json::Value| {
        record["eventName"] == "Decrypt" && record["userIdentity"]["arn"] == ANN.arn()
    };
    assert!(records.iter().any(|record| by_ann(&record)));
    service
        .home
        .kmsfs()
        .args(["audit", "verify"])
        .assert()
        .code(0);
}

#[test]
fn a_mount_uses_the_key_service_of_another_home_through_its_socket() {
    let service = Service::start();
    let way = Way::through_socket(&service);
    files_come_back_and_a_disabled_key_opens_none(&service, &way);
}

#[test]
fn a_mount_uses_a_kmsfs_server_over_http_and_speaks_for_its_users() {
    let service = Service::start();
    let way = Way::over_http(&service, &["--mount"]);
    files_come_back_and_a_disabled_key_opens_none(&service, &way);
}

#[test]
fn a_mount_uses_a_kmsfs_server_over_tls_if_it_trusts_the_certificate() {
    let service = Service::start_with_tls();
    let mut way = Way::over_http(&service, &["--mount"]);
    let message = way.refused(&service.key());
    assert!(message.contains("certificate"), "{message}");

    let certificate = service.certificate().to_str().unwrap().to_owned();
    way.environment.push(("AWS_CA_BUNDLE", certificate));
    files_come_back_and_a_disabled_key_opens_none(&service, &way);
}

#[test]
fn a_user_that_is_no_mount_may_not_speak_for_others() {
    let service = Service::start();
    let way = Way::over_http(&service, &["--admin"]);
    let message = way.refused(&service.key());
    assert!(message.contains("may not speak for others"), "{message}");
}

#[test]
fn a_service_that_is_not_there_is_named_and_nothing_is_made() {
    let home = Home::new();
    let key = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    for target in ["unix:/nonexistent/kms.sock", "http://127.0.0.1:1"] {
        let refused = kmsfs()
            .arg("--home")
            .arg(home.dir())
            .arg("--passfile")
            .arg(home.passfile())
            .arg("init")
            .arg(home.path("backing"))
            .args(["--kms", target, "--key", key])
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "none")
            .assert()
            .code(16);
        let message = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(message.contains(target), "{message}");
        assert!(!home.path("backing").exists());
    }
}

#[test]
fn a_frozen_key_service_stops_nobody_who_has_a_file_open() {
    const OPENERS: usize = 100;
    let service = Service::start();
    let way = Way::through_socket(&service);
    let home = Home::new();
    let volume = way.volume(&home, &service.key());
    let content = pattern(8 << 20);
    let mount = way.mount(&volume, &[]);
    fs::write(mount.path("big"), &content).unwrap();
    for number in 0..OPENERS {
        fs::write(mount.path(format!("file {number}")), b"content").unwrap();
    }
    drop(mount);
    // Nothing is cached.
    let mount = way.mount(&volume, &[]);
    let big = File::open(mount.path("big")).unwrap();
    let writer = OpenOptions::new()
        .write(true)
        .open(mount.path("big"))
        .unwrap();

    service.signal(Signal::STOP);
    let mut openers: Vec<Child> = (0..OPENERS)
        .map(|number| {
            std::process::Command::new("cat")
                .arg(mount.path(format!("file {number}")))
                .env("LC_ALL", "C")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut some = vec![0; 4096];
    big.read_exact_at(&mut some, 4 << 20).unwrap();
    // Had the read waited for the openers, they would have ended.
    assert!(
        openers
            .iter_mut()
            .any(|opener| opener.try_wait().unwrap().is_none())
    );
    let mut all = vec![0; content.len()];
    big.read_exact_at(&mut all, 0).unwrap();
    assert!(all == content);
    writer.write_all_at(b"written meanwhile", 0).unwrap();
    writer.sync_all().unwrap();
    // Each of them hears of it; none hangs.
    for opener in openers {
        let output = opener.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("Connection timed out"), "{message}");
    }
    assert_eq!(
        errno(File::create(mount.path("new"))),
        Some(Errno::TIMEDOUT)
    );

    service.signal(Signal::CONT);
    within(SOON, "it recovers by itself", || {
        open(&mount.path("file 0")).is_none()
    });
    for number in 0..OPENERS {
        let read = fs::read(mount.path(format!("file {number}"))).unwrap();
        assert_eq!(read, b"content");
    }
    File::create(mount.path("new")).unwrap();
}

#[test]
fn a_server_that_is_killed_and_started_again_is_found_again() {
    let mut service = Service::start();
    let ways = [
        Way::through_socket(&service),
        Way::over_http(&service, &["--mount"]),
    ];
    for way in ways {
        let home = Home::new();
        let volume = way.volume(&home, &service.key());
        let mount = way.mount(&volume, &[]);
        fs::write(mount.path("f"), b"content").unwrap();
        let file = File::open(mount.path("f")).unwrap();
        service.kill();
        within(SOON, "the next open fails", || {
            open(&mount.path("f")) == Some(Errno::TIMEDOUT)
        });
        let mut read = [0; 7];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"content", "within the grace");
        service.restart();
        within(SOON, "the next open succeeds", || {
            open(&mount.path("f")).is_none()
        });
        fs::write(mount.path("g"), b"new").unwrap();
    }
}

#[test]
fn open_files_are_closed_to_use_when_the_grace_is_over_and_until_the_service_is_back() {
    let mut service = Service::start();
    let way = Way::through_socket(&service);
    let home = Home::new();
    let volume = way.volume(&home, &service.key());
    let mount = way.mount(&volume, &["--offline-grace", "1"]);
    fs::write(mount.path("f"), pattern(100_000)).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(mount.path("f"))
        .unwrap();
    let mut read = vec![0; 100_000];
    file.read_exact_at(&mut read, 0).unwrap();
    file.write_all_at(b"kept", 0).unwrap();
    service.kill();
    // Also what the kernel had in its cache.
    within(SOON, "reading is refused", || {
        errno(file.read_at(&mut read, 0)) == Some(Errno::ACCESS)
    });
    assert_eq!(errno(file.write_at(b"lost", 50)), Some(Errno::ACCESS));
    assert_eq!(open(&mount.path("f")), Some(Errno::TIMEDOUT));
    // Names and attributes are not the key service's to give.
    assert_eq!(fs::metadata(mount.path("f")).unwrap().len(), 100_000);
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 1);
    service.restart();
    within(SOON, "reading is allowed", || {
        file.read_exact_at(&mut read, 0).is_ok()
    });
    let mut expected = pattern(100_000);
    expected[..4].copy_from_slice(b"kept");
    assert!(read == expected);
    file.write_all_at(b"kept as well", 1000).unwrap();
    drop(file);
    expected[1000..1012].copy_from_slice(b"kept as well");
    assert!(fs::read(mount.path("f")).unwrap() == expected);
    drop(mount);
    let names: Vec<_> = home
        .audit_records()
        .iter()
        .filter_map(|record| record["eventName"].as_str().map(str::to_owned))
        .filter(|name| name.starts_with("KeyService"))
        .collect();
    assert_eq!(names, ["KeyServiceLost", "KeyServiceBack"]);
}

/// Between a mount and its key service: what is cut is cut until it is mended.
struct Line {
    path: PathBuf,
    streams: Arc<Mutex<Vec<UnixStream>>>,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    fn to(service: &Service) -> Self {
        let path = service.home.path("line.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (streams, is_cut) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let line = Self {
            path,
            streams: Arc::clone(&streams),
            is_cut: Arc::clone(&is_cut),
        };
        let far = service.socket();
        // Ends with the test.
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = UnixStream::connect(&far).unwrap();
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([near, far]);
            }
        });
        line
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

#[test]
fn of_two_mounts_of_a_server_each_is_cut_off_and_one_that_it_does_not_reach_when_its_grace_is_over()
{
    let service = Service::start();
    let line = Line::to(&service);
    let key = service.key();
    let ways = [
        Way::over_http(&service, &["--mount"]),
        Way {
            target: format!("unix:{}", line.path.display()),
            environment: Vec::new(),
        },
    ];
    let homes = [Home::new(), Home::new()];
    let volumes = [0, 1].map(|at| ways[at].volume(&homes[at], &key));
    let mounts = [0, 1].map(|at| ways[at].mount(&volumes[at], &["--offline-grace", "4"]));
    for mount in &mounts {
        fs::write(mount.path("f"), pattern(100_000)).unwrap();
        ROOT.can(&mount.point, "chmod 666 f");
    }
    let [mut reached, mut out_of_reach] = [0, 1].map(|at| {
        let mut holder = Holder::start(ANN, &mounts[at].path("f"), "w");
        for order in ["r", "w", "m"] {
            assert_eq!(holder.tell(order), "ok", "{order}");
        }
        holder
    });
    line.cut();
    let began = Instant::now();
    service.home.run(["key", "disable", &key]);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "it waits for nobody"
    );
    assert_eq!(reached.tell("r"), "EACCES");
    assert_eq!(reached.tell("w"), "EACCES");
    assert_eq!(reached.tell("m"), "SIGBUS");
    assert_eq!(out_of_reach.tell("r"), "ok", "within its grace");
    within(SOON, "its grace is over", || {
        out_of_reach.tell("r") == "EACCES"
    });
    assert_eq!(out_of_reach.tell("m"), "SIGBUS");
    line.mend();
    let path = mounts[1].path("f");
    within(SOON, "it is reached again", || {
        open(&path) == Some(Errno::ACCESS)
    });
    // What happened meanwhile is acted on before anything can be used.
    assert_eq!(out_of_reach.tell("r"), "EACCES");
    service.home.run(["key", "enable", &key]);
    for mount in &mounts {
        within(SOON, "the key is back", || open(&mount.path("f")).is_none());
    }
    assert_eq!(out_of_reach.tell("r"), "EACCES");
    drop((reached, out_of_reach));
}

#[test]
fn a_mount_through_the_socket_of_a_server_is_cut_off_when_the_command_returns() {
    let service = Service::start();
    let way = Way::through_socket(&service);
    let (key, home) = (service.key(), Home::new());
    let volume = way.volume(&home, &key);
    let mount = way.mount(&volume, &[]);
    fs::write(mount.path("f"), pattern(100_000)).unwrap();
    ROOT.can(&mount.point, "chmod 666 f");
    let mut holder = Holder::start(ANN, &mount.path("f"), "w");
    for order in ["r", "w", "s"] {
        assert_eq!(holder.tell(order), "ok", "{order}");
    }
    service
        .home
        .run(["key", "schedule-deletion", &key, "--days", "7"]);
    for (order, answer) in [("r", "EACCES"), ("w", "EACCES"), ("m", "SIGBUS")] {
        assert_eq!(holder.tell(order), answer, "{order}");
    }
}
