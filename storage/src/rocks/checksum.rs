//! CRC-32C (Castagnoli), the checksum of RocksDB's log files and of our claim file.
//!
//! Eight tables, eight bytes a step. Not for secrets or adversaries: it finds accidents.

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][byte]`: the checksum's change when `byte` is followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !extend(!0, bytes)
}

/// Goes on with a raw (not inverted) state, so that parts can be added one after the other.
pub(super) fn extend(mut state: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let low = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ state;
        let first = low.to_le_bytes();
        state = TABLES[7][usize::from(first[0])]
            ^ TABLES[6][usize::from(first[1])]
            ^ TABLES[5][usize::from(first[2])]
            ^ TABLES[4][usize::from(first[3])]
            ^ TABLES[3][usize::from(word[4])]
            ^ TABLES[2][usize::from(word[5])]
            ^ TABLES[1][usize::from(word[6])]
            ^ TABLES[0][usize::from(word[7])];
    }
    for byte in rest {
        state = (state >> 8) ^ TABLES[0][usize::from(state.to_le_bytes()[0] ^ byte)];
    }
    state
}

/// RocksDB stores checksums rotated and shifted, so that a checksum of data with checksums in it stays
/// strong.
pub(super) const fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0_u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { (state >> 1) ^ POLYNOMIAL } else { state >> 1 };
            bit += 1;
        }
        tables[0][byte] = state;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn known_vectors() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn parts_give_what_the_whole_gives() {
        let bytes: Vec<u8> = (0..100_u32).map(|number| (number * 37) as u8).collect();
        for cut in 0..bytes.len() {
            assert_eq!(!extend(extend(!0, &bytes[..cut]), &bytes[cut..]), crc32c(&bytes));
        }
    }
}
