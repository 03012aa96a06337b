//! What the rules of a chain depend on besides its records: cheap to clone, the same for a whole epoch.

use std::sync::Arc;

use crate::records::{ChainParams, GenesisSpec, OperatorRole, Registry, Tier, WalletRecord};
use crate::values::{ChainId, Currency, GenesisHash};

/// A chain's constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRules {
    /// The network.
    pub genesis: GenesisHash,
    /// The chain.
    pub chain: ChainId,
    /// Its currency.
    pub currency: Currency,
    /// Its parameters.
    pub params: ChainParams,
    /// Who takes part.
    pub registry: Arc<Registry>,
}

impl ChainRules {
    /// The rules of a chain of a network; `None` where the network has no such chain.
    #[must_use]
    pub fn new(spec: &GenesisSpec, chain: ChainId) -> Option<Self> {
        let chain_spec = spec.chain(chain)?;
        Some(Self {
            genesis: spec.hash(),
            chain,
            currency: chain_spec.currency,
            params: chain_spec.params.clone(),
            registry: Arc::new(Registry::from_genesis(spec)),
        })
    }

    /// Whether the wallet is an operator's own: only genesis and governance open wallets of that tier.
    #[must_use]
    pub fn is_operator(&self, wallet: &WalletRecord) -> bool {
        wallet.tier == Tier::Operator
    }

    /// Whether the wallet is the central bank's own.
    #[must_use]
    pub fn is_central_bank(&self, wallet: &WalletRecord) -> bool {
        let role = self.registry.operator(wallet.operator).map(|operator| operator.role);
        self.is_operator(wallet) && role == Some(OperatorRole::CentralBank)
    }
}
