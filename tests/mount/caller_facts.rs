//! What policies ask about the calling process: its executable and its login. Each test is an attempt to
//! pass for another program.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::io::Errno;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{ANN, Home, Mount, User, Volume, compile_c};

/// Opens files as it is told to, line by line, and says what came of it.
const AGENT: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 100, SOCKET = 101 };

static void say(int done) {
    printf("%d\n", done < 0 ? errno : 0);
}

static int try_open(const char *path) {
    int file = open(path, O_RDONLY);
    if (file >= 0) close(file);
    return file;
}

static int hold(const char *path) {
    int file = open(path, O_RDONLY);
    return file < 0 ? -1 : dup2(file, HELD);
}

static struct msghdr message(struct iovec *part, char *control, size_t size) {
    struct msghdr message = { .msg_iov = part, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = size };
    return message;
}

static int pass(void) {
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { &byte, 1 };
    struct msghdr sent = message(&part, control, sizeof control);
    struct cmsghdr *head = CMSG_FIRSTHDR(&sent);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    int held = HELD;
    memcpy(CMSG_DATA(head), &held, sizeof held);
    return sendmsg(SOCKET + 1, &sent, 0);
}

static int receive(void) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = { &byte, 1 };
    struct msghdr got = message(&part, control, sizeof control);
    int file;
    if (recvmsg(SOCKET, &got, 0) < 0) return -1;
    memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&got)), sizeof file);
    return dup2(file, HELD);
}

/// Runs `program` in a child that talks in this one's place; a socket connects the two.
static void start(char *program, int inherits) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (fork() == 0) {
        dup2(pair[0], SOCKET);
        if (!inherits) close(HELD);
        execl(program, program, NULL);
        _exit(1);
    }
    dup2(pair[1], SOCKET + 1);
    if (!inherits) pass();
    wait(NULL);
}

static void run_from_memory(const char *path) {
    char bytes[65536];
    ssize_t length;
    int from = open(path, O_RDONLY), to = memfd_create("agent", 0);
    while ((length = read(from, bytes, sizeof bytes)) > 0) write(to, bytes, length);
    char *arguments[] = { "agent", NULL };
    fexecve(to, arguments, (char *[]){ NULL });
}

int main(void) {
    char line[4096], byte;
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("ready\n");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *word = strtok(line, " "), *rest = strtok(NULL, "");
        if (!strcmp(word, "open")) say(try_open(rest));
        else if (!strcmp(word, "hold")) say(hold(rest));
        else if (!strcmp(word, "read")) say(pread(HELD, &byte, 1, 0));
        else if (!strcmp(word, "receive")) say(receive());
        else if (!strcmp(word, "exec")) { execl(rest, rest, NULL); say(-1); }
        else if (!strcmp(word, "memory")) { run_from_memory(rest); say(-1); }
        else if (!strcmp(word, "inherit")) start(rest, 1);
        else if (!strcmp(word, "pass")) start(rest, 0);
    }
    return 0;
}
"#;

/// A running agent.
struct Agent {
    child: Child,
    /// Its end is the agent's.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Agent {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut agent = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        agent.is_ready();
        agent
    }

    fn run(program: &Path, user: User) -> Self {
        Self::start(Command::new(program).uid(user.0).gid(user.0))
    }

    fn is_ready(&mut self) {
        assert_eq!(self.line(), "ready");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, what: &str, path: &Path) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{what} {}", path.display()).unwrap();
    }

    fn does(&mut self, what: &str, path: &Path) -> Result<(), Errno> {
        self.tell(what, path);
        match self.line().parse().unwrap() {
            0 => Ok(()),
            error => Err(Errno::from_raw_os_error(error)),
        }
    }

    fn opens(&mut self, path: &Path) -> bool {
        match self.does("open", path) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error, Errno::ACCESS);
                false
            }
        }
    }

    fn reads_what_it_holds(&mut self) -> bool {
        self.does("read", Path::new("-")).is_ok()
    }

    /// Becomes, or starts in its place, another program.
    fn turns(&mut self, how: &str, program: &Path) {
        self.tell(how, program);
        self.is_ready();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.input = None;
        // Until whatever it started has ended too, and holds no file of the mount.
        let _ = std::io::copy(&mut self.output, &mut std::io::sink());
        let _ = self.child.wait();
    }
}

