//! Rights that are taken away while files are open, mapped and being read.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, Mount, ROOT, User, Volume, pattern, within};

/// How long a change may take: it is answered when the mounts have acted on it.
const BOUND: Duration = Duration::from_secs(2);

/// What a program can go on doing with a file that it has open. It does what it is told on its standard
/// input, one letter a line, and answers with the outcome: `ok`, an errno's name or a signal's.
const HOLDER: &str = r#"
import ctypes, errno, mmap, os, signal, sys, threading
path, mode = sys.argv[1:3]
opened = []
def opening():
    opened.append(os.open(path, os.O_RDWR if mode == "w" else os.O_RDONLY))
if mode == "t":
    # A thread opens the file and ends.
    opener = threading.Thread(target=opening)
    opener.start()
    opener.join()
else:
    opening()
fd = opened[0]
length = os.fstat(fd).st_size
write = mode == "w"
mapped = mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))
def attempt(what):
    try:
        what()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
def touch():
    # The fault may kill: a child takes it.
    child = os.fork()
    if child == 0:
        mapped[length // 2]
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "ok"
print("open", flush=True)
for line in sys.stdin:
    order = line.strip()
    if order == "r":
        print(attempt(lambda: os.pread(fd, length, 0)), flush=True)
    elif order == "w":
        print(attempt(lambda: os.pwrite(fd, b"written", 0)), flush=True)
    elif order == "m":
        print(touch(), flush=True)
    elif order == "s":
        mapped[0:7] = b"stored!"
        print("ok", flush=True)
    elif order == "f":
        print(attempt(lambda: os.fsync(fd)), flush=True)
    elif order == "l":
        # Reads until it is refused, and says by what.
        print("reading", flush=True)
        while (outcome := attempt(lambda: os.pread(fd, length, 0))) == "ok":
            pass
        print(outcome, flush=True)
    elif order == "c":
        print(attempt(lambda: os.close(fd)), flush=True)
"#;

/// A process that has a file open and mapped, until dropped.
pub(crate) struct Holder {
    child: Child,
    orders: ChildStdin,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Holder {
    pub(crate) fn start(user: User, file: &Path, mode: &str) -> Self {
        let mut python = std::process::Command::new("python3");
        python.args(["-c", HOLDER]).arg(file).arg(mode);
        python.uid(user.0).gid(user.0);
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut holder = Self {
            child,
            orders,
            answers,
        };
        assert_eq!(holder.answer(), "open");
        holder
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let answer = self.answers.next();
        answer.expect("it goes on running").unwrap()
    }

    pub(crate) fn tell(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    let error = result.err()?;
    Some(Errno::from_io_error(&error).unwrap_or_else(|| panic!("no errno: {error}")))
}

/// A volume that everybody may use, with a file in it.
fn with_file<'v>(volume: &'v Volume<'_>) -> Mount<'v> {
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    put_file(&mount, "f");
    mount
}

fn put_file(mount: &Mount<'_>, name: &str) {
    fs::write(mount.path(name), pattern(100_000)).unwrap();
    fs::set_permissions(mount.path(name), fs::Permissions::from_mode(0o666)).unwrap();
}

/// A second volume with a key of its own, whose files nothing here is about.
fn bystander(home: &Home) -> Volume<'_> {
    home.named_volume("other", "everyone")
}

/// Runs `change` against processes that have a file open, have it mapped and read it in a loop, and
/// holds that all of them are cut off when it returns.
fn all_are_cut_off(home: &Home, mount: &Mount<'_>, change: impl FnOnce()) {
    let other = bystander(home);
    let other_mount = other.mount();
    put_file(&other_mount, "f");
    let mut undisturbed = Holder::start(ROOT, &other_mount.path("f"), "w");

    let file = mount.path("f");
    let mut open = Holder::start(ROOT, &file, "w");
    let mut looping = Holder::start(ANN, &file, "r");
    assert_eq!(open.tell("r"), "ok");
    assert_eq!(open.tell("m"), "ok");
    assert_eq!(open.tell("s"), "ok");
    looping.order("l");
    assert_eq!(looping.answer(), "reading");

    let began = Instant::now();
    change();
    assert!(began.elapsed() < BOUND * 2, "{:?}", began.elapsed());
    // It has returned: nothing is left to wait for.
    assert_eq!(open.tell("r"), "EACCES");
    assert_eq!(open.tell("w"), "EACCES");
    assert_eq!(open.tell("m"), "SIGBUS");
    assert_eq!(looping.answer(), "EACCES");
    assert_eq!(looping.tell("m"), "SIGBUS");
    assert_eq!(errno(File::open(&file)), Some(Errno::ACCESS));
    for order in ["r", "w", "m"] {
        assert_eq!(undisturbed.tell(order), "ok", "{order}");
    }
}

fn revocations(home: &Home) -> Vec<Value> {
    let records = home.audit_records().into_iter();
    let revoked = records.filter(|record| record["eventName"] == "Revoked");
    revoked.collect()
}

#[test]
fn a_disabled_key_cuts_off_whoever_has_a_file_open_and_what_was_stored_is_kept() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    all_are_cut_off(&home, &mount, || {
        home.run(["key", "disable", &volume.key]);
    });
    let of: Vec<_> = revocations(&home)
        .iter()
        .map(|record| record["userIdentity"]["arn"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(of.len(), 2, "{of:?}");
    assert!(of.contains(&ANN.arn()) && of.contains(&ROOT.arn()));
    // Dirty pages went the way of all writes before the key did.
    home.run(["key", "enable", &volume.key]);
    let mut expected = pattern(100_000);
    expected[..7].copy_from_slice(b"stored!");
    assert!(fs::read(mount.path("f")).unwrap() == expected);
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(0);
    home.kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .assert()
        .code(0);
}

/// Calls an operation of the home's key service that no command has.
fn call(home: &Home, operation: &str, request: &Value) -> Value {
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--unix-socket",
        ])
        .arg(home.dir().join("kms.sock"))
        .args(["-H", &format!("X-Amz-Target: TrentService.{operation}")])
        .args(["-H", "Content-Type: application/x-amz-json-1.1"])
        .args(["--data", &request.to_string(), "http://localhost/"])
        .output()
        .unwrap();
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{operation}: {body}");
    serde_json::from_str(&body).unwrap_or(Value::Null)
}

/// A key policy by which the home's owner administers and `users` use the key through kmsfs.
fn key_policy(users: &[User]) -> Value {
    let owner = json!({
        "Sid": "Administer", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": ROOT.arn() },
    });
    let arns: Vec<_> = users.iter().map(|user| user.arn()).collect();
    let users = json!({
        "Sid": "Use", "Effect": "Allow", "Resource": "*", "Principal": { "AWS": arns },
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
    });
    json!({ "Version": "2012-10-17", "Statement": [owner, users] })
}

/// Ann's right goes by `change`, Bob's stays; both have the same file open and mapped.
fn one_of_two_is_cut_off(mount: &Mount<'_>, change: impl FnOnce()) {
    let file = mount.path("f");
    let mut ann = Holder::start(ANN, &file, "w");
    let mut bob = Holder::start(BOB, &file, "w");
    for holder in [&mut ann, &mut bob] {
        for order in ["r", "w", "s", "m"] {
            assert_eq!(holder.tell(order), "ok", "{order}");
        }
    }
    change();
    assert_eq!(ann.tell("m"), "SIGBUS");
    for _ in 0..3 {
        // What Bob brings into the kernel's cache does not serve Ann.
        for order in ["r", "w", "m"] {
            assert_eq!(bob.tell(order), "ok", "{order}");
        }
        assert_eq!(ann.tell("r"), "EACCES");
        assert_eq!(ann.tell("w"), "EACCES");
    }
    within(BOUND, "her mapping is empty again", || {
        ann.tell("m") == "SIGBUS"
    });
    // Who opens the file now reads past the cache, so her mapping stays empty.
    let mut later = File::open(&file).unwrap();
    std::io::copy(&mut later, &mut std::io::sink()).unwrap();
    assert_eq!(ann.tell("m"), "SIGBUS");
    assert_eq!(bob.tell("f"), "ok");
    assert_eq!(ann.tell("c"), "ok");
    drop(ann);
    within(BOUND, "the cache is everybody's again", || {
        bob.tell("m") == "ok" && ROOT.sh(&mount.point, "cat f > /dev/null").status.success()
    });
    ANN.cannot(&mount.point, "cat f");
}

#[test]
fn a_changed_key_policy_cuts_off_whom_it_excludes_and_nobody_else() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    volume.put_key_policy(&key_policy(&[ANN, BOB]));
    one_of_two_is_cut_off(&mount, || {
        volume.put_key_policy(&key_policy(&[BOB]));
    });
    let revoked = revocations(&home);
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    assert_eq!(revoked[0]["userIdentity"]["arn"], ANN.arn());
    assert_eq!(revoked[0]["decision"]["effect"], "Deny");
}

