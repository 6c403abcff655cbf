//! Fuzz target for lines of an audit log.

use super::chain::{Link, Sealed, Unsealed};
use super::checkpoint::Checkpoint;
use super::elsewhere::ElsewhereHead;
use super::head::SignedHead;
use super::query::{Filter, Paths};
use super::record::{Fields, time_of};
use super::rotate::Removed;
use super::settings::Settings;

/// A line of a log: as a record, as a checkpoint, as a link of the chain; and an event.
pub fn audit_line(data: &[u8]) {
    let _ = time_of(data);
    if let Ok(fields) = Fields::read(data) {
        let filter = Filter {
            path: Some(Paths::Below(b"docs".to_vec())),
            key: Some("1".to_owned()),
            user: Some("1000".to_owned()),
            ..Filter::default()
        };
        let _ = fields.pass(&filter);
        assert!(
            fields.pass(&Filter::default()),
            "a filter without conditions passes everything"
        );
        let record = fields.into_record("kms", data);
        assert!(
            record.line.len() <= 3 * data.len(),
            "a line grows by replaced bytes only"
        );
    }
    if let Some(Ok(checkpoint)) = Checkpoint::read(data) {
        assert!(checkpoint.anchors.len() <= data.len());
    }
    // What lies beside a log, and heads that were kept elsewhere.
    let _ = serde_json::from_slice::<ElsewhereHead>(data);
    let _ = serde_json::from_slice::<SignedHead>(data);
    if let Ok(settings) = serde_json::from_slice::<Settings>(data) {
        let text = serde_json::to_vec(&settings).expect("settings are plain values");
        assert_eq!(
            serde_json::from_slice::<Settings>(&text).ok(),
            Some(settings)
        );
    }
    let _ = Removed::read(data);
    let start = Link::genesis("kms");
    if let Ok(next) = start.follow(data) {
        assert_eq!(next.seq, 1);
        assert_eq!(
            Sealed::parse(data).and_then(|sealed| sealed.link()),
            Some(next)
        );
    }
    // Whatever an event says, its record follows, and no other.
    let mut event = data.to_vec();
    event.retain(|&byte| byte != b'\n');
    event.push(b'}');
    let (link, mut line) = Unsealed::new(event).seal(start);
    assert_eq!(line.pop(), Some(b'\n'));
    assert_eq!(start.follow(&line), Ok(link));
    assert!(link.follow(&line).is_err());
    let at = usize::from(data.first().copied().unwrap_or(0)) * 7 % line.len();
    line[at] ^= 1;
    assert!(start.follow(&line).is_err());
}
