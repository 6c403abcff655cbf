//! Extended attributes of what an `O_PATH` descriptor refers to.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::proc_path;

/// The largest value and the longest list that Linux has (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LARGEST: usize = 64 * 1024;

/// The value of an attribute.
///
/// # Errors
/// Those of `getxattr(2)`.
pub fn get_xattr(node: impl AsFd, name: &str) -> io::Result<Vec<u8>> {
    let path = proc_path(node);
    whole(|buffer| getxattr(&*path, name, buffer))
}

/// The names of all attributes, each with a NUL behind it.
///
/// # Errors
/// Those of `listxattr(2)`.
pub fn list_xattrs(node: impl AsFd) -> io::Result<Vec<u8>> {
    let path = proc_path(node);
    whole(|buffer| listxattr(&*path, buffer))
}

/// Sets an attribute.
///
/// # Errors
/// Those of `setxattr(2)`.
pub fn set_xattr(node: impl AsFd, name: &str, value: &[u8], flags: XattrFlags) -> io::Result<()> {
    Ok(setxattr(proc_path(node), name, value, flags)?)
}

/// Removes an attribute.
///
/// # Errors
/// Those of `removexattr(2)`.
pub fn remove_xattr(node: impl AsFd, name: &str) -> io::Result<()> {
    Ok(removexattr(proc_path(node), name)?)
}

/// Most attributes are small: tries a small buffer before the largest.
fn whole(get: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<u8>> {
    let mut small = [0; 256];
    match get(&mut small) {
        Ok(len) => Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let len = get(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(error) => Err(error.into()),
    }
}
