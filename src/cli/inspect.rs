//! `kmsfs inspect`: what an encrypted file's header says. It needs no key, and so vouches for nothing.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;

use crate::format::{
    BackingLen, CopySlot, CopyState, DIRECTORY_RECORD, HEADER_LEN, Header, HeaderError, RawHeader,
    RecordKind, plain_len,
};
use crate::sys;

use super::args::InspectArgs;
use super::error::CliError;
use super::exit::Exit;
use super::output;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    file_id: String,
    key_arn: String,
    label: Option<String>,
    generation: u64,
    /// According to the newest header copy.
    length: u64,
    synced: bool,
    sparse: bool,
    backing_size: u64,
    /// What the backing size tells; none for a size that no plaintext has.
    length_by_backing_size: Option<u64>,
    slots: Vec<Slot>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Slot {
    offset: u64,
    state: &'static str,
    newest: bool,
    generation: Option<u64>,
    length: Option<u64>,
    wrapped_key_bytes: Option<usize>,
}

pub(super) fn run(arguments: &InspectArgs) -> Result<Exit, CliError> {
    let path = &arguments.file;
    let file = File::open(path).map_err(CliError::io(path))?;
    let metadata = file.metadata().map_err(CliError::io(path))?;
    if metadata.is_dir() {
        return inspect_directory(path, arguments.output.json);
    }
    if !metadata.is_file() {
        return Err(CliError::Failed(format!(
            "{} is neither a regular file nor a directory: only those have a header or a record",
            path.display()
        )));
    }
    let mut region = [0; HEADER_LEN];
    let read = sys::read_up_to(&file, &mut region, 0).map_err(CliError::io(path))?;
    let refused = |source: HeaderError| CliError::Header {
        path: path.clone(),
        source,
    };
    let raw = RawHeader::parse(&region[..read]).map_err(refused)?;
    let inspection = inspect(&raw, metadata.size());
    if arguments.output.json {
        output::json(&inspection);
    } else {
        show(&inspection);
    }
    Ok(Exit::Success)
}

fn inspect_directory(path: &Path, json: bool) -> Result<Exit, CliError> {
    let record = path.join(DIRECTORY_RECORD);
    let bytes = std::fs::read(&record).map_err(CliError::io(&record))?;
    let Some(RecordKind {
        is_boundary,
        has_boundaries,
    }) = RecordKind::of(&bytes)
    else {
        return Err(CliError::Failed(format!(
            "{} is no directory record of a format that this kmsfs knows",
            record.display()
        )));
    };
    if json {
        output::json(&serde_json::json!({
            "isBoundary": is_boundary,
            "hasBoundaries": has_boundaries,
        }));
    } else {
        output::fields(&[
            ("Boundary directory", is_boundary.to_string()),
            ("Has boundary directories", has_boundaries.to_string()),
        ]);
        println!("Its names, keys and labels are encrypted: a mount shows them.");
    }
    Ok(Exit::Success)
}

fn inspect(raw: &RawHeader, backing_size: u64) -> Inspection {
    let (newest_slot, newest) = raw.newest();
    let newest: &Header = newest.unverified();
    let slot = |slot: CopySlot| {
        let (state, header) = match raw.copy(slot) {
            CopyState::Blank => ("blank", None),
            CopyState::Damaged => ("damaged", None),
            CopyState::Present(copy) => ("whole", Some(copy.unverified())),
        };
        Slot {
            offset: slot.offset(),
            state,
            newest: slot == newest_slot,
            generation: header.map(|header| header.generation),
            length: header.map(|header| header.length),
            wrapped_key_bytes: header.map(|header| header.key.wrapped.len()),
        }
    };
    Inspection {
        file_id: newest.file.to_string(),
        key_arn: newest.key.key_arn.clone(),
        label: newest.label.clone(),
        generation: newest.generation,
        length: newest.length,
        synced: newest.synced,
        sparse: newest.sparse,
        backing_size,
        length_by_backing_size: plain_len(BackingLen(backing_size)),
        slots: vec![slot(CopySlot::First), slot(CopySlot::Second)],
    }
}

fn show(inspection: &Inspection) {
    let by_size = match inspection.length_by_backing_size {
        Some(length) => format!("{length} bytes"),
        None => "no plaintext has this size".to_owned(),
    };
    output::fields(&[
        ("File id", inspection.file_id.clone()),
        ("KMS key", inspection.key_arn.clone()),
        (
            "Label",
            inspection.label.clone().unwrap_or_else(|| "none".into()),
        ),
        ("Generation", inspection.generation.to_string()),
        ("Length", format!("{} bytes", inspection.length)),
        ("Synced", inspection.synced.to_string()),
        ("Sparse", inspection.sparse.to_string()),
        (
            "Backing size",
            format!("{} bytes ({by_size})", inspection.backing_size),
        ),
    ]);
    let rows = inspection.slots.iter().map(|slot| {
        let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        vec![
            slot.offset.to_string(),
            if slot.newest {
                format!("{} (newest)", slot.state)
            } else {
                slot.state.to_owned()
            },
            number(slot.generation),
            number(slot.length),
            number(slot.wrapped_key_bytes.map(|len| len as u64)),
        ]
    });
    output::table(
        &["COPY AT", "STATE", "GENERATION", "LENGTH", "WRAPPED KEY"],
        rows,
    );
    println!("Not checked against the data key: opening the file through a mount does that.");
}
