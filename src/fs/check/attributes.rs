//! Extended attributes, and the targets of symbolic links.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::format::{XattrBinding, open_xattr, open_xattr_name, target_sidecar};
use crate::sys;

use super::super::FsError;
use super::super::inode::Inode;
use super::{Kind, Walk};

impl Walk<'_> {
    /// Checks every attribute of `inode`.
    pub(super) fn attributes(&self, inode: &Inode, node: &OwnedFd, binding: XattrBinding) {
        match self.bad_attributes(node, binding) {
            Ok(0) => {}
            Ok(bad) => {
                let message = format!("{bad} of its extended attributes do not authenticate");
                self.report(Kind::Attribute, inode, message);
            }
            Err(error) => self.report_error(Kind::Attribute, inode, &error),
        }
    }

    /// How many attributes of ours were not made for this object.
    fn bad_attributes(&self, node: &OwnedFd, binding: XattrBinding) -> Result<usize, FsError> {
        let key = &self.fs.keys.xattrs;
        let names = match sys::list_xattrs(node) {
            // A filesystem without attributes has none.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => return Ok(0),
            names => names?,
        };
        let mut bad = 0;
        for stored in names.split(|&byte| byte == 0) {
            let Ok(stored) = std::str::from_utf8(stored) else {
                continue;
            };
            let name = match open_xattr_name(key, binding, stored) {
                Ok(Some(name)) => name,
                Ok(None) => continue,
                Err(_) => {
                    bad += 1;
                    continue;
                }
            };
            let value = sys::get_xattr(node, stored)?;
            bad += usize::from(open_xattr(key, binding, &name, &value).is_err());
        }
        Ok(bad)
    }

    /// Checks the target of a symbolic link.
    pub(super) fn target(&self, inode: &Inode, node: &OwnedFd) {
        let read = || {
            let link = sys::read_link(node)?;
            if let Some(sidecar) = target_sidecar(&link) {
                self.seen.lock().targets.insert(sidecar.to_owned());
            }
            self.fs.read_target(inode)
        };
        if let Err(error) = read() {
            self.report_error(Kind::Target, inode, &error);
        }
    }
}
