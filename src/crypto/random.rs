//! Randomness: keys and ids from the operating system.

/// Fills `buffer` from `getrandom(2)`.
///
/// # Panics
/// When the system has no randomness to give, which Linux does not do once booted.
pub fn fill(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the system's random generator answers");
}