/// A volume that holds the file `f`, and two programs of the same code.
struct Stage<'h> {
    home: &'h Home,
    volume: Volume<'h>,
    trusted: PathBuf,
    other: PathBuf,
}

impl<'h> Stage<'h> {
    fn new(home: &'h Home) -> Self {
        let agent = compile_c(home, "agent", AGENT);
        let bin = home.path("bin");
        fs::create_dir(&bin).unwrap();
        let (trusted, other) = (bin.join("trusted"), bin.join("other"));
        for program in [&trusted, &other] {
            fs::copy(&agent, program).unwrap();
        }
        // Another content.
        let mut other_file = OpenOptions::new().append(true).open(&other).unwrap();
        other_file.write_all(b"other").unwrap();
        Self {
            home,
            volume: home.volume("everyone"),
            trusted,
            other,
        }
    }

    /// Mounts, with a file in the volume, and lets it be read where `condition` holds.
    fn mount(&self, condition: &Value) -> (Mount<'_>, PathBuf) {
        let mount = self.volume.mount();
        let file = mount.path("f");
        fs::write(&file, "content").unwrap();
        fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
        self.volume
            .put_policy(&json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": "*", "NotAction": ["kmsfs:Read", "kmsfs:Execute"],
              "Resource": "*" },
            { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*",
              "Condition": condition } ] }));
        (mount, file)
    }

    fn by_path(&self) -> Value {
        json!({ "StringEquals": { "kmsfs:ExePath": self.trusted.to_str().unwrap() } })
    }

    fn by_hash(&self) -> Value {
        json!({ "StringEquals": { "kmsfs:ExeSha256": sha256(&self.trusted) } })
    }

    fn trusted(&self) -> Agent {
        Agent::run(&self.trusted, ANN)
    }

    fn other(&self) -> Agent {
        Agent::run(&self.other, ANN)
    }
}

fn sha256(path: &Path) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(fs::read(path).unwrap()) {
        write!(digits, "{byte:02x}").unwrap();
    }
    digits
}

#[test]
fn the_path_of_an_executable_is_that_of_the_file_that_runs() {
    let home = Home::new();
    let stage = Stage::new(&home);
    let (_mount, file) = stage.mount(&stage.by_path());
    let mut trusted = stage.trusted();
    assert!(trusted.opens(&file));
    assert!(!stage.other().opens(&file));

    // Renamed while it runs: it is no longer what the policy names, until it is again.
    let away = stage.trusted.with_file_name("away");
    fs::rename(&stage.trusted, &away).unwrap();
    assert!(!trusted.opens(&file));
    fs::rename(&away, &stage.trusted).unwrap();
    assert!(trusted.opens(&file));
    // Another program under its name: neither is what ran before.
    fs::rename(&stage.trusted, &away).unwrap();
    fs::copy(&stage.other, &stage.trusted).unwrap();
    assert!(!trusted.opens(&file));
    // Removed: what was the path is none.
    fs::remove_file(&away).unwrap();
    assert!(!trusted.opens(&file));
    let lookalike = stage.trusted.with_file_name("trusted (deleted)");
    fs::copy(&stage.other, &lookalike).unwrap();
    fs::remove_file(&stage.trusted).unwrap();
    assert!(!trusted.opens(&file));
}

