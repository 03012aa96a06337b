//! Forges what only a quorum can sign: certificates of the engine, the certificate under a page of final blocks, bundles, and the
//! receipts in them. All beside the true ones, so that a forgery that is believed would be seen.

use bytes::Bytes;
use chain::Frame;
use consensus::Channel;
use ledger::records::{Bundle, Receipt};
use ledger::values::Amount;

use super::Conduct;
use crate::links::{Content, Parcel};

/// The forger.
pub(super) struct Forger;

impl Conduct for Forger {
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        let forged = match &parcel.content {
            Content::Engine { validator, channel: Channel::Certificate, bytes } => {
                let mut bytes = bytes.to_vec();
                // The last signature comes last.
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                let bytes = Bytes::from(bytes);
                Some(Content::Engine { validator: *validator, channel: Channel::Certificate, bytes })
            }
            Content::Chain(bytes) => match Frame::decode(bytes) {
                Ok(Frame::FinalBlocks(mut page)) => {
                    if let Some(byte) = page.certificate.last_mut() {
                        *byte ^= 1;
                    }
                    Some(Content::Chain(Frame::FinalBlocks(page).encode()))
                }
                _ => None,
            },
            Content::Engine { .. } => None,
        };
        let forged = forged.map(|content| Parcel { content, ..parcel.clone() });
        let done = u64::from(forged.is_some());
        out.extend(forged);
        out.push(parcel);
        done
    }

    /// One with more money in its first receipt, and one whose certificate nobody signed.
    fn relays(&mut self, bundle: &Bundle) -> Vec<Bundle> {
        let (mut richer, mut unsigned) = (bundle.clone(), bundle.clone());
        if let Some(Receipt::Credit { amount, .. } | Receipt::Refund { amount, .. }) =
            richer.receipts.first_mut()
        {
            *amount = amount.plus(Amount::from_fen(1)).unwrap_or(Amount::ZERO);
        }
        if let Some(byte) = unsigned.certified.finality.bytes.last_mut() {
            *byte ^= 1;
        }
        vec![richer, unsigned]
    }
}
