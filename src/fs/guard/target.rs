//! What is asked for, and of what.

use crate::fs::inode::{Inode, join};

/// What the file plane is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Action {
    Read,
    Write,
    Append,
    Execute,
    Create,
    Delete,
    Overwrite,
    List,
    SetSecurity,
    SetAttr,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "kmsfs:Read",
            Self::Write => "kmsfs:Write",
            Self::Append => "kmsfs:Append",
            Self::Execute => "kmsfs:Execute",
            Self::Create => "kmsfs:Create",
            Self::Delete => "kmsfs:Delete",
            Self::Overwrite => "kmsfs:Overwrite",
            Self::List => "kmsfs:List",
            Self::SetSecurity => "kmsfs:SetSecurity",
            Self::SetAttr => "kmsfs:SetAttr",
        }
    }
}

/// What an operation is about: the plaintext path it came by, other names of the same inode, its label.
#[derive(Debug, Clone)]
pub(in crate::fs) struct Target {
    pub(super) path: Vec<u8>,
    pub(super) others: Vec<Vec<u8>>,
    pub(super) label: Option<String>,
}

impl Target {
    /// A path that need not exist, without a label.
    pub(in crate::fs) fn path(path: Vec<u8>) -> Self {
        Self {
            path,
            others: Vec::new(),
            label: None,
        }
    }

    /// The same with this label.
    pub(in crate::fs) fn labelled(self, label: Option<String>) -> Self {
        Self { label, ..self }
    }

    /// An inode, by all its known names. One without a name left has the empty path: only what is
    /// allowed on the whole volume is allowed on it.
    pub(in crate::fs) fn of(inode: &Inode) -> Self {
        let mut paths = inode.paths();
        let path = if paths.is_empty() {
            Vec::new()
        } else {
            paths.swap_remove(0)
        };
        Self {
            path,
            others: paths,
            label: inode.label(),
        }
    }

    pub(in crate::fs) fn into_path(self) -> Vec<u8> {
        self.path
    }

    /// What lies below this directory, as the pattern `<path>/*`: a statement about it matches the
    /// pattern as a text.
    pub(in crate::fs) fn below(&self) -> Self {
        Self::path(join(&self.path, b"*")).labelled(self.label.clone())
    }

    /// The same inode, reached by the name `path`.
    pub(in crate::fs) fn used_as(self, path: Vec<u8>) -> Self {
        let others = [self.path]
            .into_iter()
            .chain(self.others)
            .filter(|other| *other != path);
        Self {
            others: others.collect(),
            path,
            label: self.label,
        }
    }
}
