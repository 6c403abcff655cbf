//! What the kernel lets root set for a mount's backing device information.

use std::path::PathBuf;

/// Readahead that feeds both workers: measured in DESIGN 7, the largest gain of all for reading.
const READ_AHEAD_KB: u32 = 4096;
/// Share of the dirty page limit, in percent. FUSE mounts start with 1, which throttles writers.
const MAX_RATIO: u32 = 50;

/// Raises readahead and write-back limits of the mount on `device` (`major:minor`). Without the right
/// to, the mount works at the kernel's defaults.
pub(super) fn raise_limits(device: &str) {
    let directory = PathBuf::from("/sys/class/bdi").join(device);
    let wanted = [
        ("read_ahead_kb", READ_AHEAD_KB),
        ("strict_limit", 0),
        ("max_ratio", MAX_RATIO),
    ];
    for (name, value) in wanted {
        let file = directory.join(name);
        if let Err(error) = std::fs::write(&file, value.to_string()) {
            tracing::debug!(file = %file.display(), %error, "left at the kernel's default");
        }
    }
}
