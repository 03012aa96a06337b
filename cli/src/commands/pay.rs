//! `jiaozi pay`: one signature, one or several payees, all or none.

use std::path::PathBuf;

use clap::Args;
use ledger::records::operation::PAYMENTS_MAX;
use ledger::records::{Operation, Payment, Policy, Sponsor};
use ledger::values::{ChainId, Currency, PublicKey, WalletId};
use wallet::PartialTransaction;

use super::transaction::{Prepared, refuse_existing, save};
use crate::amount::WrittenAmount;
use crate::failure::{Answer, Failure};
use crate::fee::{Priced, Trial};
use crate::keystore::{Keystore, WalletEntry};
use crate::output::Output;
use crate::send::SendOptions;
use crate::sender::Sender;

/// Arguments of `jiaozi pay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    jiaozi pay --from alice --to jz1… --amount 12.34\n  \
    jiaozi pay --from alice --to bob --amount 5 --to carol --amount 7.50 --wait final\n  \
    jiaozi pay --from alice --to bob --amount 5 --fee urgent\n  \
    jiaozi pay --from alice --to bob --amount 5 --sponsor bank-1 --out payment.json\n\n\
    Amounts are in the currency of the paying wallet; \"12.34 HKD\" is refused where that is another one. Several payees are\n\
    paid all or none, in one transaction. A payee may be at home on another chain of the currency: the payment is debited at\n\
    once, and credited there by a receipt. A wallet that needs several signatures pays through: jiaozi tx prepare, tx sign,\n\
    tx submit. With a sponsor the payment is signed into a file; the sponsor signs that too (jiaozi tx sign payment.json --with\n\
    bank-1), and then anybody submits it (jiaozi tx submit payment.json).")]
pub struct PayArguments {
    /// The paying wallet, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    #[command(flatten)]
    payees: Payees,
    #[command(flatten)]
    sponsor: SponsorOptions,
    /// New file for the payment that a sponsor is to sign as well.
    #[arg(long, value_name = "FILE", requires = "sponsor")]
    out: Option<PathBuf>,
    #[command(flatten)]
    send: SendOptions,
}

/// Who pays the fee, where it is not the wallet that acts.
#[derive(Debug, Clone, Default, Args)]
pub struct SponsorOptions {
    /// The wallet that pays the fee and signs as well: its name in the keystore, or its id with its keys.
    #[arg(long, value_name = "WALLET", requires = "out")]
    sponsor: Option<String>,
    /// A key of the sponsor's policy, where the keystore does not have the wallet; again for each of them.
    #[arg(long, value_name = "KEY", requires = "sponsor")]
    sponsor_key: Vec<PublicKey>,
    /// Signatures that the sponsor's policy needs.
    #[arg(long, value_name = "N", requires = "sponsor_key", default_value_t = 1)]
    sponsor_threshold: u8,
}

impl SponsorOptions {
    /// The sponsor on the chain of what is signed, if one is named.
    ///
    /// # Errors
    /// [`Failure`] when it is no wallet there, or the keys are not those of its policy.
    pub fn sponsor(&self, sender: &Sender) -> Answer<Option<Sponsor>> {
        let Some(named) = &self.sponsor else { return Ok(None) };
        let at = |failure: Failure| failure.at("--sponsor");
        let currency = sender.terms.currency;
        let id = payee(named, &sender.keystore, Some(currency)).map_err(at)?;
        let policy = match named_wallet(named, &sender.keystore).map_err(at)? {
            NamedWallet::Entry(entry) if self.sponsor_key.is_empty() => entry.policy()?,
            _ => self.policy()?,
        };
        let view = sender.connection.wallet(id, Some(sender.terms.chain)).map_err(at)?;
        if let Some(to) = view.moved_to {
            let message = format!("wallet {id} has moved to chain {}", ChainId(to));
            return Err(Failure::refused("sponsor_elsewhere", message)
                .at("--sponsor")
                .mend(format!("name a wallet of chain {}, where the paying one is", sender.terms.chain)));
        }
        if view.policy != policy.hash() {
            let message = format!("wallet {id} has another policy than these keys with this threshold");
            return Err(Failure::usage("sponsor_policy", message)
                .at("--sponsor-key")
                .mend("ask the sponsor for all keys of the wallet, and how many of them sign"));
        }
        Ok(Some(Sponsor { wallet: id, policy }))
    }

