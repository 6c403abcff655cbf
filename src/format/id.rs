//! Identifiers of volumes, directories and files: 128 random bits each.

use std::fmt;
use std::str::FromStr;

use crate::crypto::random;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; Self::LEN]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 16;

            /// A fresh random identifier.
            pub fn generate() -> Self {
                let mut bytes = [0; Self::LEN];
                random::fill(&mut bytes);
                Self(bytes)
            }

            /// An identifier read back from where it was stored.
            pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
                Self(bytes)
            }

            /// The bytes to store.
            pub fn as_bytes(&self) -> &[u8; Self::LEN] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse_hex(text).map(Self).ok_or(NotAnId)
            }
        }
    };
}

identifier!(
    /// Names a volume; part of every encryption context.
    VolumeId
);
identifier!(
    /// Names a file's content; bound into each of its blocks and its key's encryption context.
    FileId
);
identifier!(
    /// Names a directory; bound into each name in it.
    DirectoryId
);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of 32 lower-case hexadecimal digits")]
pub struct NotAnId;

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32
        || digits
            .iter()
            .any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_survives_being_written_as_text() {
        let id = FileId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("00".parse::<FileId>(), Err(NotAnId));
        assert_eq!(
            "+0000000000000000000000000000001".parse::<FileId>(),
            Err(NotAnId)
        );
    }
}
