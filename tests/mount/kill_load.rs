//! SIGKILL in the middle of everything at once: `KMSFS_KILLS` times, a few unless that says more.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Home, Volume, pattern, within};
use crate::kill::{kill, verify_log};

/// What a kernel sends at most at once, and a bit more.
const OVERWRITTEN: usize = (1 << 20) + 5000;
/// The most blocks that go to the filesystem in one request wherever the buffer begins: direct I/O
/// takes 256 pages at a time, and parts a longer write in the middle of a block.
const REQUEST: usize = 255 * 4096;

/// How far each of the loads is known to have come. What is told here was written: with a sync where
/// the kernel may hold it back, and without one where each write reaches the daemon.
#[derive(Default)]
struct Progress {
    appended: AtomicU64,
    overwritten: AtomicU64,
    cut: AtomicU64,
    renamed: AtomicU64,
    made: AtomicU64,
}

impl Progress {
    fn all(&self) -> [&AtomicU64; 5] {
        [
            &self.appended,
            &self.overwritten,
            &self.cut,
            &self.renamed,
            &self.made,
        ]
    }
}

/// One round's files, and how they are written.
struct Round {
    directory: PathBuf,
    /// Whether a write is there only once it was synced.
    cached: bool,
}

impl Round {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn written(&self, file: &File) -> std::io::Result<()> {
        if self.cached {
            file.sync_data()
        } else {
            Ok(())
        }
    }

    fn prepare(&self) {
        fs::create_dir(&self.directory).unwrap();
        fs::create_dir(self.path("new")).unwrap();
        fs::create_dir(self.path("moved")).unwrap();
        fs::write(self.path("log"), b"").unwrap();
        fs::write(self.path("whole"), vec![1; OVERWRITTEN]).unwrap();
        fs::write(self.path("cut"), pattern(100_000)).unwrap();
        for name in ["whole", "cut"] {
            File::open(self.path(name)).unwrap().sync_all().unwrap();
        }
    }

