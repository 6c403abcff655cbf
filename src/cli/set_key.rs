//! `kmsfs set-key`, and what a directory has. Both ask the mount, by an attribute of the directory: so the
//! request comes in the caller's own name, as every other one of the mount.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::fs::{BOUNDARY_ATTRIBUTE, BoundaryRequest, BoundaryTold};
use crate::sys;

use super::args::SetKeyArgs;
use super::error::CliError;
use super::exit::Exit;

pub(super) fn run(arguments: &SetKeyArgs) -> Result<Exit, CliError> {
    let path = &arguments.dir;
    let directory = sys::open_directory_path(path).map_err(CliError::io(path))?;
    let request = BoundaryRequest {
        key: arguments.key.clone(),
        label: arguments.label.clone(),
    };
    let value = serde_json::to_vec(&request).expect("text serialises");
    let flags = sys::XattrFlags::empty();
    sys::set_xattr(&directory, BOUNDARY_ATTRIBUTE, &value, flags)
        .map_err(|error| explain(path, error))?;
    let told = read(&directory).map_err(CliError::io(path))?;
    let path = path.display();
    match told {
        Some(told) if told.boundary => {
            let label = match told.label {
                Some(label) => format!("label {label:?}"),
                None => "no label".to_owned(),
            };
            println!(
                "New files in {path} are under {}, with {label}.",
                told.key_arn
            );
        }
        _ => println!("{path} has the key and label of the directory above."),
    }
    Ok(Exit::Success)
}

/// What new files in the directory `path` get, if it is one of a mount of kmsfs.
pub(super) fn told(path: &Path) -> Result<Option<BoundaryTold>, CliError> {
    match sys::open_directory_path(path) {
        Ok(directory) => read(&directory).map_err(CliError::io(path)),
        // What is wrong with it is told by whoever wants more of it.
        Err(_) => Ok(None),
    }
}

fn read(directory: &OwnedFd) -> io::Result<Option<BoundaryTold>> {
    match sys::get_xattr(directory, BOUNDARY_ATTRIBUTE) {
        Ok(value) => Ok(Some(serde_json::from_slice(&value)?)),
        Err(error) if is_not_ours(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_not_ours(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::NODATA)
    )
}

/// The mount can answer with a number alone.
fn explain(path: &Path, error: io::Error) -> CliError {
    let reason = match Errno::from_io_error(&error) {
        Some(Errno::OPNOTSUPP) => return CliError::NotMounted(path.to_owned()),
        Some(Errno::NOTEMPTY) => {
            "it is not empty: a boundary is made of an empty directory, since files keep the key and \
             label that they were made with; move what is in it away, and back when it is one"
        }
        Some(Errno::BUSY) => {
            "it has extended attributes, which belong to its present record: note them (`getfattr -d \
             -m -`), remove them, and set them again afterwards"
        }
        Some(Errno::INVAL) => {
            "it cannot be the root of the volume, which has the volume's key; a label has 1 to 255 \
             bytes and no control characters"
        }
        Some(Errno::PERM) => "only root and the user who mounted may set a directory's key",
        Some(Errno::ACCESS) => {
            "refused: the tree policy does not allow kmsfs:SetSecurity here, or the key service \
             kms:GenerateDataKey under this key, if there is one; `kmsfs audit tail` shows which"
        }
        Some(Errno::NOSPC) => {
            "there is no space left, or no room for one more boundary in the directory above"
        }
        Some(Errno::ROFS) => "the volume is mounted read-only",
        Some(Errno::TIMEDOUT) => "the key service does not answer",
        _ => return CliError::io(path)(error),
    };
    CliError::Failed(format!("{}: {reason}", path.display()))
}
