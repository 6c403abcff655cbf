//! `kmsfs fsck`: checks a volume, and says what is wrong with it. Exit codes are those of fsck(8).

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::audit::Durability;
use crate::format::VolumeConfigError;
use crate::fs::{
    CheckOptions, Checked, Class, Finding, Kind, Volume, VolumeError, Watch, descriptor_share,
};
use crate::{mount, sys};

use super::args::FsckArgs;
use super::args::service::ServiceArgs;
use super::connect::Access;
use super::error::CliError;
use super::mount::services;
use super::output;

/// What fsck(8) ends with: the sum of what applies.
const UNCORRECTED: u8 = 4;
const OPERATIONAL: u8 = 8;
/// Wrong usage.
pub(super) const USAGE: u8 = 16;
const CANCELLED: u8 = 32;

/// Checks as `arguments` say.
pub(super) fn run(access: &Access, arguments: &FsckArgs) -> ExitCode {
    let code = fsck(access, arguments).unwrap_or_else(|error| {
        eprintln!("kmsfs: {error}");
        OPERATIONAL
    });
    ExitCode::from(code)
}

fn fsck(access: &Access, arguments: &FsckArgs) -> Result<u8, CliError> {
    let watcher = Watcher::new(!arguments.output.json)?;
    let threads = arguments
        .jobs
        .map_or_else(std::thread::available_parallelism, Ok)
        .unwrap_or(NonZeroUsize::MIN);
    let examined = examine(
        access,
        &arguments.backing,
        &arguments.service,
        threads,
        !arguments.no_blocks,
        &watcher,
    );
    watcher.bar.finish_and_clear();
    let report = watcher.report(&arguments.backing, examined?);
    if arguments.output.json {
        output::json(&report);
    } else {
        report.show();
    }
    Ok(report.exit_code)
}

/// What there is to say of the volume as a whole.
pub(super) struct Examined {
    volume_id: String,
    unclean: bool,
    checked: Checked,
}

/// Checks the volume at `backing`, every block or headers and names only.
pub(super) fn examine(
    access: &Access,
    backing: &Path,
    service: &ServiceArgs,
    threads: NonZeroUsize,
    blocks: bool,
    watch: &dyn Watch,
) -> Result<Examined, CliError> {
    let backing = backing
        .canonicalize()
        .unwrap_or_else(|_| backing.to_owned());
    let files = sys::raise_file_limit().map_err(CliError::io("the limit of open files"))?;
    let options = CheckOptions {
        threads,
        blocks,
        descriptors: descriptor_share(files),
    };
    let is_mounted = |mountpoint: &Path| matches!(mount::find(mountpoint), Ok(Some(_)));
    let examined = || {
        let (locked, config) = Volume::read(&backing)?.lock_to_check(is_mounted)?;
        let volume_id = config.unverified().volume.to_string();
        let opened = access.open()?;
        let keys = access.keys(service, &opened, &config.unverified().key_arn)?;
        let services = services(opened, keys, &volume_id, Durability::Balanced)?;
        let check = locked.open_to_check(config, services, options)?;
        let ran = check.run(watch).map_err(|source| VolumeError::Fs {
            path: backing.clone(),
            source,
        });
        Ok(Examined {
            volume_id,
            unclean: check.is_unclean(),
            checked: ran?,
        })
    };
    match examined() {
        Err(CliError::Volume(VolumeError::Config {
            path,
            source: source @ (VolumeConfigError::Corrupt(_) | VolumeConfigError::Forged),
        })) => {
            let path = path.strip_prefix(&backing).unwrap_or(&path);
            let backing = path.as_os_str().as_encoded_bytes().to_vec();
            let finding = |kind, message: String| Finding {
                kind,
                path: None,
                backing: backing.clone(),
                file: None,
                message,
            };
            watch.found(finding(Kind::Config, source.to_string()));
            let rest = "without the volume's configuration nothing else can be checked";
            watch.found(finding(Kind::Unreadable, rest.to_owned()));
            Ok(Examined {
                volume_id: String::new(),
                unclean: false,
                checked: Checked::default(),
            })
        }
        other => other,
    }
}

/// Gathers what is found, and shows how far the check is.
pub(super) struct Watcher {
    /// Findings are printed as they come.
    prints: bool,
    bar: ProgressBar,
    findings: Mutex<Vec<Finding>>,
    cancelled: Arc<AtomicBool>,
}

