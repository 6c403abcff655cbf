//! Holds audit logs to their published JSON Schema: called where the homes of tests end, so that
//! whatever the tests had recorded is checked.

use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use flate2::read::MultiGzDecoder;
use jsonschema::Validator;
use serde_json::Value;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../docs/audit.schema.json");
    jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap()
});

/// Asserts that every finished line of every log in `directory` is as the schema says, also of closed
/// segments.
pub(crate) fn assert_logs_valid(directory: &Path) {
    // A test may have made no home, or taken its logs away.
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let file = entry.unwrap().path();
        let text = match file.extension().and_then(|extension| extension.to_str()) {
            Some("closed") => {
                assert_logs_valid(&file);
                continue;
            }
            Some("jsonl") => std::fs::read_to_string(&file).unwrap(),
            Some("gz") => {
                let mut text = String::new();
                let gzip = std::fs::File::open(&file).unwrap();
                MultiGzDecoder::new(gzip).read_to_string(&mut text).unwrap();
                text
            }
            _ => continue,
        };
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let record: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", file.display()));
            let errors = VALIDATOR.iter_errors(&record);
            let errors: Vec<String> = errors
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{line}: {errors:#?}");
        }
    }
}
