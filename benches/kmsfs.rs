//! `cargo bench`: what a block, a name, a header, a decision and a record cost, and what comes through a
//! real mount of the built program. The mount needs `/dev/fuse`, and root or `fusermount3`.
//!
//! Volume and home lie on tmpfs where there is one, so that kmsfs is measured and not the disk.

use std::borrow::Cow;
use std::env;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use criterion::{BatchSize, Criterion, Throughput};
use kmsfs::audit::{self, Anchor, Anchored, Event, Identity, Log, Origin};
use kmsfs::crypto::SecretKey;
use kmsfs::crypto::derive::{FileKeys, VolumeKeys};
use kmsfs::format::{
    BLOCK_LEN, BlockBinding, BlockIndex, COPY_LEN, DirectoryId, FileId, HEADER_LEN, Header,
    KeySlot, RawHeader, SEALED_BLOCK_LEN, open_block, open_name, seal_block, seal_name,
};
use kmsfs::kms::{
    self, CreateKeyRequest, DecryptRequest, GenerateDataKeyRequest, Home, HomeSettings, Unlock,
};
use kmsfs::policy::{self, Context, Document, DocumentKind, Principal, Request};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What is read and written through the mount in one go.
const FILE_LEN: usize = 64 << 20;
const REQUEST_LEN: usize = 1 << 20;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    blocks(&mut criterion);
    names(&mut criterion);
    header(&mut criterion);
    decision(&mut criterion);
    record(&mut criterion);
    verify(&mut criterion);
    key_service(&mut criterion);
    mount(&mut criterion);
    criterion.final_summary();
}

fn blocks(criterion: &mut Criterion) {
    let key = FileKeys::new(&SecretKey::generate()).content;
    let mut binding = BlockBinding::new(&FileId::generate());
    let mut plaintext = vec![7; BLOCK_LEN];
    let mut sealed = vec![0; SEALED_BLOCK_LEN];
    let mut group = criterion.benchmark_group("block");
    group.throughput(Throughput::Bytes(BLOCK_LEN as u64));
    group.bench_function("encrypt", |bencher| {
        bencher.iter(|| {
            let index = BlockIndex(black_box(3));
            seal_block(&key, &mut binding, index, &plaintext, &mut sealed);
        });
    });
    group.bench_function("decrypt", |bencher| {
        bencher.iter(|| {
            let index = BlockIndex(black_box(3));
            open_block(&key, &mut binding, index, &sealed, &mut plaintext).unwrap();
        });
    });
}

fn names(criterion: &mut Criterion) {
    let key = VolumeKeys::new(&SecretKey::generate()).names;
    let directory = DirectoryId::generate();
    let name: &[u8] = b"quarterly-report-2026.ods";
    let stored = seal_name(&key, &directory, name).unwrap();
    let mut group = criterion.benchmark_group("name");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encrypt", |bencher| {
        bencher.iter(|| seal_name(&key, &directory, black_box(name)).unwrap());
    });
    group.bench_function("decrypt", |bencher| {
        bencher.iter(|| open_name(&key, &directory, black_box(stored.entry())).unwrap());
    });
}

/// Both copies read, the newest one checked against the data key.
fn header(criterion: &mut Criterion) {
    let keys = FileKeys::new(&SecretKey::generate());
    let mut region = vec![0; HEADER_LEN];
    for (generation, copy) in (1..).zip(region.chunks_exact_mut(COPY_LEN)) {
        let header = Header {
            file: FileId::from_bytes([5; 16]),
            label: None,
            key: KeySlot {
                key_arn: "arn:aws:kms:us-east-1:000000000000:key/1".into(),
                wrapped: vec![9; 101],
            },
            generation,
            length: 1 << 20,
            synced: true,
            sparse: false,
        };
        copy.copy_from_slice(&header.encode(&keys.header).unwrap());
    }
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse and verify", |bencher| {
        bencher.iter(|| {
            let raw = RawHeader::parse(black_box(&region)).unwrap();
            raw.newest().1.authenticate(&keys.header).unwrap()
        });
    });
}

struct Caller;

impl Context for Caller {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        (key == "kmsfs:Uid").then(|| vec!["1000".into()])
    }
}

