//! Builds and splits the keys of [`crate::SCHEMA`]. Big-endian, so byte order is numeric order.

/// Key of `Heights`, `Certificates`, `Results`, `Outcomes`, `Outboxes`, `Registries` and `Undo`.
#[must_use]
pub const fn height(height: u64) -> [u8; 8] {
    height.to_be_bytes()
}

/// Key of `Records`.
#[must_use]
pub const fn slot(slot: u64) -> [u8; 8] {
    slot.to_be_bytes()
}

/// Key of `Evidence`.
#[must_use]
pub const fn sequence(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// Key of `Receipts` and `Refunds`, and value of `Refunds`: chain(4) sequence(8).
#[must_use]
pub fn receipt(destination: u32, sequence: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&destination.to_be_bytes());
    key[4..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// Splits what [`receipt`] built into chain and sequence; `None` when it has another length.
#[must_use]
pub fn split_receipt(value: &[u8]) -> Option<(u32, u64)> {
    let (chain, sequence) = value.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*chain), u64::from_be_bytes(sequence.try_into().ok()?)))
}

/// Reads an 8-byte key back; `None` when it has another length.
#[must_use]
pub fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Key of `Proposals`: height(8) block digest(32).
#[must_use]
pub fn proposal(height: u64, digest: &[u8; 32]) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&height.to_be_bytes());
    key[8..].copy_from_slice(digest);
    key
}

/// Splits a key of `Proposals` into height and block digest; `None` when it has another length.
#[must_use]
pub fn split_proposal(key: &[u8]) -> Option<(u64, [u8; 32])> {
    let (height, digest) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*height), digest.try_into().ok()?))
}

/// Key of `History`: slot(8) height(8) index(4) part(2).
#[must_use]
pub fn history(slot: u64, height: u64, index: u32, part: u16) -> [u8; 22] {
    let mut key = [0; 22];
    key[..8].copy_from_slice(&slot.to_be_bytes());
    key[8..16].copy_from_slice(&height.to_be_bytes());
    key[16..20].copy_from_slice(&index.to_be_bytes());
    key[20..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Splits a key of `History` into slot, height, index and part; `None` when it has another length.
#[must_use]
pub fn split_history(key: &[u8]) -> Option<(u64, u64, u32, u16)> {
    let key: &[u8; 22] = key.try_into().ok()?;
    let (slot, rest) = key.split_first_chunk::<8>()?;
    let (height, rest) = rest.split_first_chunk::<8>()?;
    let (index, rest) = rest.split_first_chunk::<4>()?;
    let part: [u8; 2] = rest.try_into().ok()?;
    Some((
        u64::from_be_bytes(*slot),
        u64::from_be_bytes(*height),
        u32::from_be_bytes(*index),
        u16::from_be_bytes(part),
    ))
}

/// The range of `History` that belongs to one slot: first key, and the key after the last one (`None` when
/// the slot is the last possible one, so that the range ends with the table).
#[must_use]
pub fn history_of(slot: u64) -> ([u8; 22], Option<[u8; 22]>) {
    (history(slot, 0, 0, 0), slot.checked_add(1).map(|next| history(next, 0, 0, 0)))
}

/// Value of `Transactions`: height(8) index(4).
#[must_use]
pub fn position(height: u64, index: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&height.to_be_bytes());
    value[8..].copy_from_slice(&index.to_be_bytes());
    value
}

/// Splits a value of `Transactions` into height and index; `None` when it has another length.
#[must_use]
pub fn split_position(value: &[u8]) -> Option<(u64, u32)> {
    let value: &[u8; 12] = value.try_into().ok()?;
    let (height, rest) = value.split_first_chunk::<8>()?;
    let index: [u8; 4] = rest.try_into().ok()?;
    Some((u64::from_be_bytes(*height), u32::from_be_bytes(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn keys_have_the_layout_of_their_table_and_split_again() {
        assert!(Table::Records.spec().key.admits(&slot(7)));
        assert!(Table::Heights.spec().key.admits(&height(7)));
        assert!(Table::Evidence.spec().key.admits(&sequence(7)));
        assert!(Table::History.spec().key.admits(&history(1, 2, 3, 4)));
        assert_eq!(number(&height(7)), Some(7));
        assert_eq!(number(&[0; 7]), None);
        assert_eq!(split_history(&history(1, 2, 3, 4)), Some((1, 2, 3, 4)));
        assert_eq!(split_history(&[0; 21]), None);
        assert!(
            history(1, 2, 3, 4) < history(1, 2, 3, 5) && history(1, 2, 3, u16::MAX) < history(1, 2, 4, 0)
        );
        assert_eq!(split_proposal(&proposal(2, &[9; 32])), Some((2, [9; 32])));
        assert_eq!(split_proposal(&[0; 39]), None);
        assert_eq!(split_position(&position(2, 3)), Some((2, 3)));
        assert_eq!(split_position(&[0; 13]), None);
        assert_eq!(split_receipt(&receipt(2, 3)), Some((2, 3)));
        assert_eq!(
            (split_receipt(&[0; 11]), split_receipt(&[0; 13]), split_receipt(&[0; 3])),
            (None, None, None)
        );
    }

    #[test]
    fn byte_order_is_numeric_order() {
        assert!(height(255) < height(256));
        assert!(history(1, u64::MAX, u32::MAX, u16::MAX) < history(2, 0, 0, 0));
        assert!(history(1, 2, u32::MAX, u16::MAX) < history(1, 3, 0, 0));
        let (first, end) = history_of(5);
        assert!(first <= history(5, 0, 0, 0));
        assert!(
            end.is_some_and(
                |end| history(5, u64::MAX, u32::MAX, u16::MAX) < end && end <= history(6, 0, 0, 0)
            )
        );
        assert_eq!(history_of(u64::MAX).1, None);
    }
}
