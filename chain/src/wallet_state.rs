//! What a wallet, a lock or an offer is at the executed height, with its path to the state root there: the first half of a proof.
//!
//! The other half, a certificate that covers the height, comes some blocks later; whoever asked waits for it and puts
//! both together with [`UncertifiedWallet::certify`]. Answered between two blocks, so records and trees are of one height.

use ledger::proofs::{AbsenceProof, BalanceProof, CertifiedResult, LockProof, Proof};
use ledger::records::{Record, WalletRecord};
use ledger::state::id_tree::IdPath;
use ledger::state::{RecordPath, StateParts};
use ledger::values::{Height, RecordId, Strategy, WalletId};
use storage::Table;

use crate::archive::Archive;
use crate::executor::Executor;
use crate::rows::RowFault;

/// A wallet, or its absence, or a lock or an offer, under the state root of a height that may not be certified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncertifiedWallet {
    /// The height.
    pub height: Height,
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Wallet { wallet: WalletRecord, path: RecordPath },
    Lock { record: Record, path: RecordPath },
    Nothing { wallet: WalletId, path: IdPath, parts: StateParts },
}

impl UncertifiedWallet {
    /// The proof, with the certified result of [`Self::height`].
    #[must_use]
    pub fn certify(self, certified: CertifiedResult) -> Proof {
        match self.found {
            Found::Wallet { wallet, path: RecordPath { slot, path, parts } } => {
                Proof::Balance(BalanceProof { wallet, slot, path, parts, certified })
            }
            Found::Lock { record, path: RecordPath { slot, path, parts } } => {
                Proof::Lock(LockProof { record, slot, path, parts, certified })
            }
            Found::Nothing { wallet, path, parts } => {
                Proof::Absence(AbsenceProof { wallet, path, parts, certified })
            }
        }
    }
}

impl<S: Strategy> Executor<S> {
    /// The wallet, lock or offer of a name after the last executed block; or that there is no wallet of this name.
    ///
    /// # Errors
    /// [`RowFault`] when the store fails or does not hold what the trees say.
    pub fn wallet(&self, id: RecordId) -> Result<UncertifiedWallet, RowFault> {
        let state = self.state();
        let height = state.head().height;
        // The name of a wallet is its id.
        let wallet = WalletId(id.0);
        let Some(path) = state.record_path(id) else {
            let found = Found::Nothing { wallet, path: state.id_path(&wallet), parts: state.parts() };
            return Ok(UncertifiedWallet { height, found });
        };
        match Archive::new(self.store()).wallet(wallet)? {
            Some((slot, Record::Wallet(wallet))) if slot == path.slot => {
                Ok(UncertifiedWallet { height, found: Found::Wallet { wallet, path } })
            }
            Some((slot, record @ (Record::Lock(_) | Record::Offer(_)))) if slot == path.slot => {
                Ok(UncertifiedWallet { height, found: Found::Lock { record, path } })
            }
            _ => Err(RowFault::Missing { table: Table::Records }),
        }
    }
}
