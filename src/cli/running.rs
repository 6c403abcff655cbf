//! Which volume is mounted where, by the notes that mounts keep in their home (`HOME/run/<volume>.json`).

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::fs::is_in_force;
use crate::mount::{self, LiveMount};

use super::connect::Access;
use super::error::CliError;

const RUN: &str = "run";
/// How long a changed policy waits for the mount, as a change of a key does.
const POLICY_IN_FORCE: Duration = Duration::from_secs(2);

/// A mount's note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    pub(super) volume_id: String,
    pub(super) backing: PathBuf,
    pub(super) mountpoint: PathBuf,
    pub(super) pid: u32,
}

/// A note on disk, removed when the mount ends.
pub(super) struct Posted(PathBuf);

impl Note {
    pub(super) fn post(&self, home: &Path) -> io::Result<Posted> {
        let directory = home.join(RUN);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let file = directory.join(format!("{}.json", self.volume_id));
        let temporary = file.with_extension("new");
        let mut options = File::options();
        let new = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        serde_json::to_writer(new, self)?;
        std::fs::rename(&temporary, &file)?;
        Ok(Posted(file))
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "the note of the mount could not be removed");
        }
    }
}

/// The notes of `home`; one left by a mount that was killed is told by its mount point, where
/// nothing of ours is mounted.
pub(super) fn notes(home: &Path) -> Vec<Note> {
    let Ok(entries) = std::fs::read_dir(home.join(RUN)) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.ok()?.path()).ok()?).ok())
        .collect()
}

/// The note of a live mount, if this home has it.
pub(super) fn note_of(access: &Access, live: &LiveMount) -> Option<Note> {
    let home = access.path().ok()?;
    notes(&home)
        .into_iter()
        .find(|note| note.mountpoint == live.mountpoint)
}

/// Waits until the live mount of the volume `id`, if there is one, acts on its policy in `policy`, open
/// files included. Tells whether it does.
pub(super) fn wait_for_policy(access: &Access, id: &str, policy: &Path) -> bool {
    let Ok(home) = access.path() else { return true };
    let is_mounted = || {
        let noted = notes(&home).into_iter().find(|note| note.volume_id == id);
        noted.is_some_and(|note| matches!(mount::find(&note.mountpoint), Ok(Some(_))))
    };
    let deadline = Instant::now() + POLICY_IN_FORCE;
    while !is_in_force(policy) && is_mounted() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The backing directory that `volume` means: itself, or that of the mount there.
pub(super) fn backing_of(access: &Access, volume: &Path) -> Result<PathBuf, CliError> {
    let found = mount::find(volume).map_err(CliError::io("/proc/self/mountinfo"))?;
    let Some(live) = found else {
        return Ok(volume.to_owned());
    };
    Ok(note_of(access, &live).map_or_else(|| PathBuf::from(live.source), |note| note.backing))
}
