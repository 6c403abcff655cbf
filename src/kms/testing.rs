//! What the key service's tests share: a home in a temporary directory, and callers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{Caller, Home, HomeSettings, Unlock};
use crate::policy::Principal;

/// A directory with a key file, for a home.
pub(super) struct Place {
    pub(super) directory: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), [7; 32]).unwrap();
        Self { directory }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(super) fn create(&self) -> Home {
        let settings = HomeSettings::default();
        Home::create(&self.path(), &key_file(self.directory.path()), &settings).unwrap()
    }

    pub(super) fn open(&self) -> Home {
        open(self.directory.path())
    }
}

/// Opens the home of the [`Place`] in `directory`, perhaps another process's.
pub(super) fn open(directory: &Path) -> Home {
    Home::open(&directory.join("home"), Some(&key_file(directory))).unwrap()
}

pub(super) fn key_file(directory: &Path) -> Unlock {
    Unlock::KeyFile(directory.join("key"))
}

/// The home's administrator.
pub(super) fn admin(home: &Home) -> Caller {
    Caller::new(home.admin())
}

/// A user of the account whom only key policies can let in.
pub(super) fn user(name: &str) -> Caller {
    let account = "000000000000".to_owned();
    let arn = format!("arn:aws:iam::{account}:user/{name}");
    Caller::new(Arc::new(Principal {
        arn,
        account,
        also: Vec::new(),
    }))
}
