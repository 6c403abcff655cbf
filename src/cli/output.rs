//! Printing: tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) {
    println!(
        "{}",
        serde_json::to_string(value).expect("what commands print serialises")
    );
}

/// Prints rows under `header`, aligned, without lines.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    println!("{table}");
}

/// Prints `name: value` lines with the values aligned.
pub(super) fn fields(fields: &[(&str, String)]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    for (name, value) in fields {
        println!("{:<width$} {value}", format!("{name}:"));
    }
}

/// Bytes of a file name as they can be shown: what is no printable text comes escaped, so that a name
/// cannot speak to the terminal.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|character| {
            let escape = character.is_control();
            let plain = (!escape).then_some(character);
            plain.into_iter().chain(
                escape
                    .then(|| character.escape_default())
                    .into_iter()
                    .flatten(),
            )
        })
        .collect()
}

/// Lets a closed standard output end the process, as it ends `cat`: Rust ignores `SIGPIPE` and
/// panics instead.
pub(super) fn end_on_closed_pipe() {
    std::panic::set_hook(Box::new(|info| {
        let closed = info
            .payload_as_str()
            .is_some_and(|message| message.contains("failed printing to stdout"));
        if closed {
            std::process::exit(0);
        }
        eprintln!("kmsfs: {info}");
        tracing::error!(%info, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        assert_eq!(shown(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(shown("Gehälter".as_bytes()), "Gehälter");
    }
}
