//! The replicated application: every block has a body, and is valid if its hash is that of its body.

use hotstuff_rs::app::{
    App, ProduceBlockRequest, ProduceBlockResponse, ValidateBlockRequest, ValidateBlockResponse,
};
use hotstuff_rs::block_tree::pluggables::KVStore;
use hotstuff_rs::types::data_types::{CryptoHash, Data, Datum};
use sha2::{Digest as _, Sha256};

use crate::engine::BODY_BYTES;

/// Makes and checks blocks for one replica.
pub struct Application {
    own: u16,
}

impl Application {
    /// For replica `own`.
    pub fn new(own: u16) -> Self {
        Self { own }
    }
}

/// A body that names its proposer and view, and its hash.
pub fn body(proposer: u16, view: u64) -> (Data, CryptoHash) {
    let mut bytes = vec![0; BODY_BYTES];
    bytes[..2].copy_from_slice(&proposer.to_le_bytes());
    bytes[2..10].copy_from_slice(&view.to_le_bytes());
    let data = Data::new(vec![Datum::new(bytes)]);
    let hash = hash(&data);
    (data, hash)
}

fn hash(data: &Data) -> CryptoHash {
    let hash = data.iter().fold(Sha256::new(), |hash, datum| hash.chain_update(datum.bytes()));
    CryptoHash::new(hash.finalize().into())
}

impl<K: KVStore> App<K> for Application {
    fn produce_block(&mut self, request: ProduceBlockRequest<'_, K>) -> ProduceBlockResponse {
        let (data, data_hash) = body(self.own, request.cur_view().int());
        ProduceBlockResponse { data_hash, data, app_state_updates: None, validator_set_updates: None }
    }

    fn validate_block(&mut self, request: ValidateBlockRequest<'_, '_, K>) -> ValidateBlockResponse {
        let block = request.proposed_block();
        if hash(&block.data) == block.data_hash {
            ValidateBlockResponse::Valid { app_state_updates: None, validator_set_updates: None }
        } else {
            ValidateBlockResponse::Invalid
        }
    }

    fn validate_block_for_sync(&mut self, request: ValidateBlockRequest<'_, '_, K>) -> ValidateBlockResponse {
        self.validate_block(request)
    }
}
