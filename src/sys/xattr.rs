//! Extended attributes of what an `O_PATH` descriptor refers to.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::proc_path;
use super::seam::{Call, pass};

/// The largest value and the longest list that Linux has (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LARGEST: usize = 64 * 1024;

/// The value of an attribute.
///
/// # Errors
/// Those of `getxattr(2)`.
pub fn get_xattr(node: impl AsFd, name: &str) -> io::Result<Vec<u8>> {
    let path = proc_path(node);
    pass(Call::Look("getxattr"), || {
        whole(|buffer| getxattr(&*path, name, buffer))
    })
    .map_err(Into::into)
}

/// The names of all attributes, each with a NUL behind it.
///
/// # Errors
/// Those of `listxattr(2)`.
pub fn list_xattrs(node: impl AsFd) -> io::Result<Vec<u8>> {
    let path = proc_path(node);
    pass(Call::Look("listxattr"), || {
        whole(|buffer| listxattr(&*path, buffer))
    })
    .map_err(Into::into)
}

/// Sets an attribute.
///
/// # Errors
/// Those of `setxattr(2)`.
pub fn set_xattr(node: impl AsFd, name: &str, value: &[u8], flags: XattrFlags) -> io::Result<()> {
    let set = || setxattr(proc_path(&node), name, value, flags);
    Ok(pass(Call::Attributes("setxattr"), set)?)
}

/// Removes an attribute.
///
/// # Errors
/// Those of `removexattr(2)`.
pub fn remove_xattr(node: impl AsFd, name: &str) -> io::Result<()> {
    let remove = || removexattr(proc_path(&node), name);
    Ok(pass(Call::Attributes("removexattr"), remove)?)
}

/// Most attributes are small: tries a small buffer before the largest.
fn whole(get: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match get(&mut small) {
        Ok(len) => Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let len = get(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
