//! [`History`]: what clients outside saw of a network, and whether every bank's copy of the chain agrees with it.
//!
//! Rules that [`History::judge`] checks on every copy:
//! - an answer `final` or `certified` stands there at the same height and index, with the same outcome;
//! - no transaction stands there twice, and no nonce is used twice;
//! - what stands there was sent by one of the clients, and not refused each time that it was sent. A request without an answer counts as
//!   taken in: nobody knows;
//! - a balance that was read at a height is the opening balance and all payments up to that height, so every wallet's reads fit into one
//!   sequence of its states; no wallet pays what it does not have;
//! - what the wallets hold in all is what it was, by their balances as by the bank's own sum;
//! - all copies are the same.
//!
//! A history that ends before its copies do is judged by what it has; an answer above the end of a copy is lost on that copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use api::Client;
use ledger::records::Nonce;
use ledger::values::{BlockDigest, ChainId, Height, TransactionId, WalletId};

/// Where a transaction stands on a chain, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// The block.
    pub height: u64,
    /// The place in it.
    pub index: u32,
    /// 0 for applied, else why it was rejected.
    pub code: u16,
}

/// What a bank said of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing: it was away, or too slow.
    Nothing,
    /// Not taken in, with the code of the refusal.
    Refused(u32),
    /// Taken in, now or before.
    Accepted,
    /// Its place cannot change.
    Final(Fate),
    /// Its outcome is under a certificate.
    Certified(Fate),
}

/// One question about a transaction, and its answer. Times are since the history began.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Who was asked.
    pub bank: usize,
    /// When.
    pub asked: Duration,
    /// When it had answered, or was given up.
    pub answered: Duration,
    /// What it said.
    pub said: Said,
}

/// A payment of a client, and all that banks said of it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who pays.
    pub payer: WalletId,
    /// Who is paid.
    pub payee: WalletId,
    /// How much, in fen.
    pub fen: u64,
    /// The payer's nonce. Two payments may have the same: then one of them is a rival, and at most one is executed.
    pub nonce: Nonce,
    /// The answers in order.
    pub answers: Vec<Answer>,
}

/// A balance that a bank showed.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Who showed it.
    pub bank: usize,
    /// The wallet.
    pub wallet: WalletId,
    /// The height that it was shown for.
    pub height: u64,
    /// The balance, in fen.
    pub fen: u64,
}

/// What clients saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The height that it begins after.
    pub from: u64,
    /// What the wallets held then, in fen. Nobody else pays or is paid.
    pub opening: BTreeMap<WalletId, u64>,
    /// What was sent.
    pub submissions: BTreeMap<TransactionId, Submission>,
    /// What was read.
    pub readings: Vec<Reading>,
}

/// A bank's copy of the chain from a history's beginning on.
#[derive(Debug, Clone)]
pub struct ChainCopy {
    /// Whose it is.
    pub bank: usize,
    /// Where it ends.
    pub height: u64,
    /// The block there: it commits to all before.
    pub digest: BlockDigest,
    /// What all wallets held there by the bank's own sum, operators' own ones included, in fen.
    pub held_fen: u64,
    /// Issued less redeemed until there, in fen.
    pub issued_fen: u64,
    /// The outcomes, by height and index: transaction, place, fee in fen.
    pub outcomes: Vec<(TransactionId, Fate, u64)>,
}

