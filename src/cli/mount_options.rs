//! `-o` options, as `kmsfs mount`, mount(8) and fstab write them: a comma-separated list, in which
//! a backslash takes away the meaning of the character after it (as in fuse(8)).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::kms::{Target, TargetError};

/// How much of what happens to a file is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Coverage {
    /// Opens, creations, removals, renames, attribute changes, denials, and totals at close.
    #[default]
    Standard,
    /// Also every single read and write; the kernel's page cache is not used.
    Strict,
}

/// When a record is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Written before the reply, on disk within a second.
    #[default]
    Balanced,
    /// On disk before the reply.
    Strict,
}

/// The options of one mount. `None` is "not said", so that a flag, an option and a default can
/// be told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// The name shown as the source in `/proc/mounts`; the backing directory unless given.
    pub fsname: Option<OsString>,
    /// Users other than the one who mounts may use the mount.
    pub allow_other: Option<bool>,
    /// Mounted read-only.
    pub read_only: Option<bool>,
    /// File that holds the passphrase.
    pub passfile: Option<PathBuf>,
    /// Key file that opens the home.
    pub keyfile: Option<PathBuf>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// Audit coverage.
    pub audit: Option<Coverage>,
    /// Audit durability.
    pub audit_durability: Option<Durability>,
    /// The key service.
    pub kms: Option<Target>,
    /// The certificates that its certificate is checked by.
    pub kms_ca: Option<PathBuf>,
    /// How long open files stay usable without it, in seconds.
    pub offline_grace: Option<u32>,
    /// Device files work (`dev`); they do not unless this is asked for.
    pub devices: Option<bool>,
    /// Set-user-ID and set-group-ID bits work (`suid`); they do not unless this is asked for.
    pub setuid: Option<bool>,
    /// Programs may be executed (`exec`).
    pub exec: Option<bool>,
    /// Reads update access times (`atime`).
    pub atime: Option<bool>,
    /// Change the flags of an existing mount instead of making one.
    pub remount: Option<bool>,
}

/// What to do with an option this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Refuse the list.
    Refuse,
    /// Pass over it: mount(8)'s `-s`.
    Ignore,
}

/// Why a list of options was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No such option.
    #[error("unknown mount option `{0}`; `kmsfs mount --help` lists the ones there are")]
    Unknown(String),
    /// The option needs `=value`.
    #[error("mount option `{0}` needs a value: `{0}=...`")]
    MissingValue(String),
    /// The option takes no value.
    #[error("mount option `{0}` takes no value")]
    UnexpectedValue(String),
    /// The value is not one the option takes.
    #[error("mount option `{option}`: `{value}` is not one of {expected}")]
    BadValue {
        /// The option's name.
        option: String,
        /// The value given.
        value: String,
        /// The values it takes.
        expected: String,
    },
    /// What is given as the key service is none.
    #[error("mount option `kms`: {0}")]
    Target(#[from] TargetError),
    /// A home is opened by one or the other.
    #[error("`passfile` and `keyfile` exclude each other: a home is opened by one of them")]
    TwoSecrets,
}

/// Options that mount(8), fstab or systemd use themselves and may pass on, and those that the kernel
/// shows for every FUSE mount and mount(8) repeats at a remount. They ask nothing of the
/// filesystem.
const FOR_OTHERS: &[&str] = &[
    "_netdev",
    "async",
    "auto",
    "blksize",
    "comment",
    "default_permissions",
    "defaults",
    "diratime",
    "group",
    "group_id",
    "lazytime",
    "loud",
    "mand",
    "max_read",
    "noauto",
    "nodiratime",
    "nofail",
    "nogroup",
    "nolazytime",
    "nomand",
    "noowner",
    "norelatime",
    "nostrictatime",
    "nouser",
    "nousers",
    "owner",
    "relatime",
    "silent",
    "strictatime",
    "user",
    "user_id",
    "users",
];

