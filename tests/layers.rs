//! The layers of `docs/architecture.md`: a module imports only from modules of lower ranks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules by rank. Two modules of one rank do not know each other.
const RANKS: &[&[&str]] = &[
    &["sys", "crypto", "policy"],
    &["audit", "format"],
    &["kms"],
    &["keyring"],
    &["fs"],
    &["mount"],
    &["cli"],
];

#[test]
fn a_module_imports_only_from_lower_ranks() {
    let broken: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let names = uses(&source.code).into_iter();
            names
                .filter(|name| !may_import(&source.module, name))
                .map(|name| {
                    let (file, module) = (source.file.display(), &source.module);
                    format!(
                        "{file}: {module} (rank {:?}) uses crate::{name} (rank {:?})",
                        rank(module),
                        rank(&name)
                    )
                })
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_has_a_rank() {
    let found: BTreeSet<String> = sources().into_iter().map(|source| source.module).collect();
    let ranked = RANKS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(found, ranked);
}

#[test]
fn the_filesystem_does_not_know_fuse() {
    for source in sources().iter().filter(|source| source.module == "fs") {
        let named = words(&source.code).any(|word| word == "fuser");
        assert!(
            !named,
            "{} names fuser: that is for mount",
            source.file.display()
        );
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let code = strip_comments(
        "//! [`crate::cli`] and // crate::cli\n\
         use crate::{\n    audit::{Log, crate_of},\n    crypto::derive,\n    sys,\n};\n\
         fn f() -> crate::format::FileId { crate::keyring::go(\"//\", mycrate::mount) }\n\
         /* crate::cli */ pub(crate) fn g() {}",
    );
    let expected = ["audit", "crypto", "format", "keyring", "sys"];
    assert_eq!(uses(&code), BTreeSet::from(expected.map(str::to_owned)));
}

#[test]
fn the_rule_refuses_upward_and_sideways() {
    assert!(may_import("fs", "keyring"));
    assert!(may_import("fs", "fs"));
    assert!(!may_import("keyring", "fs"), "upward");
    assert!(!may_import("audit", "format"), "sideways");
    assert!(!may_import("sys", "unheard_of"));
}

fn may_import(from: &str, to: &str) -> bool {
    from == to || matches!((rank(from), rank(to)), (Some(from), Some(to)) if to < from)
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

struct Source {
    file: PathBuf,
    /// The top-level module that the file belongs to.
    module: String,
    code: String,
}

/// Every file of every module; `lib.rs`, `main.rs` and `fuzzing.rs` are above them all.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                pending.push(file);
                continue;
            }
            let inside = file.strip_prefix(&root).unwrap().to_owned();
            let first = Path::new(inside.components().next().unwrap().as_os_str());
            let module = first.file_stem().unwrap().to_str().unwrap().to_owned();
            if file.extension() == Some("rs".as_ref())
                && !["lib", "main", "fuzzing"].contains(&&*module)
            {
                let code = strip_comments(&fs::read_to_string(&file).unwrap());
                sources.push(Source {
                    file: inside,
                    module,
                    code,
                });
            }
        }
    }
    sources
}

/// The code without what links in documentation may name freely. A `//` inside a string costs the
/// rest of its line, which imports nothing.
fn strip_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        rest = rest[start..]
            .split_once("*/")
            .map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that the code names as `crate::module` or `crate::{module, ...}`.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(is_of_word) {
            continue;
        }
        let after = &code[at + "crate::".len()..];
        match after.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend(words(after).next().map(str::to_owned)),
        }
    }
    found
}

/// The first word of each entry of a group, up to the brace that ends it.
fn first_words(group: &str) -> Vec<String> {
    let mut entries = vec![String::new()];
    let mut depth = 0;
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(String::new()),
            other if depth == 0 => entries.last_mut().unwrap().push(other),
            _ => {}
        }
    }
    let firsts = entries.iter().filter_map(|entry| words(entry).next());
    firsts.map(str::to_owned).collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character| !is_of_word(character))
        .filter(|word| !word.is_empty())
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
