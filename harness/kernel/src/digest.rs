//! Hashing of what goes into a kernel.

use sha2::{Digest as _, Sha256};

/// A hash over length-prefixed fields, so that no two lists of fields collide
/// by concatenation.
#[derive(Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The hash as 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        format!("{:x}", self.0.clone().finalize())
    }
}

/// Eight hexadecimal digits for a name in the cache.
pub(crate) fn short(text: &str) -> String {
    let mut hex = format!("{:x}", Sha256::digest(text));
    hex.truncate(8);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let one = Digest::default().field("ab").field("c").hex();
        let two = Digest::default().field("a").field("bc").hex();
        assert_ne!(one, two);
    }
}