fn decision(criterion: &mut Criterion) {
    let document = r#"{ "Version": "2012-10-17", "Statement": [
        { "Effect": "Deny", "Principal": "*", "Action": "kmsfs:Delete",
          "Resource": "arn:aws:kmsfs:*:*:volume/*/archive/*" },
        { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:user/ann" },
          "Action": "kmsfs:*", "Resource": "arn:aws:kmsfs:*:*:volume/*/home/${aws:username}/*" },
        { "Effect": "Allow", "Principal": "*", "Action": ["kmsfs:Read", "kmsfs:List"],
          "Resource": "arn:aws:kmsfs:*:*:volume/*/pub/*",
          "Condition": { "NumericGreaterThanEquals": { "kmsfs:Uid": "1000" } } } ] }"#;
    let document = Document::parse(DocumentKind::Tree, document).unwrap();
    let principal = Principal {
        arn: "arn:aws:iam::000000000000:user/ann".into(),
        account: "000000000000".into(),
        also: vec![],
    };
    let request = Request {
        principal: &principal,
        action: "kmsfs:Read",
        resource: "arn:aws:kmsfs:us-east-1:000000000000:volume/7/pub/2026/notes.txt",
        context: &Caller,
    };
    let mut group = criterion.benchmark_group("policy");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide", |bencher| {
        bencher.iter(|| policy::decide(&document, &[], &[], black_box(&request)).unwrap());
    });
    // Projects with a group, a directory and hours of their own; the last one is the caller's.
    let projects = (0..50).map(|n| {
        format!(
            r#"{{ "Effect": "Deny", "Principal": "*", "Action": ["kmsfs:Write", "kmsfs:Delete"],
                 "Resource": "arn:aws:kmsfs:*:*:volume/*/projects/p{n}/archive/*" }},
               {{ "Effect": "Allow", "Action": ["kmsfs:Read", "kmsfs:List"],
                 "Principal": {{ "AWS": "arn:aws:iam::000000000000:role/p{n}" }},
                 "Resource": "arn:aws:kmsfs:*:*:volume/*/projects/p{n}/*",
                 "Condition": {{ "NumericGreaterThanEquals": {{ "kmsfs:Uid": "1000" }} }} }}"#
        )
    });
    let projects = projects.collect::<Vec<_>>().join(",");
    let document = format!(r#"{{ "Version": "2012-10-17", "Statement": [{projects}] }}"#);
    let document = Document::parse(DocumentKind::Tree, &document).unwrap();
    let principal = Principal {
        also: vec!["arn:aws:iam::000000000000:role/p49".into()],
        ..principal.clone()
    };
    let request = Request {
        principal: &principal,
        resource: "arn:aws:kmsfs:us-east-1:000000000000:volume/7/projects/p49/2026/notes.txt",
        ..request
    };
    group.bench_function("decide, 100 statements", |bencher| {
        bencher.iter(|| policy::decide(&document, &[], &[], black_box(&request)).unwrap());
    });
}

/// A home's signing key.
struct Signer(Ed25519KeyPair);

impl Anchor for Signer {
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String> {
        let signature = self.0.sign(&audit::signed_message(log, seq, hash));
        Ok(Anchored {
            signature: signature.as_ref().to_vec(),
            other: None,
        })
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
}

/// One record of an open, as durable as by default: written, and on disk within a second.
fn record(criterion: &mut Criterion) {
    let directory = workplace();
    let signer = Arc::new(Signer(Ed25519KeyPair::generate().unwrap()));
    let durability = audit::Durability::Balanced;
    let log = Log::open(directory.path(), "bench", durability, signer).unwrap();
    let origin = Origin {
        source: audit::Source::Kmsfs,
        region: "us-east-1".into(),
        account: "000000000000".into(),
    };
    let statements = ["tree:OwnerOnly".to_owned()];
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| {
        bencher.iter(|| {
            let who = Identity::user("arn:aws:iam::000000000000:user/ann");
            let event = Event::new(&origin, "Open", who)
                .path(b"home/ann/notes.txt")
                .allowed(&statements[..]);
            log.record(event).unwrap()
        });
    });
    group.finish();
    log.close().unwrap();
}

/// A log of several segments, the closed ones compressed, judged as `kmsfs audit verify` does.
fn verify(criterion: &mut Criterion) {
    const RECORDS: u64 = 400_000;
    let directory = workplace();
    let signer = Arc::new(Signer(Ed25519KeyPair::generate().unwrap()));
    let key = signer.public_key();
    let durability = audit::Durability::Balanced;
    let log = Log::open(directory.path(), "volume-bench", durability, signer).unwrap();
    let origin = Origin {
        source: audit::Source::Kmsfs,
        region: "us-east-1".into(),
        account: "000000000000".into(),
    };
    for number in 0..RECORDS {
        let who = Identity::user("arn:aws:iam::000000000000:user/ann").ids(Some(1000), Some(100));
        let path = format!("home/ann/notes-{number}.txt");
        let event = Event::new(&origin, "Open", who)
            .path(path.as_bytes())
            .file_id("242b7d995a89aad1440cc1e47c538987")
            .allowed(vec!["tree:OwnerOnly".to_owned()])
            .shared_id("8dbfd5f6-3972-4881-9445-b209931e9f14");
        log.record(event).unwrap();
    }
    log.close().unwrap();
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let report = audit::verify(directory.path(), Some(&key)).unwrap();
            assert_eq!(report.exit_code(), 0, "{report}");
        });
    });
    group.finish();
}

