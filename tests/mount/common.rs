//! A home with a passphrase, volumes in it, and mounts that end when the test does, however it
//! ends.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::audit_schema::assert_logs_valid;

/// No command of these tests takes longer unless it hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// How soon a mount must act on a changed policy or key state: a second, and as much again for a
/// loaded machine.
pub(crate) const TAKES_EFFECT: Duration = Duration::from_secs(2);

/// A temporary directory with a home in it. It lies in `/var/tmp` (or `TMPDIR`), because `/tmp` is
/// often a tmpfs, which has no `user.*` xattrs before Linux 6.6, and because other users can reach
/// it there.
pub(crate) struct Home {
    root: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        require_root_and_fuse();
        let parent = std::env::var_os("TMPDIR").unwrap_or("/var/tmp".into());
        let root = tempfile::Builder::new()
            .prefix("kmsfs-")
            .tempdir_in(parent)
            .unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = Self { root };
        write_secret(&home.passfile(), "correct horse battery staple\n");
        home
    }

    /// A path in the temporary directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn passfile(&self) -> PathBuf {
        self.path("passfile")
    }

    /// `kmsfs --home ... --passfile ...`, without further arguments.
    pub(crate) fn kmsfs(&self) -> Command {
        let mut command = kmsfs();
        command
            .arg("--home")
            .arg(self.dir())
            .arg("--passfile")
            .arg(self.passfile());
        command
    }

    /// Runs a command of this home that must succeed, and returns its standard output.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let assert = self.kmsfs().args(arguments).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    }

    /// Runs a command of this home with `--json`, and returns what it printed.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let arguments = arguments.into_iter().map(|a| a.as_ref().to_owned());
        let text = self.run(arguments.chain([OsString::from("--json")]));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Makes a volume; `policy` is what `init --policy` takes.
    pub(crate) fn volume(&self, policy: &str) -> Volume<'_> {
        self.named_volume("backing", policy)
    }

    pub(crate) fn named_volume(&self, name: &str, policy: &str) -> Volume<'_> {
        let backing = self.path(name);
        let made = self.json([
            "init".as_ref(),
            backing.as_os_str(),
            "--policy".as_ref(),
            policy.as_ref(),
        ]);
        Volume {
            home: self,
            backing,
            id: made["volumeId"].as_str().unwrap().to_owned(),
            key: made["keyArn"].as_str().unwrap().to_owned(),
        }
    }

    /// Every record of every audit log, log by log.
    pub(crate) fn audit_records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for log in self.audit_logs() {
            let text = fs::read_to_string(log).unwrap();
            records.extend(
                text.lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()),
            );
        }
        records
    }

    /// The audit logs' paths.
    pub(crate) fn audit_logs(&self) -> Vec<PathBuf> {
        let mut logs: Vec<PathBuf> = fs::read_dir(self.dir().join("audit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension() == Some("jsonl".as_ref()))
            .collect();
        logs.sort();
        assert!(!logs.is_empty(), "no audit log in {}", self.dir().display());
        logs
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_logs_valid(&self.dir().join("audit"));
        }
    }
}

/// A volume of a home.
pub(crate) struct Volume<'h> {
    pub(crate) home: &'h Home,
    pub(crate) backing: PathBuf,
    pub(crate) id: String,
    pub(crate) key: String,
}

impl Volume<'_> {
    /// Mounts the volume for every user.
    pub(crate) fn mount(&self) -> Mount<'_> {
        self.mount_with(&["-o", "allow_other"])
    }

    /// Mounts the volume with these further arguments.
    pub(crate) fn mount_with(&self, arguments: &[&str]) -> Mount<'_> {
        let point = self.backing.with_extension("mnt");
        fs::create_dir_all(&point).unwrap();
        self.home
            .kmsfs()
            .arg("mount")
            .arg(&self.backing)
            .arg(&point)
            .args(arguments)
            .assert()
            .success();
        assert!(
            is_mounted(&point),
            "mount returned success and {} is not mounted",
            point.display()
        );
        Mount {
            home: self.home,
            point,
        }
    }

    /// The ARN of a path of this volume, for a tree policy's `Resource`.
    pub(crate) fn arn(&self, path: &str) -> String {
        format!(
            "arn:aws:kmsfs:us-east-1:000000000000:volume/{}/{path}",
            self.id
        )
    }

    pub(crate) fn put_policy(&self, document: &Value) {
        let file = self.home.path("policy.json");
        fs::write(&file, serde_json::to_vec_pretty(document).unwrap()).unwrap();
        self.home.run([
            "policy".as_ref(),
            "put".as_ref(),
            "--tree".as_ref(),
            self.backing.as_os_str(),
            file.as_os_str(),
        ]);
    }

    /// Every entry of the backing directory but kmsfs's own, the root itself not among them.
    /// Replaces the policy of the volume's key.
    pub(crate) fn put_key_policy(&self, document: &Value) {
        let file = self.home.path("key-policy.json");
        fs::write(&file, document.to_string()).unwrap();
        let file = file.to_str().unwrap();
        self.home.run(["policy", "put", "--key", &self.key, file]);
    }

    pub(crate) fn backing_entries(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.backing.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path
                    .file_name()
                    .unwrap()
                    .as_encoded_bytes()
                    .starts_with(b".kmsfs")
                {
                    continue;
                }
                if path.symlink_metadata().unwrap().is_dir() {
                    pending.push(path.clone());
                }
                found.push(path);
            }
        }
        found
    }

    /// The backing file of the only file in the volume.
    pub(crate) fn only_backing_file(&self) -> PathBuf {
        let mut entries = self.backing_entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }
}