/// What a history and a copy disagree about. `bank` is whose copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A bank answered with a place, and the copy has it elsewhere, otherwise, or not at all.
    Lost {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
        /// As answered.
        answered: Fate,
        /// On the copy.
        found: Option<Fate>,
    },
    /// A transaction that stands there more than once.
    Twice {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
    },
    /// A nonce that two transactions have used.
    NonceTwice {
        /// Whose copy.
        bank: usize,
        /// The payer.
        wallet: WalletId,
        /// The nonce.
        nonce: Nonce,
    },
    /// A transaction that no client sent.
    Unsent {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
    },
    /// A transaction that was refused each time that it was sent.
    Refused {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
    },
    /// A fee that nobody bid.
    Fee {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
        /// What was charged, in fen.
        fen: u64,
    },
    /// A payment of more than the payer had.
    Overdrawn {
        /// Whose copy.
        bank: usize,
        /// The transaction.
        id: TransactionId,
    },
    /// A balance that the wallet did not have at that height.
    Balance {
        /// Whose copy.
        bank: usize,
        /// What was read.
        wallet: WalletId,
        /// For which height.
        height: u64,
        /// As read, in fen.
        read: u64,
        /// By the copy, in fen; nothing where it ends before.
        expected: Option<u64>,
    },
    /// A bank that holds another sum than was issued.
    Money {
        /// Whose copy.
        bank: usize,
        /// Held, in fen.
        held: u64,
        /// Issued less redeemed, in fen.
        issued: u64,
    },
    /// A copy that differs from the first one.
    Differs {
        /// Whose copy.
        bank: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl Violation {
    /// Whether something that a client was told is gone.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether something was executed more than once.
    #[must_use]
    pub const fn is_double(&self) -> bool {
        matches!(self, Self::Twice { .. } | Self::NonceTwice { .. })
    }
}

impl ChainCopy {
    /// Reads a bank's copy of a chain after height `from`, up to `to`.
    ///
    /// # Panics
    /// When the bank does not answer, or ends before `to`: this is a test.
    pub async fn read(client: &Client, bank: usize, chain: ChainId, (from, to): (u64, u64)) -> Self {
        let mut outcomes = Vec::new();
        for height in from + 1..=to {
            let of_height = client.outcomes(chain, Height(height)).await;
            let of_height = of_height.unwrap_or_else(|fault| panic!("bank {bank}, height {height}: {fault}"));
            outcomes.extend(of_height.iter().map(|outcome| {
                let fate = Fate { height, index: outcome.index, code: outcome.code };
                (outcome.id, fate, outcome.fee.fen())
            }));
        }
        let block = client.block(chain, Height(to)).await;
        let block = block.unwrap_or_else(|fault| panic!("bank {bank}, block {to}: {fault}"));
        let supply = block.result.unwrap_or_else(|| panic!("bank {bank} has not executed block {to}")).supply;
        let issued_fen = supply.issued_fen - supply.redeemed_fen;
        Self { bank, height: to, digest: block.digest, held_fen: supply.holdings_fen, issued_fen, outcomes }
    }
}

impl History {
    /// What the copies say against it, in their order; nothing if all is well. At least one copy.
    #[must_use]
    pub fn judge(&self, copies: &[ChainCopy]) -> Vec<Violation> {
        let mut found = Vec::new();
        for copy in copies {
            self.judge_places(copy, &mut found);
            self.judge_money(copy, &mut found);
            let first = &copies[0];
            if (copy.height, copy.digest, &copy.outcomes) != (first.height, first.digest, &first.outcomes) {
                found.push(Violation::Differs { bank: copy.bank });
            }
        }
        found
    }

    /// Payments that a copy has applied.
    #[must_use]
    pub fn applied(&self, copy: &ChainCopy) -> u64 {
        let is_applied =
            |(id, fate, _): &&(TransactionId, Fate, u64)| fate.code == 0 && self.submissions.contains_key(id);
        copy.outcomes.iter().filter(is_applied).count() as u64
    }

    /// From the first time that each payment was sent until the first answer that it is final. Rivals that lost have none.
    #[must_use]
    pub fn finality(&self) -> Vec<Duration> {
        let of = |submission: &Submission| {
            let sent = submission.answers.first()?.asked;
            let mut answers = submission.answers.iter();
            let told = answers.find(|answer| matches!(answer.said, Said::Final(_) | Said::Certified(_)))?;
            Some(told.answered.saturating_sub(sent))
        };
        self.submissions.values().filter_map(of).collect()
    }

    /// All answers.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.submissions.values().map(|submission| submission.answers.len() as u64).sum()
    }

    fn judge_places(&self, copy: &ChainCopy, found: &mut Vec<Violation>) {
        let bank = copy.bank;
        let (mut places, mut nonces) = (BTreeMap::new(), BTreeSet::new());
        for (id, fate, fee_fen) in &copy.outcomes {
            if places.insert(*id, *fate).is_some() {
                found.push(Violation::Twice { bank, id: *id });
            }
            if *fee_fen > 0 {
                found.push(Violation::Fee { bank, id: *id, fen: *fee_fen });
            }
            let Some(submission) = self.submissions.get(id) else {
                found.push(Violation::Unsent { bank, id: *id });
                continue;
            };
            let (wallet, nonce) = (submission.payer, submission.nonce);
            if !nonces.insert((wallet, nonce.lane, nonce.sequence)) {
                found.push(Violation::NonceTwice { bank, wallet, nonce });
            }
            let mut answers = submission.answers.iter();
            if answers.all(|answer| matches!(answer.said, Said::Refused(_))) {
                found.push(Violation::Refused { bank, id: *id });
            }
        }
        for (id, submission) in &self.submissions {
            for answer in &submission.answers {
                let (Said::Final(answered) | Said::Certified(answered)) = answer.said else { continue };
                let on_copy = places.get(id).copied();
                if on_copy != Some(answered) {
                    found.push(Violation::Lost { bank, id: *id, answered, found: on_copy });
                }
            }
        }
    }

    fn judge_money(&self, copy: &ChainCopy, found: &mut Vec<Violation>) {
        let bank = copy.bank;
        // Each wallet's balance after every height that changed it.
        let mut states: BTreeMap<WalletId, Vec<(u64, u64)>> =
            self.opening.iter().map(|(wallet, fen)| (*wallet, vec![(self.from, *fen)])).collect();
        for (id, fate, _) in copy.outcomes.iter().filter(|(_, fate, _)| fate.code == 0) {
            let Some(submission) = self.submissions.get(id) else { continue };
            let Submission { payer, payee, fen, .. } = *submission;
            let now =
                |wallet: &WalletId| states.get(wallet).and_then(|known| known.last()).map(|(_, fen)| *fen);
            let (Some(has), Some(_)) = (now(&payer), now(&payee)) else {
                found.push(Violation::Unsent { bank, id: *id });
                continue;
            };
            let Some(left) = has.checked_sub(fen) else {
                found.push(Violation::Overdrawn { bank, id: *id });
                continue;
            };
            states.entry(payer).or_default().push((fate.height, left));
            // After the payer's: one wallet may be both.
            let gained = states[&payee].last().map_or(0, |(_, fen)| *fen) + fen;
            states.entry(payee).or_default().push((fate.height, gained));
        }
        for reading in &self.readings {
            let Reading { wallet, height, fen: read, .. } = *reading;
            let expected = states.get(&wallet).filter(|_| height <= copy.height).and_then(|states| {
                let until = states.partition_point(|(at, _)| *at <= height);
                states[..until].last().map(|(_, fen)| *fen)
            });
            if expected != Some(read) {
                found.push(Violation::Balance { bank, wallet, height, read, expected });
            }
        }
        if copy.held_fen != copy.issued_fen {
            found.push(Violation::Money { bank, held: copy.held_fen, issued: copy.issued_fen });
        }
        let held: u64 = states.values().filter_map(|states| states.last()).map(|(_, fen)| *fen).sum();
        let opened: u64 = self.opening.values().sum();
        if held != opened {
            found.push(Violation::Money { bank, held, issued: opened });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: WalletId = WalletId([1; 32]);
    const BOB: WalletId = WalletId([2; 32]);

    fn id(number: u8) -> TransactionId {
        TransactionId([number; 32])
    }

    fn fate(height: u64, index: u32) -> Fate {
        Fate { height, index, code: 0 }
    }

    fn answers(said: &[Said]) -> Vec<Answer> {
        let moment = Duration::from_millis;
        let answer = |said: &Said| Answer { bank: 0, asked: moment(1), answered: moment(5), said: *said };
        said.iter().map(answer).collect()
    }

    fn payment(fen: u64, sequence: u64, said: &[Said]) -> Submission {
        let nonce = Nonce { lane: 0, sequence };
        Submission { payer: ALICE, payee: BOB, fen, nonce, answers: answers(said) }
    }

    /// Alice has 100 fen and pays 10 at height 5 and 20 at height 7. A third payment was refused; a rival of the second lost.
    fn honest() -> (History, Vec<ChainCopy>) {
        let reading = |wallet, height, fen| Reading { bank: 1, wallet, height, fen };
        let history = History {
            from: 4,
            opening: [(ALICE, 100), (BOB, 0)].into(),
            submissions: [
                (id(1), payment(10, 1, &[Said::Nothing, Said::Accepted, Said::Final(fate(5, 0))])),
                (id(2), payment(20, 2, &[Said::Refused(1_502), Said::Accepted, Said::Certified(fate(7, 3))])),
                (id(3), payment(30, 3, &[Said::Refused(1_105), Said::Refused(1_105)])),
                (id(4), payment(21, 2, &[Said::Accepted])),
            ]
            .into(),
            readings: vec![
                reading(ALICE, 4, 100),
                reading(ALICE, 5, 90),
                reading(ALICE, 6, 90),
                reading(BOB, 9, 30),
            ],
        };
        let copy = |bank| ChainCopy {
            bank,
            height: 9,
            digest: BlockDigest([9; 32]),
            held_fen: 100,
            issued_fen: 100,
            outcomes: vec![(id(1), fate(5, 0), 0), (id(2), fate(7, 3), 0)],
        };
        (history, (0..4).map(copy).collect())
    }

    /// What is found once the history or the copies were changed by hand.
    fn planted(change: impl FnOnce(&mut History, &mut Vec<ChainCopy>)) -> Vec<Violation> {
        let (mut history, mut copies) = honest();
        change(&mut history, &mut copies);
        history.judge(&copies)
    }

    fn say(history: &mut History, number: u8, said: Said) {
        history.submissions.get_mut(&id(number)).unwrap().answers.extend(answers(&[said]));
    }

    #[test]
    fn an_honest_history_passes() {
        let (history, copies) = honest();
        assert_eq!(history.judge(&copies), []);
        assert_eq!((history.applied(&copies[0]), history.answers()), (2, 9));
        assert_eq!(history.finality(), [Duration::from_millis(4); 2]);
    }

    #[test]
    fn an_answer_that_a_copy_does_not_have_is_lost() {
        let lost = |bank, number, answered, found| Violation::Lost { bank, id: id(number), answered, found };
        // One bank's copy alone has lost it; money read at that height betrays it too.
        let found = planted(|_, copies| {
            copies[2].outcomes.remove(1);
        });
        assert!(found.contains(&lost(2, 2, fate(7, 3), None)), "{found:?}");
        assert!(found.contains(&Violation::Differs { bank: 2 }), "{found:?}");
        assert!(found.iter().all(|violation| *violation != lost(1, 2, fate(7, 3), None)));
        for said in [Said::Final(fate(5, 1)), Said::Certified(fate(6, 0))] {
            let (Said::Final(answered) | Said::Certified(answered)) = said else { unreachable!() };
            let found = planted(|history, _| say(history, 1, said));
            let everywhere: Vec<_> = (0..4).map(|bank| lost(bank, 1, answered, Some(fate(5, 0)))).collect();
            assert_eq!(found, everywhere, "another height or index");
        }
        let rejected = Fate { code: 205, ..fate(5, 0) };
        let found = planted(|history, _| say(history, 1, Said::Final(rejected)));
        assert_eq!(found.len(), 4, "another outcome: {found:?}");
        let found = planted(|history, _| say(history, 4, Said::Final(fate(11, 0))));
        assert!(found.len() == 4 && found.iter().all(Violation::is_loss), "beyond the end: {found:?}");
    }

    #[test]
    fn what_is_there_twice_is_found() {
        let found = planted(|_, copies| copies[3].outcomes.push((id(1), fate(8, 0), 0)));
        assert!(found.contains(&Violation::Twice { bank: 3, id: id(1) }), "{found:?}");
        // Both rivals.
        let found = planted(|_, copies| copies[1].outcomes.push((id(4), fate(8, 0), 0)));
        let nonce = Nonce { lane: 0, sequence: 2 };
        assert!(found.contains(&Violation::NonceTwice { bank: 1, wallet: ALICE, nonce }), "{found:?}");
        assert!(found.iter().any(Violation::is_double));
    }

    #[test]
    fn what_nobody_sent_or_everybody_refused_is_found() {
        let found = planted(|_, copies| copies[0].outcomes.push((id(9), fate(8, 0), 0)));
        assert!(found.contains(&Violation::Unsent { bank: 0, id: id(9) }), "{found:?}");
        let refused = Violation::Refused { bank: 0, id: id(3) };
        let found = planted(|_, copies| copies[0].outcomes.push((id(3), fate(8, 0), 0)));
        assert!(found.contains(&refused), "{found:?}");
        // A later repeat was taken in, or nobody knows.
        for said in [Said::Accepted, Said::Nothing] {
            let found = planted(|history, copies| {
                say(history, 3, said);
                copies[0].outcomes.push((id(3), fate(8, 0), 0));
            });
            assert!(!found.contains(&refused), "{found:?}");
        }
    }

    #[test]
    fn a_balance_that_never_was_is_found() {
        for (wallet, height, read, is) in
            [(ALICE, 6, 70, Some(90)), (ALICE, 7, 90, Some(70)), (BOB, 4, 10, Some(0)), (BOB, 10, 30, None)]
        {
            let found = planted(|history, _| {
                history.readings.push(Reading { bank: 0, wallet, height, fen: read });
            });
            let balance = |bank| Violation::Balance { bank, wallet, height, read, expected: is };
            assert_eq!(found, (0..4).map(balance).collect::<Vec<_>>());
        }
    }

    #[test]
    fn money_from_nowhere_is_found() {
        let found = planted(|_, copies| copies[2].held_fen += 1);
        assert_eq!(found, [Violation::Money { bank: 2, held: 101, issued: 100 }]);
        let found = planted(|history, _| {
            history.submissions.get_mut(&id(2)).unwrap().fen = 200;
        });
        assert!(found.contains(&Violation::Overdrawn { bank: 0, id: id(2) }), "{found:?}");
        let found = planted(|_, copies| copies[1].outcomes[0].2 = 3);
        assert!(found.contains(&Violation::Fee { bank: 1, id: id(1), fen: 3 }), "{found:?}");
        let found = planted(|_, copies| copies[1].digest = BlockDigest([8; 32]));
        assert_eq!(found, [Violation::Differs { bank: 1 }]);
    }
}
