//! `docs/semantics.md` promises nothing that no test holds.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// All Rust sources below `directory`, one behind the other.
fn sources(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

/// The statements: the list items of the document, each as one line.
fn statements(document: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with("- ") {
            statements.push(line.to_owned());
            inside = true;
        } else if inside && line.starts_with("  ") {
            let statement = statements.last_mut().unwrap();
            statement.push(' ');
            statement.push_str(line.trim());
        } else {
            inside = false;
        }
    }
    statements
}

/// What stands between backquotes.
fn quoted(statement: &str) -> impl Iterator<Item = &str> {
    statement.split('`').skip(1).step_by(2)
}

fn is_test_name(word: &str) -> bool {
    word.matches('_').count() > 2
        && word
            .chars()
            .all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
}

#[test]
fn every_statement_names_a_test_and_each_test_exists() {
    let tests = sources(&Path::new(ROOT).join("tests")) + &sources(&Path::new(ROOT).join("src"));
    let steps = read("scripts/test.sh");
    let statements = statements(&read("docs/semantics.md"));
    assert!(statements.len() > 20, "{statements:#?}");
    for statement in statements {
        let mut held = 0;
        for word in quoted(&statement) {
            if let Some(step) = word.strip_prefix("step ") {
                let names: Vec<&str> = steps.split([' ', '\n', ';', '"', '(', ')']).collect();
                let profile = step.strip_prefix("fsx-").unwrap_or(step);
                assert!(names.contains(&profile), "no step {step}: {statement}");
                held += 1;
            } else if is_test_name(word) {
                let head = format!("fn {word}(");
                assert!(tests.contains(&head), "no test {word}: {statement}");
                held += 1;
            }
        }
        assert!(held > 0, "no test holds: {statement}");
    }
}