impl Watcher {
    /// Watches until an interrupt: the second one ends the process.
    pub(super) fn new(prints: bool) -> Result<Self, CliError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, cancelled.clone())
                .and_then(|_| flag::register(signal, cancelled.clone()))
                .map_err(CliError::io("the signals"))?;
        }
        let bar = ProgressBar::new(0);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = "{bar:32} {bytes} of {total_bytes} found, {bytes_per_sec} {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("it is a template"));
        Ok(Self {
            prints,
            bar,
            findings: Mutex::default(),
            cancelled,
        })
    }

    /// What was found.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.bar.finish_and_clear();
        let mut findings = self.findings.into_inner();
        findings.sort_by(|one, two| {
            let key = |finding: &Finding| (finding.backing.clone(), finding.kind);
            key(one).cmp(&key(two))
        });
        findings
    }

    fn report(self, backing: &Path, examined: Examined) -> Report {
        let interrupted = self.is_cancelled();
        let findings = self.into_findings();
        let count = |class| {
            let of = |finding: &&Finding| finding.kind.class() == class;
            findings.iter().filter(of).count()
        };
        let (damaged, not_checked) = (count(Class::Damage), count(Class::NotChecked));
        let bit = |applies: bool, bit| if applies { bit } else { 0 };
        let Examined {
            volume_id,
            unclean,
            checked,
        } = examined;
        Report {
            backing: backing.to_string_lossy().into_owned(),
            volume_id,
            exit_code: bit(damaged > 0, UNCORRECTED)
                | bit(not_checked > 0, OPERATIONAL)
                | bit(interrupted, CANCELLED),
            interrupted,
            unclean,
            damaged,
            not_checked,
            notes: count(Class::Note),
            checked: Counts {
                files: checked.files,
                directories: checked.directories,
                links: checked.links,
                others: checked.others,
                bytes: checked.bytes,
            },
            findings: findings.iter().map(Shown::of).collect(),
        }
    }
}

impl Watch for Watcher {
    fn found(&self, finding: Finding) {
        if self.prints {
            let line = Shown::of(&finding).line();
            // A reader that is gone does not end the check.
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stdout(), "{line}");
            });
        }
        self.findings.lock().push(finding);
    }

    fn expect(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The report, as `--json` prints it. `docs/fsck.md` describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    backing: String,
    volume_id: String,
    exit_code: u8,
    interrupted: bool,
    unclean: bool,
    damaged: usize,
    not_checked: usize,
    notes: usize,
    checked: Counts,
    findings: Vec<Shown>,
}

#[derive(Serialize)]
struct Counts {
    files: u64,
    directories: u64,
    links: u64,
    others: u64,
    bytes: u64,
}

/// A finding as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    class: &'static str,
    kind: &'static str,
    /// Escaped, with a leading slash; none for what mounts do not show.
    path: Option<String>,
    path_base64: Option<String>,
    backing: String,
    backing_base64: String,
    file_id: Option<String>,
    message: String,
}

impl Shown {
    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            class: match finding.kind.class() {
                Class::Damage => "damage",
                Class::NotChecked => "not-checked",
                Class::Note => "note",
            },
            kind: finding.kind.name(),
            path: finding
                .path
                .as_ref()
                .map(|path| format!("/{}", output::shown(path))),
            path_base64: finding.path.as_ref().map(|path| STANDARD.encode(path)),
            backing: output::shown(&finding.backing),
            backing_base64: STANDARD.encode(&finding.backing),
            file_id: finding.file.map(|file| file.to_string()),
            message: output::shown(finding.message.as_bytes()),
        }
    }

    /// For people: how grave, where, what.
    pub(super) fn line(&self) -> String {
        let class = match self.class {
            "damage" => "DAMAGED",
            "not-checked" => "NOT CHECKED",
            _ => "note",
        };
        match &self.path {
            Some(path) => format!("{class}: {path}: {}", self.message),
            None if self.backing.is_empty() => format!("{class}: {}", self.message),
            None => format!("{class}: {} (backing): {}", self.backing, self.message),
        }
    }
}

impl Report {
    fn show(&self) {
        let Counts {
            files,
            directories,
            links,
            others,
            bytes,
        } = self.checked;
        let verdict = match (self.damaged, self.not_checked) {
            _ if self.interrupted => "interrupted before all was checked",
            (0, 0) => "clean",
            (0, _) => "not everything could be checked",
            _ => "damage was found; fsck corrects nothing",
        };
        println!(
            "{files} files, {directories} directories, {links} links, {others} other nodes; {} of \
             blocks; {} damaged, {} not checked, {} notes: {verdict}",
            HumanBytes(bytes),
            self.damaged,
            self.not_checked,
            self.notes,
        );
    }
}
