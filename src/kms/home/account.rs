//! Fixing a home's account.

use std::path::Path;

use super::{HOME_JSON, Home, HomeSettings, STORE, check_private};
use crate::kms::{HomeError, home_file::HomeFile, lock::LockFile, seal::Unlock, store::Sqlite};

impl Home {
    /// Fixes the account of the home at `path`: the first that is named stays. `unlock` is needed
    /// where the home was made without naming one and has another by default; that works as long as
    /// it has no keys and users, whose ARNs would change.
    ///
    /// # Errors
    /// [`HomeError::OtherAccount`], [`HomeError::Served`] while a process serves the home, errors
    /// of the home.
    pub fn name_account(
        path: &Path,
        account: &str,
        unlock: Option<&Unlock>,
    ) -> Result<(), HomeError> {
        let settings = HomeSettings {
            account: account.to_owned(),
            ..HomeSettings::default()
        };
        settings.place()?;
        check_private(path)?;
        let json = path.join(HOME_JSON);
        let file = HomeFile::read(&json)?;
        let place = file.place();
        if place.account == account {
            if !file.account_is_named() {
                file.with_account_named().write(&json)?;
            }
            return Ok(());
        }
        let other = || HomeError::OtherAccount {
            path: path.to_owned(),
            account: place.account.clone(),
            named: account.to_owned(),
        };
        if file.account_is_named() {
            return Err(other());
        }
        let lock = LockFile::open(path)?.try_lock();
        let _lock = lock.map_err(|held| held.unwrap_or_else(|| HomeError::Served(path.into())))?;
        let store = path.join(STORE);
        if store.exists() && !Sqlite::open(&store, &place)?.is_empty(&store)? {
            return Err(other());
        }
        let unlock = unlock.ok_or_else(|| HomeError::Sealed(path.to_owned()))?;
        let root = file.unseal(unlock, path)?;
        file.in_account(account, &root, unlock)?.write(&json)
    }
}