    /// Lines of growing length at the end of a file.
    fn append(&self, progress: &AtomicU64) -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.path("log"))?;
        for number in 0.. {
            file.write_all(&line(number))?;
            self.written(&file)?;
            progress.store(number + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The same blocks again and again, and the end of the file not at one's.
    fn overwrite(&self, progress: &AtomicU64) -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path("whole"))?;
        for generation in 2.. {
            let data = vec![byte(generation); OVERWRITTEN];
            for (number, part) in data.chunks(REQUEST).enumerate() {
                file.write_all_at(part, (number * REQUEST) as u64)?;
            }
            self.written(&file)?;
            progress.store(generation, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Shorter and longer, across the ends of blocks.
    fn cut(&self, progress: &AtomicU64) -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path("cut"))?;
        for number in 1.. {
            file.set_len(cut_length(number))?;
            self.written(&file)?;
            progress.store(number, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Files that are written under one name and then take another, some of them long.
    fn rename(&self, progress: &AtomicU64) -> std::io::Result<()> {
        for number in 0.. {
            let made = self.path("new/file");
            fs::write(&made, content(number))?;
            self.written(&File::open(&made)?)?;
            fs::rename(&made, self.path("moved").join(moved(number)))?;
            progress.store(number + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Directories with a file in each.
    fn make(&self, progress: &AtomicU64) -> std::io::Result<()> {
        for number in 0.. {
            let directory = self.path(&format!("new/{number}"));
            fs::create_dir(&directory)?;
            let mut file = File::create_new(directory.join("file"))?;
            file.write_all(&content(number))?;
            self.written(&file)?;
            progress.store(number + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn check(&self, progress: &Progress) {
        let done = |progress: &AtomicU64| progress.load(Ordering::SeqCst);

        let log = fs::read(self.path("log")).unwrap();
        let least: Vec<u8> = (0..done(&progress.appended)).flat_map(line).collect();
        let last = line(done(&progress.appended));
        assert!(log.starts_with(&least), "{} bytes of the log", log.len());
        assert!(
            last.starts_with(&log[least.len()..]),
            "more than the last line"
        );

        let whole = fs::read(self.path("whole")).unwrap();
        assert_eq!(whole.len(), OVERWRITTEN);
        let generation = done(&progress.overwritten).max(1);
        let allowed = [byte(generation), byte(generation + 1)];
        for (number, block) in whole.chunks(4096).enumerate() {
            let one = block.iter().all(|&byte| byte == block[0]);
            assert!(
                one && allowed.contains(&block[0]),
                "block {number}: {}, not of {allowed:?}",
                block[0]
            );
        }

        let number = done(&progress.cut);
        let length = fs::metadata(self.path("cut")).unwrap().len();
        let allowed = [cut_length(number), cut_length(number + 1)];
        assert!(allowed.contains(&length), "{length} is none of {allowed:?}");
        // What is not zeros is what was there before it was ever cut.
        let (cut, before) = (fs::read(self.path("cut")).unwrap(), pattern(100_000));
        let kept = (0..=number + 1).map(cut_length).min().unwrap() as usize;
        assert_eq!(cut[..kept], before[..kept]);
        assert!(
            cut[kept..]
                .iter()
                .zip(&before[kept..])
                .all(|(a, b)| *a == 0 || a == b)
        );

        for number in 0..done(&progress.renamed) {
            let found = fs::read(self.path("moved").join(moved(number))).unwrap();
            assert!(found == content(number), "renamed file {number}");
        }
        for number in 0..done(&progress.made) {
            let found = fs::read(self.path(&format!("new/{number}/file"))).unwrap();
            assert!(found == content(number), "file {number}");
        }
        read_all(&self.directory);
    }
}

fn line(number: u64) -> Vec<u8> {
    let mut line = pattern((number * 997 % 9000) as usize);
    line.extend(format!("line {number}\n").bytes());
    line
}

fn byte(generation: u64) -> u8 {
    u8::try_from(generation % 250).unwrap() + 1
}

fn cut_length(number: u64) -> u64 {
    [
        100_000, 99_999, 40_960, 40_961, 70_000, 20_000, 4096, 90_000,
    ][(number % 8) as usize]
}

fn content(number: u64) -> Vec<u8> {
    pattern((number * 1777 % 20_000) as usize)
}

fn moved(number: u64) -> String {
    if number.is_multiple_of(2) {
        format!("moved {number}")
    } else {
        format!("moved {number}{}", "x".repeat(200))
    }
}

/// Whatever else is there can be read as a whole.
fn read_all(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path);
        } else {
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

fn one_kill(volume: &Volume<'_>, number: u64) {
    let cached = number.is_multiple_of(2);
    let options = if cached {
        "allow_other"
    } else {
        "allow_other,audit=strict"
    };
    let mount = volume.mount_with(&["-o", options]);
    let round = Round {
        directory: mount.path(format!("round {number}")),
        cached,
    };
    round.prepare();
    let progress = Progress::default();
    std::thread::scope(|scope| {
        // Each ends with an error when the daemon is gone.
        scope.spawn(|| round.append(&progress.appended));
        scope.spawn(|| round.overwrite(&progress.overwritten));
        scope.spawn(|| round.cut(&progress.cut));
        scope.spawn(|| round.rename(&progress.renamed));
        scope.spawn(|| round.make(&progress.made));
        within(Duration::from_mins(1), "every load has begun", || {
            progress.all().iter().all(|p| p.load(Ordering::SeqCst) > 2)
        });
        std::thread::sleep(Duration::from_millis(number * 37 % 300));
        kill(mount);
    });
    let mount = volume.mount();
    round.check(&progress);
    fs::remove_dir_all(mount.path(format!("round {number}"))).unwrap();
    drop(mount);
}

#[test]
fn kills_in_the_middle_of_a_parallel_load_lose_nothing_that_was_written() {
    let kills = std::env::var("KMSFS_KILLS").map_or(4, |kills| kills.parse().unwrap());
    let home = Home::new();
    let volume = home.volume("everyone");
    for number in 0..kills {
        one_kill(&volume, number);
    }
    // No repair by hand: after a while of peace nothing is left to be settled.
    let mount = volume.mount();
    within(Duration::from_mins(1), "the sweep is done", || {
        let records = home.audit_records();
        let last = |name: &str| {
            records
                .iter()
                .rposition(|record| record["eventName"] == name)
        };
        last("VolumeSettled") > last("Mount")
            || records[last("Mount").unwrap()]["requestParameters"]["unclean"] == false
    });
    drop(mount);
    assert!(!volume.backing.join(".kmsfs/unclean").exists());
    let damage: Vec<_> = home
        .audit_records()
        .into_iter()
        .filter(|record| record["eventName"] == "IntegrityFailure")
        .collect();
    assert!(damage.is_empty(), "{damage:#?}");
    home.kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .assert()
        .code(0);
    verify_log(&volume);
}
