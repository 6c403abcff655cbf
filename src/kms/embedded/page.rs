//! Lists in parts: `Limit`, `Marker`, `NextMarker`, `Truncated`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::kms::KmsError;

/// One part of a list.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// `NextMarker`; present if `Truncated`.
    pub(super) next: Option<String>,
}

/// The `Limit` of a request: 1 to 1000, but no more than `most` are given.
pub(super) fn limit(asked: Option<i32>, default: usize, most: usize) -> Result<usize, KmsError> {
    let Some(asked) = asked else {
        return Ok(default);
    };
    let bound = match asked {
        ..1 => "greater than or equal to 1",
        1..=1000 => return Ok(usize::try_from(asked).expect("positive").min(most)),
        1001.. => "less than or equal to 1000",
    };
    Err(KmsError::constraint(&format!(
        "Value '{asked}' at 'limit' failed to satisfy constraint: Member must have value {bound}"
    )))
}

/// Where a list goes on: the name of the last item given before, if the marker is one of ours.
pub(super) fn start<N>(
    marker: Option<&str>,
    read: impl FnOnce(&str) -> Option<N>,
) -> Result<Option<N>, KmsError> {
    let Some(marker) = marker else {
        return Ok(None);
    };
    let name = URL_SAFE_NO_PAD
        .decode(marker)
        .ok()
        .and_then(|name| String::from_utf8(name).ok());
    match name.as_deref().and_then(read) {
        Some(name) => Ok(Some(name)),
        None => Err(KmsError::InvalidMarker(format!(
            "Could not deserialize marker '{marker}'"
        ))),
    }
}

/// The first `limit` of `items`, which begin after the marker; `name` names the one to go on after.
pub(super) fn cut<T>(
    items: impl Iterator<Item = T>,
    limit: usize,
    name: impl FnOnce(&T) -> String,
) -> Page<T> {
    let mut items = items.take(limit + 1).collect::<Vec<_>>();
    let truncated = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| truncated);
    let next = last.map(|item| URL_SAFE_NO_PAD.encode(name(item)));
    Page { items, next }
}
