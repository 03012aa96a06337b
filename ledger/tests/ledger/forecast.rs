//! A forecast says what execution would say, and changes nothing.

use ledger::records::{NotExecuted, Operation, Rejection, Tier};
use ledger::rules::{Forecast, transaction_weight};
use ledger::state::{ReadFault, StateReader};
use ledger::values::{OperatorId, RecordId, Slot, TimestampMs};

use crate::network::{Became, Network, pay};

#[test]
fn a_forecast_agrees_with_execution() {
    let mut network = Network::new();
    network.open(0..2, Tier::One);
    network.fund(&network.customer(0).wallet, 100);
    let (payer, payee) = (network.customer(0), network.customer(1).wallet);
    let open = Operation::OpenWallets { wallets: vec![network.opening(5, Tier::One)] };
    let bank = network.operator(1);
    let sequence = network.next_sequence(&bank.wallet);
    let transactions = [
        network.transaction(&payer, 1, pay(&[(payee, 60)])),
        network.transaction(&payer, 2, pay(&[(payee, 60)])),
        network.transaction(&payer, 2, pay(&[(payee, 1)])),
        network.transaction(&bank, sequence, open.clone()),
        network.transaction(&bank, sequence + 1, open),
        network.transaction(&network.customer(9), 1, pay(&[(payee, 1)])),
    ];
    let mut seen = Vec::new();
    for transaction in transactions {
        let (state, records) = (network.state.parts(), network.records.clone());
        let forecast =
            network.state.forecast(&network.records, &transaction, network.next_timestamp()).unwrap();
        assert_eq!((network.state.parts(), &network.records), (state, &records), "nothing changed");
        let weight = transaction_weight(&transaction);
        let became = network.run_one(transaction);
        let expected = match became {
            Became::Applied => Forecast::Applied,
            Became::Rejected(rejection) => Forecast::Rejected(rejection),
            Became::Skipped(reason) => Forecast::NotExecuted(reason),
        };
        assert_eq!(forecast.becomes, expected);
        assert_eq!(forecast.weight, weight);
        seen.push(forecast);
    }
    assert_eq!(seen[1].becomes, Forecast::Rejected(Rejection::InsufficientFunds));
    assert!(matches!(seen[2].becomes, Forecast::NotExecuted(NotExecuted::NonceUsed { .. })));
    assert_eq!(seen[4].becomes, Forecast::Rejected(Rejection::WalletExists));
    assert!(seen.iter().all(|forecast| forecast.fee.is_zero()), "no base fee, no tip");
    assert_eq!((seen[0].operator, seen[5].operator), (Some(OperatorId(1)), None), "of the signer's wallet");
    let late = TimestampMs(network.next_timestamp().0 + 100_000);
    let transaction = network.transaction(&payer, 3, pay(&[(payee, 1)]));
    let forecast = network.state.forecast(&network.records, &transaction, late).unwrap();
    assert!(matches!(forecast.becomes, Forecast::NotExecuted(NotExecuted::Expired { .. })));
}

struct Short;

impl StateReader for Short {
    fn find(&self, _: &[RecordId]) -> Result<Vec<Option<(Slot, ledger::records::Record)>>, ReadFault> {
        Ok(Vec::new())
    }

    fn records(&self, _: &[Slot]) -> Result<Vec<Option<ledger::records::Record>>, ReadFault> {
        Ok(Vec::new())
    }
}

#[test]
fn a_reader_that_answers_too_little_is_a_fault() {
    let network = Network::new();
    let transaction = network.transaction(&network.customer(0), 1, pay(&[(network.customer(1).wallet, 1)]));
    let forecast = network.state.forecast(&Short, &transaction, network.next_timestamp());
    assert_eq!(forecast, Err(ReadFault::Store));
}
