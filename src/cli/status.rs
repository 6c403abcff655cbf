//! `kmsfs status`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::format::FORMAT_VERSION;
use crate::fs::{BoundaryTold, Volume, is_locked, is_unclean};
use crate::mount::{self, LiveMount};

use super::args::StatusArgs;
use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::{output, running, set_key};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    volume_id: String,
    backing: PathBuf,
    key_arn: String,
    format_version: u32,
    mounted: bool,
    mountpoint: Option<PathBuf>,
    /// The process that serves the mount, as far as the home knows.
    pid: Option<u32>,
    read_only: Option<bool>,
    /// Not in use, and not left cleanly: the next mount settles its files.
    unclean: bool,
    /// The volume has boundary directories, or had.
    boundaries: bool,
    /// What new files get in the directory of the mount that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<BoundaryTold>,
}

pub(super) fn run(access: &Access, arguments: &StatusArgs) -> Result<Exit, CliError> {
    let live = mount::mounts().map_err(CliError::io("/proc/self/mountinfo"))?;
    match &arguments.volume {
        Some(volume) => {
            let directory = set_key::told(volume)?;
            let around = match &directory {
                Some(_) => around(volume, &live)?,
                None => None,
            };
            let backing = running::backing_of(access, around.as_ref().unwrap_or(volume))?;
            let status = Status {
                directory,
                ..of(access, &backing, &live)?
            };
            if arguments.output.json {
                output::json(&status);
            } else {
                show(&status);
            }
        }
        None => all(access, &live, arguments.output.json)?,
    }
    Ok(Exit::Success)
}

/// The mount point of the mount that `path` is in.
fn around(path: &Path, live: &[LiveMount]) -> Result<Option<PathBuf>, CliError> {
    let path = path.canonicalize().map_err(CliError::io(path))?;
    let mounts = live.iter().map(|mount| &mount.mountpoint);
    let around = mounts.filter(|mountpoint| path.starts_with(mountpoint));
    Ok(around
        .max_by_key(|mountpoint| mountpoint.as_os_str().len())
        .cloned())
}

fn of(access: &Access, backing: &Path, live: &[LiveMount]) -> Result<Status, CliError> {
    let volume = Volume::read(backing)?;
    let config = volume.unverified();
    let backing = backing.canonicalize().map_err(CliError::io(backing))?;
    let mut mount = None;
    for candidate in live {
        if running::backing_of(access, &candidate.mountpoint)? == backing {
            mount = Some(candidate);
        }
    }
    let mounted = is_locked(&backing)?;
    Ok(Status {
        volume_id: config.volume.to_string(),
        key_arn: config.key_arn.clone(),
        format_version: FORMAT_VERSION,
        mounted,
        mountpoint: mount.map(|mount| mount.mountpoint.clone()),
        pid: mount
            .and_then(|mount| running::note_of(access, mount))
            .map(|note| note.pid),
        read_only: mount.map(|mount| mount.read_only),
        unclean: !mounted && is_unclean(&backing)?,
        boundaries: config.boundaries,
        directory: None,
        backing,
    })
}

fn all(access: &Access, live: &[LiveMount], json: bool) -> Result<(), CliError> {
    let mut statuses = Vec::new();
    for mount in live {
        let backing = running::backing_of(access, &mount.mountpoint)?;
        // Another user's mount, or one under another name: its mount point is what can be said.
        let volume = of(access, &backing, live).ok();
        statuses.push((mount, volume));
    }
    if json {
        let mounts: Vec<_> = statuses
            .iter()
            .map(|(mount, volume)| match volume {
                Some(volume) => serde_json::json!(volume),
                None => serde_json::json!({
                    "mountpoint": mount.mountpoint,
                    "source": mount.source.to_string_lossy(),
                    "readOnly": mount.read_only,
                    "mounted": true,
                }),
            })
            .collect();
        output::json(&serde_json::json!({ "mounts": mounts }));
        return Ok(());
    }
    if statuses.is_empty() {
        println!("Nothing of kmsfs is mounted.");
        return Ok(());
    }
    let rows = statuses.into_iter().map(|(mount, volume)| {
        vec![
            mount.mountpoint.display().to_string(),
            mount.source.to_string_lossy().into_owned(),
            volume.map(|volume| volume.volume_id).unwrap_or_default(),
            if mount.read_only { "ro" } else { "rw" }.to_owned(),
        ]
    });
    output::table(&["MOUNTPOINT", "BACKING", "VOLUME", "MODE"], rows);
    Ok(())
}

fn show(status: &Status) {
    let state = match (&status.mountpoint, status.mounted, status.unclean) {
        (Some(mountpoint), false, _) => format!(
            "its process is gone; unmount {}, and the next mount settles it",
            mountpoint.display()
        ),
        (Some(mountpoint), true, _) => format!("mounted on {}", mountpoint.display()),
        (None, true, _) => "in use by another process".to_owned(),
        (None, false, true) => {
            "not mounted; not left cleanly, the next mount settles it".to_owned()
        }
        (None, false, false) => "not mounted".to_owned(),
    };
    let mode = match status.read_only {
        Some(true) => " (read-only)",
        Some(false) | None => "",
    };
    let mut fields = vec![
        ("Volume", status.volume_id.clone()),
        ("Backing directory", status.backing.display().to_string()),
        ("KMS key", status.key_arn.clone()),
        ("Format", status.format_version.to_string()),
        ("State", format!("{state}{mode}")),
    ];
    if status.boundaries {
        fields.push((
            "Boundaries",
            "there are directories of other keys or labels".to_owned(),
        ));
    }
    if let Some(BoundaryTold {
        key_arn,
        label,
        boundary,
    }) = &status.directory
    {
        let own = if *boundary { " (a boundary)" } else { "" };
        let label = label.as_deref().unwrap_or("none");
        fields.push((
            "New files here",
            format!("key {key_arn}, label {label}{own}"),
        ));
    }
    output::fields(&fields);
}
