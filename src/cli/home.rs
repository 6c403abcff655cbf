//! Which home a command works on and what opens it: flags first, then `-o` options, then the
//! environment, then the default.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// What opens a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The first line of this file is the passphrase.
    Passfile(PathBuf),
    /// This file is the key.
    Keyfile(PathBuf),
    /// Nothing was said: ask on the terminal.
    Prompt,
}

/// The part of the process's environment that this module reads.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KMSFS_HOME`.
    pub kmsfs_home: Option<PathBuf>,
    /// `KMSFS_PASSFILE`.
    pub passfile: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<PathBuf>,
    /// `HOME`.
    pub user_home: Option<PathBuf>,
    /// `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
    /// The effective user is root.
    pub root: bool,
}

/// No home was named and none can be derived.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no home directory: neither KMSFS_HOME, XDG_DATA_HOME nor HOME is set; name one with --home DIR"
)]
pub struct NoHome;

impl Environment {
    /// This process's environment. A variable set to nothing counts as not set.
    pub fn current() -> Self {
        let path = |name| {
            env::var_os(name)
                .filter(|v: &OsString| !v.is_empty())
                .map(PathBuf::from)
        };
        Self {
            kmsfs_home: path("KMSFS_HOME"),
            passfile: path("KMSFS_PASSFILE"),
            // The XDG base directory specification: a relative path is invalid and ignored.
            xdg_data_home: path("XDG_DATA_HOME").filter(|p| p.is_absolute()),
            user_home: path("HOME"),
            ca_bundle: path("AWS_CA_BUNDLE"),
            root: rustix::process::geteuid().is_root(),
        }
    }

    /// The home directory: the one `named`, or `KMSFS_HOME`, or `/var/lib/kmsfs` for root and
    /// `$XDG_DATA_HOME/kmsfs` (`~/.local/share/kmsfs`) for everyone else.
    ///
    /// # Errors
    /// [`NoHome`] when nothing says where it is.
    pub fn home(&self, named: Option<PathBuf>) -> Result<PathBuf, NoHome> {
        if let Some(home) = named.or_else(|| self.kmsfs_home.clone()) {
            return Ok(home);
        }
        if self.root {
            return Ok(PathBuf::from("/var/lib/kmsfs"));
        }
        let data = match (&self.xdg_data_home, &self.user_home) {
            (Some(data), _) => data.clone(),
            (None, Some(home)) => home.join(".local/share"),
            (None, None) => return Err(NoHome),
        };
        Ok(data.join("kmsfs"))
    }

    /// What opens the home: the file named, or `KMSFS_PASSFILE`, or the terminal.
    pub fn secret(&self, passfile: Option<PathBuf>, keyfile: Option<PathBuf>) -> SecretSource {
        match (passfile, keyfile, &self.passfile) {
            (Some(file), _, _) => SecretSource::Passfile(file),
            (None, Some(file), _) => SecretSource::Keyfile(file),
            (None, None, Some(file)) => SecretSource::Passfile(file.clone()),
            (None, None, None) => SecretSource::Prompt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Environment {
        Environment {
            user_home: Some("/home/ann".into()),
            ..Environment::default()
        }
    }

    #[test]
    fn a_named_home_beats_the_environment_which_beats_the_default() {
        let environment = Environment {
            kmsfs_home: Some("/env".into()),
            ..user()
        };
        assert_eq!(environment.home(Some("/named".into())), Ok("/named".into()));
        assert_eq!(environment.home(None), Ok("/env".into()));
        assert_eq!(user().home(None), Ok("/home/ann/.local/share/kmsfs".into()));
    }

    #[test]
    fn roots_default_is_the_machines_and_a_users_is_their_own() {
        assert_eq!(
            Environment {
                root: true,
                ..user()
            }
            .home(None),
            Ok("/var/lib/kmsfs".into())
        );
        let xdg = Environment {
            xdg_data_home: Some("/data".into()),
            ..user()
        };
        assert_eq!(xdg.home(None), Ok("/data/kmsfs".into()));
    }

    #[test]
    fn without_any_hint_there_is_no_home() {
        assert_eq!(Environment::default().home(None), Err(NoHome));
    }

    #[test]
    fn a_key_file_on_the_command_line_beats_a_passphrase_file_in_the_environment() {
        let environment = Environment {
            passfile: Some("/env".into()),
            ..user()
        };
        let keyfile = environment.secret(None, Some("/key".into()));
        assert_eq!(keyfile, SecretSource::Keyfile("/key".into()));
        assert_eq!(
            environment.secret(None, None),
            SecretSource::Passfile("/env".into())
        );
        assert_eq!(user().secret(None, None), SecretSource::Prompt);
    }
}
