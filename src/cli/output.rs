//! Printing: tables for people, JSON for programs.

use std::io::Write as _;

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
/// cannot speak to the terminal, nor hide or turn around what is beside it.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_invisible(character) || character == '\\' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// What changes how others are shown and shows nothing itself: zero-width and directional characters,
/// line and paragraph separators (general categories Cf, Zl and Zp, as far as they matter here).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    )
}

/// What a panic says that comes from a closed standard output (`kmsfs ... | head`): Rust ignores
/// `SIGPIPE`, and `println!` panics instead.
const CLOSED_PIPE: &str = "failed printing to stdout: Broken pipe";

/// Keeps the panic that ends a command whose reader is gone quiet. It unwinds all the same: the key
/// service, if this process has it, closes its log.
pub(super) fn be_quiet_about_a_closed_pipe() {
    std::panic::set_hook(Box::new(|info| {
        if !info
            .payload_as_str()
            .is_some_and(|message| message.starts_with(CLOSED_PIPE))
        {
            // Nobody may be reading: that is no second panic.
            let _ = writeln!(std::io::stderr(), "kmsfs: {info}");
            tracing::error!(%info, "panic");
        }
    }));
}

/// Whether a panic came from a closed standard output.
pub(super) fn is_closed_pipe(panic: &(dyn std::any::Any + Send)) -> bool {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message.is_some_and(|message| message.starts_with(CLOSED_PIPE))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        assert_eq!(shown(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(shown("Gehälter".as_bytes()), "Gehälter");
        assert_eq!(shown("exe\u{202e}txt".as_bytes()), "exe\\u{202e}txt");
        assert_eq!(shown(b"\xff\\"), "\\xff\\\\", "no two names look alike");
    }
}
