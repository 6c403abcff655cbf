//! Everything that is parsed from disk or network, as functions that take any bytes and assert more
//! than that nothing panics. `fuzz/` runs them under libFuzzer; the tests here run them over the
//! committed corpus, so that they hold without it too.

use crate::{audit, format, fs, kms, policy};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Each target by the name of its corpus in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("audit_line", audit::fuzzing::audit_line),
    ("block", format::fuzzing::block),
    ("ciphertext_blob", kms::fuzzing::ciphertext_blob),
    ("directory_record", format::fuzzing::directory_record),
    ("forwarded_caller", kms::fuzzing::forwarded_caller),
    ("header", format::fuzzing::header),
    ("journal_slot", fs::fuzzing::journal_slot),
    ("kms_request", kms::fuzzing::kms_request),
    ("name", format::fuzzing::name),
    ("policy", policy::fuzzing::policy),
    ("symlink", format::fuzzing::symlink),
    ("volume_config", format::fuzzing::volume_config),
    ("xattr", format::fuzzing::xattr),
];

/// Runs the target called `name` on `data`.
///
/// # Panics
/// When there is no such target, or the target found something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target is called {name}"));
    target(data);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::TARGETS;

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_target_has_a_corpus_and_a_program() {
        let targets = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&fuzz().join("corpus")), targets);
        assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    }

    #[test]
    fn the_corpus_holds() {
        for (name, target) in TARGETS {
            let mut inputs = 0;
            for entry in std::fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
                let data = std::fs::read(entry.unwrap().path()).unwrap();
                // Cut and changed ones too: what a fuzzer would try first.
                target(&data);
                for cut in [0, 1, 8, data.len() / 2, data.len().saturating_sub(1)] {
                    target(&data[..cut.min(data.len())]);
                }
                for at in 0..data.len().min(64) {
                    let mut changed = data.clone();
                    changed[at] ^= 0x20;
                    target(&changed);
                }
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has no corpus");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_a_target(data in prop::collection::vec(any::<u8>(), 0..5000)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }
    }
}