/// The embedded key service: each operation with its record in the audit log, which is written but
/// not waited for to be on disk.
fn key_service(criterion: &mut Criterion) {
    let directory = workplace();
    let home = directory.path().join("home");
    let unlock = Unlock::KeyFile(directory.path().join("key"));
    fs::write(directory.path().join("key"), [7; 32]).unwrap();
    let open = || Home::open(&home, Some(&unlock)).unwrap();
    drop(Home::create(&home, &unlock, &HomeSettings::default()).unwrap());

    let mut group = criterion.benchmark_group("key service");
    let opened = open();
    let (service, me) = (opened.service().unwrap(), kms::Caller::new(opened.admin()));
    let create = || {
        let made = service.create_key(&me, &CreateKeyRequest::default());
        made.unwrap().key_metadata.key_id
    };
    let generate = GenerateDataKeyRequest {
        key_id: create(),
        number_of_bytes: Some(32),
        encryption_context: [("kmsfs:volume", "v"), ("kmsfs:file", "f")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..GenerateDataKeyRequest::default()
    };
    group.bench_function("generate a data key", |bencher| {
        bencher.iter(|| service.generate_data_key(&me, &generate).unwrap());
    });
    let decrypt = DecryptRequest {
        ciphertext_blob: service
            .generate_data_key(&me, &generate)
            .unwrap()
            .ciphertext_blob,
        encryption_context: generate.encryption_context.clone(),
        ..DecryptRequest::default()
    };
    group.bench_function("decrypt a data key", |bencher| {
        bencher.iter(|| service.decrypt(&me, &decrypt).unwrap());
    });

    if env::var_os("KMSFS_BENCH_MANY_KEYS").is_none() {
        return;
    }
    for _ in 0..100_000 {
        create();
    }
    drop(service);
    let before = resident();
    group.sample_size(10);
    group.bench_function("open a store of 100 000 keys", |bencher| {
        bencher.iter(|| open().service().unwrap());
    });
    let opened = open();
    let service = opened.service().unwrap();
    eprintln!(
        "100 000 keys: {} MiB more memory",
        (resident() - before) >> 20
    );
    drop(service);
    group.finish();
}

/// Bytes of memory that this process has now.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn mount(criterion: &mut Criterion) {
    let mounted = Mounted::new();
    let existing = mounted.path("existing");
    let data = vec![7; REQUEST_LEN];
    write(&existing, &data);

    let mut group = criterion.benchmark_group("mount");
    group.throughput(Throughput::Elements(1));
    group.bench_function("open and close", |bencher| {
        bencher.iter(|| File::open(&existing).unwrap());
    });
    group.bench_function("create and unlink", |bencher| {
        let new = mounted.path("new");
        bencher.iter(|| {
            File::create_new(&new).unwrap();
            fs::remove_file(&new).unwrap();
        });
    });
    group.sample_size(10);
    group.throughput(Throughput::Bytes(FILE_LEN as u64));
    group.bench_function("sequential write and fsync", |bencher| {
        let target = mounted.path("written");
        bencher.iter(|| write(&target, &data));
    });
    group.bench_function("sequential read", |bencher| {
        let mut buffer = vec![0; REQUEST_LEN];
        // What the kernel has of the file in its cache is dropped first.
        let cold = || {
            let file = File::open(&existing).unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            file
        };
        let read = |mut file: File| while file.read(&mut buffer).unwrap() > 0 {};
        bencher.iter_batched(cold, read, BatchSize::PerIteration);
    });
}

fn write(path: &Path, data: &[u8]) {
    let mut file = File::create(path).unwrap();
    for _ in 0..FILE_LEN / data.len() {
        file.write_all(data).unwrap();
    }
    file.sync_all().unwrap();
}

fn workplace() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

/// A new volume, mounted by the built program in the foreground: an interrupt from the terminal
/// reaches that program too, and makes it unmount.
struct Mounted {
    directory: TempDir,
    program: Child,
    /// What the program says from now on goes nowhere, but needs an open pipe to go into.
    _errors: BufReader<ChildStderr>,
}

impl Mounted {
    fn new() -> Self {
        let directory = workplace();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("passphrase"), "a passphrase for a minute").unwrap();
        fs::create_dir(path("plain")).unwrap();
        let kmsfs = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kmsfs"));
            command.arg("--home").arg(path("home"));
            command.arg("--passfile").arg(path("passphrase"));
            command
        };
        let made = kmsfs().arg("init").arg(path("vault")).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "kmsfs init: {said}");
        let mut program = kmsfs()
            .args(["mount", "--foreground"])
            .args([path("vault"), path("plain")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut errors = BufReader::new(program.stderr.take().unwrap());
        errors.read_line(&mut said).unwrap();
        let mounted = Self {
            directory,
            program,
            _errors: errors,
        };
        assert!(said.starts_with("Mounted on"), "kmsfs mount: {said}");
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("plain").join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.program), Signal::TERM);
        let _ = self.program.wait();
    }
}
