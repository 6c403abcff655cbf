use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::{
    fs::{FlockOperation, flock},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    },
};

use super::SOCKET;
use crate::{
    audit::{Log, Verdict, verify},
    kms::{
        Caller, CiphertextBlob, CreateAliasRequest, CreateKeyRequest, DecryptRequest,
        DescribeKeyRequest, EncryptRequest, Home, HomeError, KeyService, KmsError, ListKeysRequest,
        Plaintext, RotateKeyOnDemandRequest,
        testing::{self, Place, admin, user},
    },
};

fn create(service: &dyn KeyService, caller: &Caller) -> String {
    service
        .create_key(caller, &CreateKeyRequest::default())
        .unwrap()
        .key_metadata
        .key_id
}

fn knows(service: &dyn KeyService, caller: &Caller, key_id: &str) -> bool {
    service
        .describe_key(
            caller,
            &DescribeKeyRequest {
                key_id: key_id.to_owned(),
                ..DescribeKeyRequest::default()
            },
        )
        .is_ok()
}

/// The environment variable that makes this test binary, run again, the other process of a test.
const OTHER: &str = "KMSFS_TEST_OTHER_PROCESS";

/// The directory of the test's [`Place`], if this is its other process.
fn other_process() -> Option<PathBuf> {
    std::env::var_os(OTHER).map(PathBuf::from)
}

