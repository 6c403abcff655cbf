//! What can be done to the files of a log by who may write them.

use super::*;

#[test]
fn each_removed_segment_is_found() {
    for settings in [plain(), Settings::default()] {
        let place = rotated(&settings);
        for (index, file) in place.closed().into_iter().enumerate() {
            let content = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            let reason = if index == 0 { "let go" } else { "removed" };
            assert_tampered(&place, &format!("segment {index}"), reason);
            fs::write(&file, content).unwrap();
        }
        assert_eq!(judged(&place).1, 0);
        // The one that is written, with and without its head.
        fs::remove_file(place.file("volume-1.jsonl")).unwrap();
        assert!(matches!(judged(&place), (Verdict::Truncated(_), 4)));
        assert!(matches!(
            place.try_open(VOLUME),
            Err(AuditError::Damaged { .. })
        ));
        fs::remove_file(place.file("volume-1.head")).unwrap();
        assert!(matches!(judged(&place), (Verdict::Truncated(_), 4)));
        assert!(matches!(
            place.try_open(VOLUME),
            Err(AuditError::Damaged { .. })
        ));
    }
}

#[test]
fn swapped_duplicated_and_renamed_segments_are_found() {
    let place = rotated(&plain());
    let files = place.closed();
    let swap = |one: &Path, other: &Path| {
        let aside = place.file("aside");
        fs::rename(one, &aside).unwrap();
        fs::rename(other, one).unwrap();
        fs::rename(&aside, other).unwrap();
    };
    swap(&files[0], &files[1]);
    assert_tampered(&place, "swapped", "");
    swap(&files[0], &files[1]);

    let copy = files[2].with_file_name("00000000000000000002.jsonl");
    fs::copy(&files[0], &copy).unwrap();
    assert_tampered(&place, "duplicated", "removed, inserted or moved");
    fs::remove_file(&copy).unwrap();

    fs::rename(
        &files[2],
        files[2].with_file_name("00000000000000000099.jsonl"),
    )
    .unwrap();
    assert_tampered(&place, "renamed", "removed, inserted or moved");
}

#[test]
fn each_edited_line_of_a_segment_is_named_with_its_file() {
    let place = rotated(&plain());
    let file = place.closed().swap_remove(1);
    let original = fs::read_to_string(&file).unwrap();
    let first: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for (index, line) in original.lines().enumerate() {
        let edited = line.replacen("event", "evemt", 1);
        fs::write(&file, original.replacen(line, &edited, 1)).unwrap();
        let (verdict, _) = judged(&place);
        let Verdict::Tampered(finding) = &verdict else {
            panic!("{verdict:?}")
        };
        let expected = (&file, index as u64 + 1, first + index as u64);
        assert_eq!((&finding.file, finding.line, finding.seq), expected);
    }
}

#[test]
fn a_damaged_compressed_segment_is_not_called_intact() {
    let place = rotated(&Settings::default());
    let file = place.closed().swap_remove(1);
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0x40;
    fs::write(&file, &content).unwrap();
    assert_tampered(&place, "one bit", "");
    fs::write(&file, &content[..middle]).unwrap();
    assert_tampered(&place, "cut", "");
}

#[test]
fn a_chain_made_anew_from_a_closed_segment_on_is_found() {
    let place = rotated(&plain());
    let files = [place.closed(), vec![place.file("volume-1.jsonl")]].concat();
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let lengths: Vec<usize> = files
        .iter()
        .map(|file| read(file).lines().count())
        .collect();
    let mut lines: Vec<String> = files
        .iter()
        .flat_map(|file| read(file).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let at = lengths[0] + 2;
    lines[at] = lines[at].replace("alice", "mallory");
    rehash(VOLUME, &mut lines, at);
    let mut rest = &lines[..];
    for (file, length) in files.iter().zip(lengths) {
        let (these, others) = rest.split_at(length);
        fs::write(file, these.join("\n") + "\n").unwrap();
        rest = others;
    }
    assert_tampered(&place, "made anew", "made anew");
}