#[test]
fn a_revoked_and_a_retired_grant_cut_off_whom_they_were_for() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    volume.put_key_policy(&key_policy(&[BOB]));
    let grant = |to: User| {
        let request = json!({
            "KeyId": volume.key, "GranteePrincipal": to.arn(), "RetiringPrincipal": ROOT.arn(),
            "Operations": ["Decrypt"],
        });
        call(&home, "CreateGrant", &request)["GrantId"].clone()
    };
    for ending in ["RevokeGrant", "RetireGrant"] {
        let id = grant(ANN);
        within(BOUND, "the grant is in force", || {
            ANN.sh(&mount.point, "cat f > /dev/null").status.success()
        });
        one_of_two_is_cut_off(&mount, || {
            call(
                &home,
                ending,
                &json!({ "KeyId": volume.key, "GrantId": id }),
            );
        });
    }
}

#[test]
fn a_changed_tree_policy_cuts_off_whom_it_excludes_when_policy_put_returns() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    let everyone = json!({
        "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*",
    });
    let not_ann = json!({
        "Sid": "NotAnn", "Effect": "Deny", "Principal": { "AWS": ANN.arn() },
        "Action": "kmsfs:Write", "Resource": volume.arn("f"),
    });
    let mut reader = Holder::start(ANN, &mount.path("f"), "r");
    one_of_two_is_cut_off_by_writing(&mount, || {
        volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": [everyone, not_ann] }));
    });
    // Her other handle only reads, which she still may.
    assert_eq!(reader.tell("r"), "ok");
    let revoked = revocations(&home);
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    assert_eq!(revoked[0]["decision"]["statements"], json!(["tree:NotAnn"]));
}