impl MountOptions {
    /// Reads the lists of all `-o` in their order; where they disagree, the last one counts.
    ///
    /// # Errors
    /// Names the first option that cannot be taken.
    pub fn parse<'a>(
        lists: impl IntoIterator<Item = &'a OsString>,
        unknown: Unknown,
    ) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for list in lists {
            for option in split(list) {
                options.apply(&option, unknown)?;
            }
        }
        if options.passfile.is_some() && options.keyfile.is_some() {
            return Err(OptionError::TwoSecrets);
        }
        Ok(options)
    }

    fn apply(&mut self, option: &[u8], unknown: Unknown) -> Result<(), OptionError> {
        let (name, value) = match option.iter().position(|&byte| byte == b'=') {
            Some(at) => (&option[..at], Some(OsStr::from_bytes(&option[at + 1..]))),
            None => (option, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let flag = |field: &mut Option<bool>, on: bool| match value {
            None => {
                *field = Some(on);
                Ok(())
            }
            Some(_) => Err(OptionError::UnexpectedValue(name.clone())),
        };
        match name.as_str() {
            "ro" => flag(&mut self.read_only, true),
            "rw" => flag(&mut self.read_only, false),
            "dev" => flag(&mut self.devices, true),
            "nodev" => flag(&mut self.devices, false),
            "suid" => flag(&mut self.setuid, true),
            "nosuid" => flag(&mut self.setuid, false),
            "exec" => flag(&mut self.exec, true),
            "noexec" => flag(&mut self.exec, false),
            "atime" => flag(&mut self.atime, true),
            "noatime" => flag(&mut self.atime, false),
            "allow_other" => flag(&mut self.allow_other, true),
            "remount" => flag(&mut self.remount, true),
            "fsname" => required(&name, value).map(|v| self.fsname = Some(v.to_owned())),
            "passfile" => required(&name, value).map(|v| self.passfile = Some(v.into())),
            "keyfile" => required(&name, value).map(|v| self.keyfile = Some(v.into())),
            "home" => required(&name, value).map(|v| self.home = Some(v.into())),
            "audit" => one_of(&name, value).map(|v| self.audit = Some(v)),
            "audit_durability" => one_of(&name, value).map(|v| self.audit_durability = Some(v)),
            "kms" => {
                let target = required(&name, value)?.to_string_lossy();
                self.kms = Some(target.parse()?);
                Ok(())
            }
            "kms_ca" => required(&name, value).map(|v| self.kms_ca = Some(v.into())),
            "offline_grace" => seconds(&name, value).map(|v| self.offline_grace = Some(v)),
            other if FOR_OTHERS.contains(&other) || other.starts_with("x-") => Ok(()),
            _ if unknown == Unknown::Ignore => Ok(()),
            _ => Err(OptionError::Unknown(name)),
        }
    }
}

/// Splits at commas that no backslash precedes; empty entries (`a,,b`) are nothing.
fn split(list: &OsStr) -> Vec<Vec<u8>> {
    let mut entries = vec![Vec::new()];
    let mut bytes = list.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b',' => entries.push(Vec::new()),
            b'\\' => entries
                .last_mut()
                .expect("never empty")
                .extend(bytes.next()),
            _ => entries.last_mut().expect("never empty").push(byte),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn required<'a>(name: &str, value: Option<&'a OsStr>) -> Result<&'a OsStr, OptionError> {
    value
        .filter(|v| !v.is_empty())
        .ok_or_else(|| OptionError::MissingValue(name.to_owned()))
}

fn seconds(name: &str, value: Option<&OsStr>) -> Result<u32, OptionError> {
    let value = required(name, value)?.to_string_lossy();
    value.parse().map_err(|_| OptionError::BadValue {
        option: name.to_owned(),
        value: value.into_owned(),
        expected: "the whole numbers of seconds".to_owned(),
    })
}

