//! With `audit=strict` each read and write is asked for in the name of whoever makes it, whoever opened
//! the file, and recorded.

use rustix::io::Errno;

use crate::policy::Allowed;

use super::caller::{Caller, Who};
use super::file::FileHandle;
use super::guard::{Action, Attempt, Target};
use super::handle::HandleId;
use super::revocation::Right;
use super::{FileSystem, FsError, OpenFlags, SetIds};

/// What `lseek(2)` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`.
    Hole,
}

impl FileSystem {
    /// As [`FileSystem::read`], for `caller`.
    ///
    /// # Errors
    /// Those of `read`; policy, and the key service for another than who opened the file.
    pub fn read_strictly(
        &self,
        caller: Caller,
        handle: HandleId,
        offset: u64,
        len: usize,
        plaintext: &mut Vec<u8>,
    ) -> Result<(), FsError> {
        let handle = self.files.get(handle)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&handle.inode);
        let attempt = self.guard.attempt("Read", &who, &target);
        let _held = handle.hold(&attempt)?;
        let allowed = self.allow_use(&attempt, &who, &handle, Action::Read)?;
        attempt.finish(handle.content.read(offset, len, plaintext))?;
        handle.note_read(plaintext.len());
        attempt.record(&allowed, |event| {
            event
                .parameter("offset", offset)
                .parameter("bytes", plaintext.len() as u64)
                .read_only()
        })?;
        Ok(())
    }

    /// As [`FileSystem::write`], for `caller`.
    ///
    /// # Errors
    /// Those of `write`; policy, and the key service for another than who opened the file.
    pub fn write_strictly(
        &self,
        caller: Caller,
        handle: HandleId,
        offset: u64,
        data: &[u8],
        takes_set_ids: bool,
    ) -> Result<SetIds, FsError> {
        let handle = self.files.get(handle)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&handle.inode);
        let attempt = self.guard.attempt("Write", &who, &target);
        let _held = handle.hold(&attempt)?;
        let allowed = self.allow_use(&attempt, &who, &handle, Action::Write)?;
        let set_ids = self.prepare_write(&handle, takes_set_ids.then_some(caller))?;
        attempt.perform(
            &allowed,
            |event| {
                event
                    .parameter("offset", offset)
                    .parameter("bytes", data.len() as u64)
            },
            || handle.write(offset, data),
        )?;
        Ok(set_ids)
    }

    /// Where data or a hole begins, at `offset` or behind it.
    ///
    /// # Errors
    /// `ENXIO` where there is none; policy, as for reading or else writing.
    pub fn seek(
        &self,
        caller: Caller,
        handle: HandleId,
        offset: u64,
        what: Seek,
    ) -> Result<u64, FsError> {
        let handle = self.files.get(handle)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&handle.inode);
        let attempt = self.guard.attempt("Seek", &who, &target);
        let _held = handle.hold(&attempt)?;
        let wanted = match handle.right {
            Right::Opened { flags, .. } if flags.contains(OpenFlags::WRITE) => Action::Write,
            Right::Opened { .. } | Right::Created => Action::Read,
        };
        let _allowed = self.allow_use(&attempt, &who, &handle, wanted)?;
        let found = match what {
            Seek::Data => handle.content.next_data(offset),
            Seek::Hole => handle.content.next_hole(offset),
        };
        attempt.finish(found)?.ok_or(Errno::NXIO.into())
    }

    /// Whether whoever uses a handle may do so here and now; `attempt` is in their name. Creating a file
    /// includes the use of the handle that did it, by whoever did.
    fn allow_use(
        &self,
        attempt: &Attempt<'_>,
        who: &Who,
        handle: &FileHandle,
        wanted: Action,
    ) -> Result<Allowed, FsError> {
        let action = match (handle.right, wanted) {
            (Right::Created, _)
                if who.principal.arn == handle.who.principal.arn
                    && attempt.would_allow(Action::Create) =>
            {
                Action::Create
            }
            (Right::Opened { flags, .. }, Action::Read) if flags.contains(OpenFlags::EXECUTE) => {
                Action::Execute
            }
            (
                Right::Opened {
                    append_only: true, ..
                },
                Action::Write,
            ) => Action::Append,
            _ => wanted,
        };
        let allowed = attempt.check(action)?;
        if who.principal.arn != handle.who.principal.arn {
            let header = handle.content.header();
            attempt.finish(self.unwrap(who, &allowed, &header))?;
        }
        Ok(allowed)
    }
}
