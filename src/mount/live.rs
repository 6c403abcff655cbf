//! Which mounts of kmsfs there are, as the kernel tells (`/proc/self/mountinfo`, `proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The filesystem type of our mounts.
pub(super) const TYPE: &str = "fuse.kmsfs";

/// A mount of kmsfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMount {
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// What it says it is mounted from: the backing directory, or `fsname=`.
    pub source: OsString,
    /// `major:minor` of its files.
    pub device: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// All of them.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn mounts() -> io::Result<Vec<LiveMount>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect())
}

/// The one at `mountpoint`, which may be given relative or through symbolic links.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn find(mountpoint: &Path) -> io::Result<Option<LiveMount>> {
    // A mount whose daemon is gone cannot be asked, so its parent is what is resolved.
    let absolute = std::path::absolute(mountpoint)?;
    let resolved = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().unwrap_or(parent.into()).join(name),
        _ => absolute,
    };
    let all = mounts()?;
    let direct = all.iter().rev().find(|mount| mount.mountpoint == resolved);
    if let Some(mount) = direct {
        return Ok(Some(mount.clone()));
    }
    let Ok(target) = resolved.canonicalize() else {
        return Ok(None);
    };
    Ok(all
        .into_iter()
        .rev()
        .find(|mount| mount.mountpoint == target))
}

fn parse(line: &[u8]) -> Option<LiveMount> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    if *fields.get(separator + 1)? != TYPE.as_bytes() {
        return None;
    }
    Some(LiveMount {
        mountpoint: PathBuf::from(unescape(fields.get(4)?)),
        source: unescape(fields.get(separator + 2)?),
        device: String::from_utf8(fields.get(2)?.to_vec()).ok()?,
        read_only: fields
            .get(5)?
            .split(|&byte| byte == b',')
            .any(|option| option == b"ro"),
    })
}

/// Blanks, tabs, newlines and backslashes come as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_from_its_line() {
        let line = b"61 29 0:52 / /mnt/my\\040files ro,nosuid - fuse.kmsfs /srv/b rw,user_id=0";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mountpoint, PathBuf::from("/mnt/my files"));
        assert_eq!(mount.source, "/srv/b");
        assert_eq!(mount.device, "0:52");
        assert!(mount.read_only);
        assert_eq!(parse(b"61 29 0:52 / /mnt rw - ext4 /dev/vda rw"), None);
        assert_eq!(parse(b""), None);
    }
}
