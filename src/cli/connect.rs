//! Opening the home and reaching its key service.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{getegid, geteuid};
use zeroize::Zeroizing;

use crate::crypto::SecretKey;
use crate::kms::{
    self, Home, HomeError, HomeSettings, KeyService, Passphrase, Region, Unlock, region_of,
};
use crate::policy::Principal;
use crate::sys;

use super::args::HomeArgs;
use super::args::service::ServiceArgs;
use super::error::CliError;
use super::home::{Environment, SecretSource};

/// Which home, and what opens it.
#[derive(Clone)]
pub(super) struct Access {
    environment: Environment,
    named: HomeArgs,
}

impl Access {
    pub(super) fn new(named: HomeArgs) -> Self {
        Self {
            environment: Environment::current(),
            named,
        }
    }

    pub(super) fn path(&self) -> Result<PathBuf, CliError> {
        Ok(self.environment.home(self.named.home.clone())?)
    }

    pub(super) fn secret(&self) -> SecretSource {
        self.environment
            .secret(self.named.passfile.clone(), self.named.keyfile.clone())
    }

    /// Opens the home and its key service. A process that already serves the home needs no secret
    /// from this one; without such a process the secret is asked for.
    pub(super) fn open(&self) -> Result<Opened, CliError> {
        let path = self.path()?;
        act_for_owner(&path)?;
        let unlock = match self.secret() {
            SecretSource::Prompt => None,
            source => Some(unlock(&source, false)?),
        };
        let home = Home::open(&path, unlock.as_ref())?;
        match home.service() {
            Ok(service) => Opened::new(home, service),
            Err(HomeError::Sealed(_)) if unlock.is_none() => {
                let home = Home::open(&path, Some(&ask(false)?))?;
                let service = home.service()?;
                Opened::new(home, service)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the home for a mount: with `given`, or with the secret that was named or is asked for.
    /// A mount needs it also while another process serves the home, to go on when that one ends.
    pub(super) fn open_to_stay(&self, given: Option<Unlock>) -> Result<Opened, CliError> {
        let path = self.path()?;
        act_for_owner(&path)?;
        let given = match given {
            Some(given) => given,
            None => unlock(&self.secret(), false)?,
        };
        let home = Home::open(&path, Some(&given))?;
        let service = home.service()?;
        Opened::new(home, service)
    }

    /// Whether the home is there.
    pub(super) fn has_home(&self) -> Result<bool, CliError> {
        Ok(self.path()?.join("home.json").exists())
    }

    /// The same home, opened with the passphrase in `file`.
    pub(super) fn with_passfile(&self, file: PathBuf) -> Self {
        let mut other = self.clone();
        other.named.passfile = Some(file);
        other
    }

    /// Opens the home, or makes it.
    pub(super) fn open_or_create(&self) -> Result<Opened, CliError> {
        self.open_or_create_in(None)
    }

    /// Opens the home, or makes it; fixes its account if one is named.
    pub(super) fn open_or_create_in(&self, account: Option<&str>) -> Result<Opened, CliError> {
        if !self.has_home()? {
            let home = self.create(account, None)?;
            let service = home.service()?;
            return Opened::new(home, service);
        }
        if let Some(account) = account {
            let path = self.path()?;
            act_for_owner(&path)?;
            let unlock = match self.secret() {
                SecretSource::Prompt => None,
                source => Some(unlock(&source, false)?),
            };
            Home::name_account(&path, account, unlock.as_ref())?;
        }
        self.open()
    }

    /// The home with its root key, made if it is not there.
    pub(super) fn home_or_create(
        &self,
        account: Option<&str>,
        region: Option<&Region>,
    ) -> Result<Home, CliError> {
        if !self.has_home()? {
            return self.create(account, region);
        }
        let path = self.path()?;
        act_for_owner(&path)?;
        let unlock = unlock(&self.secret(), false)?;
        if let Some(account) = account {
            Home::name_account(&path, account, Some(&unlock))?;
        }
        Ok(Home::open(&path, Some(&unlock))?)
    }

    /// The home without its root key.
    pub(super) fn open_sealed(&self, account: Option<&str>) -> Result<Home, CliError> {
        let path = self.path()?;
        act_for_owner(&path)?;
        if let Some(account) = account {
            Home::name_account(&path, account, None)?;
        }
        Ok(Home::open(&path, None)?)
    }

    fn create(&self, account: Option<&str>, region: Option<&Region>) -> Result<Home, CliError> {
        let path = self.path()?;
        let secret = self.secret();
        if let SecretSource::Keyfile(file) = &secret
            && !file.exists()
        {
            make_key_file(file)?;
        }
        let unlock = unlock(&secret, true)?;
        let mut settings = HomeSettings::default();
        if let Some(account) = account {
            account.clone_into(&mut settings.account);
        }
        if let Some(region) = region {
            settings.region = region.to_string();
        }
        let home = match Home::create(&path, &unlock, &settings) {
            // Another command was faster.
            Err(HomeError::Exists(_)) => Home::open(&path, Some(&unlock))?,
            made => made?,
        };
        let Some(account) = account else {
            return Ok(home);
        };
        Home::name_account(&path, account, Some(&unlock))?;
        Ok(Home::open(&path, Some(&unlock))?)
    }

    /// The home with its root key and without its key service: for a backup.
    pub(super) fn look_with(&self, unlock: &Unlock) -> Result<Home, CliError> {
        let path = self.path()?;
        act_for_owner(&path)?;
        Ok(Home::open(&path, Some(unlock))?)
    }

    /// Reaches the key service that `service` names, for keys of `region`; `None` for the home's own.
    pub(super) fn elsewhere(
        &self,
        service: &ServiceArgs,
        region: Option<&str>,
    ) -> Result<Option<Arc<dyn KeyService>>, CliError> {
        let Some(target) = &service.kms else {
            return Ok(None);
        };
        let ca = service.kms_ca.as_ref();
        let ca = ca.or(self.environment.ca_bundle.as_ref());
        Ok(kms::connect(target, region, ca.map(PathBuf::as_path))?)
    }

    /// The key service of a volume whose KMS key is `key_arn`: the home's own, unless `service` names
    /// another.
    pub(super) fn keys(
        &self,
        service: &ServiceArgs,
        opened: &Opened,
        key_arn: &str,
    ) -> Result<Arc<dyn KeyService>, CliError> {
        let elsewhere = self.elsewhere(service, region_of(key_arn))?;
        Ok(elsewhere.unwrap_or_else(|| opened.service.clone()))
    }

    /// The home without its key service: for its audit logs and policies.
    pub(super) fn look(&self) -> Result<Home, CliError> {
        let path = self.path()?;
        act_for_owner(&path)?;
        // With the secret at hand what the home says of itself is checked under it.
        let unlock = match self.secret() {
            SecretSource::Prompt => None,
            source => Some(unlock(&source, false)?),
        };
        Ok(Home::open(&path, unlock.as_ref())?)
    }
}

/// An open home with its key service.
pub(super) struct Opened {
    pub(super) home: Home,
    pub(super) service: Arc<dyn KeyService>,
    /// Whoever runs this command.
    principal: Arc<Principal>,
}

impl Opened {
    fn new(home: Home, service: Arc<dyn KeyService>) -> Result<Self, CliError> {
        let principal = home
            .principal(geteuid().as_raw(), getegid().as_raw())
            .map_err(CliError::io("the user database"))?;
        Ok(Self {
            home,
            service,
            principal,
        })
    }

    /// Whoever runs this command, as the key service sees them.
    pub(super) fn caller(&self) -> kms::Caller {
        kms::Caller {
            uid: Some(geteuid().as_raw()),
            pid: Some(std::process::id()),
            ..kms::Caller::new(self.principal.clone())
        }
    }

    /// The same, asking as the filesystem.
    pub(super) fn caller_via_kmsfs(&self) -> kms::Caller {
        kms::Caller {
            via_kmsfs: true,
            ..self.caller()
        }
    }
}

pub(super) fn unlock(source: &SecretSource, new: bool) -> Result<Unlock, CliError> {
    match source {
        SecretSource::Passfile(file) => {
            let read = Passphrase::from_file(file).map_err(CliError::Secret)?;
            Ok(Unlock::Passphrase(read))
        }
        SecretSource::Keyfile(file) => Ok(Unlock::KeyFile(file.clone())),
        SecretSource::Prompt => ask(new),
    }
}

fn ask(new: bool) -> Result<Unlock, CliError> {
    let passphrase = ask_text()?;
    if new {
        let again = Zeroizing::new(prompt("Again: ")?);
        if *again != *passphrase {
            return Err(CliError::PassphrasesDiffer);
        }
    }
    Ok(Unlock::Passphrase(Passphrase::new(passphrase.to_string())?))
}

/// The passphrase as it was typed.
pub(super) fn ask_text() -> Result<Zeroizing<String>, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::NoSecret);
    }
    Ok(Zeroizing::new(prompt("Passphrase: ")?))
}

fn prompt(text: &str) -> Result<String, CliError> {
    rpassword::prompt_password(text).map_err(CliError::io("the terminal"))
}

/// A new home's key file, if it is not there: 256 random bits for its owner only.
fn make_key_file(path: &Path) -> Result<(), CliError> {
    let made = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(SecretKey::generate().expose())?;
        file.sync_all()
    };
    made().map_err(CliError::io(path))?;
    eprintln!(
        "kmsfs: made the key file {}; without it the home cannot be opened",
        path.display()
    );
    Ok(())
}

/// As root with somebody else's home: what is made in it stays theirs.
fn act_for_owner(home: &Path) -> Result<(), CliError> {
    // A home that is not there is reported when it is opened.
    let Ok(metadata) = home.metadata() else {
        return Ok(());
    };
    let owner = sys::Identity {
        uid: metadata.uid(),
        gid: metadata.gid(),
    };
    sys::act_for(owner).map_err(CliError::io(home))
}