/// Another process that runs the test `name` for the home in `directory`; it is killed by SIGKILL.
struct Other {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(name: &str, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("kms::owner::tests::{name}"),
                "--nocapture",
            ])
            .env(OTHER, directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The rest of the next line that begins with `word`; `None` once the process is gone. A line
    /// cut by the kill does not count.
    fn next(&mut self, word: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            if line.is_empty() {
                return None;
            }
            // The test harness writes to the same output, without ending its line.
            if let Some((_, rest)) = line.split_once(&format!("{word} "))
                && let Some(rest) = rest.strip_suffix('\n')
            {
                return Some(rest.to_owned());
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_was_answered_before_a_sigkill_is_there_after_it() {
    if let Some(directory) = other_process() {
        let home = testing::open(&directory);
        let (service, me) = (home.service().unwrap(), admin(&home));
        for n in 0.. {
            let key_id = create(&*service, &me);
            let plaintext = Plaintext::new(b"secret".to_vec());
            let encrypt = EncryptRequest {
                key_id: key_id.clone(),
                plaintext,
                ..Default::default()
            };
            let blob = service.encrypt(&me, &encrypt).unwrap().ciphertext_blob;
            let rotate = RotateKeyOnDemandRequest {
                key_id: key_id.clone(),
            };
            service.rotate_key_on_demand(&me, &rotate).unwrap();
            let alias_name = format!("alias/{}-{n}", std::process::id());
            let alias = CreateAliasRequest {
                alias_name: alias_name.clone(),
                target_key_id: key_id,
            };
            service.create_alias(&me, &alias).unwrap();
            println!("made {alias_name} {}", STANDARD.encode(&blob.0));
        }
    }
    let place = Place::new();
    drop(place.create());
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let test = "what_was_answered_before_a_sigkill_is_there_after_it";
        let mut other = Other::start(test, place.directory.path());
        acknowledged.push(other.next("made").unwrap());
        // At another moment of its work each time.
        thread::sleep(Duration::from_micros(1700 * round));
        other.kill();
        acknowledged.extend(std::iter::from_fn(|| other.next("made")));

        let home = place.open();
        let (service, me) = (home.service().unwrap(), admin(&home));
        for line in &acknowledged {
            let (alias, blob) = line.split_once(' ').unwrap();
            let request = DecryptRequest {
                ciphertext_blob: CiphertextBlob(STANDARD.decode(blob).unwrap()),
                key_id: Some(alias.to_owned()),
                ..Default::default()
            };
            let opened = service.decrypt(&me, &request).unwrap();
            assert_eq!(opened.plaintext.expose(), b"secret");
        }
    }
    let home = place.open();
    let report = verify(&home.audit_dir(), Some(&home.signing_public_key())).unwrap();
    assert!(
        matches!(report.logs[0].verdict, Verdict::Intact),
        "{:?}",
        report.logs[0].verdict
    );
}

#[test]
fn a_survivor_takes_over_from_a_killed_owner_and_serves_others() {
    let test = "a_survivor_takes_over_from_a_killed_owner_and_serves_others";
    if let Some(directory) = other_process() {
        let home = testing::open(&directory);
        let service = home.service().unwrap();
        println!("made {}", create(&*service, &admin(&home)));
        loop {
            thread::park();
        }
    }
    let place = Place::new();
    drop(place.create());
    let mut owner = Other::start(test, place.directory.path());
    let key = owner.next("made").unwrap();

    let survivor = place.open();
    let service = survivor.service().unwrap();
    let me = admin(&survivor);
    // Without the root key it can only ask others.
    let without_key = Home::open(&place.path(), None).unwrap();
    let asking = without_key.service().unwrap();
    assert!(knows(&*service, &me, &key) && knows(&*asking, &me, &key));
    let made_through_it = create(&*service, &me);

    owner.kill();
    let since = Instant::now();
    for service in [&service, &asking] {
        assert!(knows(&**service, &me, &key));
        assert!(knows(&**service, &me, &made_through_it));
    }
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    let made_after = create(&*asking, &me);
    assert!(knows(&*service, &me, &made_after));
}

#[test]
fn an_owner_that_ends_in_good_order_hands_over_too() {
    let place = Place::new();
    let first = place.create();
    let second = place.open();
    let me = admin(&second);
    let (owner, successor) = (first.service().unwrap(), second.service().unwrap());
    let key = create(&*successor, &me);
    assert!(knows(&*owner, &me, &key));
    drop(owner);
    assert!(knows(&*successor, &me, &key));
    assert!(place.path().join(SOCKET).exists(), "the successor serves");
    drop(successor);
    assert!(!place.path().join(SOCKET).exists());
}

#[test]
fn calls_go_on_while_the_owner_changes_again_and_again() {
    let place = Place::new();
    let mut owner = place.create().service().unwrap();
    let me = admin(&place.open());
    let key_id = create(&*owner, &me);
    let (calls, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let home = place.open();
            let service = home.service().unwrap();
            let request = DescribeKeyRequest {
                key_id: key_id.clone(),
                ..DescribeKeyRequest::default()
            };
            while !done.load(Ordering::Relaxed) {
                service.describe_key(&me, &request).unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            let next = place.open().service().unwrap();
            drop(std::mem::replace(&mut owner, next));
            // One call may have been under way; the next began after the handover.
            let before = calls.load(Ordering::Relaxed);
            while calls.load(Ordering::Relaxed) < before + 2 && !worker.is_finished() {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        worker.join().unwrap();
    });
}

#[test]
fn one_home_has_one_service_in_a_process() {
    let place = Place::new();
    let home = place.create();
    let (one, other) = (home.service().unwrap(), home.service().unwrap());
    assert!(Arc::ptr_eq(&one, &other));
}

#[test]
fn a_sealed_home_that_nobody_serves_says_so() {
    let place = Place::new();
    drop(place.create());
    let sealed = Home::open(&place.path(), None).unwrap();
    assert!(matches!(sealed.service().err(), Some(HomeError::Sealed(_))));
    // And it did not keep the home from others.
    let opened = place.open();
    assert!(!knows(
        &*opened.service().unwrap(),
        &admin(&opened),
        "alias/none"
    ));
}

/// A socket in the home with `waiting` connections in its queue, which holds one; nobody accepts.
fn deaf_socket(home: &Path, waiting: usize) -> Vec<OwnedFd> {
    let address = SocketAddrUnix::new(home.join(SOCKET)).unwrap();
    let open = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = open();
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..waiting {
        let client = open();
        connect(&client, &address).unwrap();
        sockets.push(client);
    }
    sockets
}

#[test]
fn an_owner_that_does_not_answer_is_an_error_within_five_seconds() {
    thread::scope(|scope| {
        // No socket, one that takes a connection and is silent, one whose queue is full.
        for waiting in [None, Some(0), Some(1)] {
            scope.spawn(move || {
                let place = Place::new();
                let home = place.create();
                let lock = File::open(place.path().join("lock")).unwrap();
                flock(&lock, FlockOperation::LockExclusive).unwrap();
                let _sockets = waiting.map(|waiting| deaf_socket(&place.path(), waiting));
                let service = home.service().unwrap();
                let since = Instant::now();
                let refused = service.list_keys(&admin(&home), &ListKeysRequest::default());
                assert!(
                    matches!(refused, Err(KmsError::Unreachable(_))),
                    "{refused:?}"
                );
                let took = since.elapsed();
                assert!(took < Duration::from_millis(5500), "{waiting:?}: {took:?}");
            });
        }
    });
}

#[test]
fn the_socket_passes_callers_secrets_and_errors_on() {
    let place = Place::new();
    let home = place.create();
    let owner = home.service().unwrap();
    let other = place.open();
    let client = other.service().unwrap();
    let me = admin(&home);
    let key_id = create(&*client, &me);
    let encrypt = EncryptRequest {
        key_id: key_id.clone(),
        plaintext: Plaintext::new(vec![7; 4096]),
        encryption_context: [("a".to_owned(), "ü\"\n".to_owned())].into(),
        ..Default::default()
    };
    let blob = client.encrypt(&me, &encrypt).unwrap().ciphertext_blob;
    let mut decrypt = DecryptRequest {
        ciphertext_blob: blob,
        encryption_context: encrypt.encryption_context,
        ..Default::default()
    };
    let opened = client.decrypt(&me, &decrypt).unwrap();
    assert_eq!(opened.plaintext.expose(), [7; 4096]);
    decrypt.encryption_context.clear();
    assert_eq!(
        client.decrypt(&me, &decrypt).err(),
        Some(KmsError::InvalidCiphertext)
    );
    let refused = client.decrypt(&user("eve"), &decrypt).err().unwrap();
    assert_eq!(
        owner.decrypt(&user("eve"), &decrypt).err().unwrap(),
        refused
    );
    assert!(refused.to_string().contains("user/eve"));
    assert_eq!(client.epoch().unwrap(), owner.epoch().unwrap());
    let anchored = client.audit_anchor("volume-1", 7, &[1; 32]).unwrap();
    let same = owner.audit_anchor("volume-1", 7, &[1; 32]).unwrap();
    assert_eq!(anchored.signature, same.signature);
    assert_eq!(anchored.other.unwrap().log, "kms");
}

#[test]
fn a_volumes_log_anchored_here_verifies_beside_ours_and_its_loss_is_found() {
    let place = Place::new();
    let home = place.create();
    let other = place.open();
    let owner = home.service().unwrap();
    let client = other.service().unwrap();
    let durability = crate::audit::Durability::Balanced;
    let log = Log::open(
        &other.audit_dir(),
        "volume-1",
        durability,
        other.anchor().unwrap(),
    );
    log.unwrap().close().unwrap();
    create(&*client, &admin(&other));
    drop((client, owner));
    let judge = || {
        let report = verify(&home.audit_dir(), Some(&home.signing_public_key())).unwrap();
        report
            .logs
            .into_iter()
            .map(|log| log.verdict)
            .collect::<Vec<_>>()
    };
    let verdicts = judge();
    assert!(
        matches!(verdicts[..], [Verdict::Intact, Verdict::Intact]),
        "{verdicts:?}"
    );
    for file in ["volume-1.jsonl", "volume-1.head"] {
        std::fs::remove_file(home.audit_dir().join(file)).unwrap();
    }
    let verdicts = judge();
    assert!(
        verdicts
            .iter()
            .any(|v| matches!(v, Verdict::Truncated { .. })),
        "{verdicts:?}"
    );
}

#[test]
fn a_home_with_a_long_path_is_served_too() {
    let mut place = Place::new();
    let long = place.directory.path().join("d".repeat(200));
    std::fs::create_dir(&long).unwrap();
    std::fs::write(long.join("key"), [7; 32]).unwrap();
    let settings = crate::kms::HomeSettings::default();
    let unlock = testing::key_file(&long);
    let home = Home::create(&long.join("home"), &unlock, &settings).unwrap();
    let owner = home.service().unwrap();
    let key = create(&*owner, &admin(&home));
    let other = testing::open(&long);
    assert!(knows(&*other.service().unwrap(), &admin(&other), &key));
    place.directory.disable_cleanup(false);
}