#[test]
fn a_path_in_another_mount_namespace_is_none() {
    let home = Home::new();
    let stage = Stage::new(&home);
    let (_mount, file) = stage.mount(&stage.by_path());
    let (trusted, other) = (stage.trusted.display(), stage.other.display());
    // The kernel tells the path of the trusted program for both.
    let script = format!("mount --bind {other} {trusted} && exec {trusted}");
    let mut spoofed = Agent::start(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    let exe = fs::read_link(format!("/proc/{}/exe", spoofed.child.id())).unwrap();
    assert_eq!(exe, stage.trusted, "the attempt is what it is meant to be");
    assert!(!spoofed.opens(&file));
    drop(spoofed);
    let script = format!("exec {trusted}");
    let mut genuine = Agent::start(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    assert!(genuine.opens(&file), "the very file, seen from elsewhere");
}

#[test]
fn a_right_is_that_of_the_program_that_opens_and_stays_with_what_it_opened() {
    let home = Home::new();
    let stage = Stage::new(&home);
    for condition in [stage.by_path(), stage.by_hash()] {
        let (mount, file) = stage.mount(&condition);
        // Another program executed after the open, in the same process.
        let mut agent = stage.trusted();
        agent.does("hold", &file).unwrap();
        agent.turns("exec", &stage.other);
        assert!(agent.reads_what_it_holds());
        assert!(!agent.opens(&file));
        assert!(!agent.opens(Path::new("/proc/self/fd/100")), "a new open");
        agent.turns("exec", &stage.trusted);
        assert!(agent.opens(&file));
        drop(agent);
        // A descriptor that a child inherits, and one that is passed.
        for how in ["inherit", "pass"] {
            let mut agent = stage.trusted();
            agent.does("hold", &file).unwrap();
            agent.turns(how, &stage.other);
            if how == "pass" {
                agent.does("receive", Path::new("-")).unwrap();
            }
            assert!(agent.reads_what_it_holds(), "{how}");
            assert!(!agent.opens(&file), "{how}");
            assert!(!agent.opens(Path::new("/proc/self/fd/100")), "{how}");
        }
        // The other way round: what the other program may not open, the trusted one may.
        let mut agent = stage.other();
        assert!(agent.does("hold", &file).is_err());
        agent.turns("exec", &stage.trusted);
        assert!(agent.opens(&file));
        drop(agent);
        drop(mount);
    }
}

#[test]
fn a_process_with_the_number_of_a_trusted_one_that_ended_is_itself() {
    let home = Home::new();
    let stage = Stage::new(&home);
    for condition in [stage.by_path(), stage.by_hash()] {
        let (_mount, file) = stage.mount(&condition);
        let mut reused = false;
        for _ in 0..200 {
            let mut trusted = stage.trusted();
            assert!(trusted.opens(&file));
            let number = trusted.child.id();
            drop(trusted);
            // The next process gets the number behind this one, unless another is faster.
            fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
            let mut other = stage.other();
            reused |= other.child.id() == number;
            assert!(!other.opens(&file));
            if reused {
                break;
            }
        }
        assert!(reused, "no number was used again");
    }
}

#[test]
fn a_hash_is_that_of_the_content_wherever_it_lies() {
    let home = Home::new();
    let stage = Stage::new(&home);
    let (_mount, file) = stage.mount(&stage.by_hash());
    let mut trusted = stage.trusted();
    assert!(trusted.opens(&file));
    assert!(!stage.other().opens(&file));
    // Under another name, and in another place.
    let copy = home.path("copy");
    fs::copy(&stage.trusted, &copy).unwrap();
    assert!(Agent::run(&copy, ANN).opens(&file));
    // Other content under the name, with the old times and length; what runs stays what it was.
    let (length, modified) = {
        let old = stage.trusted.metadata().unwrap();
        (old.len(), old.modified().unwrap())
    };
    fs::remove_file(&stage.trusted).unwrap();
    assert!(trusted.opens(&file), "it was removed, and still runs");
    let mut content = fs::read(&stage.other).unwrap();
    content.truncate(usize::try_from(length).unwrap());
    *content.last_mut().unwrap() ^= 1;
    fs::write(&stage.trusted, &content).unwrap();
    fs::set_permissions(&stage.trusted, fs::Permissions::from_mode(0o755)).unwrap();
    fs::File::open(&stage.trusted)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert!(!stage.trusted().opens(&file));
    // Changed in its place: another state of the same file.
    let mut once = Agent::run(&copy, ANN);
    assert!(once.opens(&file));
    drop(once);
    let mut appended = OpenOptions::new().append(true).open(&copy).unwrap();
    appended.write_all(b"x").unwrap();
    drop(appended);
    assert!(!Agent::run(&copy, ANN).opens(&file));
    // What is on no filesystem, and what is too large to be read.
    let mut agent = stage.other();
    agent.turns("memory", &stage.trusted);
    assert!(!agent.opens(&file));
    let large = home.path("large");
    fs::copy(&stage.trusted, &large).unwrap();
    let file_of_large = OpenOptions::new().write(true).open(&large).unwrap();
    file_of_large.set_len(300 << 20).unwrap();
    drop(file_of_large);
    stage
        .volume
        .put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*",
          "Condition": { "StringEquals": { "kmsfs:ExeSha256": "0" } } } ] }));
    assert!(
        !Agent::run(&large, ANN).opens(&file),
        "unknown: a Deny holds"
    );
    assert!(stage.other().opens(&file));
}

