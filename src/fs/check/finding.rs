//! What a check finds.

use crate::format::FileId;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Something is not as it was written.
    Damage,
    /// Something could not be looked at.
    NotChecked,
    /// Nothing is lost, and somebody may want to know.
    Note,
}

/// What a finding is of. The names ([`Kind::name`]) are part of the report's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `volume.json` does not say what was written.
    Config,
    /// The control directory lacks something.
    Control,
    /// A directory's record is missing, damaged or another volume's.
    DirectoryRecord,
    /// A name was not made in its directory.
    Name,
    /// A file's header cannot be used.
    Header,
    /// One of the two copies of a header is not whole, or not this file's.
    HeaderCopy,
    /// A file is in a directory of another label than it was made in.
    Label,
    /// A wrapped key is not its file's.
    WrappedKey,
    /// Header and backing file disagree on the length.
    Length,
    /// Blocks do not authenticate.
    Blocks,
    /// A link's target was not made by this volume.
    Target,
    /// An extended attribute was not made for its object.
    Attribute,
    /// Two objects are the same one.
    Duplicate,
    /// A file is older than the audit log says.
    Rollback,
    /// The key service refused the key, or could not be asked.
    Key,
    /// The system did not let it be read.
    Unreadable,
    /// Another filesystem is mounted inside.
    OtherFilesystem,
    /// The audit log vouches for nothing.
    AuditLog,
    /// The volume was not unmounted cleanly.
    Unclean,
    /// The next mount brings a file's header and size to agree.
    Settle,
    /// The next mount does a change again that was under way.
    Redo,
    /// A crash left something that nothing needs.
    Leftover,
    /// Something that kmsfs did not make.
    Foreign,
    /// A file has names outside the volume.
    LinkedOutside,
}

impl Kind {
    /// How grave it is.
    pub fn class(self) -> Class {
        match self {
            Self::Config
            | Self::Control
            | Self::DirectoryRecord
            | Self::Name
            | Self::Header
            | Self::HeaderCopy
            | Self::Label
            | Self::WrappedKey
            | Self::Length
            | Self::Blocks
            | Self::Target
            | Self::Attribute
            | Self::Duplicate
            | Self::Rollback => Class::Damage,
            Self::Key | Self::Unreadable | Self::OtherFilesystem | Self::AuditLog => {
                Class::NotChecked
            }
            Self::Unclean
            | Self::Settle
            | Self::Redo
            | Self::Leftover
            | Self::Foreign
            | Self::LinkedOutside => Class::Note,
        }
    }

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Control => "control",
            Self::DirectoryRecord => "directory-record",
            Self::Name => "name",
            Self::Header => "header",
            Self::HeaderCopy => "header-copy",
            Self::Label => "label",
            Self::WrappedKey => "wrapped-key",
            Self::Length => "length",
            Self::Blocks => "blocks",
            Self::Target => "target",
            Self::Attribute => "attribute",
            Self::Duplicate => "duplicate",
            Self::Rollback => "rollback",
            Self::Key => "key",
            Self::Unreadable => "unreadable",
            Self::OtherFilesystem => "other-filesystem",
            Self::AuditLog => "audit-log",
            Self::Unclean => "unclean",
            Self::Settle => "settle",
            Self::Redo => "redo",
            Self::Leftover => "leftover",
            Self::Foreign => "foreign",
            Self::LinkedOutside => "linked-outside",
        }
    }
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is of.
    pub kind: Kind,
    /// The plaintext path, relative to the volume's root: empty for the root, none for what mounts do
    /// not show. Where a name on it cannot be read, the name of the backing entry stands in.
    pub path: Option<Vec<u8>>,
    /// The backing entry, relative to the backing directory.
    pub backing: Vec<u8>,
    /// The file, where it is one whose header could be read.
    pub file: Option<FileId>,
    /// What is wrong, in words.
    pub message: String,
}

/// What a check went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Regular files, each once however many names it has.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Fifos, sockets and devices.
    pub others: u64,
    /// Bytes of backing files whose blocks were read.
    pub bytes: u64,
}