    /// The policy of the keys that are named.
    fn policy(&self) -> Answer<Policy> {
        if self.sponsor_key.is_empty() {
            return Err(Failure::usage(
                "sponsor_keys_missing",
                "an id does not tell the keys that sign for a wallet",
            )
            .at("--sponsor-key")
            .mend("name the keys with --sponsor-key, or a wallet of the keystore"));
        }
        Policy::new(self.sponsor_threshold, self.sponsor_key.clone())
            .map_err(|fault| Failure::usage("sponsor_policy", fault).at("--sponsor-key"))
    }
}

/// Whom to pay, and how much each.
#[derive(Debug, Clone, Args)]
pub struct Payees {
    /// A payee: a wallet id, or the name of a wallet in the keystore.
    #[arg(long, value_name = "WALLET", required = true)]
    to: Vec<String>,
    /// How much the payee named before it gets, such as 12.34, in the currency of the paying wallet.
    #[arg(long, value_name = "AMOUNT", required = true, allow_negative_numbers = true)]
    amount: Vec<WrittenAmount>,
}

impl Payees {
    /// The currency that the amounts name, where one does.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.amount.iter().find_map(|amount| amount.currency)
    }

    /// The payments; in `currency`, once that is known.
    ///
    /// # Errors
    /// [`Failure`] when payees and amounts do not pair up, a payee is no wallet, or one of either is of another currency.
    pub fn operation(&self, keystore: &Keystore, currency: Option<Currency>) -> Answer<Operation> {
        if self.to.len() != self.amount.len() {
            let message = format!("{} payees and {} amounts", self.to.len(), self.amount.len());
            return Err(Failure::usage("payees", message).at("--to").mend("give one --amount for each --to"));
        }
        if self.to.len() > PAYMENTS_MAX {
            return Err(Failure::usage(
                "payees",
                format_args!("{} payees; one transaction pays at most {PAYMENTS_MAX}", self.to.len()),
            )
            .at("--to")
            .mend("split the payment"));
        }
        let currency = currency.or_else(|| self.currency());
        let payment = |(to, amount): (&String, &WrittenAmount)| {
            let payee = payee(to, keystore, currency)?;
            let amount = match currency {
                Some(currency) => amount.in_currency(currency)?,
                None => amount.in_any(),
            };
            Ok(Payment { payee, amount })
        };
        let payments: Answer<Vec<Payment>> = self.to.iter().zip(&self.amount).map(payment).collect();
        Ok(Operation::Pay { payments: payments? })
    }
}

/// A wallet as a command names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedWallet {
    /// By its id, which does not tell its currency.
    Id(WalletId),
    /// By its name in the keystore.
    Entry(Box<WalletEntry>),
}

/// A wallet by id or by its name in the keystore.
///
/// # Errors
/// [`Failure`] when it is neither.
pub fn named_wallet(text: &str, keystore: &Keystore) -> Answer<NamedWallet> {
    match text.parse::<WalletId>() {
        Ok(id) => Ok(NamedWallet::Id(id)),
        Err(_) if keystore.has(text) => Ok(NamedWallet::Entry(Box::new(keystore.find(text)?))),
        Err(fault) => Err(Failure::usage("wallet_id", format_args!("{text:?}: {fault}"))
            .at("--to")
            .mend("copy the id again, or name a wallet of the keystore (jiaozi wallet list)")),
    }
}