fn one_of_two_is_cut_off_by_writing(mount: &Mount<'_>, change: impl FnOnce()) {
    let mut ann = Holder::start(ANN, &mount.path("f"), "w");
    let mut bob = Holder::start(BOB, &mount.path("f"), "w");
    assert_eq!(ann.tell("w"), "ok");
    change();
    assert_eq!(ann.tell("w"), "EACCES");
    assert_eq!(ann.tell("r"), "EACCES", "the handle is gone as a whole");
    for order in ["r", "w", "m"] {
        assert_eq!(bob.tell(order), "ok", "{order}");
    }
}

#[test]
fn a_key_about_to_be_deleted_cuts_off_whoever_has_a_file_open() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    all_are_cut_off(&home, &mount, || {
        home.run(["key", "schedule-deletion", &volume.key, "--days", "7"]);
    });
    home.run(["key", "cancel-deletion", &volume.key]);
    home.run(["key", "enable", &volume.key]);
    ROOT.can(&mount.point, "cat f > /dev/null");
}

/// Imports material into the key `key`, as the holder of the material does.
fn import(home: &Home, key: &str) {
    let wanted = json!({
        "KeyId": key, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048",
    });
    let told = call(home, "GetParametersForImport", &wanted);
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let wrap = format!(
        "printf %s '{}' | base64 -d > public.der
        printf 0123456789abcdef0123456789abcdef | openssl pkeyutl -encrypt -pubin -keyform DER \
            -inkey public.der -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
            -pkeyopt rsa_mgf1_md:sha256 | base64 -w 0",
        text("PublicKey")
    );
    let request = json!({
        "KeyId": key, "ImportToken": text("ImportToken"),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        "EncryptedKeyMaterial": ROOT.can(&home.path(""), &wrap),
    });
    call(home, "ImportKeyMaterial", &request);
}

