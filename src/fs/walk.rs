//! Going through all directories of a volume with one descriptor at a time: a tree is wider than the
//! limit of open files.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::sys;

/// The way to a directory from the volume's root, by backing entries. Neighbours share theirs.
#[derive(Clone, Default)]
pub(super) struct Way(Option<Rc<Step>>);

struct Step {
    above: Way,
    entry: String,
}

impl Way {
    /// The way to `entry` of this directory.
    pub(super) fn to(&self, entry: String) -> Self {
        Self(Some(Rc::new(Step {
            above: self.clone(),
            entry,
        })))
    }

    /// The entries from the root down.
    pub(super) fn entries(&self) -> Vec<&str> {
        let mut entries = Vec::new();
        let mut next = self;
        while let Some(step) = &next.0 {
            entries.push(&*step.entry);
            next = &step.above;
        }
        entries.reverse();
        entries
    }

    fn open(&self, root: &OwnedFd) -> io::Result<OwnedFd> {
        let mut directory = sys::reopen_directory(root)?;
        for entry in self.entries() {
            directory = sys::reopen_directory(sys::open_node(&directory, entry)?)?;
        }
        Ok(directory)
    }
}

impl Drop for Step {
    /// One by one: a deep tree would be left by a recursion as deep.
    fn drop(&mut self) {
        let mut next = self.above.0.take();
        while let Some(step) = next {
            next = Rc::into_inner(step).and_then(|mut step| step.above.0.take());
        }
    }
}

/// Directories still to be visited.
pub(super) struct Walk<'r> {
    root: &'r OwnedFd,
    pending: Vec<Way>,
}

impl<'r> Walk<'r> {
    /// Begins with `root` itself.
    pub(super) fn new(root: &'r OwnedFd) -> Self {
        Self {
            root,
            pending: vec![Way::default()],
        }
    }

    /// The next directory, open for listing, and the way to it.
    pub(super) fn next(&mut self) -> Option<(Way, io::Result<OwnedFd>)> {
        let way = self.pending.pop()?;
        let directory = way.open(self.root);
        Some((way, directory))
    }

    /// `way` leads to a directory, which is to be visited.
    pub(super) fn visit(&mut self, way: Way) {
        self.pending.push(way);
    }
}

/// Whether a directory that could not be opened is passed over: an ordinary user's own that its mode
/// closes even to them, or one that was moved or removed meanwhile.
pub(super) fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_told_from_the_root_down_and_a_very_deep_one_is_let_go_of() {
        let root = Way::default();
        assert!(root.entries().is_empty());
        assert_eq!(root.to("a".into()).to("b".into()).entries(), ["a", "b"]);
        let mut deep = root;
        for _ in 0..1_000_000 {
            deep = deep.to("d".into());
        }
        drop(deep);
    }
}
