//! Which chain a command means: that on which the wallet is at home, in its currency. Only an operator's own wallet, which is on
//! every shard of a currency, needs the chain to be named.

use api::{ApiError, ErrorCode, NetworkView};
use clap::Args;
use ledger::values::{ChainId, Currency, WalletId};

use crate::failure::{Answer, Failure};
use crate::keystore::WalletEntry;

/// The currency, where the wallet alone does not tell it.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct CurrencyOption {
    /// The currency, such as HKD, where it is not the one that the keystore has for the wallet.
    #[arg(long, value_name = "CODE")]
    pub currency: Option<Currency>,
}

/// The currency in which a wallet of the keystore acts: the one named, else, for an operator's own wallet, that of the named
/// chain, else the wallet's.
///
/// # Errors
/// [`Failure`] when the entry is malformed.
pub fn currency_of(
    network: &NetworkView,
    entry: &WalletEntry,
    named: Option<Currency>,
    chain: Option<u32>,
) -> Answer<Currency> {
    let place = chain.filter(|_| entry.operator.is_some()).and_then(|chain| network.chain(ChainId(chain)));
    match (named, place) {
        (Some(named), _) => Ok(named),
        (None, Some(place)) => place.currency.parse().map_err(|fault| Failure::refused("currency", fault)),
        (None, None) => entry.currency(),
    }
}

/// The chain where a wallet of this currency is at home; of several, the one that was named.
///
/// # Errors
/// [`Failure`] when there is none, or it must be named.
pub fn home(
    network: &NetworkView,
    currency: Currency,
    wallet: WalletId,
    named: Option<u32>,
) -> Answer<ChainId> {
    let named = named.map(ChainId);
    if named.is_some_and(|named| network.chain(named).is_none()) {
        return Err(Failure::from(ApiError::from(ErrorCode::ChainUnknown)).at("--chain"));
    }
    let homes = network.homes(currency, wallet);
    match (homes.as_slice(), named) {
        ([], _) => Err(no_such_currency(network, currency)),
        (homes, Some(named)) if homes.contains(&named) => Ok(named),
        ([home], None) => Ok(*home),
        (homes, Some(named)) => {
            let message =
                format!("as a {currency} wallet, {wallet} is not on chain {named} but on {}", listed(homes));
            Err(Failure::usage("wallet_elsewhere", message)
                .at("--chain")
                .mend("leave --chain out, or name that one"))
        }
        (homes, None) => {
            let message =
                format!("{wallet} is an operator's own wallet, on the {currency} chains {}", listed(homes));
            Err(Failure::usage("chain_needed", message).at("--chain").mend("say which with --chain"))
        }
    }
}

/// The network has no chain of the currency.
#[must_use]
pub fn no_such_currency(network: &NetworkView, currency: Currency) -> Failure {
    let mut known: Vec<&str> = network.chains.iter().map(|place| place.currency.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    Failure::usage("currency_unknown", format_args!("the network has no {currency}"))
        .at("--currency")
        .mend(format!("name one of: {}", known.join(", ")))
}

fn listed(chains: &[ChainId]) -> String {
    chains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::NodeIndex;

    use super::*;

    #[test]
    fn a_chain_is_found_from_the_wallet_and_must_be_named_only_for_operators() {
        let (cny, hkd, usd) = (Currency(*b"CNY"), Currency(*b"HKD"), Currency(*b"USD"));
        let mut plan = LocalnetPlan::new(4);
        plan.chains = vec![(cny, 0), (cny, 1), (hkd, 0)];
        let spec = localnet(&plan, &[1; 32]).unwrap().spec;
        let network = NetworkView::new(&spec, NodeIndex(0), "0", |_| false);
        let (even, odd) = (WalletId([2; 32]), WalletId([1; 32]));
        assert_eq!(home(&network, cny, even, None).unwrap(), ChainId(0));
        assert_eq!(home(&network, cny, odd, None).unwrap(), ChainId(1));
        assert_eq!(home(&network, cny, odd, Some(1)).unwrap(), ChainId(1));
        assert_eq!(home(&network, hkd, odd, None).unwrap(), ChainId(2));
        let own = network.operator_wallet(cny, &network.operators[1]);
        assert_eq!(home(&network, cny, own, Some(1)).unwrap(), ChainId(1));
        for (currency, wallet, named, code, field) in [
            (cny, odd, Some(0), "wallet_elsewhere", "--chain"),
            (cny, odd, Some(7), "1404 chain_unknown", "--chain"),
            (cny, own, None, "chain_needed", "--chain"),
            (cny, own, Some(2), "wallet_elsewhere", "--chain"),
            (usd, odd, None, "currency_unknown", "--currency"),
        ] {
            let failure = home(&network, currency, wallet, named).unwrap_err();
            assert_eq!((failure.code.as_str(), failure.field.as_deref()), (code, Some(field)), "{failure:?}");
        }
        assert!(no_such_currency(&network, usd).mend.ends_with("CNY, HKD"));
    }
}