/// The wallet to pay into in `currency`. A name of the keystore means an operator's own wallet in that currency, and no other
/// currency's wallet of anybody else.
///
/// # Errors
/// [`Failure`] when there is no such wallet, or it holds another currency.
pub fn payee(text: &str, keystore: &Keystore, currency: Option<Currency>) -> Answer<WalletId> {
    match (named_wallet(text, keystore)?, currency) {
        (NamedWallet::Id(id), _) => Ok(id),
        (NamedWallet::Entry(entry), Some(currency)) if entry.operator.is_some() => {
            entry.in_currency(currency)?.wallet_id()
        }
        (NamedWallet::Entry(entry), Some(currency)) if entry.currency()? != currency => {
            let message =
                format!("wallet {} holds {}, the payment is in {currency}", entry.name, entry.currency);
            Err(Failure::usage("other_currency", message)
                .at("--to")
                .mend("name a wallet of the same currency"))
        }
        (NamedWallet::Entry(entry), _) => entry.wallet_id(),
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &PayArguments, output: Output) -> Answer {
    let keystore = arguments.send.keystore.open()?;
    // A wrong name is told before a node is asked.
    arguments.payees.operation(&keystore, None)?;
    if let Some(out) = &arguments.out {
        refuse_existing(out)?;
    }
    let mut sender = arguments.send.sender_in(&arguments.from, arguments.payees.currency())?;
    sender.sponsor = arguments.sponsor.sponsor(&sender)?;
    let operation = arguments.payees.operation(&keystore, Some(sender.terms.currency))?;
    let Some(out) = &arguments.out else {
        return output.result(&arguments.send.send(&sender, operation, output)?);
    };
    // The payer signs now; sending needs the sponsor's signature as well.
    let secret = sender.keystore.secret(&sender.entry, &arguments.send.passphrase.read()?)?;
    let Priced { content, .. } = sender.content(operation, Trial::Binds, output)?;
    let mut partial = PartialTransaction::new(sender.terms.genesis, content);
    partial.sign(&secret)?;
    save(&partial, out)?;
    output.result(&Prepared::new(&partial, Some(sender.terms.currency), out))
}

#[cfg(test)]
mod tests {
    use ledger::values::Amount;

    use super::*;

    #[test]
    fn payees_and_amounts_pair_up() {
        let keystore = Keystore::at(std::path::PathBuf::from("/nonexistent"));
        let id = WalletId([7; 32]);
        let payees = |to: &[&str], amounts: &[u64]| Payees {
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            amount: amounts.iter().map(|fen| Amount::from_fen(*fen).into()).collect(),
        };
        let text = id.to_string();
        let operation = payees(&[&text, &text], &[1_234, 5]).operation(&keystore, None).unwrap();
        let Operation::Pay { payments } = operation else { panic!("not a payment") };
        assert_eq!(payments, [1_234, 5].map(|fen| Payment { payee: id, amount: Amount::from_fen(fen) }));
        assert_eq!(payees(&[&text, &text], &[1]).operation(&keystore, None).unwrap_err().code, "payees");
        let failure = payees(&["jz1wrong"], &[1]).operation(&keystore, None).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("wallet_id", crate::failure::Exit::Usage));
        let many = vec![text.as_str(); PAYMENTS_MAX + 1];
        assert_eq!(
            payees(&many, &vec![1; PAYMENTS_MAX + 1]).operation(&keystore, None).unwrap_err().code,
            "payees"
        );
        let (cny, hkd) = (Currency(*b"CNY"), Currency(*b"HKD"));
        let mut written = payees(&[&text, &text], &[500, 1]);
        written.amount[0] = "5 HKD".parse().unwrap();
        assert_eq!(written.currency(), Some(hkd));
        assert!(
            written.operation(&keystore, None).is_ok() && written.operation(&keystore, Some(hkd)).is_ok()
        );
        assert_eq!(written.operation(&keystore, Some(cny)).unwrap_err().code, "other_currency");
        written.amount[1] = "1 CNY".parse().unwrap();
        assert_eq!(written.operation(&keystore, None).unwrap_err().code, "other_currency");
    }

    #[test]
    fn a_name_means_a_wallet_of_the_payment_s_currency() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let (cny, hkd) = (Currency(*b"CNY"), Currency(*b"HKD"));
        let add = |name: &str, operator| {
            let key = ledger::values::SecretKey::from_seed([5; 32]).public_key();
            let new = crate::keystore::NewWallet {
                name: name.to_owned(),
                genesis: ledger::values::GenesisHash([1; 32]),
                currency: cny,
                policy: ledger::records::Policy::single(key),
                salt: [0; 16],
                operator,
                seed: "seed.key".to_owned(),
                index: 0,
            };
            keystore.add(new).unwrap()
        };
        let (alice, bank) = (add("alice", None), add("bank", Some(1)));
        let id = alice.wallet_id().unwrap();
        for currency in [None, Some(cny)] {
            assert_eq!(payee("alice", &keystore, currency).unwrap(), id);
        }
        let refused = payee("alice", &keystore, Some(hkd)).unwrap_err();
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("other_currency", Some("--to")));
        assert_eq!(payee(&id.to_string(), &keystore, Some(hkd)).unwrap(), id, "the id is the caller's word");
        let in_hkd = bank.in_currency(hkd).unwrap().wallet_id().unwrap();
        assert_eq!(payee("bank", &keystore, Some(hkd)).unwrap(), in_hkd);
    }
}