#[test]
fn deleted_key_material_cuts_off_whoever_has_a_file_open() {
    let home = Home::new();
    // Whose mount serves the home, so that there is somebody to call.
    let first = home.named_volume("first", "everyone");
    let _serving = first.mount();
    let made = call(
        &home,
        "CreateKey",
        &json!({ "Origin": "EXTERNAL", "Policy": key_policy(&[ANN]).to_string() }),
    );
    let key = made["KeyMetadata"]["Arn"].as_str().unwrap();
    import(&home, key);
    let backing = home.path("backing");
    let init = [
        "init",
        backing.to_str().unwrap(),
        "--policy",
        "everyone",
        "--key",
        key,
    ];
    let volume = Volume {
        home: &home,
        id: home.json(init)["volumeId"].as_str().unwrap().to_owned(),
        key: key.to_owned(),
        backing,
    };
    let mount = with_file(&volume);
    all_are_cut_off(&home, &mount, || {
        call(&home, "DeleteImportedKeyMaterial", &json!({ "KeyId": key }));
    });
    import(&home, key);
    ROOT.can(&mount.point, "cat f > /dev/null");
}

#[test]
fn a_right_that_is_given_back_opens_files_anew_and_brings_no_handle_back() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    let mut old = Holder::start(ANN, &mount.path("f"), "w");
    let mut made = File::create_new(mount.path("made")).unwrap();
    made.write_all(b"before").unwrap();
    home.run(["key", "disable", &volume.key]);
    assert_eq!(old.tell("r"), "EACCES");
    assert_eq!(errno(made.write_all(b"between")), Some(Errno::ACCESS));
    home.run(["key", "enable", &volume.key]);
    let mut new = Holder::start(ANN, &mount.path("f"), "w");
    for order in ["r", "w"] {
        assert_eq!(new.tell(order), "ok", "{order}");
        assert_eq!(old.tell(order), "EACCES", "{order}");
    }
    assert_eq!(new.tell("f"), "ok");
    assert_eq!(errno(made.write_all(b"after")), Some(Errno::ACCESS));
    assert_eq!(fs::read(mount.path("made")).unwrap(), b"before");
    // Once it is closed, the kernel's cache serves everybody again.
    drop((old, new, made));
    assert_eq!(Holder::start(ANN, &mount.path("f"), "w").tell("m"), "ok");
    drop(mount);
    home.kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .assert()
        .code(0);
}

#[test]
fn a_write_under_way_when_its_file_is_revoked_is_kept_up_to_where_it_came() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    let mut long = File::create_new(mount.path("long")).unwrap();
    let content = pattern(1 << 20);
    let writing = std::thread::spawn(move || {
        let mut written = 0;
        loop {
            match long.write(&content) {
                Ok(more) => written += more,
                Err(error) => return (written, errno(Err::<(), _>(error))),
            }
            // Not to fill the disk.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    home.run(["key", "disable", &volume.key]);
    let (written, refusal) = writing.join().unwrap();
    assert_eq!(refusal, Some(Errno::ACCESS));
    home.run(["key", "enable", &volume.key]);
    let kept = fs::read(mount.path("long")).unwrap();
    assert_eq!(kept.len(), written);
    let content = pattern(1 << 20);
    assert!(kept.chunks(1 << 20).all(|part| content.starts_with(part)));
}

#[test]
fn a_new_key_revokes_nothing_whose_process_can_no_longer_be_asked_about() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = with_file(&volume);
    volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*",
          "Condition": { "StringLike": { "kmsfs:ExePath": "*python3*" } } },
    ] }));
    let mut holder = Holder::start(ANN, &mount.path("f"), "t");
    assert_eq!(holder.tell("r"), "ok");
    home.run(["key", "create"]);
    std::thread::sleep(BOUND);
    assert_eq!(holder.tell("r"), "ok");
}
