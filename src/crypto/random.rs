//! Randomness: keys and ids from the operating system.

use std::convert::Infallible;

use rand_chacha::rand_core::{TryCryptoRng, TryRng};

/// Fills `buffer` from `getrandom(2)`.
///
/// # Panics
/// When the system has no randomness to give, which Linux does not do once booted.
pub fn fill(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the system's random generator answers");
}

/// The same generator, for libraries that draw their randomness themselves.
pub struct SystemRng;

impl TryRng for SystemRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        fill(&mut bytes);
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        fill(&mut bytes);
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        fill(buffer);
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}