#[test]
fn a_program_in_the_mount_itself_has_no_hash_and_holds_nobody_up() {
    let home = Home::new();
    let stage = Stage::new(&home);
    let (mount, file) = stage.mount(&stage.by_hash());
    // The mount itself is such a filesystem: reading it would wait for itself.
    let inside = mount.path("agent");
    fs::write(&inside, fs::read(&stage.trusted).unwrap()).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).unwrap();
    stage
        .volume
        .put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:Execute", "Resource": "*" },
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read", "Resource": "*",
          "Condition": { "StringEquals": { "kmsfs:ExeSha256": sha256(&stage.trusted) } } } ] }));
    let mut agents: Vec<Agent> = (0..8).map(|_| Agent::run(&inside, ANN)).collect();
    let mut trusted = stage.trusted();
    for agent in &mut agents {
        assert!(!agent.opens(&file));
        assert!(trusted.opens(&file));
    }
}

#[test]
fn a_set_user_id_program_is_judged_as_its_owner_with_the_login_of_who_started_it() {
    let home = Home::new();
    let stage = Stage::new(&home);
    let login = |uid: u32| json!({ "NumericEquals": { "kmsfs:LoginUid": uid } });
    let as_login = |program: &Path, uid: Option<u32>| {
        let set = uid.map_or(String::new(), |uid| {
            format!("echo {uid} >/proc/self/loginuid; ")
        });
        let script = format!(
            "{set}exec setpriv --reuid {0} --regid {0} --clear-groups {1}",
            ANN.0,
            program.display()
        );
        Agent::start(Command::new("sh").args(["-ec", &script]))
    };
    let (mount, file) = stage.mount(&login(ANN.0));
    assert!(as_login(&stage.other, Some(ANN.0)).opens(&file));
    assert!(!as_login(&stage.other, Some(4711)).opens(&file));
    assert!(!stage.other().opens(&file), "no login: unknown");
    // Its user is root's now, its login is ann's still.
    let setuid = home.path("setuid");
    fs::copy(&stage.other, &setuid).unwrap();
    chown(&setuid, Some(0), Some(0)).unwrap();
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
    assert!(as_login(&setuid, Some(ANN.0)).opens(&file));
    assert!(!as_login(&setuid, Some(4711)).opens(&file));
    drop(mount);
    let both = json!({ "NumericEquals": { "kmsfs:LoginUid": ANN.0, "kmsfs:Uid": 0 } });
    let (_mount, file) = stage.mount(&both);
    assert!(
        as_login(&setuid, Some(ANN.0)).opens(&file),
        "judged as root"
    );
    assert!(!as_login(&stage.other, Some(ANN.0)).opens(&file));
    assert!(!stage.home.audit_records().is_empty());
}
