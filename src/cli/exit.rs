//! Exit codes: one number per kind of bad input, so that scripts can tell them apart.

use std::fmt::Write as _;
use std::process::{ExitCode, Termination};

/// How a `kmsfs` command ends. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command did what it was asked.
    Success = 0,
    /// Any failure without a code of its own.
    Failure = 1,
    /// The command line itself is wrong (clap's code).
    Usage = 2,
    /// An audit log was changed.
    Tampered = 3,
    /// An audit log lost its end.
    Truncated = 4,
    /// An audit log's end is vouched for by no signature.
    Unanchored = 5,
    /// The passphrase or key file is missing or does not open the home.
    WrongSecret = 10,
    /// The backing directory holds no volume.
    NotAVolume = 11,
    /// The volume was made by a newer kmsfs.
    NewerFormat = 12,
    /// `volume.json` is damaged.
    CorruptVolume = 13,
    /// The mount point cannot be used, or is not a kmsfs mount.
    BadMountPoint = 14,
    /// The volume is mounted already.
    AlreadyMounted = 15,
    /// The key service refused.
    KeyService = 16,
    /// A policy document was refused.
    PolicyRefused = 17,
    /// The home is missing or unusable.
    BadHome = 18,
    /// An encrypted file's header is damaged.
    DamagedHeader = 19,
    /// Files of a volume are older than its audit log says.
    RolledBack = 20,
}

impl Exit {
    /// Every code.
    const ALL: [Self; 17] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Tampered,
        Self::Truncated,
        Self::Unanchored,
        Self::WrongSecret,
        Self::NotAVolume,
        Self::NewerFormat,
        Self::CorruptVolume,
        Self::BadMountPoint,
        Self::AlreadyMounted,
        Self::KeyService,
        Self::PolicyRefused,
        Self::BadHome,
        Self::DamagedHeader,
        Self::RolledBack,
    ];

    /// The code that another kmsfs process ended with.
    pub(super) fn from_code(code: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|exit| *exit as u8 == code)
            .unwrap_or(Self::Failure)
    }

    /// What the code says, for help pages.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failure => {
                "failed for a reason without a code of its own; standard error says which"
            }
            Self::Usage => "wrong usage: unknown command, option or value",
            Self::Tampered => {
                "audit log tampered with: a record was edited, removed, inserted or moved"
            }
            Self::Truncated => {
                "audit log truncated: it ends before a head that was signed or anchored"
            }
            Self::Unanchored => "audit log not anchored: its end is covered by no signed head",
            Self::WrongSecret => "wrong or missing passphrase or key file",
            Self::NotAVolume => "the backing directory is not a kmsfs volume",
            Self::NewerFormat => "the volume has a newer format than this kmsfs knows",
            Self::CorruptVolume => "the volume's configuration, .kmsfs/volume.json, is damaged",
            Self::BadMountPoint => {
                "mount point missing, not a directory, mounted over, or not a kmsfs mount"
            }
            Self::AlreadyMounted => "the volume is mounted already",
            Self::KeyService => "the key service refused: the message carries the KMS error name",
            Self::PolicyRefused => "the policy document was refused; the one before stays in force",
            Self::BadHome => "the home directory is missing or unusable",
            Self::DamagedHeader => "the encrypted file's header is damaged",
            Self::RolledBack => "files are older than the audit log says",
        }
    }

    /// The `Exit codes` part of a help page: success, wrong usage and general failure, and
    /// `specific` beside them.
    pub fn help(specific: &[Self]) -> String {
        let mut codes = vec![Self::Success, Self::Failure, Self::Usage];
        codes.extend_from_slice(specific);
        let mut text = String::from("Exit codes:\n");
        for code in codes {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:>2}  {}", code as u8, code.meaning());
        }
        text
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn a_help_page_lists_the_common_codes_before_the_commands_own() {
        let page = Exit::help(&[Exit::Tampered]);
        let numbers: Vec<&str> = page
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(numbers, ["0", "1", "2", "3"]);
    }

    #[test]
    fn the_agreed_numbers_never_change() {
        let agreed = [
            (Exit::Tampered, 3),
            (Exit::Truncated, 4),
            (Exit::Unanchored, 5),
            (Exit::WrongSecret, 10),
            (Exit::NotAVolume, 11),
            (Exit::NewerFormat, 12),
            (Exit::CorruptVolume, 13),
            (Exit::BadMountPoint, 14),
            (Exit::AlreadyMounted, 15),
            (Exit::KeyService, 16),
            (Exit::PolicyRefused, 17),
            (Exit::BadHome, 18),
            (Exit::DamagedHeader, 19),
            (Exit::RolledBack, 20),
        ];
        for (exit, number) in agreed {
            assert_eq!(exit as u8, number, "{exit:?}");
        }
    }
}
