//! What policies can ask about a file request.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::fs::caller::Caller;
use crate::fs::executables::Executables;
use crate::policy::Context;
use crate::sys;

/// The condition keys of a file request. What needs `/proc` is read when a statement asks for it.
pub(super) struct Facts<'a> {
    pub(super) caller: Caller,
    pub(super) path: &'a [u8],
    pub(super) label: Option<&'a str>,
    pub(super) executables: &'a Executables,
}

impl Context for Facts<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let one = |value: String| Some(vec![Cow::Owned(value)]);
        match key {
            "kmsfs:Uid" => one(self.caller.uid.to_string()),
            "kmsfs:Path" => one(policy_path(self.path)),
            "kmsfs:Label" => Some(vec![Cow::Borrowed(self.label?)]),
            "kmsfs:Gids" => self.groups(),
            "kmsfs:ExePath" => {
                let path = sys::executable(self.caller.pid)?.path()?;
                one(path.into_os_string().into_string().ok()?)
            }
            "kmsfs:ExeSha256" => one(self.executables.sha256(self.caller.pid)?),
            "kmsfs:LoginUid" => one(sys::login_uid(self.caller.pid)?.to_string()),
            "aws:CurrentTime" => one(jiff::Timestamp::now().to_string()),
            "aws:EpochTime" => one(jiff::Timestamp::now().as_second().to_string()),
            _ => None,
        }
    }
}

impl Facts<'_> {
    fn groups(&self) -> Option<Vec<Cow<'_, str>>> {
        let groups = self.caller.groups()?.into_iter();
        Some(groups.map(|gid| Cow::Owned(gid.to_string())).collect())
    }
}

/// A path as policies write it: bytes that are no text, control characters and `%` as `%XX`.
pub fn policy_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '%' {
                let mut bytes = [0; 4];
                escape(&mut text, character.encode_utf8(&mut bytes).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "%{byte:02X}").expect("a string takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::policy_path;

    #[test]
    fn no_two_paths_look_alike_to_a_policy() {
        assert_eq!(policy_path("hr/Gehälter".as_bytes()), "hr/Gehälter");
        assert_eq!(policy_path(b"a\nb"), "a%0Ab");
        assert_eq!(policy_path(b"a%0Ab"), "a%250Ab");
        assert_eq!(policy_path(b"\xff\xfe"), "%FF%FE");
    }
}