/// A mounted volume, until dropped.
pub(crate) struct Mount<'h> {
    home: &'h Home,
    pub(crate) point: PathBuf,
}

impl<'h> Mount<'h> {
    /// What was mounted at `point`.
    pub(crate) fn at(home: &'h Home, point: PathBuf) -> Self {
        Self { home, point }
    }

    /// A path in the mount.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.point.join(name)
    }

    /// The process that serves the mount.
    pub(crate) fn daemon(&self) -> rustix::process::Pid {
        let status = self.home.json(["status".as_ref(), self.point.as_os_str()]);
        let pid = status["pid"]
            .as_i64()
            .unwrap_or_else(|| panic!("no pid in {status}"));
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        if !is_mounted(&self.point) {
            return;
        }
        let result = self.home.kmsfs().arg("umount").arg(&self.point).output();
        if result.as_ref().is_ok_and(|output| output.status.success()) && !is_mounted(&self.point) {
            return;
        }
        std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.point)
            .output()
            .unwrap();
        assert!(std::thread::panicking(), "kmsfs umount failed: {result:?}");
    }
}

/// `kmsfs` itself, with an environment that names no home and no passphrase.
pub(crate) fn kmsfs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kmsfs"));
    command
        .env_remove("KMSFS_HOME")
        .env_remove("KMSFS_PASSFILE")
        .timeout(DEADLINE);
    command
}

/// A user by number. Nothing needs an entry in `/etc/passwd`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User(pub(crate) u32);

pub(crate) const ROOT: User = User(0);
pub(crate) const ANN: User = User(20_001);
pub(crate) const BOB: User = User(20_002);

impl User {
    /// The ARN that kmsfs gives a user whose number has no name.
    pub(crate) fn arn(self) -> String {
        match self {
            Self(0) => "arn:aws:iam::000000000000:user/root".to_owned(),
            Self(uid) => format!("arn:aws:iam::000000000000:user/uid-{uid}"),
        }
    }

    /// Runs a shell script as this user, in `directory`.
    pub(crate) fn sh(self, directory: &Path, script: &str) -> Output {
        let mut shell = std::process::Command::new("sh");
        shell
            .arg("-ec")
            .arg(script)
            .current_dir(directory)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent");
        shell.uid(self.0).gid(self.0);
        Command::from_std(shell).timeout(DEADLINE).output().unwrap()
    }

    /// Runs a script that must succeed, and returns its output.
    pub(crate) fn can(self, directory: &Path, script: &str) -> String {
        let output = self.sh(directory, script);
        assert!(output.status.success(), "{self:?}: {script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script that must be refused: with EACCES, or EPERM where the kernel refuses before
    /// policy is asked.
    pub(crate) fn cannot(self, directory: &Path, script: &str) {
        let output = self.sh(directory, script);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{self:?} could: {script}");
        assert!(
            ["Permission denied", "Operation not permitted"]
                .iter()
                .any(|refusal| message.contains(refusal)),
            "{self:?}: {script}: {message}"
        );
    }
}

/// Whether something is mounted at `point`.
pub(crate) fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .any(|line| line.split(' ').nth(4).map(Path::new) == Some(point))
}

/// Waits until `condition` holds.
pub(crate) fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes that repeat with no power of two, so that a block in the wrong place shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap())
        .collect()
}

pub(crate) fn write_secret(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Compiles a C program: the way to a system call that needs `unsafe` in Rust.
pub(crate) fn compile_c(home: &Home, name: &str, source: &str) -> PathBuf {
    let (file, program) = (home.path(&format!("{name}.c")), home.path(name));
    fs::write(&file, source).unwrap();
    Command::new("cc")
        .arg("-o")
        .arg(&program)
        .arg(&file)
        .timeout(DEADLINE)
        .assert()
        .success();
    program
}

fn require_root_and_fuse() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the mount tests need root: run scripts/test.sh"
    );
    let fuse = fs::metadata("/dev/fuse").expect("the mount tests need /dev/fuse: modprobe fuse");
    assert!(
        fuse.file_type().is_char_device(),
        "/dev/fuse is not a device"
    );
}