fn one_of<T: ValueEnum>(name: &str, value: Option<&OsStr>) -> Result<T, OptionError> {
    let value = required(name, value)?;
    value
        .to_str()
        .and_then(|text| T::from_str(text, false).ok())
        .ok_or_else(|| {
            let names: Vec<String> = T::value_variants()
                .iter()
                .filter_map(T::to_possible_value)
                .map(|possible| format!("`{}`", possible.get_name()))
                .collect();
            OptionError::BadValue {
                option: name.to_owned(),
                value: value.to_string_lossy().into_owned(),
                expected: names.join(", "),
            }
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use proptest::prelude::*;

    fn parse(list: &str) -> Result<MountOptions, OptionError> {
        MountOptions::parse([&OsString::from(list)], Unknown::Refuse)
    }

    #[test]
    fn an_fstab_line_gives_every_option_its_type() {
        let options = parse(
            "rw,allow_other,fsname=vault,home=/srv/home,passfile=/etc/pass,audit=strict,\
             audit_durability=strict,suid,nodev,noexec,noatime,kms=unix:/run/kms.sock,\
             kms_ca=/etc/ca.pem,offline_grace=0",
        )
        .unwrap();
        let expected = MountOptions {
            fsname: Some("vault".into()),
            allow_other: Some(true),
            read_only: Some(false),
            passfile: Some("/etc/pass".into()),
            keyfile: None,
            home: Some("/srv/home".into()),
            audit: Some(Coverage::Strict),
            audit_durability: Some(Durability::Strict),
            kms: Some(Target::Unix("/run/kms.sock".into())),
            kms_ca: Some("/etc/ca.pem".into()),
            offline_grace: Some(0),
            devices: Some(false),
            setuid: Some(true),
            exec: Some(false),
            atime: Some(false),
            remount: None,
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_mount_and_systemd_keep_for_themselves_changes_nothing() {
        let options =
            parse("defaults,_netdev,nofail,noauto,user,x-systemd.automount,comment=mine").unwrap();
        assert_eq!(options, MountOptions::default());
    }

    #[test]
    fn a_remount_may_repeat_what_the_kernel_shows_of_a_mount() {
        let options = parse(
            "remount,ro,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other",
        )
        .unwrap();
        assert_eq!(
            (options.remount, options.read_only),
            (Some(true), Some(true))
        );
    }

    #[test]
    fn the_last_of_two_options_that_disagree_counts_across_lists() {
        let lists = ["ro".into(), "rw,atime".into(), "noatime".into()];
        let options = MountOptions::parse(&lists, Unknown::Refuse).unwrap();
        assert_eq!(
            (options.read_only, options.atime),
            (Some(false), Some(false))
        );
    }

    #[test]
    fn an_unknown_option_is_refused_by_name_unless_mount_is_sloppy() {
        assert_eq!(
            parse("ro,encrypt=yes"),
            Err(OptionError::Unknown("encrypt".into()))
        );
        let sloppy =
            MountOptions::parse([&OsString::from("ro,encrypt=yes")], Unknown::Ignore).unwrap();
        assert_eq!(sloppy.read_only, Some(true));
    }

    #[test]
    fn a_missing_an_empty_a_wrong_and_a_superfluous_value_are_refused() {
        assert_eq!(parse("home"), Err(OptionError::MissingValue("home".into())));
        assert_eq!(
            parse("passfile="),
            Err(OptionError::MissingValue("passfile".into()))
        );
        assert_eq!(
            parse("ro=1"),
            Err(OptionError::UnexpectedValue("ro".into()))
        );
        let wrong = parse("audit=loud").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "mount option `audit`: `loud` is not one of `standard`, `strict`"
        );
        let wrong = parse("offline_grace=soon").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "mount option `offline_grace`: `soon` is not one of the whole numbers of seconds"
        );
        assert!(parse("kms=elsewhere").unwrap_err().to_string().starts_with(
            "mount option `kms`: \"elsewhere\" is none of embedded, unix:PATH, https://"
        ));
    }

    #[test]
    fn a_home_is_opened_by_a_passphrase_or_a_key_file_not_both() {
        assert_eq!(
            parse("passfile=/a,keyfile=/b"),
            Err(OptionError::TwoSecrets)
        );
    }

    #[test]
    fn an_option_may_contain_bytes_that_are_not_utf8() {
        let list = OsString::from_vec(b"keyfile=/k\xff".to_vec());
        let options = MountOptions::parse([&list], Unknown::Refuse).unwrap();
        assert_eq!(options.keyfile.unwrap().as_os_str().as_bytes(), b"/k\xff");
    }

    proptest! {
        #[test]
        fn any_value_survives_when_commas_and_backslashes_are_escaped(value in "[^\0]{1,40}") {
            let escaped = value.replace('\\', "\\\\").replace(',', "\\,");
            let options = parse(&format!("ro,fsname={escaped},exec")).unwrap();
            prop_assert_eq!(options.fsname, Some(OsString::from(value)));
            prop_assert_eq!(options.exec, Some(true));
        }

        #[test]
        fn no_list_of_options_panics(list in ".{0,80}") {
            drop(parse(&list));
        }
    }
}
