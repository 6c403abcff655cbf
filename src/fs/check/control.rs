//! The control directory, `.kmsfs`.

use rustix::fs::FileType;

use crate::format::{CONTROL_DIRECTORY, FileId};
use crate::sys;

use super::super::FsError;
use super::super::boundary::NEW_RECORD;
use super::super::volume::{CONFIG, LINKS, LOCK, UNCLEAN};
use super::{Finding, Kind, Walk};

impl Walk<'_> {
    /// Checks the control directory. `all_met`: every link of the volume was, so what none refers to
    /// is left over.
    pub(super) fn control(&self, all_met: bool) {
        if self.watch.is_cancelled() {
            return;
        }
        if self.check.unclean {
            self.of_control(
                Kind::Unclean,
                UNCLEAN,
                "the volume was not unmounted cleanly: the next mount settles what is open",
            );
        }
        let volume = &self.fs.volume;
        if volume.lock.is_none() && sys::stat_at(&volume.control, LOCK).is_ok() {
            self.of_control(
                Kind::Unreadable,
                LOCK,
                "the volume was mounted for the first time while it was checked; check it again",
            );
        }
        let mut listed = self.list_control(&volume.control, "", |name, _| match name {
            CONFIG | LOCK | UNCLEAN | LINKS => None,
            "tmp" | "volume.json.new" | "unclean.new" | NEW_RECORD => Some(Kind::Leftover),
            _ => Some(Kind::Foreign),
        });
        match &volume.links {
            None => self.of_control(
                Kind::Control,
                LINKS,
                "the directory of long links' targets is missing",
            ),
            Some(links) => {
                let targets = std::mem::take(&mut self.seen.lock().targets);
                let of_links = self.list_control(links, "links/", |name, kind| {
                    let is_ours = name.parse::<FileId>().is_ok()
                        && matches!(kind, FileType::RegularFile | FileType::Unknown);
                    match is_ours {
                        false => Some(Kind::Foreign),
                        true if targets.contains(name) || !all_met => None,
                        true => Some(Kind::Leftover),
                    }
                });
                listed = listed.and(of_links);
            }
        }
        if let Err(error) = listed {
            self.of_control(Kind::Unreadable, "", &error.to_string());
        }
    }

    fn list_control(
        &self,
        directory: &std::os::fd::OwnedFd,
        prefix: &str,
        judge: impl Fn(&str, FileType) -> Option<Kind>,
    ) -> Result<(), FsError> {
        let listing = sys::reopen_directory(directory)?;
        sys::list(&listing, 0, |entry| {
            if matches!(entry.name, b"." | b"..") {
                return Ok(true);
            }
            let kind = match std::str::from_utf8(entry.name) {
                Ok(name) => judge(name, entry.kind),
                Err(_) => Some(Kind::Foreign),
            };
            if let Some(kind) = kind {
                let name = format!("{prefix}{}", String::from_utf8_lossy(entry.name));
                let message = match kind {
                    Kind::Leftover => "nothing refers to it; it can be removed",
                    _ => "kmsfs did not make this",
                };
                self.of_control(kind, &name, message);
            }
            Ok(true)
        })
    }

    fn of_control(&self, kind: Kind, name: &str, message: &str) {
        let path = format!("{CONTROL_DIRECTORY}/{name}").into_bytes();
        self.watch.found(Finding {
            kind,
            path: None,
            backing: path,
            file: None,
            message: message.to_owned(),
        });
    }
}
